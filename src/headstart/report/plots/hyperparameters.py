"""Plots for searches over more than the learning rate: parallel coordinates and importances."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from headstart.report.formatting import as_typed
from headstart.report.plots.style import GREY, INK, Looks, arm_order, drawn, legend, looks_for, numbers, sample, say

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def swept(trials: pd.DataFrame) -> list[str]:
    """Columns `params_...` with more than one value among the search trials."""
    rows = trials[trials["phase"] == "search"]
    return [c for c in rows.columns if c.startswith("params_") and rows[c].nunique() > 1]


@drawn
def parallel_coordinates(trials: pd.DataFrame, ax: "Axes", *, looks: Looks = None) -> "Axes":
    """Draw every COMPLETE search trial as a line through its swept values and its validation accuracy; return `ax`.

    A vertical axis per value, lowest at the bottom, its ends written on it; numbers over more than 1.5 decades on a log
    axis, choices evenly spaced. The best 5 trials of an arm are drawn strongly, others faintly.
    """
    rows = trials[(trials["phase"] == "search") & (trials["state"] == "COMPLETE") & trials["val_accuracy"].notna()]
    columns = [c for c in swept(trials) if rows[c].notna().any()]
    ax.set_title("Swept values of the complete trials; strong: the best 5 of an arm")
    if rows.empty or not columns:
        return say(ax, "No complete trial with swept values yet.")
    names = arm_order(rows, looks)
    looks = looks_for(names, looks)
    heights = np.column_stack([_scaled(ax, i, rows[c]) for i, c in enumerate([*columns, "val_accuracy"])])
    place = rows.groupby("arm")["val_accuracy"].rank(method="first", ascending=False)
    good = (place <= 5).to_numpy(dtype=bool)
    for strong in (False, True):
        weight = dict(markersize=4, linewidth=1.6, alpha=1) if strong else dict(markersize=0, linewidth=0.7, alpha=0.2)
        for name in names:
            own = (rows["arm"] == name).to_numpy(dtype=bool) & (good == strong)
            has = np.isfinite(heights[own]).any(axis=0)  # an arm needn't search what another one does
            look = looks[name]
            ax.plot(np.flatnonzero(has), heights[own][:, has].T, marker=look.marker, **look.line, **weight)
    ax.set_xticks(range(len(columns) + 1), [*(c.removeprefix("params_") for c in columns), "validation\naccuracy (%)"])
    ax.set_yticks([])
    ax.spines[["left", "bottom"]].set_visible(False)
    legend(ax, [(sample(looks[name]), name) for name in names])
    return ax


def _scaled(ax: "Axes", place: int, column: pd.Series) -> np.ndarray:
    """Values as heights 0..1 (NaN: missing), with the axis and its ends drawn at `place`."""
    ax.axvline(place, color=GREY, linewidth=0.8)
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        values = numbers(column)
        low, high = np.nanmin(values), np.nanmax(values)
        log = low > 0 and high / low > 10**1.5
        labels = {0.0: as_typed(low), 1.0: as_typed(high)}
        scaled = np.log(values / low) / math.log(high / low) if log else (values - low) / ((high - low) or 1)
    else:
        choices = sorted(column.dropna().astype(str).unique())
        step = 1 / max(1, len(choices) - 1)
        labels = {i * step: choice for i, choice in enumerate(choices)}
        scaled = np.array([math.nan if v is pd.NA else choices.index(str(v)) * step for v in column])
    for height, label in labels.items():
        ax.annotate(label, (place, height), (4, 6), textcoords="offset points", fontsize=7.5, color=INK)
    return scaled


@drawn
def importances(trials: pd.DataFrame, ax: "Axes", *, looks: Looks = None) -> "Axes":
    """Draw the share of each swept value in the spread of an arm's validation accuracy (Optuna's importances).

    An arm needs 4 COMPLETE trials. Returns `ax`.
    """
    columns, names = swept(trials), arm_order(trials, looks)
    found = {name: _importances(trials[trials["arm"] == name], columns) for name in names}
    found = {name: shares for name, shares in found.items() if shares}
    ax.set_title("Importance of the swept values for the validation accuracy")
    if not found:
        return say(ax, "Importances need two swept values and 4 complete trials of an arm.")
    looks = looks_for(names, looks)
    for i, (name, shares) in enumerate(found.items()):
        y = [columns.index(c) + 0.5 * ((i + 0.5) / len(found) - 0.5) for c in shares]
        ax.plot([100 * s for s in shares.values()], y, **looks[name].dots)
    ax.set_yticks(range(len(columns)), [c.removeprefix("params_") for c in columns], parse_math=False)
    ax.set_ylim(len(columns) - 0.5, -0.5)
    ax.set_xlim(-3, 103)
    ax.set_xlabel("importance (% of the arm's sum)")
    legend(ax, [(sample(looks[name], linestyle="none"), name) for name in found])
    return ax


def _importances(own: pd.DataFrame, columns: list[str]) -> dict[str, float]:
    """Importance per column, 0..1; {} where there is too little to tell. Source: Watanabe et al. (2023), 2304.10255."""
    rows = own[(own["phase"] == "search") & (own["state"] == "COMPLETE") & own["val_accuracy"].notna()]
    columns = [c for c in columns if rows[c].notna().all() and rows[c].nunique() > 1]
    if len(columns) < 2 or len(rows) < 4 or rows["val_accuracy"].nunique() < 2:
        return {}
    import optuna

    spaces = {c: _distribution(rows[c], optuna.distributions) for c in columns}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(direction="maximize")
        for values, accuracy in zip(
            rows[columns].itertuples(index=False, name=None), rows["val_accuracy"], strict=True
        ):
            params = {c: _plain(v) for c, v in zip(columns, values, strict=True)}
            study.add_trial(optuna.create_trial(params=params, distributions=spaces, value=float(accuracy)))
        return optuna.importance.get_param_importances(study)
    finally:
        optuna.logging.set_verbosity(verbosity)


def _distribution(column: pd.Series, distributions: Any) -> Any:
    """The Optuna distribution that holds a column's values; study.json's needn't hold those of an extended range."""
    if not pd.api.types.is_float_dtype(column):
        return distributions.CategoricalDistribution(sorted({_plain(v) for v in column}, key=str))
    low, high = float(column.min()), float(column.max())
    return distributions.FloatDistribution(low, high, log=low > 0 and high / low > 10**1.5)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
