"""Plots of what the arms reached on the test split: by arm, and against the training images or their size."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from headstart.analysis import Lines, counted, runs_of_arm, size_curves, size_lines
from headstart.report.plots.style import GREY, Look, Looks, drawn, legend, log_axis, looks_for, numbers, sample, say
from headstart.statistics import SizeCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@drawn
def arms(arms: pd.DataFrame, trials: pd.DataFrame, ax: "Axes", *, looks: Looks = None) -> "Axes":
    """Draw each arm's mean test accuracy (%) with its 95 % interval (Student t), and every seed as a dot; return `ax`.

    `arms`: arms.csv. An arm without a reading of the test split keeps its row and says so.
    """
    ax.set_title("Test accuracy, 95 % interval", wrap=True)  # long names of arms leave it little room
    if arms.empty or arms["test_mean"].isna().all():
        return say(ax, "No run has read the test split yet: confirmations do, when the search has ended.")
    looks, labels = looks_for(arms["arm"], looks), []
    for y, (_, arm) in enumerate(arms.iterrows()):
        tested = runs_of_arm(trials[trials["arm"] == arm["arm"]]).tested
        _draw_arm(ax, arm, y, numbers(tested["test_accuracy"]), looks[arm["arm"]])
        labels.append(f"{textwrap.fill(arm['arm'], 28)}\n{counted(int(arm['seeds']), 'seed')}")
    ax.set_yticks(range(len(arms)), labels)
    ax.set_ylim(len(arms) - 0.5, -0.5)
    ax.margins(x=0.06)
    low, high = ax.get_xlim()
    ax.set_xlim(max(low, -2), min(high, 101.5))  # an interval of few, very different seeds goes on beyond 100 %
    ax.set_xlabel("test accuracy (%)")
    return ax


def _draw_arm(ax: "Axes", arm: pd.Series, y: int, seeds: np.ndarray, look: Look) -> None:
    if arm["test_mean"] is pd.NA:
        place = dict(transform=ax.get_yaxis_transform(), va="center")
        ax.text(0.02, y, "no reading of the test split yet", color=GREY, **place)
        return
    ax.plot(seeds, np.full(len(seeds), y + 0.24), ".", color=look.colour, alpha=0.6, label="_seeds")
    if arm["test_ci_low"] is not pd.NA:
        bounds = [float(arm["test_ci_low"]), float(arm["test_ci_high"])]
        ax.plot(bounds, [y, y], color=look.colour, marker="|", markersize=9, label="_interval")
    mean = float(arm["test_mean"])
    ax.plot([mean], [y], look.marker, color=look.colour, markersize=8, label="_mean")
    ax.annotate(f"{mean:.2f}", (mean, y), (0, 7), textcoords="offset points", ha="center", fontsize=8)


@drawn
def data_size(
    arms: pd.DataFrame, ax: "Axes", *, lines: Lines = None, forecast: int | None = None, looks: Looks = None
) -> "Axes | None":
    """Draw mean test accuracy (%) with its 95 % interval against the number of training images (log axis).

    Arms that differ in nothing but the size are one line; their names without the size say which those are. `lines`,
    {name: its arms}, joins others, such as those of several studies, and leaves out what it does not name. `forecast`:
    images up to which a dashed line with a band goes on, from the arms with fewer (`headstart.statistics.size_curve`).
    Returns None, and draws nothing, where all arms have the same training images.
    """
    found = size_lines(arms, lines)
    looks = looks_for(list(found), looks)
    further = [] if forecast is None else [forecast]
    if not _draw_against("train_size", found, ax, looks, further):
        return None
    for name, curve in ({} if forecast is None else size_curves(arms, forecast, lines)).items():
        _draw_forecast(ax, curve, forecast, looks[name])
    ax.set_title("Test accuracy against training images: mean and 95 % interval over seeds")
    ax.set_xlabel("training images (log axis)")
    return ax


@drawn
def image_size(arms: pd.DataFrame, ax: "Axes", *, lines: Lines = None, looks: Looks = None) -> "Axes | None":
    """Draw mean test accuracy (%) with its 95 % interval against the pixels a side that enter the network (log axis).

    Lines are found, and joined by `lines`, as those of `data_size`. Returns None, and draws nothing, where all arms
    have the same size.
    """
    found = size_lines(arms, lines, "image_size")
    if not _draw_against("image_size", found, ax, looks_for(list(found), looks)):
        return None
    ax.set_title("Test accuracy against image size: mean and 95 % interval")
    ax.set_xlabel("pixels a side (log axis)")
    return ax


def _draw_against(
    column: str, lines: Mapping[str, pd.DataFrame], ax: "Axes", looks: Mapping[str, Look], further: Sequence[float] = ()
) -> bool:
    """Draw each line against a column, its axis up to `further`; False, and nothing drawn, where it has one value."""
    sizes = np.unique(numbers(pd.concat(lines.values())[column])) if lines else np.array([])
    if len(sizes) < 2:
        return False
    for i, (name, own) in enumerate(lines.items()):
        shift = (sizes.max() / sizes.min()) ** (0.006 * (i - (len(lines) - 1) / 2))  # side by side where they overlap
        _draw_series(ax, own, column, shift, looks[name])
    sizes = np.union1d(sizes, further)
    log_axis(ax, "x", sizes.min(), sizes.max())
    ax.set_xticks(sizes, [f"{size:,.0f}" for size in sizes])
    ax.minorticks_off()
    ax.set_ylabel("test accuracy (%)")
    legend(ax, [(sample(looks[name]), name) for name in lines])
    return True


def _draw_forecast(ax: "Axes", curve: SizeCurve, images: int, look: Look) -> None:
    at = np.unique(np.geomspace(curve.largest, images, 12).round().astype(int))
    found = [curve.forecast(int(n)) for n in at]
    ax.plot(at, [one.middle for one in found], "--", color=look.colour, linewidth=1, label="_forecast")
    low, high = ([getattr(one, end) for one in found] for end in ("low", "high"))
    ax.fill_between(at, low, high, color=look.colour, alpha=0.12, linewidth=0, label="_band")


def _draw_series(ax: "Axes", own: pd.DataFrame, column: str, shift: float, look: Look) -> None:
    mean, low, high = (numbers(own[f"test_{name}"]) for name in ("mean", "ci_low", "ci_high"))
    reach = np.nan_to_num(np.abs([mean - low, high - mean]))
    x = numbers(own[column]) * shift
    ax.errorbar(x, mean, yerr=reach, marker=look.marker, capsize=3, elinewidth=1, **look.line)
