"""Waiting for what other processes do."""

import time
from collections.abc import Callable

SECONDS_AT_MOST = 900  # that anything may take


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until it holds. Raises TimeoutError."""
    deadline = time.monotonic() + SECONDS_AT_MOST
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("waited in vain")
        time.sleep(0.05)
