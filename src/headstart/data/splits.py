"""Which classes and which rows: stratified and nested choices that depend on a seed alone."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from headstart.errors import UserError
from headstart.statistics import ENOUGH_TO_CHOOSE

VALIDATION_SHARE = 0.1  # of the pictures
USUAL_FOLDS = 3  # of fewer pictures than a quarter of which is enough: each part then validates once


@dataclass(frozen=True)
class SplitOptions:
    """What a configuration says about the classes, the training subset and the split. Equal ones have equal hashes."""

    classes: Sequence[str | int] | None  # names, or positions in the source's, renumbered in this order; None: all
    train_size: int | None  # training pictures, as many of each class; smaller subsets lie within larger; None: all
    # Pictures split off train, or a fraction of it, each class in proportion; "auto": the source says how many.
    validation_size: int | float | Literal["auto"] | None
    split_seed: int  # decides alone which pictures are split off, and which a subset takes
    # Into which the subset is divided, each class in proportion: one validates, others train; "auto": the source says.
    folds: int | Literal["auto"] | None = None
    fold: int = 0  # which one, from 0
    class_weights: Literal["balanced"] | None = None  # of the training loss: as heavy as a class is rare; None: 1 each

    def __post_init__(self) -> None:
        if self.folds is None and self.fold:
            raise UserError(f"data.fold={self.fold} has no effect without folds; add data.folds=..., or leave it out")
        if isinstance(self.folds, int) and self.fold >= self.folds:
            raise UserError(f"data.fold={self.fold}: the folds of data.folds={self.folds} are 0 to {self.folds - 1}")
        if isinstance(self.folds, int) and self.validation_size not in (None, "auto"):
            raise UserError(
                f"data.folds={self.folds} and data.validation_size={self.validation_size} are both given; a fold is "
                "the validation part, so leave the second out, or give data.validation_size=null"
            )
        if self.classes is not None:
            object.__setattr__(self, "classes", tuple(self.classes))  # a list has no hash


def choose_classes(names: tuple[str, ...], classes: tuple[str | int, ...] | None) -> list[int]:
    """Positions in `names` of the chosen classes. Raises UserError for unknown, doubled or fewer than two."""
    if classes is None:
        return list(range(len(names)))
    keep = [_position(names, item) for item in classes]
    doubled = sorted({names[position] for position in keep if keep.count(position) > 1})
    if doubled:
        raise UserError(f"data.classes names {', '.join(doubled)} more than once; give each class once.")
    if len(keep) < 2:
        raise UserError(f"data.classes={list(classes)} leaves {len(keep)} class; a classifier needs two or more.")
    return keep


def stratified(
    labels: np.ndarray, size: int | float, seed: int, streams: Sequence[int] | None = None, what: str = "size"
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a held-out part with each class in proportion, and the rest, each in shuffled order within a class.

    labels: int64 [N], 0 .. K - 1. size: rows to hold out, or a fraction below 1. streams: a number per class that,
    with `seed`, decides its order (a class keeps its order when others are left out); None: 0 .. K - 1.
    Raises UserError, naming `what`, if either side would get no picture of some class.
    """
    counts = np.bincount(labels)
    quota = _quota(counts, _count(size, counts, what))
    if not _fits(counts, quota):
        least, most = np.count_nonzero(counts), len(labels) - np.count_nonzero(counts)
        possible = counts[counts > 0].min() > 1
        hint = f"Give {least} to {most}, or a fraction." if possible else "Add pictures to the smallest class."
        raise UserError(
            f"{what}={size} does not fit {len(labels)} training pictures of {least} classes, the smallest with "
            f"{counts[counts > 0].min()}: each class needs a picture or more on either side.\n{hint}"
        )
    order = shuffled(labels, seed, streams)
    by_class = [order[labels[order] == label] for label in range(len(counts))]
    held = np.concatenate([rows[:q] for rows, q in zip(by_class, quota, strict=True)])
    rest = np.concatenate([rows[q:] for rows, q in zip(by_class, quota, strict=True)])
    return held, rest


def usual_validation_size(labels: np.ndarray) -> int | float:
    """What is split off to validate on where nobody says: a tenth, of few pictures enough to choose or a quarter.

    labels: int [N], of the pictures for training and validation. A choice between settings by 14 pictures is a
    lottery, ±26 points at an accuracy of 50 %; with 30 it is ±18. Of 300 pictures and more it is a tenth.
    """
    total, classes = len(labels), len(np.unique(labels))
    if (few := min(ENOUGH_TO_CHOOSE, total // 4)) <= round(VALIDATION_SHARE * total):
        return VALIDATION_SHARE
    return max(few, min(classes, total - classes))


def usual_folds(labels: np.ndarray) -> int | None:
    """Into how many folds so few pictures are dealt out where nobody says; None where one split is the better use.

    labels: int [N], of the pictures for training and validation. Of fewer than 120 a quarter is fewer than
    `ENOUGH_TO_CHOOSE`. Of `USUAL_FOLDS` a third validates: the choice is made by more of them, every picture validates
    once, and two thirds still train; with five the choice would be made by fewer than a quarter. None, too, where a
    class has fewer pictures than that.
    """
    is_few = len(labels) // 4 < ENOUGH_TO_CHOOSE
    return USUAL_FOLDS if is_few and np.unique(labels, return_counts=True)[1].min() >= USUAL_FOLDS else None


def _quota(counts: np.ndarray, size: int) -> np.ndarray:
    """`size` shared out over the classes in proportion; the largest remainders get what rounding left over.

    Where that leaves a class without a picture on one side, it gets one from those that are furthest from that.
    """
    exact = counts * size / counts.sum()
    quota = np.floor(exact).astype(int)
    quota[np.argsort(-(exact - quota), kind="stable")[: size - quota.sum()]] += 1
    return quota if _fits(counts, quota) else _with_each(counts, quota)


def _with_each(counts: np.ndarray, quota: np.ndarray) -> np.ndarray:
    """A quota that leaves a picture or more of each class on either side, or the same where that cannot be."""
    low, high = np.minimum(counts, 1), np.maximum(counts - 1, 0)
    if not low.sum() <= quota.sum() <= high.sum() or (low > high).any():
        return quota
    size, quota = quota.sum(), np.clip(quota, low, high)
    while (missing := size - quota.sum()) != 0:
        room = high - quota if missing > 0 else quota - low
        quota[room.argmax()] += np.sign(missing)
    return quota


def _fits(counts: np.ndarray, quota: np.ndarray) -> bool:
    there = counts > 0
    return bool((quota[there] >= 1).all() and (quota < counts)[there].all())


def shuffled(labels: np.ndarray, seed: int, streams: Sequence[int] | None = None) -> np.ndarray:
    """Rows of one class after the other, each class in an order that depends on seed and its stream alone."""
    streams = range(int(labels.max()) + 1) if streams is None else streams
    # RandomState's stream is promised never to change (NEP 19), Generator's and torch's are not.
    return np.concatenate(
        [
            np.random.RandomState([seed, stream]).permutation(np.flatnonzero(labels == label))
            for label, stream in enumerate(streams)
        ]
    )


def nested(labels: np.ndarray, train_size: int | None) -> np.ndarray:
    """Rows of the first train_size / K pictures of each class, so that smaller subsets lie within larger ones.

    labels: int64 [N], 0 .. K - 1, in shuffled order within a class. None: all rows. Raises UserError for sizes that
    are no positive multiple of K or too large.
    """
    if train_size is None:
        return np.arange(len(labels))
    k = int(labels.max()) + 1
    by_class = [np.flatnonzero(labels == label) for label in range(k)]
    largest = min(len(rows) for rows in by_class) * k
    if 0 < train_size <= largest and train_size % k == 0:
        return np.concatenate([rows[: train_size // k] for rows in by_class])
    below = min(max(train_size // k * k, k), largest)
    near = " or ".join(str(size) for size in sorted({below, min(below + k, largest)}))
    why = f"no multiple of {k} (classes)"
    why = f"more than {largest} ({k} x its smallest class)" if train_size > largest else why
    raise UserError(
        f"data.train_size={train_size} is {why}; it takes as many pictures of each class.\n"
        f"Give {near}, or null for all {len(labels)} training pictures."
    )


def one_fold(labels: np.ndarray, folds: int, fold: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the fold of that number, from 0, and of all others, each class shared out evenly.

    labels: int64 [N], 0 .. K - 1, one class after the other and in shuffled order within it, as `nested` leaves them.
    Folds differ by one picture at most, in all and of each class. Raises UserError for more folds than pictures of some
    class.
    """
    rarest = int(np.bincount(labels).min())
    if folds > rarest:
        hint = f"Give 2 to {rarest}." if rarest > 1 else "Add pictures to that class."
        raise UserError(
            f"data.folds={folds}: each fold needs a picture of each class, and the rarest has {rarest}.\n{hint}"
        )
    dealt = np.arange(len(labels)) % folds
    return np.flatnonzero(dealt == fold), np.flatnonzero(dealt != fold)


def _position(names: tuple[str, ...], item: str | int) -> int:
    if str(item) in names:  # first, so that 10 means the class called "10" where there is one
        return names.index(str(item))
    if isinstance(item, int) and 0 <= item < len(names):
        return item
    close = difflib.get_close_matches(str(item), names, n=1)
    hint = f"did you mean {close[0]}? Give" if close else "give"
    shown = ", ".join(names[:20]) + (f", ... ({len(names)} in all)" if len(names) > 20 else "")
    raise UserError(f"data.classes: there is no class {item!r}; {hint} positions 0 to {len(names) - 1} or: {shown}.")


def _count(size: int | float, counts: np.ndarray, what: str) -> int:
    """How many `size` means, of a share at least one of each class on either side."""
    total, classes = int(counts.sum()), np.count_nonzero(counts)
    if isinstance(size, float) and 0 < size < 1:
        return max(classes, min(round(size * total), total - classes))
    if not 0 < size < total:
        raise UserError(
            f"{what}={size} cannot be taken from {total} training pictures; "
            f"give a whole number from 1 to {total - 1} or a fraction between 0 and 1."
        )
    return size
