"""A study as it stands: its arms in the storage, its trials, its best, its folders. Nothing is decided here."""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from headstart.errors import UserError
from headstart.store import write_atomically
from headstart.sweep.storage import is_there, open_storage, study_lock, without_password
from headstart.sweep.trial import number_of

optuna.logging.set_verbosity(optuna.logging.ERROR)


IN_MEMORY = "sqlite://"


@dataclass
class Arm:
    """One thing being compared, with its search space and the points tried first."""

    name: str
    overrides: list[str]
    space: dict[str, BaseDistribution]
    first_points: list[dict[str, Any]] = field(default_factory=list)
    own_params: bool = False  # the study gives this arm a space of its own, which its model's file doesn't replace


@dataclass
class Standing:
    """The arms of one study as they stand on disk and in its storage."""

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
        self._looked = threading.local()  # what a thread saw of the trials since it began to look
        if not is_there(self.url):  # before opening makes it
            for arm in self.arms:
                refuse_unknown_runs(self.folder, arm.name, self.url)
        with self.locked():  # also the making of the storage's tables
            self.storage = open_storage(self.url)
            self.studies = {arm.name: self._open_arm(arm) for arm in self.arms}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the study's lock: one decision at a time, over all processes; trials are read once meanwhile."""
        lock = nullcontext() if self.url == IN_MEMORY else study_lock(self.folder)  # in memory: nobody else sees it
        with lock, self.looking():
            self._looked.trials, self._looked.widened = {}, {}  # what was seen before the lock decides nothing
            yield

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Read the trials once meanwhile, in this thread; otherwise every look asks the storage."""
        if hasattr(self._looked, "trials"):
            yield
            return
        self._looked.trials, self._looked.widened = {}, {}
        try:
            yield
        finally:
            del self._looked.trials, self._looked.widened

    def _changed(self, arm: str) -> None:
        """Read the arm's trials again at the next look."""
        self._looked.trials.pop(arm, None)
        self._looked.widened.pop(arm, None)

    def _open_arm(self, arm: Arm) -> optuna.Study:
        study = optuna.create_study(
            study_name=f"{self.name}/{arm.name}", storage=self.storage, direction="maximize",
            sampler=optuna.samplers.RandomSampler(), pruner=self.pruner, load_if_exists=True,
        )  # fmt: skip
        self._refuse_a_stranger(study)
        if self.url != IN_MEMORY and not study.get_trials(deepcopy=False):
            refuse_unknown_runs(self.folder, arm.name, self.url)
        if not study.user_attrs.get("first_points_enqueued"):
            for point in arm.first_points:
                self._enqueue(study, point)
            study.set_user_attr("first_points_enqueued", True)
        return study

    def _refuse_a_stranger(self, study: optuna.Study) -> None:
        """Studies in one database meet by name alone: the trials of another folder's study are none of ours."""
        if self.url == IN_MEMORY:
            return
        path = self.folder / ".study"
        if not path.exists():
            write_atomically(path, uuid.uuid4().hex.encode())
        known = study.user_attrs.get("folder")
        if known is None:
            study.set_user_attr("folder", path.read_text())
        elif known != path.read_text():
            raise UserError(
                f"the storage {without_password(self.url)} holds a study {study.study_name} whose runs are not in "
                f"{self.folder};\nput its folder back, or start another by name=..."
            )

    def _enqueue(self, study: optuna.Study, point: dict[str, Any]) -> None:
        """Queue a first point, once: a kill may have come between queueing and noting it."""
        if point not in [t.system_attrs.get("fixed_params") for t in study.get_trials(deepcopy=False)]:
            study.enqueue_trial(point, user_attrs={"first_point": True})

    def trials(self, arm: str) -> list[FrozenTrial]:
        """The arm's trials that count: a failed one that was given back is replaced by its retry."""
        seen = getattr(self._looked, "trials", {})
        if arm not in seen:
            latest = {number_of(t): t for t in self.studies[arm].get_trials(deepcopy=False)}
            seen[arm] = [latest[n] for n in sorted(latest)]
        return seen[arm]

    def total(self) -> int:
        """Trials each arm gets: the budget, and the same extra for every arm where the edge rule widened a range."""
        return self.n_trials + sum(e["extra"] for e in self.extensions())

    def extensions(self) -> list[dict[str, Any]]:
        """What the edge rule has widened so far, over all arms."""
        return [e for arm in self.studies for e in self._widened(arm)]

    def _widened(self, arm: str) -> list[dict[str, Any]]:
        seen = getattr(self._looked, "widened", {})
        if arm not in seen:
            seen[arm] = self.studies[arm].user_attrs.get("extensions", [])
        return seen[arm]

    def space(self, arm: Arm) -> dict[str, BaseDistribution]:
        """The arm's search space, with the range of the learning rate as the edge rule left it."""
        widened = self._widened(arm.name)
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


def refuse_unknown_runs(folder: Path, arm: str, url: str) -> None:
    """A new trial 0 would take the result in search/000 for its own, whatever settings that run had."""
    if any((folder / arm / "search").glob("*/result.json")):
        raise UserError(
            f"{folder / arm} holds runs that the storage {without_password(url)} knows nothing of: it was "
            "deleted, is another one, or the folder was renamed.\n"
            f"Put it back, or move {folder} away, or start another study by name=..."
        )


def copy_of(url: str, folder: Path, name: str, arms: list[str]) -> str:
    """URL of a storage in memory that holds what the study holds now: what a plan does to it stays there."""
    copy = open_storage(IN_MEMORY)
    begun = (folder / "study.json").exists() and is_there(url)
    known = set(optuna.get_all_study_names(open_storage(url))) if begun else set()
    for arm in arms:
        if f"{name}/{arm}" in known:
            optuna.copy_study(from_study_name=f"{name}/{arm}", from_storage=open_storage(url), to_storage=copy)
        else:
            refuse_unknown_runs(folder, arm, url)
    return IN_MEMORY
