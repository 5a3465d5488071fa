"""One trial: its number, its state, and how its job reports and tells; the sweeper tells only for jobs that died."""

import copy
import logging
import math
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from headstart.errors import summary
from headstart.store import FINISHED, read_run, write_json
from headstart.sweep.storage import open_storage

log = logging.getLogger(__name__)

OWNER = ".owner"  # file in a run's folder: which process claimed it
RUNG = "completed_rung_"  # prefix of the marks that successive halving leaves on a trial


def number_of(trial: FrozenTrial) -> int:
    """The trial's number in tables and folder names; differs from Optuna's once failed trials were retried."""
    return int(trial.user_attrs.get("number", trial.number))


def point_of(trial: FrozenTrial) -> dict[str, Any]:
    """The trial's parameters, of one that waits those that are fixed."""
    return trial.system_attrs.get("fixed_params", {}) | trial.params


def state_of(trial: FrozenTrial) -> str:
    """The state as the tables name it, from Optuna's state and the trial's reason."""
    reason = trial.user_attrs.get("reason")
    special = {("COMPLETE", "chance"): "CHANCE", ("PRUNED", "diverged"): "DIVERGED"}
    return special.get((trial.state.name, reason), {"FAIL": "FAILED"}.get(trial.state.name, trial.state.name))


def has_ended(run_dir: Path) -> bool:
    """Whether the folder holds the readable result of a run, whatever it is."""
    return (run_dir / "result.json").exists() and read_run(run_dir)["state"] in FINISHED


def record_failure(run_dir: Path, reason: str, facts: dict[str, Any]) -> None:
    """Write a FAILED result where the run itself could not."""
    if not has_ended(run_dir):
        known = {k: v for k, v in read_run(run_dir).items() if k not in ("state", "reason")}
        write_json(run_dir / "result.json", facts | known | dict(state="FAILED", reason=reason))


def tell(storage: optuna.storages.BaseStorage, trial: FrozenTrial, run_dir: Path, returned: Any = None) -> bool:
    """Tell Optuna how a trial ended, from result.json or from what the job returned; False when it has not ended."""
    if has_ended(run_dir):  # a damaged result counts as none: the trial runs again
        result = read_run(run_dir)
        state, value, reason = result["state"], result.get("val_accuracy"), result.get("reason") or "failed"
    elif returned is not None:
        value = float(returned)
        state, reason = ("COMPLETE", "") if math.isfinite(value) else ("DIVERGED", "")
    else:
        return False
    optuna_state, reason = {
        "COMPLETE": (TrialState.COMPLETE, ""),
        "CHANCE": (TrialState.COMPLETE, "chance"),
        "PRUNED": (TrialState.PRUNED, "pruner"),
        "DIVERGED": (TrialState.PRUNED, "diverged"),
    }.get(state, (TrialState.FAIL, reason))
    finish(storage, trial, optuna_state, value if optuna_state == TrialState.COMPLETE else None, reason)
    return True


def finish(
    storage: optuna.storages.BaseStorage, trial: FrozenTrial, state: TrialState, value: float | None, reason: str
) -> None:
    """Set a trial's final state, with its reason as a user attribute, unless somebody already has.

    A pruned trial's value is its last report, as Optuna's own `tell` has it: TPE learns from it.
    """
    if state == TrialState.PRUNED and trial.intermediate_values:
        last = trial.intermediate_values[max(trial.intermediate_values)]
        value = last if math.isfinite(last) else None
    try:
        if reason != trial.user_attrs.get("reason", ""):
            storage.set_trial_user_attr(trial._trial_id, "reason", reason)
        storage.set_trial_state_values(trial._trial_id, state, None if value is None else [value])
    except optuna.exceptions.UpdateFinishedTrialError:
        log.debug("trial %d was told already", trial.number)


class Reporter:
    """A trial as its job sees it: reports per epoch, and tells the study how it ended."""

    def __init__(self, study_name: str, url: str, number: int, pruner: optuna.pruners.BasePruner, *, reports: bool):
        self.study = optuna.load_study(
            study_name=study_name, storage=open_storage(url), sampler=optuna.samplers.RandomSampler(), pruner=pruner
        )
        found = [t for t in self.study.get_trials(deepcopy=False) if number_of(t) == number][-1]
        self.frozen = copy.deepcopy(found)  # as it is now: some storages hand out what they go on changing
        self.trial = optuna.Trial(self.study, self.frozen._trial_id)
        self.reports = reports
        self.first_point = bool(self.frozen.user_attrs.get("first_point"))
        self.facts = dict(number=number, params=dict(self.frozen.params))

    def report(self, value: float, step: int) -> str | None:
        """Record a value; a text when the pruner ends the trial here. A step that is stored already stays as it is."""
        if not self.reports:
            return None
        stored = self.frozen.intermediate_values
        if step not in stored:
            self.trial.report(value, step)
        elif step < max(stored):
            return None  # the run went on after it
        pruned = self._should_prune_again() if step in stored else self.trial.should_prune()
        return f"pruned after epoch {step}" if pruned and not self.first_point else None

    def _should_prune_again(self) -> bool:
        """Decide what a kill may have cut off, without the mark that successive halving leaves before it decides."""
        frozen = copy.deepcopy(self.frozen)
        value = frozen.intermediate_values[frozen.last_step]
        marks = {k for k, v in frozen.system_attrs.items() if k.startswith(RUNG) and v == value}
        frozen.system_attrs = {k: v for k, v in frozen.system_attrs.items() if k not in marks}
        return self.study.pruner.prune(_Others(self.study, frozen._trial_id), frozen)

    def tell(self, run_dir: Path, returned: Any) -> None:
        """Tell the study the outcome of a search trial."""
        if self.reports:
            tell(self.study._storage, self._now(), run_dir, returned)

    def tell_failed(self, error: Exception) -> None:
        """Tell the study that the trial raised."""
        if self.reports:
            finish(self.study._storage, self._now(), TrialState.FAIL, None, summary(error))

    def _now(self) -> FrozenTrial:
        return self.study._storage.get_trial(self.frozen._trial_id)


class _Others:
    """A study without one of its trials, for a pruner that is asked about that trial a second time."""

    def __init__(self, study: optuna.Study, trial_id: int):
        self._study, self._trial_id = study, trial_id

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def get_trials(self, *arguments: Any, **named: Any) -> list[FrozenTrial]:
        """All trials but that one."""
        return [t for t in self._study.get_trials(*arguments, **named) if t._trial_id != self._trial_id]
