"""Faults that no trial can help: a full disk, no memory, a lost database. They end a sweep, and fail no trial."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from headstart.errors import GaveOut, OutsideFault, first_line

GAVE_OUT = ".gave-out"  # file in the folder of a run that has ended a sweep once by what gave out under it
FULL = (errno.ENOSPC, errno.EDQUOT)
OF_THE_MACHINE = (*FULL, errno.EIO, errno.EROFS, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ENODEV)


def outside_fault(error: BaseException | None) -> OutsideFault | None:
    """What an error means that comes from outside of the run that met it, in a sentence; None for any other."""
    for cause in _chain(error):
        if isinstance(cause, OutsideFault):
            return cause
        if isinstance(cause, OSError) and cause.errno in OF_THE_MACHINE:
            where = f"{cause.filename} could not be written" if cause.filename else "a file could not be written"
            said = "disk full" if cause.errno in FULL else os.strerror(cause.errno)
            return OutsideFault(f"{said}: {where}.\nMend the cause and give the same command again: it goes on.")
        if _is_of_a_database(cause):
            return OutsideFault(_of_the_database(cause))
        if isinstance(cause, MemoryError):
            return GaveOut("out of memory; free some, or give a smaller batch_size, image_size or jobs=")
    return None


@contextmanager
def explained_faults() -> Iterator[None]:
    """Turn such an error within the block into its sentence."""
    try:
        yield
    except Exception as error:
        if (fault := outside_fault(error)) is None:
            raise
        raise fault from error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it was raised from, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_of_a_database(error: BaseException) -> bool:
    """Whether a database raised it, or a server could not be reached; programming errors are none."""
    from sqlalchemy.exc import DBAPIError

    return isinstance(error, DBAPIError)


def _of_the_database(error: BaseException) -> str:
    said = first_line(error.orig if getattr(error, "orig", None) else error)
    if "full" in said:
        return (
            f"disk full: the study's database could not be written ({said}).\n"
            "Free some space and give the same command again: it goes on."
        )
    if "malformed" in said or "not a database" in said:
        return (
            f"the study's database is damaged ({said}).\nPut a copy of it back, or start another study by name=...; "
            "what its runs left is in their folders: headstart report shows it."
        )
    return (
        f"the study's database cannot be used ({said}).\n"
        "Mend the cause and give the same command again: it goes on, and no trial is lost."
    )
