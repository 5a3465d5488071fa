"""The answer of a study in one or two plain sentences, which its page begins with."""

import pandas as pd

from headstart.analysis import Results

MOST_NAMED = 4  # arms that a sentence lists one by one


def headline(results: Results) -> str:
    """Which arm was most accurate on the test pictures, and which others it is better than, as the verdicts say.

    "" where no arm is tested, and of several studies, which no verdict compares.
    """
    tested = results.arms[results.arms["test_mean"].notna()]
    if tested.empty or results.arms["study"].nunique(dropna=False) > 1:
        return ""
    best = tested.loc[tested["test_mean"].astype(float).idxmax()]
    name, means = best["arm"], dict(zip(tested["arm"], tested["test_mean"].astype(float), strict=True))
    said = f"{name} was the most accurate: {means[name]:.2f} % of the test pictures."
    if len(means) == 1:
        return f"{name} recognised {means[name]:.2f} % of the test pictures."
    pairs = [_from_its_side(row, name) for _, row in results.pairs.iterrows() if name in (row["arm_a"], row["arm_b"])]
    better = [pair for pair in pairs if pair["winner"] == name]
    others = [pair["other"] for pair in pairs if pair["winner"] != name and pair["other"] in means]
    if better:
        listed = [f"{p['gain']:.2f} points more than {p['other']} ({p['low']:.2f} to {p['high']:.2f})" for p in better]
        said += f" That is {_listed(listed, 'arms')}."
    if others:
        shown = [f"{other} ({means[other]:.2f} %)" for other in others]
        said += f" Nothing shows that it is better than {_listed(shown, 'arms')}."
    return said


def _from_its_side(pair: pd.Series, arm: str) -> dict[str, object]:
    """A row of pairs.csv told by what `arm` gains."""
    is_first = pair["arm_a"] == arm  # else the pretrained one is told of first, or the study's first
    low, high = (pair["ci_low"], pair["ci_high"]) if is_first else (-pair["ci_high"], -pair["ci_low"])
    gain = pair["difference"] if is_first else -pair["difference"]
    other = pair["arm_b"] if is_first else pair["arm_a"]
    winner = None if pair["winner"] is pd.NA else pair["winner"]
    return {"other": other, "winner": winner, "gain": gain, "low": low, "high": high}


def _listed(words: list[str], noun: str) -> str:
    """`a, b and c`; of many the first, and how many more."""
    if len(words) > MOST_NAMED:
        words = [*words[: MOST_NAMED - 1], f"{len(words) - MOST_NAMED + 1} other {noun}"]
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
