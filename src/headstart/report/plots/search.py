"""Plots of the search: accuracy against learning rate, history of the trials, best against budget."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from headstart import statistics
from headstart.report.plots.style import (
    GREY,
    INK,
    Look,
    arm_order,
    drawn,
    integers,
    legend,
    log_axis,
    looks_for,
    numbers,
    sample,
)
from headstart.report.plots.style import say as say_in
from headstart.store import OUTCOMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# How a state is drawn, and named in the legend; DIVERGED has no accuracy to be drawn at.
FILLS = {"COMPLETE": "full", "CHANCE": "bottom", "PRUNED": "none"}
NAMES = {
    "COMPLETE": "complete",
    "CHANCE": "at chance (not above guessing)",
    "PRUNED": "pruned (its accuracy when it was stopped)",
    "DIVERGED": "diverged (in the grey strip: no accuracy)",
}

Looks = Mapping[str, Look] | None


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
        ax.plot(
            x[here], accuracy[here], linestyle="none", marker=look.marker, markersize=size, color=look.colour,
            fillstyle=fill, markerfacecoloralt="white", label=f"_{state}",
        )  # fmt: skip
    lost = (states == "DIVERGED") & np.isfinite(x)
    if not lost.any():
        return  # an empty line without clipping would still be given room by the layout
    ax.plot(
        x[lost], np.full(lost.sum(), 0.035), linestyle="none", marker=look.marker, markersize=size, color=look.colour,
        fillstyle="none", transform=ax.get_xaxis_transform(), clip_on=False, label="_DIVERGED",
    )  # fmt: skip


def _strip(ax: "Axes", rows: pd.DataFrame) -> None:
    """Make room below the data for the diverged trials, and shade it."""
    if (rows["state"] == "DIVERGED").any():
        low, high = ax.get_ylim()
        ax.set_ylim(low - 0.1 * (high - low), high)
        ax.axhspan(0, 0.07, facecolor="#dddddd", transform=ax.get_yaxis_transform(), zorder=0)
        ax.patches[-1].set_transform(ax.transAxes)


def _entries(rows: pd.DataFrame, looks: Mapping[str, Look], names: list[str], **changes: Any) -> list[tuple[Any, str]]:
    """Legend: the arms, then the states that occur."""
    entries = [(sample(looks[name], **changes), name) for name in names]
    for state, words in NAMES.items():
        if (rows["state"] == state).any() and not (rows["state"] == "COMPLETE").all():
            fill = FILLS.get(state, "none")
            entries.append((sample(fillstyle=fill, markerfacecoloralt="white", linestyle="none"), words))
    return entries


def _chance_line(ax: "Axes", chance: float | None) -> list[tuple[Any, str]]:
    if chance is None:
        return []
    return [(ax.axhline(chance, color=GREY, linewidth=1, linestyle=(0, (1, 3))), f"guessing ({chance:.3g} %)")]


@drawn
def learning_rate(
    trials: pd.DataFrame,
    ax: "Axes",
    spaces: Mapping[str, Any] | None = None,
    *,
    looks: Looks = None,
    chance: float | None = None,
) -> "Axes":
    """Draw validation accuracy (%) against learning rate (log axis) of every search trial that ended; return `ax`.

    `spaces`: study.json's, {arm: {"lr": {"low", "high"} or {"choices"}}}; the bounds, as the edge rule extended them,
    are drawn. Trials at a power of 10, which a hand search by factors of 10 would have tried, wear a ring. Pruned
    trials are hollow, those at chance half filled, diverged ones lie in a strip below. `chance`: percent.
    """
    rows = _search(trials)
    rows = rows[rows["lr"].gt(0).fillna(False)]
    ax.set_title("Validation accuracy against learning rate")
    if rows.empty:
        return say_in(ax, "No trial with a learning rate has ended yet.")
    names = arm_order(rows, looks)
    looks = looks_for(names, looks)
    bounds = {name: _bounds(spaces, name, rows[rows["arm"] == name]) for name in names}
    for name in names:
        own = rows[rows["arm"] == name].sort_values("lr", kind="stable")
        lr, look = numbers(own["lr"]), looks[name]
        complete = (own["state"] == "COMPLETE").to_numpy(dtype=bool)
        line = numbers(own["val_accuracy"])[complete]
        ax.plot(lr[complete], line, color=look.colour, linestyle=look.linestyle, linewidth=1, alpha=0.6, label="_line")
        _dots(ax, lr, own, look)
    entries = _entries(rows, looks, names) + _rings(ax, rows) + _draw_bounds(ax, bounds, looks)
    ends = [*numbers(rows["lr"]), *(b for pair in bounds.values() if pair for b in pair)]
    log_axis(ax, "x", min(ends), max(ends))
    legend(ax, entries + _chance_line(ax, chance))
    _strip(ax, rows)
    ax.set_xlabel("learning rate (log axis)")
    ax.set_ylabel("validation accuracy (%)")
    return ax


def _bounds(spaces: Mapping[str, Any] | None, name: str, own: pd.DataFrame) -> tuple[float, float] | None:
    """Bounds of what was searched for an arm; an extended range reaches to the outermost trial. None: not known."""
    space = (spaces or {}).get(name)
    lr = space.get("lr") if isinstance(space, Mapping) else None
    if not isinstance(lr, Mapping):
        return None
    ends = lr.get("choices") or [lr.get("low"), lr.get("high")]
    ends = [e for e in ends if isinstance(e, int | float) and e > 0]
    reached = [*ends, *own["lr"]]
    return (min(reached), max(reached)) if ends else None


def _draw_bounds(
    ax: "Axes", bounds: dict[str, tuple[float, float] | None], looks: Mapping[str, Look]
) -> list[tuple[Any, str]]:
    """Vertical lines at the bounds: one grey pair if all arms share it, else each in its arm's colour."""
    known = {name: pair for name, pair in bounds.items() if pair}
    shared = len(set(known.values())) == 1
    for name, pair in list(known.items())[: 1 if shared else None]:
        for bound in pair:
            ax.axvline(
                bound, color=INK if shared else looks[name].colour, linewidth=1, linestyle=(0, (5, 2)), label="_bound"
            )
    whose = "" if shared else ", by arm"
    return (
        [(sample(Look(INK, "", "none"), linestyle=(0, (5, 2)), linewidth=1), f"bounds of the search{whose}")]
        if known
        else []
    )


def _rings(ax: "Axes", rows: pd.DataFrame) -> list[tuple[Any, str]]:
    """Rings around the trials at powers of 10."""
    lr, accuracy = numbers(rows["lr"]), numbers(rows["val_accuracy"])
    decade = np.log10(lr)
    here = np.isclose(decade, np.round(decade), rtol=0, atol=1e-6) & np.isfinite(accuracy)
    if not here.any():
        return []
    ring = dict(linestyle="none", marker="o", markersize=11, fillstyle="none", color=INK, markeredgewidth=0.7)
    ax.plot(lr[here], accuracy[here], label="_decades", **ring)
    return [(sample(Look(INK, "o", "none"), **{k: v for k, v in ring.items() if k != "marker"}), "factor-of-10 point")]


@drawn
def history(trials: pd.DataFrame, ax: "Axes", *, looks: Looks = None, chance: float | None = None) -> "Axes":
    """Draw each arm's search in the order it ran: every trial's validation accuracy (%), and the best so far as steps.

    Only COMPLETE trials can be the best. The horizontal axis counts trials from 1. Returns `ax`.
    """
    rows = trials[(trials["phase"] == "search") & trials["state"].isin(OUTCOMES)].sort_values("number", kind="stable")
    ax.set_title("Search history: every trial, and the best so far")
    if rows.empty:
        return say_in(ax, "No search trial has ended yet.")
    names = arm_order(rows, looks)
    looks = looks_for(names, looks)
    for name in names:
        own, look = rows[rows["arm"] == name], looks[name]
        x = numbers(own["number"]) + 1
        best = _best_so_far(own)
        ax.plot(x, best, color=look.colour, linestyle=look.linestyle, drawstyle="steps-post", label="_best so far")
        _dots(ax, x, own, look, size=4.5)
    legend(ax, _entries(rows, looks, names) + _chance_line(ax, chance))
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
    ax: "Axes",
    *,
    study: Mapping[str, Any] | None = None,
    looks: Looks = None,
    chance: float | None = None,
) -> "Axes":
    """Draw the best validation accuracy (%) against the number of trials spent, per arm; return `ax`.

    The expected best after n trials (`statistics.expected_best`) where the study, as its study.json says, drew all of
    an arm's trials at random and pruned none; otherwise the best so far, and called so.
    """
    rows = trials[(trials["phase"] == "search") & trials["state"].isin(OUTCOMES)].sort_values("number", kind="stable")
    ax.set_title("Best validation accuracy against trials spent")
    if rows.empty:
        return say_in(ax, "No search trial has ended yet.")
    names = arm_order(rows, looks)
    looks = looks_for(names, looks)
    curves = {name: _budget_curve(rows[rows["arm"] == name], name, study, chance or 0.0) for name in names}
    kinds = {curve.kind for curve in curves.values()}
    for name, curve in curves.items():
        look, drawstyle = looks[name], "default" if curve.kind == "expected best" else "steps-post"
        ax.plot(
            np.arange(1, len(curve.values) + 1), curve.values, color=look.colour, linestyle=look.linestyle,
            marker=look.marker, drawstyle=drawstyle, markevery=_rises(curve.values, curve.kind), label=f"_{curve.kind}",
        )  # fmt: skip
    kind_of = {name: f" ({curve.kind})" if len(kinds) > 1 else "" for name, curve in curves.items()}
    legend(ax, [(sample(looks[name]), name + kind_of[name]) for name in names])
    words = "best validation accuracy"
    if len(kinds) == 1:
        words = {"best so far": f"{words} so far", "expected best": f"expected {words}"}[kinds.pop()]
    ax.set_title(f"{words.capitalize()} against trials spent")
    integers(ax.xaxis)
    ax.set_xlabel("trials spent on the arm")
    ax.set_ylabel(f"{words} (%)")
    return ax


def _rises(values: np.ndarray, kind: str) -> list[int]:
    """Where to mark a curve: where it rose, and its end; a smooth one at about ten places."""
    if kind == "expected best":
        return list(range(0, len(values), max(1, len(values) // 10)))
    rises = np.flatnonzero(np.diff(np.nan_to_num(values, nan=-1.0), prepend=-1.0) > 0)
    return sorted({*rises.tolist(), len(values) - 1})


def _budget_curve(
    own: pd.DataFrame, name: str, study: Mapping[str, Any] | None, chance: float
) -> statistics.BudgetCurve:
    if not random_draws(own, name, study):
        return statistics.BudgetCurve("best so far", _best_so_far(own))
    # Diverged trials count as guessing: without them the estimate would be too high.
    values = np.nan_to_num(numbers(own["val_accuracy"]), nan=chance)
    return statistics.best_against_budget(values, unpruned_random_draws=True)


def random_draws(own: pd.DataFrame, name: str, study: Mapping[str, Any] | None) -> bool:
    """Whether an arm's trials are unpruned, independent random draws: by study.json, and no trial says otherwise."""
    study = study or {}
    arm = (study.get("arms") or {}).get(name) or {}
    bounds = _bounds(study.get("spaces"), name, own.iloc[:0])
    lr = own["lr"].dropna()
    extended = bounds is not None and not lr.between(*bounds, inclusive="neither").all()  # by the edge rule
    return (
        study.get("sampler") == "random"
        and study.get("unpruned") is True
        and not arm.get("first points")
        and not extended
        and not (own["state"] == "PRUNED").any()
    )
