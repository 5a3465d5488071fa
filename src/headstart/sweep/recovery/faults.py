"""Faults that no trial can help: a full disk, no memory, a lost database. They end a sweep, and fail no trial."""

from collections.abc import Iterator
from contextlib import contextmanager

from headstart.errors import GaveOut, OutsideFault, causes, first_line, machine_fault

GAVE_OUT = ".gave-out"  # file in the folder of a run that has ended a sweep once by what gave out under it


def outside_fault(error: BaseException | None) -> OutsideFault | None:
    """What an error means that comes from outside of the run that met it, in a sentence; None for any other."""
    for cause in causes(error):
        if isinstance(cause, OutsideFault):
            return cause
        if _is_of_a_database(cause):
            return OutsideFault(_of_the_database(cause))
        if isinstance(cause, MemoryError):
            return GaveOut("out of memory; free some, or give a smaller batch_size, image_size or jobs=")
    return machine_fault(error)


@contextmanager
def explained_faults() -> Iterator[None]:
    """Turn such an error within the block into its sentence."""
    try:
        yield
    except Exception as error:
        if (fault := outside_fault(error)) is None:
            raise
        raise fault from error


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
