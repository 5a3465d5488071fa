"""Plot of many arms at once: their average ranks, those joined between which no verdict names a winner."""

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from headstart.analysis import counted, runs_of_arm
from headstart.report.plots.style import INK, Look, Looks, drawn, looks_for, say

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEWEST = 7  # arms; the pairs of fewer can be read one by one
JOINED = 1.0  # stands for the p-value of a pair whose verdict names no winner


def families(pairs: pd.DataFrame) -> list[pd.DataFrame]:
    """Rows of pairs.csv by what is compared, study, data and train_size, where that is more than six arms."""
    groups = pairs.groupby(["study", "data", "train_size"], sort=False, dropna=False)
    return [own for _, own in groups if len(_arms(own)) >= FEWEST]


def paired_ranks(trials: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Rank of every arm's test accuracy, 1 the highest, ties shared: [seeds that all of them have, arms].

    `pairs`: one of `families`. Arms that have not read the test split are left out.
    """
    tested = {arm: runs_of_arm(trials[trials["arm"] == arm]).tested for arm in _arms(pairs)}
    scores = {
        arm: own.dropna(subset="seed").set_index("seed")["test_accuracy"] for arm, own in tested.items() if len(own)
    }
    if not scores:
        return pd.DataFrame()
    return pd.concat(scores, axis=1, join="inner").astype(float).rank(axis=1, ascending=False)


def beaten(pairs: pd.DataFrame) -> dict[str, list[str]]:
    """Which arms each is named better than."""
    found: dict[str, list[str]] = {arm: [] for arm in _arms(pairs)}
    for a, b, winner in pairs.loc[pairs["winner"].notna(), ["arm_a", "arm_b", "winner"]].itertuples(index=False):
        found[winner].append(b if winner == a else a)
    return found


def _arms(pairs: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys([*pairs["arm_a"], *pairs["arm_b"]]))


@drawn
def critical_difference(trials: pd.DataFrame, pairs: pd.DataFrame, ax: "Axes", *, looks: Looks = None) -> "Axes | None":
    """Draw the average rank of each arm's test accuracy over paired seeds, arms joined that no verdict tells apart.

    A critical-difference diagram (Demšar 2006, J. Mach. Learn. Res. 7, 1-30) of the first of the `families` in `pairs`,
    pairs.csv. Bars are not Nemenyi's: they join arms whose pairs have no `winner` there, so that they say what the
    verdicts say. Returns None, and draws nothing, where six arms or fewer are compared.
    """
    found = families(pairs)
    if not found:
        return None
    own, about = found[0], found[0].iloc[0]
    ranks = paired_ranks(trials, own)
    of = f"{about['data']}, {about['train_size']} training images"
    ax.set_title(f"Average rank of test accuracy over {counted(len(ranks), 'seed')} ({of})")
    if ranks.empty:
        return say(ax, "No seed has been tested in all arms yet: confirmations do, when the search has ended.")
    _draw(ax, ranks.mean(), own, looks_for(ranks.columns, looks))
    ax.grid(False)
    ax.spines["top"].set_visible(True)
    ax.set_xlabel("average rank (1: best at every seed)")
    ax.xaxis.set_label_position("top")
    return ax


def _draw(ax: "Axes", ranks: pd.Series, pairs: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    from scikit_posthocs import critical_difference_diagram  # brings seaborn and statsmodels: only now

    names = list(ranks.index)
    # Arms by number: sets of texts, as the library makes them, have another order in every process.
    drawing: dict[str, list[Any]] = critical_difference_diagram(
        pd.Series(ranks.to_numpy()),
        _p_values(names, pairs),
        ax=ax,
        color_palette={i: looks[name].colour for i, name in enumerate(names)},
        label_fmt_left="{label}",
        label_fmt_right="{label}",
        text_h_margin=0.1,
        marker_props={"s": 0},
        crossbar_props={"marker": "o", "color": INK, "markersize": 4, "label": "_joined"},
    )
    for elbow, label in zip(drawing["elbows"], drawing["labels"], strict=True):
        name = names[int(label.get_text())]
        elbow.set(marker=looks[name].marker, markevery=[2], label="_rank")
        aside = 0.05 if label.get_horizontalalignment() == "left" else -0.05  # of a rank, off the line
        label.set(text=textwrap.fill(f"{name} ({ranks[name]:.2f})", 28), color=INK, x=label.get_position()[0] + aside)


def _p_values(names: list[str], pairs: pd.DataFrame) -> pd.DataFrame:
    """Holm-adjusted p-values of the pairs that have a winner, `JOINED` elsewhere: [arms, arms], arms by number."""
    found = np.full((len(names), len(names)), JOINED)
    for _, pair in pairs[pairs["winner"].notna()].iterrows():
        if pair["arm_a"] in names and pair["arm_b"] in names:
            a, b = names.index(pair["arm_a"]), names.index(pair["arm_b"])
            found[a, b] = found[b, a] = float(pair["p_holm"])
    return pd.DataFrame(found)
