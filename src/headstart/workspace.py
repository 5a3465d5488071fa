"""A scratch folder for work that one process does for all: fetching or decoding a data set."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def workspace(parent: Path, name: str) -> Iterator[Path]:
    """Yield an empty folder inside `parent` (made when missing), deleted afterwards; others wait for their turn.

    Being on the same disk, what is finished in it can be renamed into place in one step. A killed process's leftovers
    are removed by the next one. Raises OSError where `parent` cannot be written.
    """
    parent.mkdir(parents=True, exist_ok=True)
    scratch = parent / f".{name}.unfinished"
    with open(parent / f".{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
