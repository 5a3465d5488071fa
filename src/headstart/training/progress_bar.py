"""What a person sees while a run trains: a progress bar on a terminal, plain lines in a log elsewhere."""

import logging
import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 30  # on the features of a frozen backbone
EPOCH_LINE = (
    "epoch {epoch}/{epochs}  loss {train_loss:.4f}  train {train_accuracy:.2f} %  validation {val_accuracy:.2f} %  "
    "{images_per_second:,.0f} images/s  {left} left"
)


def clock(seconds: float) -> str:
    """`00:08:48`; more than a day stays in hours: `31:00:00`."""
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"


class Lines:
    """Watcher that logs one plain line per epoch: for files, pipes and clusters."""

    def __init__(self, epochs: int):
        self.epochs = epochs
        self.begin = time.monotonic()
        self.first: int | None = None  # epoch that ended in this process
        self.last_line = self.begin

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def step(self, epoch: int, done: float, images_per_second: float, loss: float) -> None:
        """Nothing between epochs."""

    def features(self, done: int, total: int, images_per_second: float) -> None:
        """Log now and then how far the features are; the estimate for the epochs starts when they are there."""
        now = time.monotonic()
        if now - self.last_line > SECONDS_BETWEEN_LINES and done < total:
            self.last_line = now
            text = f"{done:,} of {total:,} images, {images_per_second:,.0f} images/s"
            log.info("features: %s, %s left", text, clock((total - done) / images_per_second))
        if self.first is None:
            self.begin = now

    def epoch(self, row: dict[str, Any]) -> None:
        """Log the row with an estimate of the time left."""
        self.first = self.first or row["epoch"]
        each = (time.monotonic() - self.begin) / (row["epoch"] - self.first + 1)
        left = clock(each * (self.epochs - row["epoch"]))
        log.info("%s", EPOCH_LINE.format(**row, epochs=self.epochs, left=left))

    def fit(self, what: str) -> None:
        """Nothing: the run's log says it, and no more is known until it is done."""


class Bar(Lines):
    """Watcher that draws one bar for the run, with loss, validation accuracy, images/s and time left, on stderr."""

    def __init__(self, epochs: int, title: str):
        super().__init__(epochs)
        self.accuracy = 0.0
        text, rate = TextColumn("{task.fields[text]}"), TextColumn("{task.fields[rate]:,.0f} images/s")
        columns = (TextColumn("{task.description}"), BarColumn(), text, rate, TimeRemainingColumn())
        self.progress = Progress(*columns, console=Console(stderr=True))
        empty = dict(text=self._text(1, float("nan")), rate=0.0)
        self.task = self.progress.add_task(title, total=epochs, visible=False, **empty)  # until there is something
        self.handlers: list[logging.StreamHandler] = []
        self.features_task: TaskID | None = None  # a second bar while they are computed

    def __enter__(self) -> "Bar":
        before = sys.stderr
        self.progress.start()  # puts a stand-in in stderr's place, which prints above the bar; the log has to know it
        self.handlers = [h for h in logging.getLogger().handlers if getattr(h, "stream", None) is before]
        self._redirect()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()
        self._redirect()

    def _redirect(self) -> None:
        for handler in self.handlers:
            handler.setStream(sys.stderr)

    def step(self, epoch: int, done: float, images_per_second: float, loss: float) -> None:
        """Move the bar within an epoch."""
        text = self._text(epoch, loss)
        self.progress.update(self.task, completed=epoch - 1 + done, text=text, rate=images_per_second, visible=True)

    def features(self, done: int, total: int, images_per_second: float) -> None:
        """Show a bar of its own until the features are there."""
        if self.features_task is None:
            self.features_task = self.progress.add_task("features", total=total, text="", rate=0.0)
        text = f"{done:,}/{total:,} images"
        self.progress.update(self.features_task, completed=done, text=text, rate=images_per_second)
        if done == total:
            self.progress.remove_task(self.features_task)
            self.features_task = None

    def epoch(self, row: dict[str, Any]) -> None:
        """Move the bar to the end of an epoch."""
        self.accuracy = row["val_accuracy"]
        text = self._text(row["epoch"], row["train_loss"])
        self.progress.update(self.task, completed=row["epoch"], text=text, rate=row["images_per_second"], visible=True)

    def _text(self, epoch: int, loss: float) -> str:
        return f"epoch {epoch}/{self.epochs} loss {loss:.3f}  validation {self.accuracy:.2f} %"

    def fit(self, what: str) -> None:
        """Say what is fitted, and for how long already, in place of the bar."""
        self.progress.columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self.progress.update(self.task, description=what, visible=True)


def watcher(epochs: int, title: str, bar: bool = True) -> Lines:
    """A bar on a terminal, lines elsewhere; use it as a context manager."""
    return Bar(epochs, title) if bar and Console(stderr=True).is_terminal else Lines(epochs)
