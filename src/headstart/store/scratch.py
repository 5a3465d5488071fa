"""A scratch folder for work that one process does for all: fetching or decoding a data set, features of a backbone."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from headstart.store.locks import holding_lock


@contextmanager
def scratch_folder(parent: Path, name: str, waiting: Callable[[], None] | None = None) -> Iterator[Path]:
    """Yield an empty folder inside `parent` (made when missing), deleted afterwards; others wait for their turn.

    waiting: called once when another process is at work. Being on the same disk, what is finished in the folder can be
    renamed into place in one step. A killed process's leftovers are removed by the next one.
    Raises OSError where `parent` cannot be written.
    """
    parent.mkdir(parents=True, exist_ok=True)
    scratch = scratch_of(parent, name)
    with holding_lock(lock_of(parent, name), waiting=waiting):
        try:
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def lock_of(parent: Path, name: str) -> Path:
    """The file whose lock says that `parent/name` is being made."""
    return parent / f".{name}.lock"


def scratch_of(parent: Path, name: str) -> Path:
    """The folder in which `parent/name` is made."""
    return parent / f".{name}.unfinished"
