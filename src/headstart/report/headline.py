"""The answer of a study in one or two plain sentences, which its page begins with."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from headstart.analysis import Results
from headstart.errors import listed

MOST_NAMED = 4  # arms that a sentence lists one by one


def headline(results: Results) -> str:
    """Which arm was most accurate on the test pictures, and what the verdicts say of the others beside it.

    Arms of other data or of another number of training images get sentences of their own. "" where no arm is tested,
    and of several studies, which no verdict compares.
    """
    tested = results.arms[results.arms["test_mean"].notna()]
    if results.arms["study"].nunique(dropna=False) > 1:
        return ""
    groups = list(tested.groupby(["data", "train_size"], dropna=False, sort=False))
    said, lost = [_answer(own, results.pairs) for _, own in groups], _lost(results.arms)
    if len(groups) < 2 or tested[["data", "train_size"]].isna().any(axis=None):
        return said[0] + lost if len(said) == 1 else ""
    named = [f"{data}, {size:,} training images" for (data, size), _ in groups]
    return " ".join(f"{name}: {text}" for name, text in zip(named, said, strict=True)) + lost


def _lost(arms: pd.DataFrame) -> str:
    """Of arms whose search led nowhere, so that no verdict is passed on them; "" without any."""
    nowhere = arms["best_number"].isna() & arms["open"].eq(0) & (arms["chance"] + arms["diverged"]).gt(0)
    names = list(arms.loc[arms["tuned"] & nowhere, "arm"])
    if not names:
        return ""
    return f" Nothing can be said of {_listed(names, 'arms')}: no trial learned enough to be chosen, see the verdict."


def _answer(tested: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """Of arms that can be compared."""
    means = dict(zip(tested["arm"], tested["test_mean"].astype(float), strict=True))
    name = max(means, key=lambda arm: means[arm])
    if len(means) == 1:
        return f"{name} recognised {means[name]:.2f} % of the test pictures."
    said = [f"{name} was the most accurate: {means[name]:.2f} % of the test pictures."]
    own = [_from_its_side(row, name) for _, row in pairs.iterrows() if name in (row["arm_a"], row["arm_b"])]
    ahead = [pair for pair in own if pair["low"] > 0]
    gains = {named: [_gain(pair) for pair in ahead if (pair["winner"] == name) == named] for named in (True, False)}
    if gains[True]:
        said.append(f"That is {_listed(gains[True], 'arms')}.")
    if gains[False]:
        said.append(f"It has {_listed(gains[False], 'arms')}, yet the verdict names no winner there, and says why.")
    if equals := [f"{p['other']} ({means[p['other']]:.2f} %)" for p in own if not p["low"] > 0 and p["other"] in means]:
        said.append(f"Nothing shows that it is better than {_listed(equals, 'arms')}.")
    return " ".join(said)


def _gain(pair: Mapping[str, Any]) -> str:
    return f"{pair['gain']:.2f} points more than {pair['other']} ({pair['low']:.2f} to {pair['high']:.2f})"


def _from_its_side(pair: pd.Series, arm: str) -> dict[str, Any]:
    """A row of pairs.csv told by what `arm` gains; NaN where there is no interval."""
    gain, low, high = (float(pair[c]) if pd.notna(pair[c]) else math.nan for c in ("difference", "ci_low", "ci_high"))
    winner, other = pair["winner"] if pd.notna(pair["winner"]) else None, pair["arm_b"]
    if pair["arm_a"] != arm:
        gain, low, high, other = -gain, -high, -low, pair["arm_a"]
    return {"other": other, "winner": winner, "gain": gain, "low": low, "high": high}


def _listed(words: list[str], noun: str) -> str:
    """`a, b and c`; of many the first, and how many more."""
    if len(words) > MOST_NAMED:
        words = [*words[: MOST_NAMED - 1], f"{len(words) - MOST_NAMED + 1} other {noun}"]
    return listed(words)
