"""What there is to say about a data set before anything is trained on it, and a sheet of its pictures."""

import io
from pathlib import Path

import numpy as np
import torch

from headstart.data.dataset import Dataset
from headstart.data.decoding import FileFacts
from headstart.data.look_alikes import like_another_class
from headstart.data.picture_files import shown
from headstart.data.thumbnails import shrink
from headstart.store import DataRecord, LeftOutFiles, Samples

SAMPLED, MOST_CLASSES = 10, 20  # pictures of each class on the sheet; classes, of more the first by count
SEED = 0  # of which pictures
NAMED = 3  # files of a kind


def describe_data(data: Dataset, *, across_classes: bool = False) -> DataRecord:
    """What is to be put on record of a data set, without reading its test part.

    across_classes: look for pictures that look alike in two classes, too, which takes a while where there are many.
    """
    number = len(data.classes)
    counts = {part: _counted(split.labels, number) for part, split in (("train", data.train), ("val", data.val))}
    counts |= {} if data.test_counts is None else {"test": data.test_counts}
    height, width = data.train.source.shape[1:3]
    record = DataRecord(
        name=data.name,
        classes=data.classes,
        counts=counts,
        pixels=(width, height),
        mean=data.mean,
        std=data.std,
        samples=_samples(data),
        folds=data.folds,
        fold=data.fold,
        **_of_files(data, min(width, height)),
    )
    if across_classes and data.seen is not None:
        record.copies["look_alikes_of_another_class"] = _like_another_class(data, data.seen)
    return record


def sample_sheet(data: Dataset) -> bytes:
    """The pictures that the record's `samples` names as one PNG, side by side, a row for each class."""
    from PIL import Image

    samples = _samples(data)
    sheet = np.full((len(samples.classes), SAMPLED, samples.height, samples.width, 3), 255, np.uint8)
    for row, position in zip(sheet, samples.classes, strict=True):
        pictures = shrink(data.train.pictures(_drawn(data, position)).numpy())
        row[: len(pictures)] = pictures
    rows, columns, height, width, _ = sheet.shape
    grid = sheet.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)
    content = io.BytesIO()
    Image.fromarray(grid).save(content, "PNG", compress_level=3)
    return content.getvalue()


def _counted(labels: torch.Tensor, classes: int) -> tuple[int, ...]:
    return tuple(torch.bincount(labels, minlength=classes).tolist())


def _of_files(data: Dataset, side: int) -> dict:
    """The fields of a record that are about files. side: of the decoded pictures, pixels."""
    facts, counted = data.seen, data.copies
    if facts is None or counted is None:
        return {}
    sizes = facts.sizes[np.concatenate(list(facts.places.values()))]
    three = [[int(s.min()), float(np.median(s)), int(s.max())] for s in sizes.T]
    left = sorted(facts.left_out.items())
    copies = dict(dropped=counted.copies_dropped, across_parts=counted.copies_kept, in_two_classes=facts.two_classes)
    copies |= {f"within_{part}": count for part, count in facts.repeats.items()}
    return dict(
        root=shown(str(Path(facts.root).absolute())),
        sizes={name: tuple(values) for name, values in zip(("width", "height"), three, strict=True)},
        smaller=int((sizes.min(axis=1) < side).sum()),
        left_out={kind: LeftOutFiles(len(paths), tuple(map(shown, sorted(paths)[:NAMED]))) for kind, paths in left},
        notes=tuple(facts.notes),
        copies=copies | dict(look_alikes=counted.look_alikes),
        said=tuple(facts.said),
    )


def _like_another_class(data: Dataset, facts: FileFacts) -> int:
    """How many of the pictures for training and validation look like one of another class."""
    places = np.concatenate([facts.places[part] for part in ("train", "val")])
    labels = np.concatenate([data.train.labels.numpy(), data.val.labels.numpy()])
    return int(like_another_class(facts.hashes[places], labels, facts.same[places]).sum())


def _samples(data: Dataset) -> Samples:
    counts = _counted(data.train.labels, len(data.classes))
    rows = list(range(len(counts)))
    if len(counts) > MOST_CLASSES:
        rows = sorted(rows, key=lambda position: -counts[position])[:MOST_CLASSES]
    height, width = shrink(data.train.pictures(slice(1)).numpy()).shape[1:3]
    return Samples(tuple(rows), tuple(min(SAMPLED, counts[position]) for position in rows), width, height)


def _drawn(data: Dataset, position: int) -> torch.Tensor:
    """Rows of training pictures of a class, drawn at random, the same at every call."""
    rows = np.flatnonzero(data.train.labels.numpy() == position)
    return torch.from_numpy(np.random.RandomState([SEED, position]).permutation(rows)[:SAMPLED])
