"""Plots of how fast the arms learn: learning curves, and time to stated accuracies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from headstart.analysis import TARGETS, ArmRuns, counted, runs_of_arm
from headstart.report.plots.style import (
    INK,
    Look,
    Looks,
    arm_order,
    chance_line,
    drawn,
    grey_strip,
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

UNITS = {"epochs": "epochs", "steps": "optimizer steps", "images": "images seen", "seconds": "training time (s)"}
STRIP, INSIDE_STRIP = 0.93, 0.965  # shares of the axis' height: from here to the top, the arms that never got there
MOST_NOTED = 4  # arms beside whose markers there is room for words


@drawn
def learning_curves(
    epochs: pd.DataFrame,
    trials: pd.DataFrame,
    ax: "Axes",
    *,
    looks: Looks = None,
    chance: float | None = None,
) -> "Axes":
    """Draw validation accuracy (%) against epoch: mean over the runs behind an arm, band from lowest to highest.

    These are the best trial's confirmations (of an arm of single runs the best and its repeats), as in arms.csv. An arm
    without any is drawn by its best run so far, and its legend says so. Where some of the runs have ended or not come
    that far, the mean is faint and without a band. `chance`: accuracy of guessing, percent. Returns `ax`.
    """
    ax.set_title("Learning curves of each arm's best setting")
    names = arm_order(epochs, looks)
    if not names:
        return say(ax, "No epoch has ended yet.")
    looks, entries, band = looks_for(names, looks), [], False
    groups = dict(list(epochs[epochs["phase"] != "source"].groupby("arm")))
    for i, name in enumerate(names):
        rows, words = shown_epochs(groups[name], runs_of_arm(trials[trials["arm"] == name]))
        curve, runs = _curve(rows), rows["run_dir"].nunique()
        if curve.empty:
            continue
        _draw_curve(ax, curve, runs, looks[name], i)
        entries.append((sample(looks[name]), f"{name} ({words})"))
        band = band or runs > 1
    if not entries:
        return say(ax, "No epoch with a validation accuracy has ended yet.")
    if band:
        ax.set_title("Learning curves, mean and range over seeds")
    legend(ax, entries + chance_line(ax, chance))
    integers(ax.xaxis)
    ax.set_xlabel("epoch")
    ax.set_ylabel("validation accuracy (%)")
    return ax


def shown_epochs(own: pd.DataFrame, runs: ArmRuns) -> tuple[pd.DataFrame, str]:
    """The epochs of the runs to draw for an arm, and what they are."""
    repeats = own[own["run_dir"].isin(runs.repeats["run_dir"])]
    if len(repeats):
        return repeats, counted(repeats["run_dir"].nunique(), "seed")
    search = own[own["phase"] == "search"]
    rows, words = (search, "best trial of the search") if len(search) else (own, "best single run")
    if runs.best is not None:
        return rows[rows["run_dir"] == runs.best["run_dir"]], words
    reached = rows.assign(reached=numbers(rows["val_accuracy"])).groupby("run_dir")["reached"].max()
    return (rows[rows["run_dir"] == reached.idxmax()], words) if reached.notna().any() else (rows.iloc[:0], words)


def _curve(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean, lowest, highest and number of validation accuracies, by epoch."""
    values = pd.Series(numbers(rows["val_accuracy"]), index=numbers(rows["epoch"])).dropna()
    return values.groupby(level=0).agg(["mean", "min", "max", "count"])


def _draw_curve(ax: "Axes", curve: pd.DataFrame, runs: int, look: Look, place: int) -> None:
    whole = curve["count"] == runs
    every = max(1, len(curve) // 8)
    marks = [i for i in range(len(curve)) if i % every == place % every] or [0]
    ax.plot(curve.index, curve["mean"].where(whole), marker=look.marker, markevery=marks, label="_mean", **look.line)
    if not whole.all():
        ax.plot(curve.index, curve["mean"], alpha=0.4, linewidth=1, label="_mean of some", **look.line)
    if runs > 1:
        shade = dict(color=look.colour, alpha=0.15, linewidth=0)
        ax.fill_between(curve.index, curve["min"], curve["max"], where=whole, **shade)


# ------------------------------------------------------------------------------------------------------- time to target


@drawn
def time_to_target(
    arms: pd.DataFrame,
    ax: "Axes",
    *,
    trials: pd.DataFrame | None = None,
    measure: str = "epochs",
    looks: Looks = None,
    key: bool = True,
) -> "Axes":
    """Draw how long each arm's confirmation runs take to stated validation accuracies; return `ax`.

    `measure`: epochs, steps, images or seconds. Large markers: Kaplan-Meier median of arms.csv; small dots: the single
    runs, where `trials` is given. An arm whose median run never gets there lies in the strip on top; runs that don't
    are counted beside the marker. Targets that no arm's median run reaches are left out. `key`: whether to draw a
    legend.
    """
    ax.set_title(f"{UNITS[measure].capitalize()} to a validation accuracy (median over seeds)")
    arms = arms[[_begun(arm, measure) for _, arm in arms.iterrows()]]
    targets = [t for t in TARGETS if (c := f"{measure}_to_{t}") in arms and arms[c].notna().any()]
    if not targets:
        return say(ax, "No arm's confirmation runs have reached one of the stated accuracies yet.")
    looks, values = looks_for(arms["arm"], looks), []
    for place, (_, arm) in enumerate(arms.iterrows()):
        repeats = None if trials is None else runs_of_arm(trials[trials["arm"] == arm["arm"]]).repeats
        values += _draw_times(ax, _Times(arm, place, len(arms), measure, repeats), targets, looks[arm["arm"]])
    ax.set_xticks(range(len(targets)), [_target_label(t, arms) for t in targets])
    ax.set_xlim(-0.5, len(targets) - 0.5)
    ax.set_xlabel("target: validation accuracy")
    ax.set_ylabel(UNITS[measure])
    _scale(ax, np.array([v for v in values if v > 0]))
    never = any(arms[f"{measure}_to_{t}"].isna().any() for t in targets)
    if never:
        grey_strip(ax, STRIP, 1)
    if key:
        legend(ax, _entries(arms["arm"], looks, never, single=trials is not None))
    return ax


def _entries(names: Any, looks: Mapping[str, Look], never: bool, single: bool) -> list[tuple[Any, str]]:
    entries = [(sample(looks[name], linestyle="none", markersize=7), name) for name in names]
    if never:
        words = "in the grey strip: half of the runs or more never got there"
        entries.append((sample(fillstyle="none", markersize=7), words))
    return [*entries, (sample(markersize=3, alpha=0.5), "single run")] if single else entries


def _scale(ax: "Axes", values: np.ndarray) -> None:
    """A linear axis from 0, or a log one where times differ by more than a factor of 30; with room for the strip."""
    if len(values) and values.max() > 30 * values.min():
        log_axis(ax, "y", values.min(), values.max() * (values.max() / values.min()) ** 0.12)
        ax.set_ylabel(f"{ax.get_ylabel()}, log axis")
    else:
        ax.set_ylim(0, 1.18 * max([*values, 0]) or 1)


def _target_label(target: str, arms: pd.DataFrame) -> str:
    if target == "halfway":
        known = arms["halfway_accuracy"].dropna().unique()
        return f"half-way\n({known[0]:.3g} %)" if len(known) == 1 else "half-way\nfrom chance"
    return "99 % of the\narm's final" if target == "99_of_final" else f"{target} %"


@dataclass(frozen=True, eq=False)
class _Times:
    """An arm's times to the targets, by one measure."""

    arm: pd.Series  # row of arms.csv
    place: int  # among the `many` arms, side by side
    many: int
    measure: str
    repeats: pd.DataFrame | None  # the runs that are drawn singly

    def x(self, target: int) -> float:
        """Where the arm stands in the column of a target."""
        return target + 0.7 * ((self.place + 0.5) / self.many - 0.5)

    def median(self, target: str) -> float | None:
        """Kaplan-Meier median of arms.csv; None where the median run never gets there."""
        found = self.arm[f"{self.measure}_to_{target}"]
        return float(found) if found is not pd.NA and np.isfinite(found) else None

    def single(self, target: str) -> np.ndarray:
        """The single runs' times that are known."""
        column = f"{self.measure}_to_{target}"
        known = self.repeats is not None and column in self.repeats
        return numbers(self.repeats[column].dropna()) if known else np.array([])

    def note(self, target: str) -> str:
        """How many runs never got there; empty in a crowd, where it would not be readable."""
        censored = self.arm.get(f"{self.measure}_to_{target}_censored", pd.NA)
        if censored is pd.NA or not censored or self.many > MOST_NOTED:
            return ""
        return f"{censored} of {self.arm['confirmations']} never"


def _draw_times(ax: "Axes", times: _Times, targets: list[str], look: Look) -> list[float]:
    """Draw one arm's times; return all that were drawn."""
    values: list[float] = []
    for i, target in enumerate(targets):
        x, single, median = times.x(i), times.single(target), times.median(target)
        if len(single):
            ax.plot(np.full(len(single), x), single, ".", color=look.colour, alpha=0.5, markersize=4, label="_run")
        transform = ax.transData if median is not None else ax.get_xaxis_transform()
        y = median if median is not None else INSIDE_STRIP
        fill = "full" if median is not None else "none"
        mark = dict(color=look.colour, markersize=7, fillstyle=fill, transform=transform, label="_median")
        ax.plot([x], [y], look.marker, **mark)
        if note := times.note(target):
            place = dict(xycoords=transform, textcoords="offset points", va="center")
            ax.annotate(note, (x, y), (6, 0), fontsize=7.5, color=INK, **place)
        values += [*single, *([] if median is None else [median])]
    return values


def _begun(arm: pd.Series, measure: str) -> bool:
    """Whether confirmation runs of the arm have epochs: a model without any has no time to a target."""
    columns = [f"{measure}_to_{t}{end}" for t in TARGETS for end in ("", "_censored")]
    return any(arm.get(column, pd.NA) is not pd.NA for column in columns)
