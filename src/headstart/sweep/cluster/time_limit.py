"""A job whose time is running out ends with its epoch, and leaves a checkpoint for the one that goes on."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from headstart.training import trial_context

log = logging.getLogger(__name__)


@contextmanager
def ending_with_an_epoch() -> Iterator[None]:
    """Within the block, what submitit does at its signal waits until the run is between two epochs.

    The signal comes `hydra.launcher.signal_delay_s` before the time limit, or as others need the node more. By itself
    submitit raises an exception wherever the process is, which would cost the epoch and pass for the run's own error.
    Here the run ends as one that was told to stop, and only then submitit queues the job again or says why it can't.
    """
    number = _number_of_signal()
    if number is None:
        yield
        return
    submitits, told = signal.getsignal(number), []

    def note(number: int, frame: FrameType | None) -> None:
        told.append((number, frame))
        trial_context.stop = trial_context.stop or 128 + number
        log.info("this job's time is running out; it ends after this epoch, with a checkpoint")

    signal.signal(number, note)
    end = None
    try:
        yield
    except SystemExit as error:
        end = error
    finally:
        signal.signal(number, submitits)
        if told:
            trial_context.stop = 0
    if end is not None:
        if told:
            submitits(*told[0])
        raise end


def _number_of_signal() -> int | None:
    """The signal that submitit listens to in a job of its own; None in any other process."""
    if "SUBMITIT_EXECUTOR" not in os.environ or threading.current_thread() is not threading.main_thread():
        return None
    import submitit

    number = getattr(signal, f"SIG{submitit.JobEnvironment.USR_SIG}")
    return number if callable(signal.getsignal(number)) else None  # a job may start a study of its own
