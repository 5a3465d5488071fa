"""What an arm's search chose, fitted to its trials as the sweep did: the smoothed best, and the luck in the choice."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from headstart import statistics
from headstart.analysis.csv_tables import first, known
from headstart.analysis.runs_of_arm import ArmRuns
from headstart.statistics import SPREAD_DF, Choice, Uncertainty
from headstart.store import StudyFile


def search_choice(arm: str, rows: pd.DataFrame, study: StudyFile) -> Choice | None:
    """The choice of the arm's search; None where its space, the study's seed or the trials' values are not known.

    `rows`: the arm's, of trials.csv.
    """
    space = study.spaces.get(arm)
    trials = rows[(rows["phase"] == "search") & (rows["state"] == "COMPLETE") & rows["val_accuracy"].notna()]
    if not _is_known(space) or study.seed is None or trials.empty:
        return None
    trials = trials.sort_values("number", kind="stable")
    settings = (
        trials.reindex(columns=[f"params_{key}" for key in space])
        .astype(object)
        .where(lambda frame: frame.notna(), None)
    )
    settings.columns = list(space)
    numeric = [key for key, bounds in space.items() if "choices" not in bounds]
    if settings[numeric].isna().any(axis=None):
        return None
    values = trials["val_accuracy"].astype(float)
    pictures = known(first(trials["val_size"]))
    points = settings.to_dict("records")
    return statistics.choice_of(space, points, values, pictures=pictures, seed=study.seed, arm=arm)


def _is_known(space: Any) -> bool:
    """Whether study.json, which people edit, describes every key by choices or by finite bounds."""
    if not isinstance(space, Mapping) or not all(isinstance(bounds, Mapping) for bounds in space.values()):
        return False
    return all(
        isinstance(bounds.get("choices"), list)
        or all(isinstance(bounds.get(end), int | float) and math.isfinite(bounds[end]) for end in ("low", "high"))
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
    row |= {"smoothed_best": ", ".join(f"{key}={value}" for key, value in choice.best.items())}
    return row | {"confirmed_lr_low": rates.min(), "confirmed_lr_high": rates.max()}


def _overtuning(runs: ArmRuns) -> float:
    """How much better the best trial looked in its search than the confirmations are, in points of validation."""
    confirmed = runs.repeats.loc[runs.repeats["phase"] == "confirm", "val_accuracy"].dropna()
    return float(runs.best["val_accuracy"] - confirmed.mean()) if len(confirmed) else math.nan
