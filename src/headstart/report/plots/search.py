"""Plots of the search: accuracy against learning rate, history of the trials, best against budget."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from headstart import statistics
from headstart.report.plots.style import (
    DASHED,
    GREY,
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
from headstart.store import OUTCOMES, StudyFile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NO_STUDY = StudyFile()  # says nothing
# How a state is drawn, and named in the legend; DIVERGED has no accuracy to be drawn at.
FILLS = {"COMPLETE": "full", "CHANCE": "bottom", "PRUNED": "none"}
NAMES = {
    "COMPLETE": "complete",
    "CHANCE": "at chance (not above guessing)",
    "PRUNED": "pruned (its accuracy when it was stopped)",
    "DIVERGED": "diverged (in the grey strip: no accuracy)",
}
STRIP = 0.07  # to here from the bottom of the axis: trials without an accuracy


def _search(trials: pd.DataFrame) -> pd.DataFrame:
    """The search trials that ended, in the order they were numbered; without any, the single runs."""
    for phase in ("search", "run"):
        rows = trials[(trials["phase"] == phase) & trials["state"].isin(OUTCOMES)]
        if len(rows):
            return rows.sort_values("number", kind="stable")
    return trials.iloc[:0]


def _dots(ax: "Axes", x: np.ndarray, rows: pd.DataFrame, look: Look, size: float = 5.5) -> None:
    """Draw trials, filled by state; those without an accuracy in a strip at the bottom of the axis."""
    accuracy, states = numbers(rows["val_accuracy"]), rows["state"].to_numpy(dtype=str)
    for state, fill in FILLS.items():
        here = (states == state) & np.isfinite(accuracy) & np.isfinite(x)
        drawing = dict(fillstyle=fill, markerfacecoloralt="white", markersize=size, label=f"_{state}")
        ax.plot(x[here], accuracy[here], **look.dots, **drawing)
    lost = (states == "DIVERGED") & np.isfinite(x)
    if lost.any():  # an empty line without clipping would still be given room by the layout
        drawing = dict(fillstyle="none", markersize=size, label="_DIVERGED", clip_on=False)
        height = np.full(lost.sum(), STRIP / 2)
        ax.plot(x[lost], height, transform=ax.get_xaxis_transform(), **look.dots, **drawing)


def _strip(ax: "Axes", rows: pd.DataFrame) -> None:
    """Make room below the data for the diverged trials, and shade it."""
    if (rows["state"] == "DIVERGED").any():
        low, high = ax.get_ylim()
        ax.set_ylim(low - 0.1 * (high - low), high)
        grey_strip(ax, 0, STRIP)


def _entries(rows: pd.DataFrame, looks: Mapping[str, Look], names: list[str], **changes: Any) -> list[tuple[Any, str]]:
    """Legend: the arms, then the states that occur."""
    entries = [(sample(looks[name], **changes), name) for name in names]
    for state, words in NAMES.items():
        if (rows["state"] == state).any() and not (rows["state"] == "COMPLETE").all():
            fill = FILLS.get(state, "none")
            entries.append((sample(fillstyle=fill, markerfacecoloralt="white", linestyle="none"), words))
    return entries


@drawn
def learning_rate(
    trials: pd.DataFrame,
    ax: "Axes",
    *,
    arms: pd.DataFrame | None = None,
    looks: Looks = None,
    chance: float | None = None,
) -> "Axes":
    """Draw validation accuracy (%) against learning rate (log axis) of every search trial that ended; return `ax`.

    `arms`: arms.csv, whose bounds of the search, as the edge rule extended them, are drawn. Trials at a power of 10,
    which a hand search by factors of 10 would have tried, wear a ring. Pruned trials are hollow, those at chance half
    filled, diverged ones lie in a strip below. `chance`: accuracy of guessing, percent.
    """
    rows = _search(trials)
    rows = rows[rows["lr"].gt(0).fillna(False)]
    ax.set_title("Validation accuracy against learning rate")
    if rows.empty:
        return say(ax, "No trial with a learning rate has ended yet.")
    names = arm_order(rows, looks)
    looks = looks_for(names, looks)
    for name in names:
        own, look = rows[rows["arm"] == name].sort_values("lr", kind="stable"), looks[name]
        complete = own[own["state"] == "COMPLETE"]
        line = numbers(complete["lr"]), numbers(complete["val_accuracy"])
        ax.plot(*line, linewidth=1, alpha=0.6, label="_line", **look.line)
        _dots(ax, numbers(own["lr"]), own, look)
    bounds = {} if arms is None else _bounds(arms[arms["arm"].isin(names)])
    entries = _entries(rows, looks, names) + _rings(ax, rows) + _draw_bounds(ax, bounds, looks)
    ends = [*numbers(rows["lr"]), *(bound for pair in bounds.values() for bound in pair)]
    log_axis(ax, "x", min(ends), max(ends))
    legend(ax, entries + chance_line(ax, chance))
    _strip(ax, rows)
    ax.set_xlabel("learning rate (log axis)")
    ax.set_ylabel("validation accuracy (%)")
    return ax


def _bounds(arms: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """What was searched for every arm that has searched; of repeats of a search, which share a name, all of it."""
    known = arms[arms["lr_low"].notna()].groupby("arm", sort=False)
    lows, highs = known["lr_low"].min(), known["lr_high"].max()
    return {name: (float(lows[name]), float(highs[name])) for name in lows.index}


def _draw_bounds(ax: "Axes", bounds: dict[str, tuple[float, float]], looks: Mapping[str, Look]) -> list[Any]:
    """Vertical lines at the bounds: one grey pair if all arms share it, else each in its arm's colour."""
    if not bounds:
        return []
    shared = len(set(bounds.values())) == 1
    for name, pair in list(bounds.items())[: 1 if shared else None]:
        for bound in pair:
            colour = INK if shared else looks[name].colour
            ax.axvline(bound, color=colour, linewidth=1, linestyle=DASHED, label="_bound")
    words = "bounds of the search" if shared else "bounds of the search, by arm"
    return [(sample(Look(INK, "", "none"), linestyle=DASHED, linewidth=1), words)]


def _rings(ax: "Axes", rows: pd.DataFrame) -> list[tuple[Any, str]]:
    """Rings around the trials at powers of 10."""
    lr, accuracy = numbers(rows["lr"]), numbers(rows["val_accuracy"])
    decade = np.log10(lr)
    here = np.isclose(decade, np.round(decade), rtol=0, atol=1e-6) & np.isfinite(accuracy)
    if not here.any():
        return []
    look, ring = Look(INK, "o", "none"), dict(markersize=11, fillstyle="none", markeredgewidth=0.7)
    ax.plot(lr[here], accuracy[here], label="_decades", **look.dots, **ring)
    return [(sample(look, **ring), "factor-of-10 point")]


@drawn
def history(trials: pd.DataFrame, ax: "Axes", *, looks: Looks = None, chance: float | None = None) -> "Axes":
    """Draw each arm's search in the order it ran: every trial's validation accuracy (%), and the best so far as steps.

    Only COMPLETE trials can be the best. The horizontal axis counts trials from 1. Returns `ax`.
    """
    rows = trials[(trials["phase"] == "search") & trials["state"].isin(OUTCOMES)].sort_values("number", kind="stable")
    ax.set_title("Search history: every trial, and the best so far")
    if rows.empty:
        return say(ax, "No search trial has ended yet.")
    names = arm_order(rows, looks)
    looks = looks_for(names, looks)
    for name in names:
        own, look = rows[rows["arm"] == name], looks[name]
        x = numbers(own["number"]) + 1
        best = _best_so_far(own)
        ax.plot(x, best, drawstyle="steps-post", label="_best so far", **look.line)
        _dots(ax, x, own, look, size=4.5)
    legend(ax, _entries(rows, looks, names) + chance_line(ax, chance))
    _strip(ax, rows)
    integers(ax.xaxis)
    ax.set_xlabel("trial (count from 1, within the arm)")
    ax.set_ylabel("validation accuracy (%)")
    return ax


def _best_so_far(own: pd.DataFrame) -> np.ndarray:
    """Best validation accuracy of the COMPLETE trials so far, NaN before the first, [trials] in the order given."""
    selectable = (own["state"] == "COMPLETE").to_numpy(dtype=bool)
    accuracy = np.where(selectable, numbers(own["val_accuracy"]), np.nan)
    if not len(accuracy):
        return accuracy
    found = statistics.best_against_budget(np.nan_to_num(accuracy, nan=-1.0), unpruned_random_draws=False).values
    return np.where(found < 0, np.nan, found)


@drawn
def budget(
    trials: pd.DataFrame,
    arms: pd.DataFrame,
    ax: "Axes",
    *,
    study: StudyFile = NO_STUDY,
    looks: Looks = None,
    chance: float | None = None,
) -> "Axes":
    """Draw the best validation accuracy (%) against the number of trials spent, per arm; return `ax`.

    The expected best after n trials (`statistics.expected_best`), with its simultaneous band, where the study, as its
    study.json says, drew all of an arm's trials at random and pruned none; otherwise the best so far, and called so. A
    trial that diverged counts as guessing (`chance`, percent).
    """
    ax.set_title("Best validation accuracy against trials spent")
    curves = budget_curves(trials, arms, study, chance, looks)
    if not curves:
        return say(ax, "No search trial has ended yet.")
    names, looks = list(curves), looks_for(curves, looks)
    for name, curve in curves.items():
        _draw_budget(ax, curve, looks[name])
    kinds, words = {curve.kind for curve in curves.values()}, "best validation accuracy"
    kind_of = {name: f" ({curve.kind})" if len(kinds) > 1 else "" for name, curve in curves.items()}
    entries = [(sample(looks[name]), name + kind_of[name]) for name in names]
    legend(ax, entries + _band_entry(curves.values()))
    if len(kinds) == 1:
        words = {"best so far": f"{words} so far", "expected best": f"expected {words}"}[kinds.pop()]
    ax.set_title(f"{words.capitalize()} against trials spent")
    integers(ax.xaxis)
    ax.set_xlabel("trials spent on the arm")
    ax.set_ylabel(f"{words} (%)")
    return ax


def budget_curves(
    trials: pd.DataFrame, arms: pd.DataFrame, study: StudyFile, chance: float | None, looks: Looks = None
) -> dict[str, statistics.BudgetCurve]:
    """What `budget` draws of each arm."""
    rows = trials[(trials["phase"] == "search") & trials["state"].isin(OUTCOMES)].sort_values("number", kind="stable")
    random = random_draws(trials, arms, study)
    return {
        name: _budget_curve(rows[rows["arm"] == name], name in random, chance or 0.0) for name in arm_order(rows, looks)
    }


def _draw_budget(ax: "Axes", curve: statistics.BudgetCurve, look: Look) -> None:
    steps = "default" if curve.kind == "expected best" else "steps-post"
    marks = dict(marker=look.marker, markevery=_rises(curve.values, curve.kind))
    spent = np.arange(1, len(curve.values) + 1)
    ax.plot(spent, curve.values, drawstyle=steps, label=f"_{curve.kind}", **look.line, **marks)
    if curve.low is not None:
        band = dict(facecolor=(look.colour, 0.1), edgecolor=(look.colour, 0.5), linewidth=0.6, label="_band")
        ax.fill_between(spent, curve.low, curve.high, **band)


def _band_entry(curves: Iterable[statistics.BudgetCurve]) -> list[tuple[Any, str]]:
    from matplotlib.patches import Patch

    words = f"{100 * statistics.BAND_LEVEL:g} % band, all budgets at once"
    return [(Patch(color=GREY, alpha=0.2, linewidth=0), words)] if any(c.low is not None for c in curves) else []


def _rises(values: np.ndarray, kind: str) -> list[int]:
    """Where to mark a curve: where it rose, and its end; a smooth one at about ten places."""
    if kind == "expected best":
        return list(range(0, len(values), max(1, len(values) // 10)))
    rises = np.flatnonzero(np.diff(np.nan_to_num(values, nan=-1.0), prepend=-1.0) > 0)
    return sorted({*rises.tolist(), len(values) - 1})


def _budget_curve(own: pd.DataFrame, random: bool, chance: float) -> statistics.BudgetCurve:
    if not random:
        return statistics.BudgetCurve("best so far", _best_so_far(own))
    # Diverged trials count as guessing: without them the estimate would be too high.
    values = np.nan_to_num(numbers(own["val_accuracy"]), nan=chance)
    return statistics.best_against_budget(values, unpruned_random_draws=True)


def random_draws(trials: pd.DataFrame, arms: pd.DataFrame, study: StudyFile) -> set[str]:
    """The arms (arms.csv) whose search drew all trials at random, pruned none and kept to its range.

    As the study's file says, and no trial says otherwise.
    """
    if study.sampler != "random" or not study.unpruned:
        return set()
    search = trials[(trials["phase"] == "search") & trials["state"].isin(OUTCOMES)]
    found = set()
    for name, low, high in zip(arms["arm"], arms["lr_low"], arms["lr_high"], strict=True):
        own = search[search["arm"] == name]
        begun_at = study.arms.get(name, {}).get("first points")
        # The edge rule's first trial in a range that it extended lies on the new bound.
        inside = low is pd.NA or own["lr"].dropna().between(low, high, inclusive="neither").all()
        if len(own) and inside and not begun_at and not (own["state"] == "PRUNED").any():
            found.add(name)
    return found
