"""arms.csv: per arm its search, its best setting, that setting over its seeds, and how fast it learns."""

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from headstart import statistics
from headstart.analysis.columns import ARMS, SCORES, THRESHOLDS
from headstart.analysis.csv_tables import frame_of
from headstart.analysis.runs_of_arm import ARM_PHASES, is_tested, runs_of_arm
from headstart.store import OUTCOMES

OPEN = ("RUNNING", "INTERRUPTED")
SPREAD = ("decades", "qmc", "random")  # searches whose trials cover the range evenly; TPE looks where it was good
MEASURES = {"epochs": "epoch", "steps": "steps", "images": "images", "seconds": "seconds_total"}

Study = Mapping[str, Any]  # what study.json holds


def arms(trials: pd.DataFrame, epochs: pd.DataFrame, study: Study | None = None) -> pd.DataFrame:
    """Return a row per arm (`ARMS`): its search, its best setting, and that setting over its seeds.

    `trials`, `epochs`: as `tables.trials` and `tables.epochs` return them, of one study; `study`: what its study.json
    holds. Without it ranges and edges are not known. An arm without search trials is made of its single runs: the best
    one and its repeats, equal in everything but the seed. `halfway` columns need the count of classes, which `compare`
    finds in the runs' files (column `classes` of `trials`).
    """
    return frame_of([_arm_row(name, rows, epochs, study) for name, rows in by_arm(trials, study)], ARMS)


def by_arm(trials: pd.DataFrame, study: Study | None) -> Iterator[tuple[str, pd.DataFrame]]:
    """The arms' rows in the study's order of arms."""
    order = item(study, "arm_order", list)
    names = dict.fromkeys([*order, *trials["arm"].dropna()])
    for name in names:
        rows = trials[(trials["arm"] == name) & trials["phase"].isin(ARM_PHASES)]
        if len(rows):
            yield name, rows


def item(holder: Any, key: str, kind: type) -> Any:
    """`holder[key]` if it is there and of that kind, else an empty one: study.json may be of another version."""
    value = holder.get(key) if isinstance(holder, Mapping) else None
    return value if isinstance(value, kind) else kind()


def without_number(name: str, key: str, number: int) -> str:
    """A name without a number that it says, with or without its key: cnn-train_size-500 and cnn_500 are both cnn."""
    shorter = re.sub(rf"(?<![A-Za-z0-9])({key}[-_.=]?)?{number}(?!\d)", "", name)
    return re.sub(r"([-_.])[-_.]+", r"\1", shorter).strip("-_.")


def _arm_row(name: str, rows: pd.DataFrame, epochs: pd.DataFrame, study: Study | None) -> dict[str, Any]:
    search = rows.loc[rows["phase"] == "search", ["number", "state", "lr", "val_accuracy"]]
    runs = runs_of_arm(rows)
    best, repeats = runs.best, runs.repeats
    states = search["state"].value_counts()
    row = dict(
        study=first(rows["study"]), arm=name, tuned=bool(len(search)), trials=sum(states.get(s, 0) for s in OUTCOMES),
        open=sum(states.get(s, 0) for s in OPEN), confirmations=len(repeats),
        confirmations_lost=_lost(repeats).sum(),
        **{column: states.get(column.upper(), 0) for column in ("pruned", "diverged", "failed", "chance")},
    )  # fmt: skip
    facts = rows if best is None else rows.loc[[best.name]]  # without a best trial, what is known of any
    for column in ("model", "parameters", "weights", "weights_sha256", "data", "train_size", "data_sha256", "epochs"):
        row[column] = first(facts[column])
    if (rows["state"] == "COMPLETE").any() and not rows["epochs_run"].gt(0).any():
        row["epochs"] = None  # a model that isn't trained in epochs, whatever the configuration says
    if best is not None:
        row |= dict(best_number=best["number"], best_lr=best["lr"], val_accuracy=best["val_accuracy"])
    for column in ("device", "threads"):
        row[column] = _common(repeats[column])
    return row | _range(name, search, study) | _test_scores(runs.tested) | _speed(repeats, epochs)


def first(values: pd.Series) -> Any:
    """The first value that is there, or None."""
    known = values.dropna()
    return known.iloc[0] if len(known) else None


def _common(values: pd.Series) -> Any:
    """The one value that all rows share, or None."""
    found = values.unique()
    return found[0] if len(found) == 1 else None


def _lost(repeats: pd.DataFrame) -> pd.Series:
    """Repeats whose training led nowhere: without them a mean over the others is too high."""
    return repeats["state"].isin(["DIVERGED", "CHANCE"]) & ~is_tested(repeats)


def _test_scores(tested: pd.DataFrame) -> dict[str, Any]:
    summary = statistics.summarise(tested["test_accuracy"].astype(float))
    row = dict(seeds=summary.n, test_mean=summary.mean, test_std=summary.std)
    row |= dict(test_ci_low=summary.low, test_ci_high=summary.high)
    row |= {name: tested[name].mean() for name in SCORES}
    if "classes" in tested:
        classes, row["test_images"] = first(tested["classes"]), first(tested["test_images"])
        row["halfway_accuracy"] = _halfway(classes) if classes else None
    return row


# ---- the search


def _range(name: str, search: pd.DataFrame, study: Study | None) -> dict[str, Any]:
    """Bounds of the learning rate, edge flag and tolerance."""
    space = item(item(study, "spaces", dict), name, dict)
    known = name in item(study, "spaces", dict)
    if not known or "lr" not in space:
        return dict(edge=False) if known else {}
    tried = search[search["lr"].gt(0)]
    bounds = _bounds(space["lr"])
    if bounds is None:
        return {}
    # The edge rule's first trial in a range that it extended lies on the new bound.
    low, high = min([bounds[0], *tried["lr"]]), max([bounds[1], *tried["lr"]])
    if not low < high:
        return dict(edge=False, lr_low=low, lr_high=high)
    complete = tried[(tried["state"] == "COMPLETE") & tried["val_accuracy"].notna()].sort_values("number")
    found = statistics.edge(complete["lr"].astype(float), complete["val_accuracy"].astype(float), low, high)
    row: dict[str, Any] = dict(lr_low=low, lr_high=high, edge=bool(found.side))
    if found.side:
        row |= dict(edge_side=found.side, edge_try_low=found.low, edge_try_high=found.high)
    if len(space) == 1:  # with a second value searched, neighbours on this axis differ in that one too
        row["lr_tolerance_decades"] = _tolerance(name, tried, low, high, study)
    return row


def _bounds(distribution: Any) -> tuple[float, float] | None:
    """Positive bounds of a distribution as study.json describes it: {low, high} or {choices}."""
    values = item(distribution, "choices", list) or [item(distribution, k, float) for k in ("low", "high")]
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool) and v > 0]
    return (min(numbers), max(numbers)) if numbers and len(numbers) == len(values) else None


def _tolerance(name: str, tried: pd.DataFrame, low: float, high: float, study: Study | None) -> float:
    """Tolerance from all trials where the search spreads them, else from the first points, which are never pruned, and
    the best trial, which the others are measured against."""
    is_first = _at(tried, [low, high, *_first_rates(name, study)])
    complete = tried["val_accuracy"].where(tried["state"] == "COMPLETE")
    is_best = complete.eq(complete.max()).fillna(False).astype(bool)
    first = tried[is_first | is_best]
    sets = [tried, first] if item(study, "sampler", str) in SPREAD else [first]
    for rows in sets:
        rows = rows[(rows["state"] != "COMPLETE") | rows["val_accuracy"].notna()]
        accuracy = rows["val_accuracy"].to_numpy(dtype=float, na_value=math.nan)
        lr = rows["lr"].astype(float)
        decades = statistics.learning_rate_tolerance(lr, accuracy, list(rows["state"]), low, high)
        if not math.isnan(decades):
            return decades
    return math.nan


def first_trials(name: str, rows: pd.DataFrame, study: Study | None) -> pd.DataFrame:
    """The ended trials at the learning rates that are tried whatever the search finds; empty where none are known."""
    search = rows[(rows["phase"] == "search") & rows["state"].isin(OUTCOMES)]
    return search[_at(search, _first_rates(name, study))]


def _first_rates(name: str, study: Study | None) -> list[float]:
    listed = item(item(item(study, "arms", dict), name, dict), "first points", list)
    return [p["lr"] for p in listed if isinstance(p, dict) and isinstance(p.get("lr"), int | float)]


def _at(rows: pd.DataFrame, rates: list[float]) -> pd.Series:
    lr = rows["lr"].to_numpy(dtype=float, na_value=math.nan)
    return pd.Series(np.isclose(lr[:, None], rates, rtol=1e-9, atol=0).any(axis=1), index=rows.index, dtype=bool)


# ---- convergence speed


@dataclass(frozen=True)
class _Curve:
    """One run's epochs: validation accuracy [n] and, per measure, what it had cost by the end of each epoch [n]."""

    accuracy: np.ndarray
    costs: dict[str, np.ndarray]
    diverged: bool


def _curves(repeats: pd.DataFrame, epochs: pd.DataFrame) -> list[_Curve]:
    own = epochs[epochs["run_dir"].isin(repeats["run_dir"])].sort_values("epoch")
    curves = []
    for run_dir, state in zip(repeats["run_dir"], repeats["state"], strict=True):
        numbers = own[own["run_dir"] == run_dir]
        columns = {name: numbers[c].to_numpy(dtype=float, na_value=math.nan) for name, c in MEASURES.items()}
        accuracy = numbers["val_accuracy"].to_numpy(dtype=float, na_value=math.nan)
        curves.append(_Curve(accuracy, columns, state == "DIVERGED"))
    return curves if any(len(c.accuracy) for c in curves) else []


def _speed(repeats: pd.DataFrame, epochs: pd.DataFrame) -> dict[str, Any]:
    """Medians over the repeats to every target, by every measure, and how many never got there."""
    curves = _curves(repeats, epochs)
    if not curves:
        return {}
    ended = repeats["state"].isin(["COMPLETE", "CHANCE"])
    last = [c.accuracy[-1] for c, there in zip(curves, ended, strict=True) if there and len(c.accuracy)]
    final = float(np.mean(last)) if last else math.nan
    classes = first(repeats["classes"]) if "classes" in repeats else None
    targets = {str(t): float(t) for t in THRESHOLDS}
    targets |= {"halfway": _halfway(classes)} if classes else {}
    targets |= {"99_of_final": 0.99 * final} if math.isfinite(final) else {}
    row: dict[str, Any] = dict(final_val_accuracy=final)
    for (target, accuracy), measure in itertools.product(targets.items(), MEASURES):
        median, censored = _median(curves, measure, accuracy)
        row |= {f"{measure}_to_{target}": median, f"{measure}_to_{target}_censored": censored}
    return row


def _halfway(classes: int) -> float:
    return (100 / classes + 100) / 2


def _median(curves: list[_Curve], measure: str, accuracy: float) -> tuple[float, int | None]:
    """Kaplan-Meier median cost to an accuracy (NaN: not known or never), and the runs that didn't reach it."""
    longest = max(float(c.costs[measure][-1]) for c in curves if len(c.accuracy))
    times, reached = [], []
    for curve in curves:
        there = np.flatnonzero(curve.accuracy >= accuracy)
        lasted = curve.costs[measure][-1] if len(curve.accuracy) else 0.0
        # A run that diverged would not have got there by going on: it stays in the count to the end.
        times.append(curve.costs[measure][there[0]] if len(there) else longest if curve.diverged else lasted)
        reached.append(bool(len(there)))
    if not np.isfinite(times).all():
        return math.nan, None
    found = statistics.time_to_target(times, reached)
    return found.median, found.censored
