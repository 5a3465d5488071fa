"""Which threads of a process may run something at the same time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Runs that go together, and runs that go alone: those wait for all that are under way, and all others for them."""

    def __init__(self) -> None:
        self._changed, self._together, self._alone = threading.Condition(), 0, False

    @contextmanager
    def together(self) -> Iterator[None]:
        """Run beside others."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._together += 1
        try:
            yield
        finally:
            with self._changed:
                self._together -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Run while no other does; nobody else begins once this one waits."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._alone = True
            self._changed.wait_for(lambda: not self._together)
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()
