"""Claims by `flock`: the kernel frees them however a process ends, so that nobody waits and no clock is asked."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import optuna

from headstart.errors import UserError
from headstart.store import AT_WORK, RunLock, is_alive, lock_run, read_run
from headstart.sweep.leases.claims import EndedRun, Hold
from headstart.sweep.storage import IN_MEMORY, open_storage, study_lock
from headstart.sweep.trial import OWNER, has_ended


class FlockHold:
    """A lock on the run's folder, which nobody can take over while its process lives."""

    def __init__(self, lock: RunLock):
        self._lock = lock

    def check(self) -> None:
        """It is never lost."""

    def acting(self) -> AbstractContextManager[None]:
        """Nothing has to be guarded."""
        return nullcontext()

    def ending(self) -> AbstractContextManager[None]:
        """The folder itself says how the run ended."""
        return nullcontext()

    def is_taken_elsewhere(self) -> bool:
        """There is one folder."""
        return False

    def release(self) -> None:
        """Let go of the folder: whoever looks now sees that nobody works on it."""
        self._lock.release()


class FlockClaims:
    """Claims of processes that share the study's folder; see `Claims`."""

    def __init__(self, folder: Path, url: str):
        self.folder, self.url = folder, url
        self._seen = threading.local()  # who is alive, by folder, within a snapshot of this thread

    def storage(self) -> optuna.storages.BaseStorage:
        """The study's storage."""
        return open_storage(self.url)

    def lock(self) -> AbstractContextManager[None]:
        """The lock of the study's folder; none in memory, which nobody else sees."""
        return nullcontext() if self.url == IN_MEMORY else study_lock(self.folder)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Ask for each lock once meanwhile, in this thread, and briefly: whoever decides may ask again soon."""
        is_within = hasattr(self._seen, "alive")
        self._seen.alive = {}
        try:
            yield
        finally:
            if is_within:
                self._seen.alive = {}
            else:
                del self._seen.alive

    def take(self, run_dir: Path, owner: str) -> Hold:
        """Lock the run's folder, and write down for whom."""
        run_dir.mkdir(parents=True, exist_ok=True)
        (run_dir / AT_WORK).unlink(missing_ok=True)  # nobody is: nobody holds the run's lock
        (run_dir / OWNER).write_text(owner)
        getattr(self._seen, "alive", {}).pop(run_dir, None)
        return FlockHold(lock_run(run_dir))

    def adopt(self, run_dir: Path, owner: str) -> Hold:
        """Share the lock of the process that claimed the run."""
        with self.lock():
            path = run_dir / OWNER
            if not path.exists() or path.read_text(errors="replace") != owner:
                raise UserError(f"{run_dir} was handed to another process while this job waited")
            return FlockHold(lock_run(run_dir))

    def is_alive(self, run_dir: Path) -> bool:
        """Whether somebody holds the folder's lock."""
        if not hasattr(self._seen, "alive"):
            return is_alive(run_dir)
        if run_dir not in self._seen.alive:
            self._seen.alive[run_dir] = is_alive(run_dir, patient=False)
        return self._seen.alive[run_dir]

    def seize(self, run_dir: Path) -> bool:
        """A lock that nobody holds has nobody to be taken from."""
        return not self.is_alive(run_dir)

    def has_ended(self, run_dir: Path) -> bool:
        """Whether the folder holds a readable result."""
        return has_ended(run_dir)

    def note_end(self, run_dir: Path) -> None:
        """The folder says it."""

    def reopen(self, run_dir: Path) -> None:
        """Its job may still wait in a queue: it must not start now."""
        (run_dir / OWNER).unlink(missing_ok=True)

    def ended(self) -> Mapping[Path, EndedRun]:
        """All folders are here."""
        return {}

    def val_size(self, run_dir: Path) -> int | None:
        """As the run's result says."""
        return read_run(run_dir).get("val_size")

    def settings(self) -> dict[str, Any] | None:
        """They are in the folder's study.json."""
        return None

    def keep_settings(self, study_file: Path) -> None:
        """They are in the folder's study.json."""
