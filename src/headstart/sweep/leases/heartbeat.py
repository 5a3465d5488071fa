"""A thread that says that its process is alive, as long as the process holds something."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

Beat = Callable[[], None]


class Heartbeat:
    """Calls beats again and again, in one thread, while there are any.

    A beat that meets a database error is called again the next time: the server may be starting anew.
    """

    def __init__(self) -> None:
        self.seconds = 0.0  # between two rounds: what whoever wants them most often has asked for
        self._beats: list[Beat] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, beat: Beat, seconds: float) -> None:
        """Call `beat` from now on, every `seconds` or more often."""
        with self._changed:
            self._beats.append(beat)
            if self._thread is None:
                self.seconds = seconds
                self._thread = threading.Thread(target=self._run, name="headstart-heartbeat", daemon=True)
                self._thread.start()
            elif seconds < self.seconds:
                self.seconds = seconds
                self._changed.notify()

    def remove(self, beat: Beat) -> None:
        """Call it no more; a call that has begun may still go on. Nothing happens where it isn't called."""
        with self._changed:
            if beat in self._beats:
                self._beats.remove(beat)
            if not self._beats:
                self._changed.notify()  # the thread ends

    def clear(self) -> None:
        """Call none of them any more."""
        with self._changed:
            self._beats.clear()
            self._changed.notify()

    def _run(self) -> None:
        last = time.monotonic()
        while True:
            with self._changed:
                if not self._beats:
                    self._thread = None
                    return
                if (wait := last + self.seconds - time.monotonic()) > 0:
                    self._changed.wait(wait)  # shorter where somebody needs more beats
                    continue
                beats = list(self._beats)
            last = time.monotonic()
            for beat in beats:
                with suppress(SQLAlchemyError):
                    beat()
