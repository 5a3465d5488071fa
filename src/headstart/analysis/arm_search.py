"""The search of an arm: the range of its learning rates, whether the best lies at the edge, how wide the good ones."""

import math
import sys
from typing import Any

import numpy as np
import pandas as pd

from headstart import statistics
from headstart.store import OUTCOMES, StudyFile

SPREAD = ("decades", "qmc", "random")  # samplers whose trials cover the range evenly; TPE looks where it was good


def search_columns(arm: str, search: pd.DataFrame, study: StudyFile) -> dict[str, Any]:
    """Bounds of the learning rate, edge flag and tolerance (columns of arms.csv); {} where the range is not known.

    `search`: the arm's search trials, rows of trials.csv.
    """
    space = study.spaces.get(arm)
    if space is None:
        return {}
    if "lr" not in space:
        return {"edge": False}
    tried = search[search["lr"].gt(0)]
    bounds = _bounds(space["lr"])
    if bounds is None:
        return {}
    # The edge rule's first trial in a range that it extended lies on the new bound.
    low, high = min([bounds[0], *tried["lr"]]), max([bounds[1], *tried["lr"]])
    row = {"lr_low": low, "lr_high": high} | _edge_columns(tried, low, high)
    if low < high and len(space) == 1:  # with a second value searched, neighbours on this axis differ in that one too
        row["lr_tolerance_decades"] = _tolerance(arm, tried, (low, high), study)
    return row


def _bounds(distribution: Any) -> tuple[float, float] | None:
    """Positive bounds of a distribution as study.json describes it: {low, high} or {choices}."""
    if not isinstance(distribution, dict):
        return None
    choices = distribution.get("choices")
    values = choices if isinstance(choices, list) and choices else [distribution.get(key) for key in ("low", "high")]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    positive = [value for value in numbers if 0 < value <= sys.float_info.max]
    return (min(positive), max(positive)) if len(positive) == len(values) else None


def _edge_columns(tried: pd.DataFrame, low: float, high: float) -> dict[str, Any]:
    if not low < high:
        return {"edge": False}
    complete = tried[(tried["state"] == "COMPLETE") & tried["val_accuracy"].notna()].sort_values("number")
    found = statistics.edge(complete["lr"].astype(float), complete["val_accuracy"].astype(float), low, high)
    if not found.side:
        return {"edge": False}
    return {"edge": True, "edge_side": found.side, "edge_try_low": found.low, "edge_try_high": found.high}


def _tolerance(arm: str, tried: pd.DataFrame, bounds: tuple[float, float], study: StudyFile) -> float:
    """Tolerance from all trials where the search spreads them, else from the first points, which are never pruned, and
    the best trial, which the others are measured against."""
    is_first = _at(tried, [*bounds, *study.first_rates(arm)])
    complete = tried["val_accuracy"].where(tried["state"] == "COMPLETE")
    is_best = complete.eq(complete.max()).fillna(False).astype(bool)
    first_and_best = tried[is_first | is_best]
    for rows in [tried, first_and_best] if study.sampler in SPREAD else [first_and_best]:
        rows = rows[(rows["state"] != "COMPLETE") | rows["val_accuracy"].notna()]
        accuracy = rows["val_accuracy"].to_numpy(dtype=float, na_value=math.nan)
        lr = rows["lr"].astype(float)
        decades = statistics.learning_rate_tolerance(lr, accuracy, list(rows["state"]), *bounds)
        if not math.isnan(decades):
            return decades
    return math.nan


def first_trials(arm: str, rows: pd.DataFrame, study: StudyFile) -> pd.DataFrame:
    """The ended trials at the learning rates that are tried whatever the search finds; empty where none are known.

    `rows`: the arm's, of trials.csv.
    """
    search = rows[(rows["phase"] == "search") & rows["state"].isin(OUTCOMES)]
    return search[_at(search, study.first_rates(arm))]


def _at(rows: pd.DataFrame, rates: list[float]) -> pd.Series:
    """Whether each trial's learning rate is one of these."""
    lr = rows["lr"].to_numpy(dtype=float, na_value=math.nan)
    return pd.Series(np.isclose(lr[:, None], rates, rtol=1e-9, atol=0).any(axis=1), index=rows.index, dtype=bool)
