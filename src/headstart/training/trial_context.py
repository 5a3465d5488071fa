"""What this process is working on: the trial of a study, if any, and whether it was told to stop.

One run at a time trains in a process, and neither Hydra's jobs nor a signal handler can be handed anything, so this is
kept in the module. It imports nothing: a signal handler uses it, and a sweeper that trains nothing itself.
"""

from typing import Any, Protocol


class Trial(Protocol):
    """A trial of a study as training sees it."""

    facts: dict[str, Any]  # number and params, for the run's record

    def report(self, value: float, step: int) -> str | None:
        """Record a value; a text when the run should end here."""


trial: Trial | None = None
stop = False  # set by a signal handler whose SystemExit may have been swallowed inside a library's callback


def report(val_accuracy: float, epoch: int) -> str | None:
    """What a run calls after each epoch: the reason for which the study prunes it here, None to go on.

    val_accuracy: percent. Raises SystemExit when the process was told to stop.
    """
    if stop:
        raise SystemExit(143)
    return None if trial is None else trial.report(val_accuracy, epoch)


def facts() -> dict[str, Any]:
    """Number and swept values of the trial, empty outside a study."""
    return {} if trial is None else trial.facts
