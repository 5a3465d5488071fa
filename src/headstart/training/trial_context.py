"""What this process works on: the study's trial, if any, and whether it was told to stop."""

from typing import Any, Protocol


class Trial(Protocol):
    """A trial of a study as training sees it."""

    facts: dict[str, Any]  # number and params, for the run's record

    def report(self, value: float, step: int) -> str | None:
        """Record a value; a text when the run should end here."""


trial: Trial | None = None
stop = False  # set by a signal handler whose SystemExit may have been swallowed inside a library's callback


def report(value: float, step: int) -> str | None:
    """What a run calls after each epoch: SystemExit when the process was told to stop, else the study's answer."""
    if stop:
        raise SystemExit(143)
    return None if trial is None else trial.report(value, step)


def facts() -> dict[str, Any]:
    """Number and swept values of the trial, empty outside a study."""
    return {} if trial is None else trial.facts
