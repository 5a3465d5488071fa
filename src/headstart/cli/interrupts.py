"""Ctrl-C and SIGTERM: one line that says how to go on, whatever is being imported or computed in that moment."""

import os
import signal
import sys
from typing import Any

from headstart.training import trial_context

SECONDS_TO_TRY_AGAIN = 0.02


def listen() -> None:
    """Have both signals end this process by `_stop`, from now on."""
    trial_context.at_work, trial_context.stop, trial_context.goes_on_by = False, 0, ""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)


def say_how_to_go_on() -> None:
    """Print, of a process that was told to stop, what goes on with what it has begun."""
    if trial_context.stop:
        print(_line(), file=sys.stderr)


def _stop(number: int, _: Any) -> None:
    """End at once where nothing is at work yet, else by SystemExit, as what was begun has to be put in order."""
    code = trial_context.stop or 128 + number
    if not trial_context.at_work:
        # An exception would be raised inside some library's import, which may swallow it or print its own last words.
        os.write(sys.stderr.fileno(), f"{_line()}\n".encode())
        os._exit(code)
    trial_context.stop = code
    sys.unraisablehook = _try_again
    raise SystemExit(code)


def _try_again(unraisable: Any) -> None:
    """Python's hook for exceptions in finalizers: where one of them swallowed our SystemExit, raise it anew soon."""
    if isinstance(unraisable.exc_value, SystemExit):
        signal.signal(signal.SIGALRM, _stop)
        signal.setitimer(signal.ITIMER_REAL, SECONDS_TO_TRY_AGAIN)
    else:
        sys.__unraisablehook__(unraisable)


def _line() -> str:
    command = trial_context.goes_on_by
    return f"interrupted; run {command} to go on, a network from its last checkpoint" if command else "interrupted"
