"""Locks by `flock`, which the kernel drops however a process ends, and which no forked child keeps."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of `flock` on a file system that has none

# Descriptors that hold a lock. A forked child inherits the lock with the descriptor, and would keep a dead owner's
# run looking alive; so it closes them first thing. (Closing does not unlock: the description is shared with the owner.)
_locked: set[int] = set()


def _close_inherited_locks() -> None:
    while _locked:
        os.close(_locked.pop())


os.register_at_fork(after_in_child=_close_inherited_locks)


def open_locked(path: Path, flags: int = 0) -> int:
    """Open a lock file, made when missing, for locking; a forked child closes the descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, 0o666)
    _locked.add(descriptor)
    return descriptor


def close_locked(descriptor: int) -> None:
    """Close such a descriptor and so give its lock back; nothing happens in a forked child, which closed it already."""
    if descriptor in _locked:
        _locked.discard(descriptor)
        os.close(descriptor)


def acquire(
    path: Path, *, shared: bool = False, wait: bool = True, waiting: Callable[[], None] | None = None, flags: int = 0
) -> int | None:
    """Lock the file `path` and return its descriptor, for `close_locked`; None when held elsewhere and not `wait`.

    waiting: called once when the lock cannot be had at once. The file may be removed by whoever has the exclusive
    lock. Raises OSError where the file cannot be written or its file system has no locks.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    while True:
        descriptor = open_locked(path, flags)
        try:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if not wait:
                    close_locked(descriptor)
                    return None
                if waiting is not None:
                    waiting()
                    waiting = None
                fcntl.flock(descriptor, kind)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(path)):  # else it was removed in the meantime
                    return descriptor
        except BaseException:
            close_locked(descriptor)
            raise
        close_locked(descriptor)


@contextlib.contextmanager
def holding_lock(path: Path, **options: object) -> Iterator[bool]:
    """Hold `acquire(path, **options)` within the block; yields whether the lock was had."""
    descriptor = acquire(path, **options)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            close_locked(descriptor)
