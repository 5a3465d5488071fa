"""Hand out the runs of a study: one Optuna study per arm, equal budgets, nothing lost, nothing twice; no Hydra.

Any number of processes work on one study. What happens next is decided under one file lock, from the storage and the
run folders alone; that a trial's process is alive is told by a lock on its run folder, which the kernel frees at kill -9.
"""

import fcntl
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from headstart import records
from headstart.errors import UserError
from headstart.sampling import sampler_for, seed_of
from headstart.storage import open_storage
from headstart.trial import finish, number_of, state_of, tell

optuna.logging.set_verbosity(optuna.logging.ERROR)

TIMES_LOST = 3  # a trial whose process died so often under a living sweeper is FAILED
EXTENSIONS = 2  # how often the edge rule may widen an arm's range


@dataclass
class Arm:
    """One thing being compared, with its search space and the points tried first."""

    name: str
    overrides: list[str]
    space: dict[str, BaseDistribution]
    first_points: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Claim:
    """A run that this process has to do now; holds the run folder's lock until `release`."""

    kind: str  # search, confirm or source
    arm: str
    number: int | None
    params: dict[str, Any]
    seed: int | None
    run_dir: Path
    lock: Any

    def release(self) -> None:
        """Let go of the run folder: whoever looks now sees that nobody works on it."""
        self.lock.release()


WAIT = "wait"  # nothing to claim now, but somebody's running trial may leave something


@dataclass
class Study:
    """The arms of one study on disk and in its storage, and the rules by which runs are handed out."""

    name: str
    folder: Path
    url: str
    arms: list[Arm]
    n_trials: int
    confirm_seeds: int
    seed: int
    make_sampler: Callable[[int], optuna.samplers.BaseSampler]  # from a seed
    pruner: optuna.pruners.BasePruner
    source: bool = False
    keep: str = "best"
    extend_at_edge: bool = False
    retry_failed: bool = False

    def __post_init__(self) -> None:
        self.storage = open_storage(self.url)
        with self.locked():
            self.studies = {arm.name: self._open_arm(arm) for arm in self.arms}
            if self.retry_failed:
                for arm in self.arms:
                    self._give_back_failed(arm.name)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the study's lock: one decision at a time, over all processes."""
        if self.url == "sqlite://":  # in memory: nobody else can see it
            yield
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _open_arm(self, arm: Arm) -> optuna.Study:
        study = optuna.create_study(
            study_name=f"{self.name}/{arm.name}", storage=self.storage, direction="maximize",
            sampler=optuna.samplers.RandomSampler(), pruner=self.pruner, load_if_exists=True,
        )  # fmt: skip
        if not study.user_attrs.get("first_points_enqueued"):
            known = [t.system_attrs.get("fixed_params") for t in study.get_trials(deepcopy=False)]
            for point in arm.first_points:
                if point not in known:
                    study.enqueue_trial(point, user_attrs={"first_point": True})
            study.set_user_attr("first_points_enqueued", True)
        return study

    # ---- what there is

    def trials(self, arm: str) -> list[FrozenTrial]:
        """The arm's trials that count: a failed one that was given back is replaced by its retry."""
        latest = {number_of(t): t for t in self.studies[arm].get_trials(deepcopy=False)}
        return [latest[n] for n in sorted(latest)]

    def total(self) -> int:
        """Trials each arm gets: the budget, and the same extra for every arm where the edge rule widened a range."""
        return self.n_trials + sum(e["extra"] for e in self.extensions())

    def extensions(self) -> list[dict[str, Any]]:
        """What the edge rule has widened so far, over all arms."""
        return [e for s in self.studies.values() for e in s.user_attrs.get("extensions", [])]

    def space(self, arm: Arm) -> dict[str, BaseDistribution]:
        """The arm's search space, with the range of the learning rate as the edge rule left it."""
        widened = self.studies[arm.name].user_attrs.get("extensions", [])
        if not widened:
            return arm.space
        return arm.space | {"lr": FloatDistribution(widened[-1]["low"], widened[-1]["high"], log=True)}

    def best(self, arm: str) -> FrozenTrial | None:
        """The arm's best trial that may be selected: COMPLETE and not at chance; the earlier one of two equals."""
        done = [t for t in self.trials(arm) if t.state == TrialState.COMPLETE and not t.user_attrs.get("reason")]
        return max(done, key=lambda t: (t.value, -number_of(t)), default=None)

    def run_dir(self, arm: str, number: int, seed: int | None = None) -> Path:
        """Folder of a search trial, or with a seed of one of its confirmations."""
        if seed is None:
            return self.folder / arm / "search" / f"{number:03d}"
        return self.folder / arm / "confirm" / f"{number:03d}" / f"seed-{seed}"

    @property
    def source_dir(self) -> Path:
        """Folder of the run that has to exist before any arm."""
        return self.folder / "source"

    def confirmation_seeds(self) -> list[int]:
        """Paired over arms; none of them is the search's own seed, whose luck the search has already picked."""
        return [self.seed + 1 + i for i in range(self.confirm_seeds)]

    # ---- claiming

    def claim(self) -> Claim | str | None:
        """Take the next run, `WAIT` when others' running trials have to end first, or None when nothing is left."""
        with self.locked():
            if self.source and (claimed := self._claim_source()) is not None:
                return claimed
            for arm in self.arms:
                self._give_back_dead(arm.name)
            claimed = self._claim_search()
            if claimed is None and self.extend_at_edge and not self._any_running() and self._extend():
                claimed = self._claim_search()
            if claimed is None:
                claimed = self._claim_confirmation()
            if claimed is None and self._any_running():
                return WAIT
            return claimed

    def _claim_source(self) -> Claim | str | None:
        result = records.read_run(self.source_dir) if (self.source_dir / "result.json").exists() else {}
        if result.get("state") == "COMPLETE":
            return None
        if result:
            raise UserError(
                f"the source run {self.source_dir} ended as {result.get('state')} ({result.get('reason')}); "
                "mend its settings and remove that folder"
            )
        if records.is_alive(self.source_dir):
            return WAIT
        return self._hold("source", "source", None, {}, None, self.source_dir)

    def _hold(self, kind: str, arm: str, number: int | None, params: dict, seed: int | None, run_dir: Path) -> Claim:
        run_dir.mkdir(parents=True, exist_ok=True)
        return Claim(kind, arm, number, params, seed, run_dir, records.lock_run(run_dir))

    def _claim_search(self) -> Claim | None:
        """A trial of the arm that is furthest behind: round robin, so that a sweep cut short is still fair."""
        started = {arm.name: self._started(arm.name) for arm in self.arms}
        arm = min(self.arms, key=lambda a: started[a.name])
        if started[arm.name] >= self.total():
            return None
        study = self.studies[arm.name]
        trial = study.ask()
        number = self._settle_number(arm.name, trial)
        made = self.make_sampler(seed_of(self.seed, number))
        study.sampler = sampler_for(made, self.space(arm), len(arm.first_points), number, self.seed)
        for key, distribution in self.space(arm).items():
            trial._suggest(key, distribution)
        return self._hold("search", arm.name, number, dict(trial.params), None, self.run_dir(arm.name, number))

    def _started(self, arm: str) -> int:
        return sum(t.state != TrialState.WAITING for t in self.trials(arm))

    def _settle_number(self, arm: str, trial: optuna.Trial) -> int:
        """Optuna's own number; the first free one after failed trials were retried, which cost Optuna extra numbers."""
        if "number" in trial.user_attrs:
            return int(trial.user_attrs["number"])
        others = {number_of(t) for t in self.studies[arm].get_trials(deepcopy=False) if t.number != trial.number}
        number = trial.number
        if any("number" in t.user_attrs for t in self.studies[arm].get_trials(deepcopy=False)):
            number = next(n for n in range(len(others) + 1) if n not in others)
            trial.set_user_attr("number", number)
        return number

    def _give_back_dead(self, arm: str) -> None:
        """Trials whose process is gone: told from their result where they had ended, otherwise waiting again."""
        for trial in self.trials(arm):
            if trial.state != TrialState.RUNNING:
                continue
            run_dir = self.run_dir(arm, number_of(trial))
            if not records.is_alive(run_dir) and not tell(self.storage, trial, run_dir):
                self.storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)

    def _give_back_failed(self, arm: str) -> None:
        """Queue failed trials again under their own numbers and parameters; what they left is kept beside."""
        for trial in self.trials(arm):
            if trial.state == TrialState.FAIL:
                number = number_of(trial)
                records.set_aside(self.run_dir(arm, number) / "result.json")
                attributes = {k: v for k, v in trial.user_attrs.items() if k == "first_point"}
                self.studies[arm].enqueue_trial(trial.params, user_attrs=attributes | {"number": number})
        for result in (self.folder / arm / "confirm").glob("*/*/result.json"):
            if records.read_run(result.parent).get("state") == "FAILED":
                records.set_aside(result)

    def _any_running(self) -> bool:
        running = any(t.state == TrialState.RUNNING for arm in self.arms for t in self.trials(arm.name))
        return running or any(records.is_alive(d) for _, _, d, done in self.confirmations() if not done)

    def confirmations(self) -> list[tuple[str, int, Path, bool]]:
        """(arm, seed, folder, ended) of what the arms' present best trials ask for; paired, so seed by seed."""
        found = []
        for seed in self.confirmation_seeds():
            for arm in self.arms:
                if self._searched(arm.name) and (best := self.best(arm.name)) is not None:
                    folder = self.run_dir(arm.name, number_of(best), seed)
                    found.append((arm.name, seed, folder, (folder / "result.json").exists()))
        return found

    def _searched(self, arm: str) -> bool:
        """Whether the arm's search is over: every trial of the budget has ended."""
        return sum(t.state.is_finished() for t in self.trials(arm)) >= self.total()

    def _claim_confirmation(self) -> Claim | None:
        for arm, seed, folder, done in self.confirmations():
            if not done and not records.is_alive(folder):
                best = self.best(arm)
                return self._hold("confirm", arm, number_of(best), dict(best.params), seed, folder)
        return None

    # ---- telling

    def find(self, arm: str, number: int) -> FrozenTrial:
        """The trial of that number, as stored now."""
        return next(t for t in self.trials(arm) if number_of(t) == number)

    def settle(self, claim: Claim) -> str:
        """After a job returned or died under a living sweeper: its state; one that left no trace is given back."""
        if claim.kind != "search":
            return records.read_run(claim.run_dir).get("state", "INTERRUPTED")
        with self.locked():
            trial = self.find(claim.arm, claim.number)
            if trial.state == TrialState.RUNNING and not tell(self.storage, trial, claim.run_dir):
                lost = int(trial.user_attrs.get("lost", 0)) + 1
                self.storage.set_trial_user_attr(trial._trial_id, "lost", lost)
                if lost >= TIMES_LOST:
                    reason = f"its process died {lost} times (out of memory?)"
                    finish(self.storage, trial, TrialState.FAIL, None, reason)
            self.tidy(claim.arm)
            trial = self.find(claim.arm, claim.number)
        return state_of(trial)

    def tidy(self, arm: str) -> None:
        """Delete what a search need not keep: weights and predictions of all trials but the arm's best."""
        if self.keep == "all":
            return
        best = self.best(arm)
        for trial in self.trials(arm):
            if trial.state.is_finished() and (best is None or number_of(trial) != number_of(best)):
                for name in ("best.safetensors", "predictions.npz"):
                    (self.run_dir(arm, number_of(trial)) / name).unlink(missing_ok=True)

    # ---- the edge rule

    def _extend(self) -> bool:
        """Widen by a decade the range of arms whose best learning rate lies at its edge; all get the extra trials."""
        from headstart.statistics import edge

        widened = False
        for arm in self.arms:
            done = self.studies[arm.name].user_attrs.get("extensions", [])
            distribution = self.space(arm).get("lr")
            if len(done) >= EXTENSIONS or not isinstance(distribution, FloatDistribution) or not distribution.log:
                continue
            points = [
                (t.params["lr"], t.value)
                for t in self.trials(arm.name)
                if t.state == TrialState.COMPLETE and not t.user_attrs.get("reason")
            ]
            if not points:
                continue
            low, high = distribution.low, distribution.high
            flag = edge([p[0] for p in points], [p[1] for p in points], low, high)
            if not flag.side:
                continue
            low, high = (low / 10, high) if flag.side == "low" else (low, high * 10)
            extra = math.ceil(self.n_trials / math.log10(distribution.high / distribution.low))
            new = dict(arm=arm.name, side=flag.side, low=low, high=high, extra=extra)
            self.studies[arm.name].set_user_attr("extensions", [*done, new])
            self.studies[arm.name].enqueue_trial(
                {"lr": low if flag.side == "low" else high}, user_attrs={"first_point": True}
            )
            widened = True
        return widened
