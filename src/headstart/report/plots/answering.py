"""Plots of what answers take, and of what is left of them on worse pictures."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from headstart.report.plots.style import Looks, drawn, legend, log_axis, looks_for, numbers, sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CALLED = {"noise": "Noise", "blur": "Blur", "jpeg": "JPEG", "contrast": "Low contrast"}
LEAST_SPAN = 5.0  # of the axis of latencies


@drawn
def latency(arms: pd.DataFrame, ax: "Axes", *, looks: Looks = None) -> "Axes | None":
    """Draw mean test accuracy (%) with its 95 % interval against the latency of one picture (ms, log axis).

    The axis spans a factor of 5 at least, so that what a clock makes of equal networks stays small. Returns None, and
    draws nothing, where no arm was timed.
    """
    known = arms[arms["latency_seconds"].notna() & arms["test_mean"].notna()]
    if known.empty:
        return None
    looks = looks_for(arms["arm"], looks)
    x = 1e3 * numbers(known["latency_seconds"])
    mean, low, high = (numbers(known[f"test_{name}"]) for name in ("mean", "ci_low", "ci_high"))
    middle = (x.min() * x.max()) ** 0.5
    log_axis(ax, "x", min(x.min(), middle / LEAST_SPAN**0.5), max(x.max(), middle * LEAST_SPAN**0.5))
    for arm, at, score, below, above in zip(known["arm"], x, mean, mean - low, high - mean, strict=True):
        reach = np.nan_to_num([[below], [above]])
        ax.errorbar([at], [score], yerr=reach, capsize=3, elinewidth=1, markersize=7, **looks[arm].dots)
    ax.set_title("Test accuracy against latency")
    ax.set_xlabel("latency of one picture (ms, log axis)")
    ax.set_ylabel("test accuracy (%)")
    legend(ax, [(sample(looks[arm], linestyle="none"), arm) for arm in known["arm"]])
    return ax


@drawn
def corruptions(
    table: pd.DataFrame,
    arms: pd.DataFrame,
    ax: "Axes",
    *,
    kind: str | None = None,
    key: bool = True,
    looks: Looks = None,
) -> "Axes | None":
    """Draw each arm's mean accuracy (%) on test images made worse, against how much; 0: as they are.

    `table`: corruptions.csv. kind: one of its corruptions; None: the mean over all. key: whether there is a legend.
    Returns None, and draws nothing, where no arm was asked for it.
    """
    if table.empty:
        return None
    looks = looks_for(arms["arm"], looks)
    own = table if kind is None else table[table["corruption"] == kind]
    clean = arms.set_index("arm")["test_mean"]
    names = list(own["arm"].unique())
    known = [*numbers(table["accuracy_mean"]), *numbers(clean[list(table["arm"].unique())])]
    for arm in names:
        mean = own[own["arm"] == arm].groupby("strength")["accuracy_mean"].mean()
        x, y = [0, *mean.index], [clean[arm], *mean]
        ax.plot(x, y, marker=looks[arm].marker, **looks[arm].line)
    ax.set_ylim(max(0, min(known) - 3), min(101.5, max(known) + 3))  # the same for every corruption
    ax.set_title("Accuracy on worse test pictures" if kind is None else CALLED.get(kind, kind))
    ax.set_xlabel("strength (0: as they are)")
    ax.set_ylabel("test accuracy (%)")
    if key:
        legend(ax, [(sample(looks[arm]), arm) for arm in names])
    return ax
