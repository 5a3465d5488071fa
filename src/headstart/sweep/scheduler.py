"""Hand out the runs of a study: one Optuna study per arm, equal budgets, nothing lost, nothing twice; no Hydra.

Any number of processes work on one study. What happens next is decided under one file lock, from the storage and the
run folders alone. A lock on a run's folder, which the kernel frees at kill -9, says that its process is alive.
"""

import math
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from headstart.errors import UserError, summary
from headstart.store import is_alive, lock_run, read_json, read_run, set_aside, write_json
from headstart.sweep.samplers import sampler_for, seed_of, without_experimental_warnings
from headstart.sweep.study_state import Standing
from headstart.sweep.trial import OWNER, has_ended, number_of, record_failure, state_of, tell

TIMES_LOST = 3  # a trial whose process died so often under a living sweeper is FAILED
EXTENSIONS = 2  # how often the edge rule may widen an arm's range
EXTENDING = ".extending.json"  # what it decided for all arms, until it is done


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


class Study(Standing):
    """The rules by which the runs of a study are handed out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.owner = uuid.uuid4().hex  # this process, in the folders of the runs that it claimed
        self._lost: Counter[Path] = Counter()
        self._tidied: set[tuple[str, int]] = set()
        if self.retry_failed:
            with self.locked():
                self._give_back_failed()

    # ---- claiming

    def claim(self) -> Claim | str | None:
        """Take the next run, `WAIT` when others' running trials have to end first, or None when nothing is left."""
        with self.locked():
            if self.source and (claimed := self._claim_source()) is not None:
                return claimed
            for arm in self.arms:
                self._give_back_dead(arm.name)
            self._extend(self._begun_extensions())
            claimed = self._claim_search()
            if claimed is None and self.extend_at_edge:
                if self._searching():
                    return WAIT  # what is running may move the best, and confirmations read the test split
                if wider := self._wider():
                    write_json(self.folder / EXTENDING, dict(extensions=wider))
                    self._extend(wider)
                    claimed = self._claim_search()
            claimed = claimed or self._claim_confirmation()
            if claimed is None:
                if self._searching() or self._confirming():
                    return WAIT
                for arm in self.arms:
                    self.tidy(arm.name)
            return claimed

    def _claim_source(self) -> Claim | str | None:
        result = read_run(self.source_dir) if (self.source_dir / "result.json").exists() else {}
        if result.get("state") == "COMPLETE":
            if not (self.source_dir / "best.safetensors").exists():
                raise UserError(f"the weights of the source run {self.source_dir} are gone; remove that folder")
            return None
        if result:
            raise UserError(
                f"the source run {self.source_dir} ended as {result.get('state')} ({result.get('reason')}); "
                "mend its settings and remove that folder"
            )
        if is_alive(self.source_dir):
            return WAIT
        return self._hold("source", "source", None, {}, None, self.source_dir)

    def _hold(self, kind: str, arm: str, number: int | None, params: dict, seed: int | None, run_dir: Path) -> Claim:
        run_dir.mkdir(parents=True, exist_ok=True)
        (run_dir / OWNER).write_text(self.owner)
        return Claim(kind, arm, number, params, seed, run_dir, lock_run(run_dir))

    def _claim_search(self) -> Claim | None:
        """A trial of the arm that is furthest behind: round robin, so that a sweep cut short is still fair."""
        started = {arm.name: self._started(arm.name) for arm in self.arms}
        arm = min(self.arms, key=lambda a: started[a.name])
        if started[arm.name] >= self.total():
            return None
        study = self.studies[arm.name]
        trial = self._next_trial(arm.name)
        number = self._settle_number(arm.name, trial)
        try:
            with without_experimental_warnings():
                made = self.make_sampler(seed_of(self.seed, number))
                study.sampler = sampler_for(made, self.space(arm), len(arm.first_points), number, self.seed)
            for key, distribution in self.space(arm).items():
                trial._suggest(key, distribution)
        except ImportError as error:
            missing = error.name or getattr(error.__cause__, "name", None) or "the package that it names"
            raise UserError(f"the sampler cannot be used: {error}\npip install {missing}") from None
        return self._hold("search", arm.name, number, dict(trial.params), None, self.run_dir(arm.name, number))

    def _next_trial(self, arm: str) -> optuna.Trial:
        """The waiting trial with the lowest number, else a new one."""
        waiting = [t for t in self.trials(arm) if t.state == TrialState.WAITING]
        if not waiting:
            return self.studies[arm].ask()
        self.storage.set_trial_state_values(waiting[0]._trial_id, TrialState.RUNNING)
        return optuna.Trial(self.studies[arm], waiting[0]._trial_id)

    def _started(self, arm: str) -> int:
        return sum(t.state != TrialState.WAITING for t in self.trials(arm))

    def _settle_number(self, arm: str, trial: optuna.Trial) -> int:
        """Optuna's own number; the first free one after failed trials were retried, which cost Optuna extra numbers."""
        if "number" in trial.user_attrs:
            return int(trial.user_attrs["number"])
        others = [t for t in self.trials(arm) if t.number != trial.number]
        number = trial.number
        if any("number" in t.user_attrs for t in others):
            number = next(n for n in range(len(others) + 1) if n not in {number_of(t) for t in others})
            trial.set_user_attr("number", number)
        return number

    def _give_back_dead(self, arm: str) -> None:
        """Trials whose process is gone: told from their result where they had ended, otherwise waiting again."""
        for trial in self.trials(arm):
            if trial.state != TrialState.RUNNING:
                continue
            run_dir = self.run_dir(arm, number_of(trial))
            if not is_alive(run_dir) and not tell(self.storage, trial, run_dir):
                (run_dir / OWNER).unlink(missing_ok=True)  # its job may still wait in a queue: it must not start now
                self.storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
            self._changed(arm)

    def _give_back_failed(self) -> None:
        """Queue failed trials again under their own numbers and parameters; what they left is kept beside."""
        for arm in self.arms:
            for trial in self.trials(arm.name):
                if trial.state == TrialState.FAIL:
                    number = number_of(trial)
                    set_aside(self.run_dir(arm.name, number) / "result.json")
                    attributes = {k: v for k, v in trial.user_attrs.items() if k == "first_point"}
                    self.studies[arm.name].enqueue_trial(trial.params, user_attrs=attributes | {"number": number})
        arms = [arm.name for arm in self.arms]
        others = [r for a in arms for r in (self.folder / a / "confirm").glob("*/*/result.json")]
        for result in [*others, self.source_dir / "result.json"]:
            if read_run(result.parent)["state"] == "FAILED":
                set_aside(result)

    def _searching(self) -> bool:
        return any(t.state == TrialState.RUNNING for arm in self.arms for t in self.trials(arm.name))

    def _confirming(self) -> bool:
        return any(is_alive(folder) for _, _, folder, done in self.confirmations() if not done)

    def confirmations(self) -> list[tuple[str, int, Path, bool]]:
        """(arm, seed, folder, ended) of what the arms' present best trials ask for; paired, so seed by seed."""
        found = []
        for seed in self.confirmation_seeds():
            for arm in self.arms:
                if self._searched(arm.name) and (best := self.best(arm.name)) is not None:
                    folder = self.run_dir(arm.name, number_of(best), seed)
                    found.append((arm.name, seed, folder, has_ended(folder)))
        return found

    def _searched(self, arm: str) -> bool:
        """Whether the arm's search is over: every trial of the budget has ended."""
        return sum(t.state.is_finished() for t in self.trials(arm)) >= self.total()

    def _claim_confirmation(self) -> Claim | None:
        for arm, seed, folder, done in self.confirmations():
            if not done and not is_alive(folder):
                best = self.best(arm)
                return self._hold("confirm", arm, number_of(best), dict(best.params), seed, folder)
        return None

    # ---- telling

    def find(self, arm: str, number: int) -> FrozenTrial:
        """The trial of that number, as stored now."""
        return next(t for t in self.trials(arm) if number_of(t) == number)

    def settle(self, claim: Claim, error: BaseException | None = None) -> str:
        """After a job returned or died under a living sweeper: its state; one that left no result is handed out again.

        error: what the launcher raised. A run that was lost `TIMES_LOST` times is FAILED.
        """
        with self.locked():
            if not self._has_told(claim):
                self._lost[claim.run_dir] += 1
                if self._lost[claim.run_dir] >= TIMES_LOST:
                    reason = f"its process died {TIMES_LOST} times (out of memory?)" + (
                        f": {summary(error)}" if error else ""
                    )
                    facts = dict(study=self.name, arm=claim.arm, phase=claim.kind, number=claim.number, seed=claim.seed)
                    record_failure(claim.run_dir, reason, facts | dict(params=claim.params))
                    self._has_told(claim)
            if claim.kind != "search":
                return read_run(claim.run_dir)["state"]
            self.tidy(claim.arm)
            return state_of(self.find(claim.arm, claim.number))

    def _has_told(self, claim: Claim) -> bool:
        """Whether the run has ended; what its job could not tell the study any more is told from its result."""
        if claim.kind != "search":
            return has_ended(claim.run_dir)
        trial = self.find(claim.arm, claim.number)
        if trial.state.is_finished():
            return True
        self._changed(claim.arm)
        return tell(self.storage, trial, claim.run_dir)

    def tidy(self, arm: str) -> None:
        """Delete what a search need not keep: weights and predictions of all trials but the arm's best."""
        if self.keep == "all":
            return
        best = self.best(arm)
        for number in (number_of(t) for t in self.trials(arm) if t.state.is_finished()):
            if (arm, number) not in self._tidied and (best is None or number != number_of(best)):
                for name in ("best.safetensors", "predictions.npz"):
                    (self.run_dir(arm, number) / name).unlink(missing_ok=True)
                self._tidied.add((arm, number))

    # ---- the edge rule

    def _wider(self) -> list[dict[str, Any]]:
        """Ranges a decade wider, for arms whose best learning rate lies at the edge; all arms get the extra trials."""
        from headstart.statistics import edge

        wider = []
        for arm in self.arms:
            distribution = self.space(arm).get("lr")
            if not isinstance(distribution, FloatDistribution) or not distribution.log:
                continue
            if len(self._widened(arm.name)) >= EXTENSIONS:
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
            extra = math.ceil(self.n_trials / math.log10(high / low))
            low, high = (low / 10, high) if flag.side == "low" else (low, high * 10)
            wider.append(dict(arm=arm.name, side=flag.side, low=low, high=high, extra=extra))
        return wider

    def _begun_extensions(self) -> list[dict[str, Any]]:
        """What was decided for all arms at once and, after a kill, not done for all of them."""
        path = self.folder / EXTENDING
        return read_json(path)["extensions"] if path.exists() else []

    def _extend(self, wider: list[dict[str, Any]]) -> None:
        """Queue each new bound and record the range; done twice it changes nothing."""
        for new in wider:
            study = optuna.load_study(study_name=f"{self.name}/{new['arm']}", storage=self.storage)
            done = study.user_attrs.get("extensions", [])
            if new not in done:
                self._enqueue(study, {"lr": new["low"] if new["side"] == "low" else new["high"]})
                study.set_user_attr("extensions", [*done, new])
                self._changed(new["arm"])
        if wider:
            (self.folder / EXTENDING).unlink()
