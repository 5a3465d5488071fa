"""What this process is working on: the trial of a study, if any, and whether it was told to stop.

One run at a time trains in a process, and neither Hydra's jobs nor a signal handler can be handed anything, so this is
kept in the module. It imports nothing heavy: a signal handler uses it, and a sweeper that trains nothing itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol


class Trial(Protocol):
    """A trial of a study as training sees it."""

    facts: dict[str, Any]  # number and params, for the run's record

    def guesses_up_to(self, accuracy: float) -> None:
        """Be told the accuracy (percent) up to which the run is at chance level, before it reports any."""

    def report(self, value: float, step: int) -> str | None:
        """Record a value; a text when the run should end here."""

    def pauses_after(self, epoch: int) -> bool:
        """Whether the run is to pause after that epoch, and may be gone on with later."""


class Claim(Protocol):
    """The right to work on the run, which others may have taken over from a process that seemed dead."""

    def check(self) -> None:
        """Raise an OutsideFault where that is so."""


trial: Trial | None = None
claim: Claim | None = None  # on the run that trains; None where nobody else may have it
study_folder: Path | None = None  # where the runs of a study keep what they share; None outside a study
at_work = False  # there is something to put in order at the end, such as workers to stop
goes_on_by = ""  # the command that goes on with what this process has begun; "" before that
stop = 0  # exit code, set by a signal handler whose SystemExit may have been swallowed inside a library's callback


@contextmanager
def working(command: str) -> Iterator[None]:
    """Be at work on what `command` would go on with. That is so afterwards, too: a study may be without its report."""
    global at_work, goes_on_by
    before, at_work, goes_on_by = at_work, True, command
    try:
        yield
    finally:
        at_work = before


def end_if_told() -> None:
    """Raise SystemExit when the process was told to stop."""
    if stop:
        raise SystemExit(stop)


def may_write() -> None:
    """To be called before something is written into the run's folder: raises OutsideFault where others work there."""
    if claim is not None:
        claim.check()


def guesses_up_to(val_accuracy: float) -> None:
    """What a run calls before its first epoch: up to which accuracy (percent) of its validation split it guesses."""
    if trial is not None:
        trial.guesses_up_to(val_accuracy)


def report(val_accuracy: float, epoch: int, *, goes_on: bool = False) -> str | None:
    """What a run calls after each epoch: the reason for which the study prunes it here, None to go on.

    val_accuracy: percent. goes_on: after the epoch that a resumed run begins with, and after the last, which has no
    checkpoint: else a run that is told to stop as often as it starts would come no further. Raises SystemExit when the
    process was told to stop.
    """
    if not goes_on:
        end_if_told()
    may_write()
    return None if trial is None else trial.report(val_accuracy, epoch)


def pauses_after(epoch: int) -> bool:
    """Whether the study lets the run pause after that epoch: its checkpoint has to be there before, and to stay."""
    return trial is not None and trial.pauses_after(epoch)


def facts() -> dict[str, Any]:
    """Number and swept values of the trial, empty outside a study."""
    return {} if trial is None else trial.facts
