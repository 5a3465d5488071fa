"""Convergence speed of an arm: what its runs had cost when they first reached each stated validation accuracy."""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from headstart import statistics
from headstart.analysis.collate import unreached
from headstart.analysis.columns import TARGETS, THRESHOLDS
from headstart.analysis.csv_tables import first

MEASURES = {"epochs": "epoch", "steps": "steps", "images": "images", "seconds": "seconds_total"}  # columns of epochs


@dataclass(frozen=True)
class _Curve:
    """One run's epochs: validation accuracy [n] and, per measure, what it had cost by the end of each epoch [n]."""

    accuracy: np.ndarray
    costs: dict[str, np.ndarray]
    diverged: bool


def speed_columns(repeats: pd.DataFrame, epochs: pd.DataFrame) -> dict[str, Any]:
    """Medians over an arm's repeats to every target, by every measure, how many never got there, and whether it did.

    `repeats`: rows of trials.csv, with the column `classes` where the half-way target is known; `epochs`: epochs.csv.
    """
    curves = _curves(repeats, epochs)
    otherwise = unreached(repeats["state"].tolist(), has_epochs=bool(curves))
    if not curves:
        return {f"reached_{target}": otherwise for target in TARGETS}
    ended = repeats["state"].isin(["COMPLETE", "CHANCE"])
    last = [c.accuracy[-1] for c, there in zip(curves, ended, strict=True) if there and len(c.accuracy)]
    final = float(np.mean(last)) if last else math.nan
    targets = {str(t): float(t) for t in THRESHOLDS}
    classes = first(repeats["classes"]) if "classes" in repeats else None
    targets |= {"halfway": halfway_accuracy(classes)} if classes else {}
    targets |= {"99_of_final": 0.99 * final} if math.isfinite(final) else {}
    row: dict[str, Any] = {"final_val_accuracy": final}
    for (target, accuracy), measure in itertools.product(targets.items(), MEASURES):
        median, censored = _median(curves, measure, accuracy)
        row |= {f"{measure}_to_{target}": median, f"{measure}_to_{target}_censored": censored}
        if measure == "epochs":
            row[f"reached_{target}"] = "yes" if math.isfinite(median) else None if censored is None else otherwise
    return row


def costs_to(accuracy: float, measure: str, repeats: pd.DataFrame, epochs: pd.DataFrame) -> pd.DataFrame:
    """By seed, what each repeat had cost when it first had that validation accuracy in percent.

    measure: a key of `MEASURES`. Columns: `cost`, and `reached`; a run that never had it is there with all that it
    cost, one that diverged with what the costliest did. Repeats without a curve are left out.
    """
    curves = _curves(repeats, epochs)
    if not curves:
        return pd.DataFrame({"cost": [], "reached": []})
    costs, reached = _times(curves, measure, accuracy)
    known = [len(curve.accuracy) > 0 for curve in curves]
    return pd.DataFrame({"cost": costs, "reached": reached}, index=repeats["seed"].to_numpy())[known]


def halfway_accuracy(classes: int) -> float:
    """Percent half-way between guessing and all right."""
    return (100 / classes + 100) / 2


def _curves(repeats: pd.DataFrame, epochs: pd.DataFrame) -> list[_Curve]:
    own = epochs[epochs["run_dir"].isin(repeats["run_dir"])].sort_values("epoch")
    curves = []
    for run_dir, state in zip(repeats["run_dir"], repeats["state"], strict=True):
        numbers = own[own["run_dir"] == run_dir]
        costs = {name: numbers[c].to_numpy(dtype=float, na_value=math.nan) for name, c in MEASURES.items()}
        accuracy = numbers["val_accuracy"].to_numpy(dtype=float, na_value=math.nan)
        curves.append(_Curve(accuracy, costs, state == "DIVERGED"))
    return curves if any(len(c.accuracy) for c in curves) else []


def _median(curves: list[_Curve], measure: str, accuracy: float) -> tuple[float, int | None]:
    """Kaplan-Meier median cost to an accuracy (NaN: not known or never), and the runs that didn't reach it."""
    times, reached = _times(curves, measure, accuracy)
    if not np.isfinite(times).all():
        return math.nan, None
    found = statistics.time_to_target(times, reached)
    return found.median, found.censored


def _times(curves: list[_Curve], measure: str, accuracy: float) -> tuple[list[float], list[bool]]:
    """What each run had cost when it first had that accuracy, or all that it cost, and which of the two."""
    longest = max(float(c.costs[measure][-1]) for c in curves if len(c.accuracy))
    times, reached = [], []
    for curve in curves:
        there = np.flatnonzero(curve.accuracy >= accuracy)
        lasted = curve.costs[measure][-1] if len(curve.accuracy) else 0.0
        # A run that diverged would not have got there by going on: it stays in the count to the end.
        times.append(curve.costs[measure][there[0]] if len(there) else longest if curve.diverged else lasted)
        reached.append(bool(len(there)))
    return times, reached
