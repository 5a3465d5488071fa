"""A study as it stands: its arms in the storage, its trials, its best, its folders. Nothing is decided here."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from headstart.statistics import Choice, choice_of, to_choose_from
from headstart.store import digest_of
from headstart.sweep.arms import Arm
from headstart.sweep.leases import EndedRun, admit, claims_of
from headstart.sweep.pruners import Halving, curve_of
from headstart.sweep.search_space import Point, Space, bounds
from headstart.sweep.storage import IN_MEMORY, is_there, readable, refuse_unknown_runs
from headstart.sweep.trial import AFTER, has_begun, has_stopped, is_paused, is_promising, number_of

optuna.logging.set_verbosity(optuna.logging.ERROR)

# With how many seeds these arms are to be confirmed, by the runs in a study's folder; None: nobody to ask.
SeedsWanted: TypeAlias = Callable[[Path, Collection[str]], Mapping[str, int]] | None


@dataclass(frozen=True)
class Confirmation:
    """A run that an arm's search asks for: what it chose, or would choose if it were repeated, with another seed."""

    arm: str
    number: int  # of the best trial
    seed: int
    run_dir: Path
    params: Point
    ended: bool


@dataclass
class StudyState:
    """The arms of one study as they stand on disk and in its storage: one Optuna study an arm."""

    name: str
    folder: Path
    url: str
    arms: list[Arm]
    n_trials: int
    looks: list[int]  # numbers of seeds that an arm is confirmed with: the first, and where that decides nothing more
    confirm: str  # "search" or "best": what every seed repeats
    seed: int
    pruner: optuna.pruners.BasePruner
    seeds_wanted: SeedsWanted = None
    lease_seconds: float = 60.0  # see claims_of
    elsewhere: Literal["join", "rerun"] | None = None  # what becomes of runs in other folders; None: there may be none

    def __post_init__(self) -> None:
        self.confirm_seeds = {arm.name: self.looks[0] for arm in self.arms}  # asked for by now
        self.has_joined = False  # whether this folder is a further one of the study
        self._seen = threading.local()  # what a thread read of the trials since it began a snapshot
        self._choices: dict[str, tuple[tuple, Choice]] = {}  # by arm, with the trials that it was fitted to
        self.claims = claims_of(self.name, self.folder, self.url, self.lease_seconds)
        if not is_there(self.url):  # before opening makes it
            for arm in self.arms:
                refuse_unknown_runs(self.folder, arm.name, self.url)
        with self.locked(), readable(self.url):  # also the making of the storage's tables
            self.storage = self.claims.storage()
            self.studies = {arm.name: self._open_arm(arm) for arm in self.arms}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the study's lock: one decision at a time, over all processes; trials are read once meanwhile."""
        with self.claims.lock(), self.snapshot(), self.claims.snapshot():
            self._seen.trials, self._seen.extensions = {}, {}  # what was seen before the lock decides nothing
            yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read the trials once meanwhile, in this thread; otherwise every look asks the storage."""
        if hasattr(self._seen, "trials"):
            yield
            return
        self._seen.trials, self._seen.extensions = {}, {}
        try:
            with self.claims.snapshot():
                yield
        finally:
            del self._seen.trials, self._seen.extensions

    def refresh(self, arm: str) -> None:
        """Read the arm's trials again at the next look, also within a snapshot."""
        for name in ("trials", "extensions"):
            getattr(self._seen, name, {}).pop(arm, None)

    # ---- opening

    def _open_arm(self, arm: Arm) -> optuna.Study:
        study = optuna.create_study(
            study_name=self.study_name(arm.name),
            storage=self.storage,
            direction="maximize",
            sampler=optuna.samplers.RandomSampler(),
            pruner=self.pruner,
            load_if_exists=True,
        )
        if self.url != IN_MEMORY:
            self.has_joined |= admit(study, self.folder, self.url, joins=self.elsewhere is not None)
        if self.url != IN_MEMORY and not study.get_trials(deepcopy=False):
            refuse_unknown_runs(self.folder, arm.name, self.url)
        if not study.user_attrs.get("first_points_enqueued"):
            for point in arm.first_points:
                self.enqueue(study, point)
            study.set_user_attr("first_points_enqueued", True)
        return study

    def study_name(self, arm: str) -> str:
        """Name of the arm's Optuna study in the storage."""
        return f"{self.name}/{arm}"

    def enqueue(self, study: optuna.Study, point: Point) -> None:
        """Queue a first point, once: a kill may have come between queueing and noting it."""
        if point not in [t.system_attrs.get("fixed_params") for t in study.get_trials(deepcopy=False)]:
            study.enqueue_trial(point, user_attrs={"first_point": True})

    # ---- trials

    def trials(self, arm: str) -> list[FrozenTrial]:
        """The arm's trials that count: a failed one that was requeued is replaced by its retry."""
        seen = getattr(self._seen, "trials", {})
        if arm not in seen:
            latest = {number_of(t): t for t in self.studies[arm].get_trials(deepcopy=False)}
            seen[arm] = [latest[n] for n in sorted(latest)]
        return seen[arm]

    def started(self, arm: str) -> int:
        """How many of the arm's trials are running, were paused or have ended."""
        return sum(map(has_begun, self.trials(arm)))

    def finished(self, arm: str) -> int:
        """How many of the arm's trials have ended, however they did, or were paused."""
        return sum(map(has_stopped, self.trials(arm)))

    def is_searching(self) -> bool:
        """Whether a trial of any arm is running, or is about to go on."""
        running = any(t.state == TrialState.RUNNING for arm in self.arms for t in self.trials(arm.name))
        return running or any(self.going_on(arm) for arm in self.arms)

    def is_over(self, arm: Arm) -> bool:
        """Whether the arm's search has come to its end, for this budget."""
        return self.finished(arm.name) >= self.trials_of(arm.name) and not self.going_on(arm)

    # ---- pausing

    def halving(self, arm: Arm) -> Halving | None:
        """By what the arm's trials are paused; None where they are not, as where each has other epochs."""
        return self.pruner if isinstance(self.pruner, Halving) and arm.rungs else None

    def goals(self, arm: Arm) -> dict[int, int]:
        """To which epoch each of the arm's trials is to be trained by now, by number; {} where none is paused."""
        halving, trials = self.halving(arm), self.trials(arm.name)
        last = max((i for i, t in enumerate(trials) if has_begun(t) or t.intermediate_values), default=-1)
        return halving.goals(trials[: last + 1], arm.rungs, self.trials_of(arm.name)) if halving else {}

    def going_on(self, arm: Arm) -> list[FrozenTrial]:
        """The arm's paused trials that are to go on."""
        paused = list(filter(is_paused, self.trials(arm.name)))
        goals = self.goals(arm) if paused else {}
        return [trial for trial in paused if goals.get(number_of(trial), 0) > trial.last_step]

    def best(self, arm: str) -> FrozenTrial | None:
        """The arm's best trial that may be selected; the earlier one of two equals."""
        return max(self.selectable(arm), key=lambda t: (t.value, -number_of(t)), default=None)

    def selectable(self, arm: str) -> list[FrozenTrial]:
        """The arm's trials that may become its best: COMPLETE and not at chance."""
        return [t for t in self.trials(arm) if t.state == TrialState.COMPLETE and not t.user_attrs.get("reason")]

    def find(self, arm: str, number: int) -> FrozenTrial:
        """The trial of that number, as stored now."""
        trials = self.trials(arm)  # as a rule that of number n is at place n
        return next(t for t in trials[number : number + 1] + trials if number_of(t) == number)

    # ---- budget and ranges

    def trials_of(self, arm: str) -> int:
        """How many trials the arm gets: the budget, or as many as it has settings where these are fewer.

        Where the edge rule widened the range of any arm, the budget of all of them is larger by the same extra.
        """
        extra = sum(e["extra"] for name in self.studies for e in self.extensions(name))
        return int(min(self.n_trials + extra, next(a for a in self.arms if a.name == arm).settings))

    def extensions(self, arm: str) -> list[dict[str, Any]]:
        """What the edge rule has widened so far in this arm."""
        seen = getattr(self._seen, "extensions", {})
        if arm not in seen:
            seen[arm] = self.studies[arm].user_attrs.get("extensions", [])
        return seen[arm]

    def space(self, arm: Arm) -> Space:
        """The arm's search space, with the range of the learning rate as the edge rule left it."""
        extensions = self.extensions(arm.name)
        if not extensions:
            return arm.space
        return arm.space | {"lr": FloatDistribution(extensions[-1]["low"], extensions[-1]["high"], log=True)}

    def left_behind(self, arm: Arm) -> set[int]:
        """Numbers of the arm's paused trials that can't go on, with this budget."""
        paused = {number_of(trial) for trial in self.trials(arm.name) if is_paused(trial)}
        if not paused or self.is_over(arm):
            return paused
        return paused & self.pruner.left_behind(self.trials(arm.name), arm.rungs, self.trials_of(arm.name))

    # ---- folders and confirmations

    def away(self) -> dict[Path, EndedRun]:
        """The runs that have ended whose results lie in other folders of the study, and were not copied to this one."""
        ended = {run_dir: run for run_dir, run in self.claims.ended().items() if not run.is_ours}
        return {run_dir: run for run_dir, run in ended.items() if digest_of(run_dir / "result.json") != run.digest}

    @property
    def source_dir(self) -> Path:
        """Folder of the run that has to exist before any arm."""
        return self.folder / "source"

    def run_dir(self, arm: str, number: int) -> Path:
        """Folder of a search trial."""
        return self.folder / arm / "search" / f"{number:03d}"

    def confirm_dir(self, arm: str, number: int, seed: int) -> Path:
        """Folder of a confirmation: of the best trial's settings, or of a choice after so many trials."""
        # A failed trial may be tried again, and then the choice is another one.
        behind = sum(has_stopped(t) and t.state != TrialState.FAIL for t in self.trials(arm))
        of = f"{number:03d}" if self.confirm == "best" else f"{AFTER}{behind:03d}"
        return self.folder / arm / "confirm" / of / f"seed-{seed}"

    def confirmations(self) -> list[Confirmation]:
        """What the arms' searches ask for, where they are over; paired, so seed by seed.

        None of the seeds is the search's own, whose luck the search has already picked. Each seed trains the settings
        that a simulated repetition of the search chooses, or with confirm=best all of them the best trial's.
        """
        found, over = [], {arm.name for arm in self.arms if self.is_over(arm)}
        for seed in range(self.seed + 1, self.seed + 1 + max(self.confirm_seeds.values())):
            for arm in (a for a, seeds in self.confirm_seeds.items() if a in over and self.seed + seeds >= seed):
                if (best := self.best(arm)) is not None:
                    run_dir = self.confirm_dir(arm, number_of(best), seed)
                    params = dict(best.params) if self.confirm == "best" else self.choice(arm).repeated(seed)
                    ended = self.claims.has_ended(run_dir)
                    found.append(Confirmation(arm, number_of(best), seed, run_dir, params, ended))
        return found

    def ask_for_more_seeds(self) -> bool:
        """Ask for the confirmations that the verdicts still need, once all those asked for have ended; whether any."""
        if self.seeds_wanted is None or not self.folder.exists() or self.away():
            return False  # who is asked compares the runs in this folder
        wanted = self.seeds_wanted(self.folder, self.confirm_seeds)
        more = {arm: wanted.get(arm, 0) for arm, seeds in self.confirm_seeds.items() if wanted.get(arm, 0) > seeds}
        self.confirm_seeds |= more
        return bool(more)

    def choice(self, arm: str) -> Choice:
        """What the arm's search chose and would choose again; call it once the arm has a best trial.

        Paused trials take part that went on once, with what they would have at the end.
        """
        trials = sorted([*self.selectable(arm), *filter(is_promising, self.trials(arm))], key=number_of)
        values = [trial.value for trial in trials]
        if stopped := [place for place, trial in enumerate(trials) if is_paused(trial)]:
            places, values = to_choose_from(list(map(curve_of, trials)), stopped)
            trials = [trials[place] for place in places]
        seen = tuple((number_of(trial), value) for trial, value in zip(trials, values, strict=True))
        if arm not in self._choices or self._choices[arm][0] != seen:
            space = self.space(next(a for a in self.arms if a.name == arm))
            pictures = self.claims.val_size(self.run_dir(arm, number_of(self.best(arm))))
            found = choice_of(
                {key: bounds(distribution) for key, distribution in space.items()},
                [trial.params for trial in trials],
                values,
                pictures=pictures,
                seed=self.seed,
                arm=arm,
            )
            self._choices[arm] = seen, found
        return self._choices[arm][1]
