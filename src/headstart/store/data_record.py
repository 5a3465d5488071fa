"""What is on record of a data set: counts, sizes, copies, and a sheet of samples, so that nobody needs the pictures.

It lies beside the runs that began with the data set, as data-<key>.json and data-<key>.png.
"""

import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from headstart.errors import UserError
from headstart.store.epochs import LARGEST_COUNT
from headstart.store.files import read_json, write_atomically, write_json

logger = logging.getLogger(__name__)

PARTS = ("train", "val", "test")
KEY = 12  # hexadecimal digits of the data set's sha256 in a record's name

Range = tuple[float, float, float]  # least, median and greatest


@dataclass(frozen=True)
class LeftOutFiles:
    """Files of one kind that are no part of a data set."""

    count: int
    first: tuple[str, ...]  # the first few by name


@dataclass(frozen=True)
class Samples:
    """Which pictures the sheet shows, a row for each of these classes, of `width` x `height` pixels each."""

    classes: tuple[int, ...]  # positions in `DataRecord.classes`
    counts: tuple[int, ...]  # pictures in each row
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class DataRecord:
    """A data set as runs use it. None: not known, as of data that does not lie in files of its own."""

    name: str
    classes: tuple[str, ...]
    counts: Mapping[str, tuple[int, ...]]  # of each class, by part: train, val, test
    pixels: tuple[int, int] | None = None  # width and height that all are decoded to
    mean: tuple[float, ...] | None = None  # of the training part, per channel, in 0 .. 1
    std: tuple[float, ...] | None = None
    root: str | None = None  # folder
    sizes: Mapping[str, Range] | None = None  # width and height in the files, pixels
    smaller: int | None = None  # pictures with a side below the decoded one
    left_out: Mapping[str, LeftOutFiles] = field(default_factory=dict)  # by kind
    notes: tuple[str, ...] = ()  # how files were understood
    copies: Mapping[str, int] | None = None  # pictures, by what is copied
    said: tuple[str, ...] = ()  # of copies and look-alikes, a sentence each
    samples: Samples | None = None
    folds: int | None = None  # that its pictures for training and validation are dealt out to; None: one split
    fold: int = 0  # which of them validates

    def total(self, part: str) -> int | None:
        """Pictures of a part."""
        return sum(self.counts[part]) if part in self.counts else None

    def as_dict(self) -> dict[str, Any]:
        """The record as JSON has it."""
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, content: Any) -> Self:
        """A record of what JSON says. Raises ValueError, TypeError, KeyError or AttributeError for what is none."""
        values = dict(content)
        counts = {part: tuple(map(_count, values["counts"][part])) for part in PARTS if part in values["counts"]}
        classes = tuple(map(str, values["classes"]))
        if not classes or any(len(own) != len(classes) for own in counts.values()):
            raise ValueError("counts of other classes")
        sizes, copies = values.get("sizes"), values.get("copies")
        of_three = {key: _numbers(values.get(key), 3) for key in ("mean", "std")}
        pixels = _numbers(values.get("pixels"), 2)
        return cls(
            name=str(values["name"]),
            classes=classes,
            counts=counts,
            pixels=None if pixels is None else (int(pixels[0]), int(pixels[1])),
            root=None if values.get("root") is None else str(values["root"]),
            sizes=None if sizes is None else {side: _numbers(sizes[side], 3) for side in ("width", "height")},
            smaller=None if values.get("smaller") is None else _count(values["smaller"]),
            left_out={str(kind): _left_out(files) for kind, files in values.get("left_out", {}).items()},
            copies=None if copies is None else {str(kind): _count(number) for kind, number in copies.items()},
            folds=None if values.get("folds") is None else _count(values["folds"]),
            fold=_count(values.get("fold", 0)),
            samples=None if values.get("samples") is None else _samples(values["samples"], len(classes)),
            **of_three,
            **{key: tuple(map(str, values.get(key, ()))) for key in ("notes", "said")},
        )


def keep_data_record(folder: Path, sha256: str, record: DataRecord, sheet: bytes | None) -> None:
    """Leave a record in a folder, and the sheet of samples, a PNG. Raises UserError where it can't be written."""
    path = record_path(folder, sha256)
    if sheet is not None:
        write_atomically(path.with_suffix(".png"), sheet)
    write_json(path, record.as_dict())


def record_path(folder: Path, sha256: str) -> Path:
    """Where the record of a data set lies."""
    return folder / f"data-{sha256[:KEY]}.json"


def find_data_record(run_dir: Path, top: Path, sha256: str) -> Path | None:
    """The record of a run's data, in the run's folder or one above it up to `top`; None where there is none."""
    folder, end = Path(os.path.normpath(run_dir)), Path(os.path.normpath(top))
    for place in (folder, *folder.parents):
        if (path := record_path(place, sha256)).is_file():
            return path
        if place == end or (place / "study.json").exists():
            break
    return None


def read_data_record(path: Path) -> DataRecord | None:
    """The record in a file; None, with a line in the log, where it is damaged or of another version."""
    try:
        return DataRecord.of(read_json(path))
    except (UserError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        logger.warning("%s is left out: %s", path, error)
        return None


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < LARGEST_COUNT:
        raise ValueError(f"{value!r} is no count")
    return value


def _numbers(value: Any, length: int) -> Any:
    """So many numbers, or None."""
    if value is None:
        return None
    if len(value) != length:
        raise ValueError(f"{len(value)} numbers where {length} were expected")
    return tuple(float(number) if isinstance(number, float) else _count(number) for number in value)


def _left_out(files: Mapping[str, Any]) -> LeftOutFiles:
    return LeftOutFiles(_count(files["count"]), tuple(map(str, files["first"])))


def _samples(values: Mapping[str, Sequence[int]], classes: int) -> Samples:
    shown, counts = (tuple(map(_count, values[key])) for key in ("classes", "counts"))
    if len(shown) != len(counts) or any(position >= classes for position in shown):
        raise ValueError("samples of other classes")
    return Samples(shown, counts, _count(values["width"]), _count(values["height"]))
