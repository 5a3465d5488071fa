"""arms.csv: per arm its search, its best setting, that setting over its seeds, and how fast it learns."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from headstart import statistics
from headstart.analysis.arm_search import choice_columns, luck_of, search_choice, search_columns, to_the_end
from headstart.analysis.arm_speed import halfway_accuracy, speed_columns
from headstart.analysis.columns import ARMS, ARMS_SHORT, CORRUPTED, ERRORS, READ_FIRST, SCORES
from headstart.analysis.csv_tables import first, frame_of
from headstart.analysis.predictions import Answers
from headstart.analysis.runs_of_arm import ArmRuns, disagreements, is_tested
from headstart.statistics import Uncertainty
from headstart.store import OUTCOMES, StudyFile

OPEN = ("RUNNING", "INTERRUPTED")
FACTS = (
    "model",
    "parameters",
    "parameters_with_statistics",
    "multiply_adds",
    "weights_bytes",
    "weights",
    "weights_sha256",
    "data",
    "train_size",
    "image_size",
    "folds",
    "class_ratio",
    "class_weights",
    "data_sha256",
    "epochs",
)
LATENCY = ("latency_seconds", "latency_p95_seconds", "answers_per_second")
NO_STUDY = StudyFile()
NO_ANSWERS: Mapping[str, Answers | None] = {}


def arms_table(
    runs: Mapping[str, ArmRuns],
    epochs: pd.DataFrame,
    study: StudyFile = NO_STUDY,
    answers: Mapping[str, Answers | None] = NO_ANSWERS,
) -> pd.DataFrame:
    """Return a row per arm (`ARMS`): its search, its best setting, and its confirmations.

    `runs`, `epochs`: the arms' runs, rows of epochs.csv, of one study; `study`: its study.json, without which ranges
    and edges are not known; `answers`: by arm, without which an interval is about these test images. An arm without
    search trials is made of its single runs: the best one and its repeats, equal in everything but the seed. `halfway`
    columns need the count of classes, which `compare` finds in the runs' files (column `classes` of the runs' rows).
    """
    rows = [_arm_row(name, own, epochs, study, answers.get(name)) for name, own in runs.items()]
    return frame_of(rows, ARMS)


def short_table(arms: pd.DataFrame, several: bool) -> pd.DataFrame:
    """Return the ten columns of arms.csv that are read first, under plain names (`ARMS_SHORT`).

    several: whether there are runs of several studies, where an arm is called STUDY/ARM.
    """
    own = with_study(arms, "arm") if several else arms
    return own[list(READ_FIRST)].rename(columns=READ_FIRST).astype({n: c.dtype for n, c in ARMS_SHORT.items()})


def of_several_studies(trials: pd.DataFrame) -> bool:
    """Whether the runs are of several studies; single runs, which belong to none, count as one."""
    return trials["study"].nunique(dropna=False) > 1


def with_study(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The frame with arms called STUDY/ARM in these columns; the study of single runs is called `runs`."""
    return frame.assign(**{column: frame["study"].fillna("runs") + "/" + frame[column] for column in columns})


def _arm_row(
    name: str, runs: ArmRuns, epochs: pd.DataFrame, study: StudyFile, answers: Answers | None
) -> dict[str, Any]:
    rows = runs.rows
    search = rows[rows["phase"] == "search"]
    choice = search_choice(name, search, epochs, study)
    return (
        {"study": first(rows["study"]), "arm": name}
        | _trial_counts(search["state"])
        | _facts(rows, runs.best)
        | _confirmation_columns(runs.repeats)
        | search_columns(name, search, to_the_end(search, epochs), study)
        | choice_columns(choice, runs)
        | {"disagreement": "; ".join(disagreements(name, runs)) or None}
        | _score_columns(runs.tested, answers, luck_of(choice, runs))
        | _latency_columns(runs.tested)
        | speed_columns(runs.repeats, epochs)
    )


def _trial_counts(states: pd.Series) -> dict[str, Any]:
    counted = states.value_counts()
    return {
        "tuned": bool(len(states)),
        "trials": sum(counted.get(state, 0) for state in OUTCOMES),
        "open": sum(counted.get(state, 0) for state in OPEN),
        **{column: counted.get(column.upper(), 0) for column in ("pruned", "diverged", "failed", "chance")},
    }


def _facts(rows: pd.DataFrame, best: pd.Series | None) -> dict[str, Any]:
    """What the arm is, by its best trial; without one, what is known of any."""
    known_of = rows if best is None else rows.loc[[best.name]]
    row = {column: first(known_of[column]) for column in FACTS}
    if (rows["state"] == "COMPLETE").any() and not rows["epochs_run"].gt(0).any():
        row["epochs"] = None  # a model that isn't trained in epochs, whatever the configuration says
    if best is not None:
        row |= {"best_number": best["number"], "best_lr": best["lr"], "val_accuracy": best["val_accuracy"]}
    return row


def _confirmation_columns(repeats: pd.DataFrame) -> dict[str, Any]:
    # Repeats whose training led nowhere: without them a mean over the others is too high.
    lost = repeats["state"].isin(["DIVERGED", "CHANCE"]) & ~is_tested(repeats)
    shared = {column: _shared(repeats[column]) for column in ("device", "threads")}
    return {"confirmations": len(repeats), "confirmations_lost": lost.sum(), **shared}


def _shared(values: pd.Series) -> Any:
    """The one value that all rows share, or None."""
    found = values.unique()
    return found[0] if len(found) == 1 else None


def _score_columns(tested: pd.DataFrame, answers: Answers | None, luck: Uncertainty | None) -> dict[str, Any]:
    summary = statistics.summarise(tested["test_accuracy"].astype(float))
    row: dict[str, Any] = {"seeds": summary.n, "test_mean": summary.mean, "test_std": summary.std}
    row["train_mean"] = tested["train_accuracy"].mean()
    seeds = summary.uncertainty
    known_of = seeds if answers is None else statistics.crossed_uncertainty(answers.of(answers.seeds))
    whole = known_of if luck is None else statistics.together(known_of, luck)
    row["test_ci_low"], row["test_ci_high"] = statistics.accuracy_interval(summary.mean, whole)
    row["test_seeds_ci_low"], row["test_seeds_ci_high"] = statistics.accuracy_interval(summary.mean, seeds)
    row |= {name: tested[name].mean() for name in (*SCORES, *CORRUPTED)}
    row |= {"val_mean": _mean_over_folds(tested["val_accuracy"], tested["fold"])}
    row |= {name: _mean_over_folds(tested[name], tested["fold"]) for name in ERRORS}
    if "classes" in tested:
        classes, row["test_images"] = first(tested["classes"]), first(tested["test_images"])
        row["halfway_accuracy"] = halfway_accuracy(classes) if classes else None
    return row


def _latency_columns(tested: pd.DataFrame) -> dict[str, Any]:
    """Medians, as a run that something else got in the way of tells nothing of the model."""
    return {name: tested[name].median() for name in LATENCY} | {"processor": _shared(tested["processor"].dropna())}


def _mean_over_folds(values: pd.Series, folds: pd.Series) -> Any:
    """The mean, in which each fold has the same weight, however many seeds it was used with."""
    return values.groupby(folds, dropna=False).mean().mean()
