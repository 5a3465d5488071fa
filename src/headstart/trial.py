"""One trial: its number, its state, and how its job reports and tells; the sweeper tells only for jobs that died."""

import logging
import math
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from headstart import records
from headstart.storage import open_storage

log = logging.getLogger(__name__)


def number_of(trial: FrozenTrial) -> int:
    """The trial's number in tables and folder names; differs from Optuna's once failed trials were retried."""
    return int(trial.user_attrs.get("number", trial.number))


def state_of(trial: FrozenTrial) -> str:
    """The state as the tables name it, from Optuna's state and the trial's reason."""
    reason = trial.user_attrs.get("reason")
    special = {("COMPLETE", "chance"): "CHANCE", ("PRUNED", "diverged"): "DIVERGED"}
    return special.get((trial.state.name, reason), {"FAIL": "FAILED"}.get(trial.state.name, trial.state.name))


def tell(storage: optuna.storages.BaseStorage, trial: FrozenTrial, run_dir: Path, returned: Any = None) -> bool:
    """Tell Optuna how a trial ended, from result.json or from what the job returned; False when it has not ended."""
    if (run_dir / "result.json").exists():
        result = records.read_run(run_dir)
        state, value, reason = result["state"], result.get("val_accuracy"), result.get("reason") or "failed"
        if state not in records.FINISHED:  # a damaged result counts as none: the trial runs again
            return False
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
        if reason:
            storage.set_trial_user_attr(trial._trial_id, "reason", reason)
        storage.set_trial_state_values(trial._trial_id, state, None if value is None else [value])
    except optuna.exceptions.UpdateFinishedTrialError:
        log.debug("trial %d was told already", trial.number)


def last_line(error: BaseException) -> str:
    """The last line of an exception's text, or its type's name."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1]


class Reporter:
    """A trial as its job sees it: reports per epoch, and tells the study how it ended."""

    def __init__(self, study_name: str, url: str, number: int, pruner: optuna.pruners.BasePruner, *, reports: bool):
        self.study = optuna.load_study(
            study_name=study_name, storage=open_storage(url), sampler=optuna.samplers.RandomSampler(), pruner=pruner
        )
        self.frozen = [t for t in self.study.get_trials(deepcopy=False) if number_of(t) == number][-1]
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
        if self.first_point or (stored and step < max(stored)):
            return None
        return f"pruned after epoch {step}" if self.trial.should_prune() else None

    def tell(self, run_dir: Path, returned: Any) -> None:
        """Tell the study the outcome of a search trial."""
        if self.reports:
            tell(self.study._storage, self._now(), run_dir, returned)

    def tell_failed(self, error: Exception) -> None:
        """Tell the study that the trial raised."""
        if self.reports:
            finish(self.study._storage, self._now(), TrialState.FAIL, None, last_line(error))

    def _now(self) -> FrozenTrial:
        return self.study._storage.get_trial(self.frozen._trial_id)
