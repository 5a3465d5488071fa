"""The exception for mistakes a user can make, and its kinds; exceptions in one line; how names stand in a sentence."""

from collections.abc import Iterable


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
