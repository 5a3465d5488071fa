"""The lock that says that a run's process is alive, whatever becomes of the process."""

import fcntl
import logging
import os
import time
from pathlib import Path
from typing import Self, overload

from headstart.errors import UserError
from headstart.store.files import explained_errors
from headstart.store.locks import close_locked, open_locked

AT_WORK = ".running"  # file in a run's folder: locked by the one process that trains, where many may wait for its end

logger = logging.getLogger(__name__)


class RunLock:
    """The sign that a run's process is alive: a shared `flock`, which the kernel drops however the process ends."""

    def __init__(self, descriptor: int):
        self._descriptor = descriptor
        self._owner = os.getpid()

    def release(self) -> None:
        """Give the lock back; a second call, and one in a forked child, changes nothing."""
        if self._owner == os.getpid():
            self._owner = -1
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            close_locked(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@overload
def lock_run(run_dir: str | Path) -> RunLock: ...


@overload
def lock_run(run_dir: str | Path, *, needed: bool) -> RunLock | None: ...


def lock_run(run_dir: str | Path, *, needed: bool = True) -> RunLock | None:
    """Lock the run's folder until `release`, the end of the `with` block or of this process (not of its children).

    needed: whether nothing else says that the run's process is alive; otherwise None is returned where the file system
    has no locks.

    Raises:
        UserError: the folder cannot be written, or its file system has no locks.
    """
    path = Path(run_dir) / ".lock"
    with explained_errors(path):
        descriptor = open_locked(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except OSError as error:
        close_locked(descriptor)
        if not needed:
            return None
        raise UserError(
            f"{path} cannot be locked ({error.strerror}); without locks a trial could run twice.\n"
            "Choose a folder for the results on a file system that has flock."
        ) from error
    return RunLock(descriptor)


def is_alive(run_dir: str | Path, *, patient: bool = True) -> bool:
    """Tell whether a process holds the run's lock; when that cannot be told (no permission), it counts as alive.

    patient: take up to 15 ms not to be deceived by another process that asks the same at this moment; who asks again
    anyhow, of many runs, need not.
    """
    path = Path(run_dir) / ".lock"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        logger.warning("%s counts as running: %s", run_dir, error)
        return True
    try:
        # Another process that asks the same question holds the lock for a moment, hence more than one try.
        waits = (0, 0.001, 0.002, 0.004, 0.008) if patient else (0,)
        return not any(_can_lock(descriptor, wait) for wait in waits)
    finally:
        os.close(descriptor)


def _can_lock(descriptor: int, wait: float) -> bool:
    time.sleep(wait)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
