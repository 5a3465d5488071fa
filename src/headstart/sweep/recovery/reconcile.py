"""What the storage says of every run, and what its folder says, compared as a study begins and goes on.

A folder whose files are what its run left is believed, as the run wrote them once and the study is only told of it.
What cannot be trusted runs again: on the CPU it ends in the same row.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from headstart.store import (
    FINISHED,
    PAUSED,
    digest_of,
    discard,
    is_damaged,
    put_aside,
    read_epochs,
    read_record,
    read_run,
)
from headstart.sweep.leases import EndedRun
from headstart.sweep.recovery.elsewhere import put_superseded_aside
from headstart.sweep.recovery.requeue import requeue
from headstart.sweep.study_state import StudyState
from headstart.sweep.trial import has_stopped, is_paused, number_of, state_of


def reconcile(state: StudyState) -> list[str]:
    """Queue again what the storage and the folders do not agree on; return a line for each such run.

    Called with the study's lock held, where no trial of this process runs yet.
    """
    ended, away = state.claims.ended(), state.away()
    lines = list(put_superseded_aside(state, away))
    if state.elsewhere == "rerun":
        lines += _rerun_confirmations(state, away)
    lines += _confirmations(state, ended)
    lines += [f"{place}: {fault}; it runs again" for place, fault in _damaged_source(state)]
    for arm in (arm.name for arm in state.arms):
        lines += _reconcile_search(state, arm, ended, away)
        state.refresh(arm)
    return lines


Ended = Mapping[Path, EndedRun]


def _reconcile_search(state: StudyState, arm: str, ended: Ended, away: Ended) -> Iterator[str]:
    trials = state.trials(arm)
    for trial in filter(has_stopped, trials):
        run_dir, study = state.run_dir(arm, number_of(trial)), state.studies[arm]
        if run_dir in away:
            if state.elsewhere == "rerun":
                requeue(study, trial)
                state.claims.reopen(run_dir)
                yield f"{run_dir}: its result lies in {away[run_dir].place}; it runs again here"
            continue
        record = read_run(run_dir)
        if state.has_joined and run_dir not in ended and record["state"] not in FINISHED:
            yield f"{run_dir}: nobody has noted where its result lies; give the command in the first folder, too"
            continue
        if record["state"] == "RUNNING":  # a job that has told how it ended is about to let go of its folder
            continue
        if fault := _no_record_of(trial, record):
            if run_dir in ended and not ended[run_dir].is_ours:
                yield f"{put_aside(run_dir)}: {fault}; copy the run from {ended[run_dir].place} again"
                continue
            discard(run_dir)
            requeue(study, trial)
            state.claims.reopen(run_dir)
            yield f"{run_dir}: {fault}; it runs again"
        elif difference := _told_otherwise(trial, record, curve := _curve(run_dir)):
            if _is_vouched_for(run_dir):
                requeue(study, trial, curve)
                yield f"{run_dir}: {difference}; the study is told again what its files say"
            else:
                discard(run_dir)
                requeue(study, trial)
                yield f"{run_dir}: {difference}; it runs again"
            state.claims.reopen(run_dir)
        elif _is_to_be_noted(run_dir, ended):
            state.claims.note_end(run_dir)
    known = {number_of(trial) for trial in trials}
    for result in sorted((state.folder / arm / "search").glob("*/result.json")):
        if result.parent.name.isdecimal() and int(result.parent.name) not in known:
            discard(result.parent)
            yield f"{result.parent}: the storage knows no such trial; it runs again when its turn comes"


def _no_record_of(trial: FrozenTrial, record: dict[str, Any]) -> str:
    """Why what a folder holds is no record of this trial; "" where it is."""
    if record["state"] not in FINISHED:
        return record["reason"] or "its result is gone"
    if record.get("number", number_of(trial)) != number_of(trial):
        return f"it holds the result of trial {record['number']}"
    params = record.get("params", trial.params)
    if params.keys() != trial.params.keys() or not all(_same(params[key], trial.params[key]) for key in params):
        return f"it was run with {params}, and the storage says {trial.params}"
    return ""


def _told_otherwise(trial: FrozenTrial, record: dict[str, Any], curve: dict[int, float]) -> str:
    """In what the storage differs from a run's record and its accuracies by epoch; "" where they agree."""
    says, is_waiting = state_of(trial), record["state"] == "PRUNED" and record["reason"].startswith(PAUSED)
    if says != record["state"] or is_paused(trial) != is_waiting:
        return f"it is {record['state']}, and the storage says {says}"
    if trial.state == TrialState.COMPLETE and not _same(trial.value, record.get("val_accuracy")):
        return f"its val_accuracy is {record.get('val_accuracy')}, and the storage says {trial.value}"
    reported = trial.intermediate_values
    if other := [e for e, value in reported.items() if e in curve and not _same(value, curve[e])]:
        return f"its val_accuracy in epoch {other[0]} is {curve[other[0]]}, and the storage says {reported[other[0]]}"
    return ""


def _curve(run_dir: Path) -> dict[int, float]:
    """Validation accuracy in percent by epoch."""
    return {row.epoch: row.val_accuracy for row in read_epochs(run_dir).rows if row.val_accuracy is not None}


def _is_vouched_for(run_dir: Path) -> bool:
    """Whether the run's result has a digest, which earlier versions wrote none of."""
    return read_record(run_dir / "result.json")[1] is not None


def _is_to_be_noted(run_dir: Path, ended: Ended) -> bool:
    """Whether the study's claims do not know yet of the result that lies here: its process died before it said so."""
    noted = ended.get(run_dir)
    return noted is None or (noted.is_ours and noted.digest != digest_of(run_dir / "result.json"))


def _confirmations(state: StudyState, ended: Ended) -> Iterator[str]:
    """Have confirmations that cannot be trusted begin anew, with a line on each; note those that ended unnoticed."""
    here = {path.parent for arm in state.arms for path in _of_arm(state, arm.name).glob("*/seed-*/result.json")}
    gone = {d for d, run in ended.items() if run.is_ours and d not in here and d.parent.parent.name == "confirm"}
    for run_dir in sorted(here | gone):
        record, is_copy = read_run(run_dir), run_dir in ended and not ended[run_dir].is_ours
        if run_dir in gone:
            fault = "its result is gone"
        elif is_damaged(run_dir):
            fault = record["reason"]
        elif str(record.get("seed")) not in ("None", run_dir.name.removeprefix("seed-")):
            fault = f"it holds the result of seed {record['seed']}"
        else:
            if _is_to_be_noted(run_dir, ended):
                state.claims.note_end(run_dir)
            continue
        if is_copy:
            yield f"{put_aside(run_dir)}: {fault}; copy the run from {ended[run_dir].place} again"
        else:
            discard(run_dir)
            state.claims.reopen(run_dir)
            yield f"{run_dir}: {fault}; it runs again"


def _of_arm(state: StudyState, arm: str) -> Path:
    return state.folder / arm / "confirm"


def _rerun_confirmations(state: StudyState, away: Ended) -> Iterator[str]:
    for run_dir in (d for d in away if d.parent.parent.name == "confirm"):
        state.claims.reopen(run_dir)
        yield f"{run_dir}: its result lies in {away[run_dir].place}; it runs again here"


def _damaged_source(state: StudyState) -> Iterator[tuple[Path, str]]:
    """The source run, if it cannot be trusted, begun anew, with what is wrong with it."""
    source, weights = state.source_dir, state.source_dir / "best.safetensors"
    if is_damaged(source):
        fault = read_run(source)["reason"]
    elif weights.exists() and read_run(source).get("best_sha256") not in (None, digest_of(weights)):
        fault = "best.safetensors is not what the run left"
    else:
        return
    discard(source)
    yield source, fault


def _same(one: Any, other: Any) -> bool:
    """Whether they are equal, numbers as a database may round them."""
    numbers = (int, float)
    if isinstance(one, numbers) and isinstance(other, numbers):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return one == other
