"""epochs.csv, a row per epoch of a run: the one place that writes and reads it."""

import contextlib
import logging
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import lt
from pathlib import Path
from typing import Any, NamedTuple

from headstart.store.files import LARGEST_RECORD, explained_errors, read_regular_file, replace_file, write_all

logger = logging.getLogger(__name__)

LARGEST_COUNT = 2**53  # exact as a float too


class Epoch(NamedTuple):
    """A row of `epochs.csv`: how far training was at the end of an epoch; None where the file does not say."""

    epoch: int  # from 1
    steps: int | None  # of the optimizer, so far
    images: int | None  # seen by training so far, repeats counted
    lr: float | None  # of the last step
    train_loss: float | None  # nats, mean over the epoch
    train_accuracy: float | None  # percent, mean over the epoch
    val_loss: float | None  # nats
    val_accuracy: float | None  # percent
    seconds_train: float | None  # of this epoch, without validation
    images_per_second: float | None
    seconds_total: float | None  # of training so far


EPOCH_FIELDS = Epoch._fields
INTEGER_FIELDS = 3  # the first three count something
PERCENTS = [place for place, name in enumerate(EPOCH_FIELDS) if name.endswith("accuracy")]
_HEADER = ",".join(EPOCH_FIELDS)
_HEADER_LINE = f"{_HEADER}\n".encode()


@dataclass(frozen=True)
class Epochs:
    """What `epochs.csv` holds, column by column as tables need it, or row by row."""

    columns: dict[str, Sequence[float | int | None]]  # the values of each of `EPOCH_FIELDS`, by epoch
    # The file's own lines, one an epoch, where they are nothing but numbers that say the same: who copies a hundred
    # thousand rows saves writing their numbers anew, which takes longer than to read them.
    lines: list[str] | None = None

    def __len__(self) -> int:
        return len(self.columns["epoch"])

    @property
    def rows(self) -> list[Epoch]:
        """One row an epoch, in their order."""
        return list(map(Epoch._make, zip(*self.columns.values(), strict=True)))

    @property
    def last(self) -> Epoch | None:
        """The row of the last epoch; None without any."""
        return Epoch(*(column[-1] for column in self.columns.values())) if len(self) else None


NO_EPOCHS = Epochs(dict.fromkeys(EPOCH_FIELDS, ()))


def append_epoch(run_dir: str | Path, row: dict[str, float | int | None]) -> None:
    """Append one epoch to `epochs.csv` and wait until it is on disk; a line that a killed writer left torn is cut off.

    Raises:
        ValueError: `row` has keys outside `EPOCH_FIELDS`, or no epoch.
        UserError: the disk is full or the folder cannot be written; the rows before are untouched.
    """
    if unknown := sorted(row.keys() - set(EPOCH_FIELDS)):
        raise ValueError(f"epochs.csv has no columns {unknown}; expected {list(EPOCH_FIELDS)}")
    path = Path(run_dir) / "epochs.csv"
    line = _epoch_line([row["epoch"] if field == "epoch" else row.get(field) for field in EPOCH_FIELDS])
    with explained_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            written = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
            if written.startswith(_HEADER_LINE):
                _write_at(descriptor, written.rfind(b"\n") + 1, line)
                return
        finally:
            os.close(descriptor)
    # New, torn in the header, or the columns of another version: the whole file is written again.
    replace_file(path, (_HEADER_LINE, *map(_epoch_line, read_epochs(run_dir).rows), line))


def _write_at(descriptor: int, position: int, data: bytes) -> None:
    """Cut the file at `position` and write `data` there, or leave it cut there."""
    os.ftruncate(descriptor, position)
    os.lseek(descriptor, position, os.SEEK_SET)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    except BaseException:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, position)
        raise


def _epoch_line(values: Iterable[Any]) -> bytes:
    """Return the line for values in the order of `EPOCH_FIELDS`: all digits of a float, nothing for None."""
    cells = [
        "" if value is None else str(int(value)) if place < INTEGER_FIELDS else repr(float(value))
        for place, value in enumerate(values)
    ]
    return (",".join(cells) + "\n").encode()


def read_epochs(run_dir: str | Path) -> Epochs:
    """Return what `epochs.csv` holds, nothing without a file. Torn and damaged lines are left out, which is logged."""
    path = Path(run_dir) / "epochs.csv"
    try:
        data = read_regular_file(path, LARGEST_RECORD)
    except FileNotFoundError:
        return NO_EPOCHS
    except (OSError, ValueError) as error:
        logger.warning("%s is left out: %s", path, error)
        return NO_EPOCHS
    text = data.decode("utf-8", "replace")
    # What stands behind the last line end is torn: even a number that looks whole may lack its last digits.
    header, *lines = [line.removesuffix("\r") for line in text.split("\n")[:-1]] or [""]
    if header == _HEADER and (columns := _parse_whole(lines)) is not None:
        is_plain = not data.removeprefix(_HEADER_LINE).translate(None, b"0123456789.,+-e\n")
        return Epochs(columns, lines if is_plain else None)
    rows = _parse_lines(path, header, lines)
    return Epochs(dict(zip(EPOCH_FIELDS, zip(*rows, strict=True), strict=True))) if rows else NO_EPOCHS


def _parse_whole(lines: list[str]) -> dict[str, list[float | int]] | None:
    """Return the columns of lines without any fault, in half the time of `_parse_lines`; None if there is one."""
    width = len(EPOCH_FIELDS)
    if not lines or any(line.count(",") != width - 1 for line in lines):
        return None
    cells = ",".join(lines).split(",")
    try:
        columns = [list(map(int if place < INTEGER_FIELDS else float, cells[place::width])) for place in range(width)]
    except ValueError:
        return None
    epochs, *counts = columns[:INTEGER_FIELDS]
    rising = all(map(lt, epochs, epochs[1:]))
    if not (rising and epochs[0] > 0 and epochs[-1] < LARGEST_COUNT):
        return None
    if any(min(values) < 0 or max(values) >= LARGEST_COUNT for values in counts):
        return None
    if not all(0 <= value <= 100 for place in PERCENTS for value in columns[place]):
        return None
    return dict(zip(EPOCH_FIELDS, columns, strict=True))


def _parse_lines(path: Path, header: str, lines: list[str]) -> list[Epoch]:
    """Return the rows of the lines that are whole; columns that the header lacks are None."""
    names = header.split(",")
    if "epoch" not in names or len(set(names)) != len(names):
        if header:
            logger.warning("%s is left out: its first line is not a header", path)
        return []
    places = [names.index(field) if field in names else None for field in EPOCH_FIELDS]
    rows = {}
    for line in lines:
        cells = line.split(",")
        if len(cells) == len(names) and (row := _parse_cells(cells, places)):
            rows[row.epoch] = row  # an epoch that was run again counts as it was the last time
    if damaged := sum(map(bool, lines)) - len(rows):
        logger.warning("%s: %d lines are damaged or double and left out", path, damaged)
    return [rows[epoch] for epoch in sorted(rows)]


def _parse_cells(cells: list[str], places: list[int | None]) -> Epoch | None:
    """Return the numbers of the cells at `places`, in the order of `EPOCH_FIELDS`; None if some can be none."""
    values = ("" if place is None else cells[place] for place in places)
    row = Epoch(*(_number(cell, column < INTEGER_FIELDS) for column, cell in enumerate(values)))
    epoch, steps, images = (count or 0 for count in row[:INTEGER_FIELDS])
    if any(not 0 <= row[place] <= 100 for place in PERCENTS if row[place] is not None and not math.isnan(row[place])):
        return None
    if 0 < epoch < LARGEST_COUNT and 0 <= steps < LARGEST_COUNT and 0 <= images < LARGEST_COUNT:
        return row
    return None


def _number(cell: str, integer: bool) -> float | int | None:
    try:
        return int(cell) if integer else float(cell)
    except ValueError:
        return None


def truncate_epochs(run_dir: str | Path, keep: int) -> None:
    """Drop the epochs after `keep` (those that a resumed run does again); without a file nothing is to be done."""
    path = Path(run_dir) / "epochs.csv"
    if path.exists():
        replace_file(
            path, (_HEADER_LINE, *(_epoch_line(row) for row in read_epochs(run_dir).rows if row.epoch <= keep))
        )
