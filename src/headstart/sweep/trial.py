"""One trial: its number, its state, and how its job reports and tells; the sweeper tells only for jobs that died."""

import copy
import logging
import math
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import PercentilePruner
from optuna.trial import FrozenTrial, TrialState

from headstart.errors import summary
from headstart.store import AT_CHANCE, FINISHED, PAUSED, read_run, write_record
from headstart.sweep.storage import open_storage

log = logging.getLogger(__name__)

OWNER = ".owner"  # file in a run's folder: which process claimed it
RUNG = "completed_rung_"  # prefix of the marks that Optuna's successive halving leaves on a trial
UNTIL = "until"  # user attribute of a trial: after which epoch its job pauses
CHANCE = "chance"  # user attribute of a trial that others are compared with: up to which accuracy (percent) it guesses
AFTER = "after-"  # begins the name of a folder of confirmations that each repeat the choice


def number_of(trial: FrozenTrial) -> int:
    """The trial's number in tables and folder names; differs from Optuna's once failed trials were retried."""
    own = trial.user_attrs.get("number")
    return trial.number if own is None else int(own)


def point_of(trial: FrozenTrial) -> dict[str, Any]:
    """The trial's parameters, of one that waits those that are fixed."""
    return trial.system_attrs.get("fixed_params", {}) | trial.params


def is_paused(trial: FrozenTrial) -> bool:
    """Whether the trial was trained as far as it is to be for now: it waits for others, and counts as one that ran."""
    return trial.state == TrialState.WAITING and trial.user_attrs.get("reason", "").startswith(PAUSED)


def is_promising(trial: FrozenTrial) -> bool:
    """Whether it is a paused trial that was not at chance level."""
    return is_paused(trial) and AT_CHANCE not in trial.user_attrs["reason"]


def has_begun(trial: FrozenTrial) -> bool:
    """Whether the trial is running, was paused or has ended."""
    return trial.state != TrialState.WAITING or is_paused(trial)


def has_stopped(trial: FrozenTrial) -> bool:
    """Whether the trial has ended or was paused: it has a result."""
    return trial.state.is_finished() or is_paused(trial)


def state_of(trial: FrozenTrial) -> str:
    """The state as the tables name it, from Optuna's state and the trial's reason."""
    reason = trial.user_attrs.get("reason")
    if is_paused(trial):
        return "PRUNED"
    special = {("COMPLETE", "chance"): "CHANCE", ("PRUNED", "diverged"): "DIVERGED"}
    return special.get((trial.state.name, reason), {"FAIL": "FAILED"}.get(trial.state.name, trial.state.name))


def has_ended(run_dir: Path) -> bool:
    """Whether the folder holds the readable result of a run, whatever it is."""
    return (run_dir / "result.json").exists() and read_run(run_dir, whole=False)["state"] in FINISHED


def trials_behind(confirm_dir: Path) -> int | None:
    """After how many trials the choice was made that a confirmation trains; None: the best trial's settings."""
    of = confirm_dir.parent.name
    return int(of.removeprefix(AFTER)) if of.startswith(AFTER) else None


def record_failure(run_dir: Path, reason: str, facts: dict[str, Any]) -> None:
    """Write a FAILED result where the run itself could not."""
    if not has_ended(run_dir):
        known = {k: v for k, v in read_run(run_dir).items() if k not in ("state", "reason")}
        write_record(run_dir / "result.json", facts | known | dict(state="FAILED", reason=reason), ("epochs.csv",))


def tell(storage: optuna.storages.BaseStorage, trial: FrozenTrial, run_dir: Path, returned: Any = None) -> bool:
    """Tell Optuna how a trial ended, from result.json or from what the job returned; False when it has not ended."""
    result = read_run(run_dir) if (run_dir / "result.json").exists() else {}
    if result.get("state") in FINISHED:  # a damaged one counts as none: the trial runs again
        state, value, reason = result["state"], result.get("val_accuracy"), result.get("reason") or "failed"
    elif returned is not None:
        value = float(returned)
        state, reason = ("COMPLETE", "") if math.isfinite(value) else ("DIVERGED", "")
    else:
        return False
    if state == "PRUNED" and reason.startswith(PAUSED):
        pause(storage, trial, reason)
        return True
    optuna_state, reason = {
        "COMPLETE": (TrialState.COMPLETE, ""),
        "CHANCE": (TrialState.COMPLETE, "chance"),
        "PRUNED": (TrialState.PRUNED, "pruner"),
        "DIVERGED": (TrialState.PRUNED, "diverged"),
    }.get(state, (TrialState.FAIL, reason))
    finish(storage, trial, optuna_state, value if optuna_state == TrialState.COMPLETE else None, reason)
    return True


def pause(storage: optuna.storages.BaseStorage, trial: FrozenTrial, reason: str) -> None:
    """Have the trial wait, with what it reported; until then it is one that runs."""
    storage.set_trial_user_attr(trial._trial_id, "reason", reason)
    storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)


def go_on(storage: optuna.storages.BaseStorage, trial: FrozenTrial, run_dir: Path, until: int | None) -> None:
    """Have a waiting trial run, to that epoch or its end; its result is none any more. A kill in between is no harm."""
    if trial.user_attrs.get(UNTIL) != until:
        storage.set_trial_user_attr(trial._trial_id, UNTIL, until)
    if trial.user_attrs.get("reason"):
        storage.set_trial_user_attr(trial._trial_id, "reason", "")  # from here on it is one that a kill left behind
    result = run_dir / "result.json"
    if result.exists() and str(read_run(run_dir)["reason"]).startswith(PAUSED):
        result.unlink()
    storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)


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

    def __init__(
        self,
        study_name: str,
        url: str,
        number: int,
        pruner: optuna.pruners.BasePruner,
        *,
        reports: bool,
        frozen: int = 0,  # first epochs, in which nothing is pruned: a backbone stands still that learns later
    ):
        self.study = optuna.load_study(
            study_name=study_name, storage=open_storage(url), sampler=optuna.samplers.RandomSampler(), pruner=pruner
        )
        found = [t for t in self.study.get_trials(deepcopy=False) if number_of(t) == number][-1]
        self.frozen = copy.deepcopy(found)  # as it is now: some storages hand out what they go on changing
        self.trial = optuna.Trial(self.study, self.frozen._trial_id)
        self.reports, self.frozen_epochs = reports, frozen
        self.by_rank = isinstance(pruner, PercentilePruner)
        self.first_point = bool(self.frozen.user_attrs.get("first_point"))
        self.until = self.frozen.user_attrs.get(UNTIL) if reports else None
        self.facts = dict(number=number, params=dict(self.frozen.params))

    def pauses_after(self, epoch: int) -> bool:
        """Whether the job is to pause after that epoch, from where it may have to go on."""
        return self.until is not None and epoch >= self.until

    def guesses_up_to(self, accuracy: float) -> None:
        """Record at which accuracy (percent) the trial is still at chance level, where that makes a difference.

        Not of one that has reported: what was compared before this was recorded at all stays as it was.
        """
        compared = self.until is not None or self.by_rank
        if self.reports and compared and not self.frozen.intermediate_values:
            self.study._storage.set_trial_user_attr(self.frozen._trial_id, CHANCE, accuracy)

    def report(self, value: float, step: int) -> str | None:
        """Record a value; a text when the pruner ends the trial here. A step that is stored already stays as it is."""
        if not self.reports:
            return None
        stored = self.frozen.intermediate_values
        if step not in stored:
            self.trial.report(value, step)
        elif step < max(stored) and self.until is None:
            return None  # the run went on after it
        if self.until is not None:
            return f"{PAUSED} after epoch {step}" if self.pauses_after(step) else None
        if step <= self.frozen_epochs:
            return None
        pruned = self._should_prune_again() if step in stored else self._should_prune()
        return f"pruned after epoch {step}" if pruned and not self.first_point else None

    def _should_prune(self) -> bool:
        return self._asked(self._now()) if self.by_rank else self.trial.should_prune()

    def _should_prune_again(self) -> bool:
        """Decide what a kill may have cut off, without the mark that successive halving leaves before it decides."""
        frozen = copy.deepcopy(self.frozen)
        value = frozen.intermediate_values[frozen.last_step]
        marks = {k for k, v in frozen.system_attrs.items() if k.startswith(RUNG) and v == value}
        frozen.system_attrs = {k: v for k, v in frozen.system_attrs.items() if k not in marks}
        return self._asked(frozen)

    def _asked(self, frozen: FrozenTrial) -> bool:
        """What the pruner says; to one that goes by the rank among others' values every guess is as good as any."""
        others = [t for t in self.study.get_trials(deepcopy=False) if t._trial_id != frozen._trial_id]
        if self.by_rank:
            frozen, others = _at_best_guess(frozen), list(map(_at_best_guess, others))
        return self.study.pruner.prune(OfTrials(self.study, others), frozen)

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


def _at_best_guess(trial: FrozenTrial) -> FrozenTrial:
    """The trial with the highest guess in place of all lower ones: which of two guesses is better says nothing."""
    highest = trial.user_attrs.get(CHANCE)
    if highest is None or all(value >= highest for value in trial.intermediate_values.values()):
        return trial
    found = copy.copy(trial)
    found.intermediate_values = {e: highest if v < highest else v for e, v in trial.intermediate_values.items()}
    return found


class OfTrials:
    """A study that holds other trials than its own, for samplers and pruners that ask it for them."""

    def __init__(self, study: optuna.Study, trials: Sequence[FrozenTrial]):
        self._study, self._trials = study, trials

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, **_: Any
    ) -> list[FrozenTrial]:
        """Those of these trials in one of these states."""
        return [trial for trial in self._trials if states is None or trial.state in states]

    _get_trials = get_trials
