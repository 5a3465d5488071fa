"""The exception for mistakes a user can make, and its kinds; exceptions in one line; how names stand in a sentence."""

import errno
import os
from collections.abc import Iterable, Iterator

FULL = (errno.ENOSPC, errno.EDQUOT)
OF_WRITING = (*FULL, errno.EFBIG, errno.EROFS)
OF_THE_MACHINE = (*OF_WRITING, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ENODEV)


class UserError(Exception):
    """A mistake in what was typed or in the files given: what came, what was expected, what to type.

    The command line prints its text without a traceback.
    """


class OutsideFault(UserError):
    """What a run lacked for now, which is no result of it: space on a disk, memory, a device, its study's database."""


class Damaged(UserError):
    """Files that a run needs to go on and that are not what it left: it has to begin anew."""


class GaveOut(OutsideFault):
    """Memory or a device that gave out under a run: others may have had it, or the run wants more than there is."""


def machine_fault(error: BaseException | None) -> OutsideFault | None:
    """What an error means that the disk or the system is behind, not what was asked, in a sentence; None for others."""
    for cause in causes(error):
        if isinstance(cause, OutsideFault):  # said already
            return cause
        if isinstance(cause, OSError) and cause.errno in OF_THE_MACHINE:
            said = "disk full" if cause.errno in FULL else os.strerror(cause.errno)
            done = "written" if cause.errno in OF_WRITING else "read or written"
            return OutsideFault(
                f"{said}: {cause.filename or 'a file'} could not be {done}.\n"
                "Mend the cause and give the same command again: it goes on."
            )
    return None


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it was raised from, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def printable(text: str) -> str:
    """Text of a foreign file on one line, without what a terminal would obey."""
    return "".join(character if character.isprintable() else "?" for character in text)


def listed(words: Iterable[str]) -> str:
    """`a, b and c`; "" of none."""
    *first, last = [*words] or [""]
    return f"{', '.join(first)} and {last}" if first else last


def first_line(error: BaseException | None) -> str:
    """The first line of an exception's text, or its type's name."""
    return _lines(error)[0]


def summary(error: BaseException | None) -> str:
    """What is wrong in one line: the first (advice follows it), with the next where it ends in a colon."""
    lines = _lines(error)
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


def _lines(error: BaseException | None) -> list[str]:
    return [line.strip() for line in (str(error).strip() or type(error).__name__).splitlines()]
