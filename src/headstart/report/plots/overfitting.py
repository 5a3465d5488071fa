"""What the arms come to on the images that they learn from, beside those that they don't."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from headstart.analysis import runs_of_arm
from headstart.report.plots.convergence import shown_epochs
from headstart.report.plots.style import (
    Looks,
    arm_order,
    drawn,
    integers,
    legend,
    log_axis,
    looks_for,
    numbers,
    sample,
    say,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FAR_APART = 30  # times, from where losses have a log axis
WORDS = {"accuracy": "accuracy (%)", "loss": "cross-entropy (nats)"}


@drawn
def overfitting(
    epochs: pd.DataFrame,
    trials: pd.DataFrame,
    ax: "Axes",
    *,
    measure: str = "accuracy",
    looks: Looks = None,
    key: bool = True,
) -> "Axes":
    """Draw an arm's training (dashed) and validation (solid) `measure`, accuracy or loss, against epoch; return `ax`.

    Means over the same runs as in `learning_curves`. Training images are augmented, and seen while the network still
    learns from them, so that a training accuracy below the validation's is no fault. `key`: whether to draw a legend.
    """
    names = arm_order(epochs[epochs[f"train_{measure}"].notna()], looks)
    if not names:
        return say(ax, "No epoch has ended yet.")
    ax.set_title(f"{measure.capitalize()} on training and validation images")
    looks = looks_for(names, looks)
    for name in names:
        own = epochs[(epochs["arm"] == name) & (epochs["phase"] != "source")]
        rows, _ = shown_epochs(own, runs_of_arm(trials[trials["arm"] == name]))
        for part, linestyle in (("train", "--"), ("val", "-")):
            values = pd.Series(numbers(rows[f"{part}_{measure}"]), index=numbers(rows["epoch"]))
            mean = values.groupby(level=0).mean()
            ax.plot(mean.index, mean, color=looks[name].colour, linestyle=linestyle, label=f"_{part}")
    if key:
        dashes = [(sample(marker="", linestyle=line), part) for part, line in (("training", "--"), ("validation", "-"))]
        legend(ax, [*((sample(looks[name], linestyle="-", marker=""), name) for name in names), *dashes])
    integers(ax.xaxis)
    ax.set_xlabel("epoch")
    ax.set_ylabel(WORDS[measure])
    drawn_values = np.concatenate([line.get_ydata() for line in ax.lines])
    if measure == "loss" and 0 < drawn_values.min() < drawn_values.max() / FAR_APART:
        log_axis(ax, "y", drawn_values.min(), drawn_values.max())
        ax.set_ylabel(f"{WORDS[measure]}, log axis")
    return ax
