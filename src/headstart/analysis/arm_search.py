"""The search of an arm: its range, whether the best lies at the edge, how wide the good rates, its luck; ways out."""

import math
import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from headstart import statistics
from headstart.analysis.csv_tables import first, known
from headstart.analysis.runs_of_arm import ArmRuns
from headstart.statistics import SPREAD_DF, Choice, Uncertainty
from headstart.store import AT_CHANCE, OUTCOMES, PAUSED, StudyFile, is_number
from headstart.typed import LARGEST_SEED

TOLERATED = 1.0  # point below the best
SPREAD = ("decades", "qmc", "random")  # samplers whose trials cover the range evenly; TPE looks where it was good
FEW_PICTURES = 100  # for validation: guessing two classes comes to 65 % by 3 standard errors
FEW_STEPS = 500  # of the optimizer, in which a network from random weights hardly learns anything
LONGEST_STEM = 50  # characters of a name that gets an ending


def search_columns(arm: str, search: pd.DataFrame, ended: pd.DataFrame, study: StudyFile) -> dict[str, Any]:
    """Bounds of the learning rate, edge flag and tolerance (columns of arms.csv); {} where the range is not known.

    `search`: the arm's search trials, rows of trials.csv; `ended`: the same as `to_the_end` has them.
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
    row = {"lr_low": low, "lr_high": high}
    # A list of values has no edge, but for the powers of ten that stand for a range.
    is_list = "choices" in space["lr"] and study.sampler != "decades"
    row |= {"edge": False} if is_list else _edge_columns(tried, low, high)
    if low < high and len(space) == 1:  # with a second value searched, neighbours on this axis differ in that one too
        row["lr_tolerance_decades"] = _tolerance(arm, ended[ended["lr"].gt(0)], (low, high), study)
    return row


def _bounds(distribution: Any) -> tuple[float, float] | None:
    """Positive bounds of a distribution as study.json describes it: {low, high} or {choices}."""
    if not isinstance(distribution, dict):
        return None
    choices = distribution.get("choices")
    values = choices if isinstance(choices, list) and choices else [distribution.get(key) for key in ("low", "high")]
    positive = [value for value in values if is_number(value) and value > 0]
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
    """Tolerance from all trials where the search spreads them, else from the first points, and the best trial, which
    the others are measured against."""
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


def first_trials(arm: str, rows: pd.DataFrame, epochs: pd.DataFrame, study: StudyFile) -> pd.DataFrame:
    """The ended trials at the learning rates that are tried whatever the search finds; empty where none are known.

    Paused ones are as `to_the_end` has them. `rows`: the arm's, of trials.csv; `epochs`: of epochs.csv.
    """
    search = rows[(rows["phase"] == "search") & rows["state"].isin(OUTCOMES)]
    search = to_the_end(search, epochs)
    return search[_at(search, study.first_rates(arm))]


def _at(rows: pd.DataFrame, rates: list[float]) -> pd.Series:
    """Whether each trial's learning rate is one of these."""
    lr = rows["lr"].to_numpy(dtype=float, na_value=math.nan)
    return pd.Series(np.isclose(lr[:, None], rates, rtol=1e-9, atol=0).any(axis=1), index=rows.index, dtype=bool)


# ---- trials that were paused


def to_the_end(search: pd.DataFrame, epochs: pd.DataFrame) -> pd.DataFrame:
    """The search trials, those that were paused with the state and the accuracy that they would have at the end.

    One that was at chance level when it was paused is CHANCE: it may only have been slow, and nothing is known of it.
    `search`: rows of trials.csv; `epochs`: of epochs.csv.
    """
    slow = search["reason"].fillna("").str.contains(AT_CHANCE, regex=False) & _is_paused(search)
    found = search.assign(state=search["state"].mask(slow, "CHANCE"))
    trials, curves, stopped = _curves(search, epochs)
    if stopped:
        found.loc[trials.index, "val_accuracy"] = statistics.at_equal_epochs(curves, stopped)
        found.loc[trials.index, "state"] = "COMPLETE"
    return found


def _is_paused(search: pd.DataFrame) -> pd.Series:
    return (search["state"] == "PRUNED") & search["reason"].fillna("").str.startswith(PAUSED)


def _curves(search: pd.DataFrame, epochs: pd.DataFrame) -> tuple[pd.DataFrame, list[statistics.Curve], list[int]]:
    """The trials that may be chosen, by number, with paused ones; how each came on; the places of those paused."""
    paused = _is_paused(search) & ~search["reason"].fillna("").str.contains(AT_CHANCE, regex=False)
    trials = search[((search["state"] == "COMPLETE") | paused) & search["val_accuracy"].notna()]
    trials = trials.sort_values("number", kind="stable")
    stopped = [place for place, index in enumerate(trials.index) if paused[index]]
    return trials, [_curve(row, epochs) for _, row in trials.iterrows()] if stopped else [], stopped


def _curve(trial: pd.Series, epochs: pd.DataFrame) -> statistics.Curve:
    own = epochs[epochs["run_dir"] == trial["run_dir"]].dropna(subset=["epoch", "val_accuracy"])
    values = dict(zip(own["epoch"].astype(int), own["val_accuracy"].astype(float), strict=True))
    values = values or {int(known(trial["epochs_run"]) or 1): float(trial["val_accuracy"])}  # a table that was cut
    return statistics.Curve(values, has_ended=trial["state"] == "COMPLETE")


# ---- the choice of the search, and the luck in it


def search_choice(arm: str, search: pd.DataFrame, epochs: pd.DataFrame, study: StudyFile) -> Choice | None:
    """The choice of the arm's search; None where its space, the study's seed or the trials' values are not known.

    `search`: the arm's search trials, of trials.csv; `epochs`: theirs, of epochs.csv.
    """
    space = study.spaces.get(arm)
    trials, curves, stopped = _curves(search, epochs)
    values = trials["val_accuracy"].astype(float)
    if stopped:
        places, values = statistics.to_choose_from(curves, stopped)
        trials = trials.iloc[places]
    if not _is_known(space) or study.seed is None or study.seed > LARGEST_SEED or trials.empty:
        return None
    settings = (
        trials.reindex(columns=[f"params_{key}" for key in space])
        .astype(object)
        .where(lambda frame: frame.notna(), None)
    )
    settings.columns = list(space)
    for key, bounds in space.items():
        if "choices" not in bounds:
            settings[key] = pd.to_numeric(settings[key], errors="coerce")
            if not np.isfinite(settings[key]).all() or (bounds.get("log") and settings[key].le(0).any()):
                return None  # a record that somebody edited
    pictures = known(first(trials["val_size"]))
    points = settings.to_dict("records")
    return statistics.choice_of(space, points, values, pictures=pictures, seed=study.seed, arm=arm)


def _is_known(space: Any) -> bool:
    """Whether study.json, which people edit, describes every key by choices or by finite bounds."""
    if not isinstance(space, Mapping) or not all(isinstance(bounds, Mapping) for bounds in space.values()):
        return False
    return all(
        isinstance(bounds.get("choices"), list)
        or all(is_number(number) for number in (bounds.get("low"), bounds.get("high"), bounds.get("step") or 0))
        for bounds in space.values()
    )


def luck_of(choice: Choice | None, runs: ArmRuns) -> Uncertainty | None:
    """What the luck of the search leaves open about the arm's mean; None where its confirmations repeat no choice."""
    if choice is None or runs.repeats["search_trials"].isna().all():
        return None
    return Uncertainty(choice.luck, SPREAD_DF)


def choice_columns(choice: Choice | None, runs: ArmRuns) -> dict[str, Any]:
    """Columns of arms.csv: the smoothed best, how far the confirmations' settings spread, luck and overtuning."""
    if runs.best is None:
        return {}
    row: dict[str, Any] = {"overtuning": _overtuning(runs)}
    luck = luck_of(choice, runs)
    if choice is None or luck is None:
        return row
    rates = runs.repeats["lr"].dropna()
    row |= {"smoothed_lr": choice.best.get("lr"), "luck_std": math.sqrt(luck.variance)}
    if list(choice.best) == ["lr"] and choice.candidates.numeric:
        low, high = (decades * _decades(choice) for decades in choice.shares_within(TOLERATED))
        row |= {"lr_tolerance_low": low, "lr_tolerance_high": high}
    row |= {"smoothed_best": ", ".join(f"{key}={value}" for key, value in choice.best.items())}
    return row | {"confirmed_lr_low": rates.min(), "confirmed_lr_high": rates.max()}


def _decades(choice: Choice) -> float:
    """How many the learning rates span among which it was made; NaN where they are not spread over them evenly."""
    scaled, rates = choice.candidates.chosen_from[:, 0], [point["lr"] for point in choice.candidates.points]
    return float(np.ptp(scaled)) if np.allclose(scaled, np.log10(rates), atol=1e-3) else math.nan


def _overtuning(runs: ArmRuns) -> float:
    """How much better the best trial looked in its search than the confirmations are, in points of validation."""
    confirmed = runs.repeats[runs.repeats["phase"] == "confirm"]
    same_fold = confirmed["fold"].eq(runs.best["fold"]).fillna(True)  # others may be easier, or harder
    confirmed = confirmed.loc[same_fold, "val_accuracy"].dropna()
    return float(runs.best["val_accuracy"] - confirmed.mean()) if len(confirmed) else math.nan


# ---- where it led nowhere


def ways_out(own: pd.DataFrame, study: StudyFile, arm: str) -> list[str]:
    """Commands that might lead further than these search trials, by what most stands in their way: two at most."""
    seen, total, batch, epochs = (first(own[c]) or 0 for c in ("val_size", "train_size", "batch_size", "epochs"))
    ways = []
    if own["state"].eq("DIVERGED").sum() * 2 >= len(own) and own["lr"].notna().any():
        ways.append({"lr_low": f"{own['lr'].min() / 100:.0e}", "lr_high": f"{own['lr'].min() * 10:.0e}"})
    if seen < FEW_PICTURES and own["folds"].isna().all() and "data.validation_size=" not in study.command:
        ways.append({"data.folds": 3})
    if batch and epochs * math.ceil(total / batch) < FEW_STEPS:
        few = min(batch, 16)
        ways.append({"batch_size": few, "epochs": max(epochs, math.ceil(FEW_STEPS * few / max(total, 1)))})
    elif epochs:
        ways += [{"epochs": 2 * epochs}, {"lr_low": "1e-6", "lr_high": "1"}]
    ways = [{"minutes": f"{3 * study.minutes:g}"}, *ways] if study.minutes else ways  # of which everything follows
    fixed = _own_keys(study, arm) | (set() if "lr" in study.spaces.get(arm, {}) else {"lr_low"})
    free = [way for way in ways if not fixed & way.keys()][:2]
    return [_another_study(study, " ".join(f"{key}={value}" for key, value in way.items())) for way in free]


def _own_keys(study: StudyFile, arm: str) -> set[str]:
    """The keys in which an arm differs from others: it sets them itself, and no command may set them for all."""
    others = [settings for name, settings in study.arms.items() if name != arm]
    return {key for key, value in study.arms.get(arm, {}).items() if any(o.get(key) != value for o in others)}


def _another_study(study: StudyFile, words: str) -> str:
    """The study's command under another name, and in another folder, with these words in it."""
    replaced = ("name", "hydra.sweep.dir", *(word.partition("=")[0] for word in words.split()))
    words_typed = shlex.split(study.command or "headstart -m ...")
    typed = [word for word in words_typed if word.partition("=")[0] not in replaced]
    return f"{shlex.join(typed)} {words} name={(study.name or 'study')[:LONGEST_STEM]}_again"
