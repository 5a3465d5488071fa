"""Hand out the runs of a study: equal budgets for all arms, nothing lost, nothing twice.

Any number of processes work on one study. What happens next is decided under one lock, from the storage, the run
folders and the claims on runs alone (`leases`), which also say whose process is alive.
"""

import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from headstart.errors import GaveOut, UserError, summary
from headstart.store import read_epochs, read_run
from headstart.sweep.arms import Arm
from headstart.sweep.edge_rule import extend_ranges, finish_extensions
from headstart.sweep.leases import Hold, LostClaim
from headstart.sweep.recovery import GAVE_OUT, outside_fault, reconcile, requeue_failed
from headstart.sweep.samplers import drawing, models, sampler_for, seed_of
from headstart.sweep.search_space import Point
from headstart.sweep.study_state import StudyState
from headstart.sweep.trial import (
    UNTIL,
    go_on,
    has_ended,
    has_stopped,
    is_paused,
    number_of,
    point_of,
    record_failure,
    state_of,
    tell,
    trials_behind,
)

TIMES_LOST = 3  # a run whose process died so often under a living sweeper, each time where it had begun, is FAILED
WAIT = "wait"  # nothing to claim now, but somebody's running trial may leave something


@dataclass
class Claim:
    """A run that this process has to do now; nobody else does until `release`."""

    kind: str  # search, confirm or source
    arm: str
    number: int | None
    params: Point
    seed: int | None
    run_dir: Path
    hold: Hold

    def release(self) -> None:
        """Let go of the run: whoever looks now sees that nobody works on it."""
        self.hold.release()


@dataclass
class Scheduler:
    """The rules by which the runs of a study are handed out."""

    state: StudyState
    make_sampler: Callable[[int], BaseSampler]  # from a seed
    source: bool = False  # whether a run has to come before the arms
    keep: str = "best"
    extend_at_edge: bool = False
    retry_failed: bool = False
    looks_back: bool = False  # whether what the storage and the folders say is compared

    def __post_init__(self) -> None:
        self.owner = uuid.uuid4().hex  # this process, in the folders of the runs that it claimed
        self._lost: dict[Path, tuple[int, int]] = {}  # after how many epochs at most, and how often since
        self._tidied: dict[str, tuple[int | None, set[int]]] = {}  # by arm, which trial was the best, which left behind
        with self.state.locked():
            if self.retry_failed:
                requeue_failed(self.state)
            self.disagreements = reconcile(self.state) if self.looks_back else []  # a line for each

    # ---- claiming

    def claim(self) -> Claim | str | None:
        """Take the next run, `WAIT` when others' running trials have to end first, or None when nothing is left."""
        with self.state.locked():
            if self.source and (claimed := self._claim_source()) is not None:
                return claimed
            for arm in self.state.arms:
                self._requeue_dead(arm.name)
            finish_extensions(self.state)
            claimed = self._claim_search()
            if claimed is None and self.extend_at_edge:
                if self.state.is_searching():  # which may move the best, and confirmations read the test split
                    return WAIT
                if extend_ranges(self.state):
                    claimed = self._claim_search()
            if (claimed := claimed or self._claim_confirmation()) is None:
                if self.state.is_searching() or self._is_confirming():
                    return WAIT
                while self.state.ask_for_more_seeds():
                    if (claimed := self._claim_confirmation()) is not None or self._is_confirming():
                        return claimed or WAIT
                for arm in self.state.arms:
                    self.tidy(arm.name)
            return claimed

    def _claim_source(self) -> Claim | str | None:
        run_dir, claims = self.state.source_dir, self.state.claims
        result = read_run(run_dir) if (run_dir / "result.json").exists() else {}
        if result.get("state") == "COMPLETE":
            if not (run_dir / "best.safetensors").exists():
                raise UserError(f"the weights of the source run {run_dir} are gone; remove that folder")
            return None
        if result:
            raise UserError(
                f"the source run {run_dir} ended as {result.get('state')} ({result.get('reason')}); "
                "mend its settings and remove that folder"
            )
        if claims.is_alive(run_dir):
            return WAIT
        if self.state.has_joined:
            raise UserError(f"the source run lies in another folder of the study; copy it from there to {run_dir}")
        return self._take("source", "source", None, {}, None, run_dir)

    def _take(self, kind: str, arm: str, number: int | None, params: Point, seed: int | None, run_dir: Path) -> Claim:
        return Claim(kind, arm, number, params, seed, run_dir, self.state.claims.take(run_dir, self.owner))

    def _claim_search(self) -> Claim | None:
        """A trial of the arm that is furthest behind: round robin, so that a sweep cut short is still fair."""
        arms = sorted(self.state.arms, key=lambda arm: self.state.started(arm.name))
        return next(filter(None, map(self._claim_trial, arms)), None)

    def _claim_trial(self, arm: Arm) -> Claim | None:
        """A paused trial of the arm that goes on, else the waiting one with the lowest number, else a new one."""
        state = self.state
        going_on = [(state.run_dir(arm.name, number_of(trial)), trial) for trial in state.going_on(arm)]
        for run_dir, trial in sorted(going_on, key=lambda found: not found[0].exists()):  # first those begun here
            if not state.claims.is_alive(run_dir):  # the job that paused it may be about to end
                return self._begin(arm, trial)
        if state.started(arm.name) >= state.trials_of(arm.name):
            return None
        waiting = [t for t in state.trials(arm.name) if t.state == TrialState.WAITING and not is_paused(t)]
        return self._begin(arm, waiting[0] if waiting else None)

    def _begin(self, arm: Arm, waiting: FrozenTrial | None) -> Claim | None:
        """Claim this trial, or a new one; None where others have to come further before it can be drawn."""
        state, study = self.state, self.state.studies[arm.name]
        number = len(state.trials(arm.name)) if waiting is None else number_of(waiting)
        draw = self._sampler(arm, number, waiting)
        if draw is None:
            return None
        goal = state.goals(arm).get(number, arm.rungs[0]) if state.halving(arm) else None
        until = None if goal == arm.epochs else goal
        if waiting is None:
            trial = optuna.Trial(study, state.storage.create_new_trial(study._study_id))
            if until is not None:
                trial.set_user_attr(UNTIL, until)
        else:
            go_on(state.storage, waiting, state.run_dir(arm.name, number), until)
            trial = optuna.Trial(study, waiting._trial_id)
        number = self._number_new(arm.name, trial)
        self._suggest(arm, trial, draw)
        return self._take("search", arm.name, number, dict(trial.params), None, state.run_dir(arm.name, number))

    def _number_new(self, arm: str, trial: optuna.Trial) -> int:
        """Optuna's own number; the first free one after failed trials were retried, which cost Optuna extra numbers."""
        if "number" in trial.user_attrs:
            return int(trial.user_attrs["number"])
        others = [t for t in self.state.trials(arm) if t.number != trial.number]
        number = trial.number
        if any("number" in t.user_attrs for t in others):
            number = next(n for n in range(len(others) + 1) if n not in {number_of(t) for t in others})
            trial.set_user_attr("number", number)
        return number

    def _sampler(self, arm: Arm, number: int, trial: FrozenTrial | None) -> BaseSampler | None:
        """By what the trial of that number is drawn; None where it can't be yet."""
        space, trials, halving = self.state.space(arm), self.state.trials(arm.name), self.state.halving(arm)
        with drawing():
            made, seen = self.make_sampler(seed_of(self.state.seed, number)), None
            is_drawn = trial is None or not space.keys() <= point_of(trial).keys()
            if halving and is_drawn and models(made):
                seen = halving.seen_by(number, len(arm.first_points), trials, arm.rungs)
                if seen is None:
                    return None
            tried = (point_of(t) for t in trials if number_of(t) != number)  # asked for where the space is finite
            return sampler_for(made, space, number, self.state.seed, tried, seen)

    def _suggest(self, arm: Arm, trial: optuna.Trial, sampler: BaseSampler) -> None:
        """Draw the trial's parameters."""
        trial.study.sampler = sampler
        with drawing():
            for key, distribution in self.state.space(arm).items():
                trial._suggest(key, distribution)

    def _claim_confirmation(self) -> Claim | None:
        for run in self.state.confirmations():
            if not run.ended and not self.state.claims.is_alive(run.run_dir):
                return self._take("confirm", run.arm, run.number, run.params, run.seed, run.run_dir)
        return None

    def _is_confirming(self) -> bool:
        return any(self.state.claims.is_alive(run.run_dir) for run in self.state.confirmations() if not run.ended)

    # ---- requeueing

    def _requeue_dead(self, arm: str) -> None:
        """Trials whose process is gone: told from their result where they had ended, otherwise waiting again."""
        storage, claims = self.state.storage, self.state.claims
        for trial in [t for t in self.state.trials(arm) if t.state == TrialState.RUNNING]:
            run_dir = self.state.run_dir(arm, number_of(trial))
            if claims.seize(run_dir):
                if tell(storage, trial, run_dir):
                    claims.note_end(run_dir)
                else:
                    claims.reopen(run_dir)
                    storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
            self.state.refresh(arm)

    # ---- telling

    def tell(self, claim: Claim, error: BaseException | None = None) -> str:
        """After a job returned or died under a living sweeper: its state; one that left no result is handed out again.

        error: what the launcher raised. A run that was lost `TIMES_LOST` times without an epoch more is FAILED; of one
        that others have taken over nothing is told.
        """
        with suppress(LostClaim), self.state.locked():
            if isinstance(error, LostClaim):
                raise error
            if not self._is_told(claim) and self._times_lost(claim.run_dir) >= TIMES_LOST:
                cause = f": {summary(error)}" if error else ""
                self._fail(claim, f"its process died {TIMES_LOST} times (out of memory, or of time?){cause}")
            if claim.kind != "search":
                return read_run(claim.run_dir)["state"]
            self.tidy(claim.arm, ended=claim.number)
            return state_of(self.state.find(claim.arm, claim.number))
        return "RUNNING"

    def _times_lost(self, run_dir: Path) -> int:
        """Count a loss of the run, from 1 where it had come further than ever: then a time limit may have ended it."""
        epochs, (most, times) = len(read_epochs(run_dir)), self._lost.get(run_dir, (0, 0))
        self._lost[run_dir] = (epochs, 1) if epochs > most else (most, times + 1)
        return self._lost[run_dir][1]

    def _is_told(self, claim: Claim) -> bool:
        """Whether the run has ended; what its job could not tell the study any more is told from its result."""
        trial = self.state.find(claim.arm, claim.number) if claim.kind == "search" else None
        if trial is not None and has_stopped(trial):
            return True
        self.state.refresh(claim.arm)
        with claim.hold.ending():  # which notes the result that is there
            return has_ended(claim.run_dir) if trial is None else tell(self.state.storage, trial, claim.run_dir)

    def end_where_outside(self, claim: Claim, error: BaseException | None) -> None:
        """Raise the OutsideFault that a job ended with, if it did; its run is left to be claimed again.

        A run that is out of memory for the second time wants more than there is: it is FAILED like any other.
        """
        if (fault := outside_fault(error)) is None or isinstance(fault, LostClaim):
            return
        mark = claim.run_dir / GAVE_OUT
        if isinstance(fault, GaveOut) and mark.exists():
            with self.state.locked():
                self._fail(claim, f"{summary(fault)}, for the second time")
            return
        if isinstance(fault, GaveOut):
            mark.touch()
        raise fault from error

    def _fail(self, claim: Claim, reason: str) -> None:
        """Record a run that could never write its own result as FAILED, and tell the study so."""
        facts = dict(study=self.state.name, arm=claim.arm, phase=claim.kind, number=claim.number, seed=claim.seed)
        behind = trials_behind(claim.run_dir) if claim.kind == "confirm" else None
        record_failure(claim.run_dir, reason, facts | dict(params=claim.params, search_trials=behind))
        self._is_told(claim)

    # ---- weights

    def tidy(self, arm: str, ended: int | None = None) -> None:
        """Delete what a search need not keep: weights and predictions of all trials but the arm's best.

        ended: the trial that has since the last time; None, and at this process's first call: look at all of them.
        """
        if self.keep == "all":
            return
        best = self.state.best(arm)
        kept = None if best is None else number_of(best)
        left_behind = self.state.left_behind(next(a for a in self.state.arms if a.name == arm))
        kept_before, left_before = self._tidied.get(arm, (None, set()))
        changed = {ended, kept_before, *(left_behind - left_before)} - {None}
        is_first = ended is None or arm not in self._tidied
        for trial in self.state.trials(arm) if is_first else [self.state.find(arm, n) for n in changed]:
            number = number_of(trial)
            # A paused trial that a larger budget wakes is trained again from its start.
            left = ("best.safetensors", "predictions.npz") * (number != kept) + ("last.ckpt",) * (number in left_behind)
            for name in left if has_stopped(trial) else ():
                (self.state.run_dir(arm, number) / name).unlink(missing_ok=True)
        self._tidied[arm] = kept, left_behind
