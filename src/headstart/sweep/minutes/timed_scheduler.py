"""The scheduler of a study that is to fit a time: it corrects the number of trials, and then, once, that of seeds.

Both follow from the clock and from how far trials were trained, never from what a confirmation reached. The seeds are
written down before the first confirmation begins, after which nothing changes any more; whoever goes on with the study
reads it there.
"""

import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from headstart.store import read_json, write_json
from headstart.sweep.minutes.asked import sized_runs, typed_keys
from headstart.sweep.plan import Plan
from headstart.sweep.scheduler import Claim, Scheduler
from headstart.sweep.trial import has_begun, has_stopped
from headstart.timing import FEWEST_TRIALS, Frame, TimePlan, pace_of, read_time_plan, refit, seeds_in, slower_by

TOLD = 2  # trials by which a plan changes before anybody is told


def scheduler_of(plan: Plan) -> Callable[..., Scheduler]:
    """What makes the scheduler of the study: one with a clock where it has to fit a time."""
    if plan.config.minutes is None:
        return Scheduler
    return partial(TimedScheduler, jobs=plan.jobs, typed=frozenset(typed_keys(plan)))


@dataclass
class TimedScheduler(Scheduler):
    """Hands out as many runs as fit the study's minutes."""

    jobs: int = 1
    typed: Collection[str] = ()  # keys that are not to be changed

    def __post_init__(self) -> None:
        super().__post_init__()
        self._knows_seeds = True  # until somebody says otherwise
        with self.state.locked():
            self._follow(self._plan())

    def claim(self) -> Claim | str | None:
        """As any scheduler's; at the end the time that the study took is written down."""
        found = super().claim()
        if found is None:
            with self.state.locked():
                self._record(minutes_taken=round(self._plan().now() / 60, 2))
        return found

    def _claim_search(self) -> Claim | None:
        plan = self._plan()
        if plan.search_from is None:
            plan = self._write(replace(plan, search_from=plan.now()))
        if not plan.seeds_fixed and self._ended_a_round(plan):
            plan = self._correct_trials(plan)
        self._follow(plan)
        return super()._claim_search()

    def _claim_confirmation(self) -> Claim | None:
        plan = self._plan()
        if not plan.seeds_fixed and self.state.confirmations():
            plan = self._fix_seeds(plan)
        self._follow(plan)
        return super()._claim_confirmation()

    # ---- decisions

    def _ended_a_round(self, plan: TimePlan) -> bool:
        """Whether all arms have begun as many trials, and enough of them have ended to time them."""
        few, begun = min(FEWEST_TRIALS, plan.size.trials), []
        for arm in self.state.arms:
            if self.state.finished(arm.name) < min(few, arm.settings):
                return False
            if self.state.started(arm.name) < arm.settings:  # there is more to try
                begun.append(self.state.started(arm.name))
        return len(set(begun)) == 1

    def _correct_trials(self, plan: TimePlan) -> TimePlan:
        frame = replace(self._frame(plan), before=plan.search_from or 0.0)
        size = refit(frame, plan.size, 60 * plan.minutes, begun=max(map(self.state.started, self.state.studies)))
        if size == plan.size:
            return plan
        if abs(size.trials - plan.size.trials) >= TOLD:
            self._say(plan, frame, f"{sized_runs(size)} for each arm fit")
        return self._write(replace(plan, size=size))

    def _fix_seeds(self, plan: TimePlan) -> TimePlan:
        frame = self._frame(plan)
        running = [(arm, t) for arm, t in self._begun() if t.state == TrialState.RUNNING]
        unfinished = sum(sum(pace_of(frame.arms[arm], plan.size.epochs).epochs[_trained(t) :]) for arm, t in running)
        seeds = seeds_in(frame, plan.size, plan.left, unfinished)
        size = replace(plan.size, trials=self.state.n_trials, seeds=seeds)
        self._knows_seeds = True
        self._say(plan, frame, f"{sized_runs(size)} for each arm")
        return self._write(replace(plan, size=size, seeds_fixed=True))

    def _frame(self, plan: TimePlan) -> Frame:
        """What was planned with, by the time that trials have taken so far."""
        frame = replace(plan.frame, jobs=self.jobs)
        trained: dict[str, list[int]] = {}
        for arm, trial in self._begun():
            trained.setdefault(arm, []).append(_trained(trial))
        return replace(frame, factor=slower_by(frame, plan.size, trained, plan.now() - (plan.search_from or 0.0)))

    def _begun(self) -> list[tuple[str, FrozenTrial]]:
        """The trials so far of the arms that were timed, with the arm."""
        arms = [arm for arm in self.state.studies if arm in self._plan().frame.arms]
        return [(arm, trial) for arm in arms for trial in self.state.trials(arm) if has_begun(trial)]

    # ---- the plan on disk

    def _plan(self) -> TimePlan:
        found = read_time_plan(self.state.folder)
        assert found is not None  # it was written before any scheduler was made
        return found

    def _write(self, plan: TimePlan) -> TimePlan:
        plan.write(self.state.folder)
        return plan

    def _follow(self, plan: TimePlan) -> None:
        """Have the study ask for what is planned by now, but for what was typed, and its report know of it."""
        state, size = self.state, plan.size
        if plan.seeds_fixed and not self._knows_seeds:  # another process found them, whose line is in its log
            print(f"{sized_runs(size)} for each arm, as found in another process", file=sys.stderr, flush=True)
        self._knows_seeds = plan.seeds_fixed
        trials = state.n_trials if "n_trials" in self.typed else size.trials
        if "confirm_seeds" in self.typed:  # the looks at earlier seeds share the error with those to come
            if state.n_trials != trials:
                state.n_trials = trials
                self._record(n_trials=trials)
            return
        seeds = size.seeds
        if (state.n_trials, state.looks) == (trials, [seeds]):
            return
        state.n_trials, state.looks = trials, [seeds]
        state.confirm_seeds = dict.fromkeys(state.confirm_seeds, seeds)
        self._record(n_trials=trials, confirm_seeds=seeds, looks=[seeds], planned_seeds=seeds)

    def _record(self, **facts: Any) -> None:
        path = self.state.folder / "study.json"
        if (before := read_json(path)) != before | facts:
            write_json(path, before | facts)

    def _say(self, plan: TimePlan, frame: Frame, what: str) -> None:
        """Say what was decided; a worker's lines are in its log."""
        spent, minutes = plan.now() / 60, plan.minutes
        told = f"after {spent:.1f} of {minutes:g} minutes (runs take {frame.factor:.2f} times what was timed): {what}"
        print(told, file=sys.stderr, flush=True)


def _trained(trial: FrozenTrial) -> int:
    """Epochs that the trial was trained for; 1 of one that ended without any."""
    return int(has_stopped(trial)) if trial.last_step is None else trial.last_step
