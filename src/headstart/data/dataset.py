"""Pictures in memory, split into train, validation and a sealed test part: what every source ends in."""

import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import torch

from headstart.data.copies import CopyCounts
from headstart.data.decoding import FileFacts
from headstart.data.splits import SplitOptions, choose_classes, nested, one_fold, shuffled, stratified
from headstart.store import FileListing


@dataclass(frozen=True, eq=False)
class Split:
    """Some pictures of one part of a data set, in the source's order; copied only when they are asked for."""

    source: torch.Tensor  # uint8 [M, H, W, 3], all pictures of that part; never written to, often a file that is shared
    labels: torch.Tensor  # int64 [N], 0 .. K - 1
    indices: torch.Tensor  # int64 [N], position in `source`, to find a picture again

    def pictures(self, rows: torch.Tensor | slice) -> torch.Tensor:
        """A copy of the pictures at these rows of the N: uint8 [n, H, W, 3]."""
        return self.source.index_select(0, self.indices[rows])  # eight times as fast as source[...]

    @property
    def images(self) -> torch.Tensor:
        """A copy of all of them: uint8 [N, H, W, 3]."""
        return self.pictures(slice(None))

    def blocks(self, size: int) -> Iterator[torch.Tensor]:
        """Copies of the pictures in order, `size` at a time: uint8 [n, H, W, 3]."""
        return (self.pictures(slice(start, start + size)) for start in range(0, len(self.labels), size))

    def choose(self, rows: torch.Tensor | slice) -> "Split":
        """Only these rows."""
        return Split(self.source, self.labels[rows], self.indices[rows])

    def to(self, device: torch.device) -> "Split":
        """On a GPU a copy of these pictures alone, `indices` counted anew; on the CPU the same."""
        if device.type == self.source.device.type:
            return self
        return Split(self.images.to(device), self.labels.to(device), torch.arange(len(self.labels), device=device))


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set after the choice of classes and subset; the test part stays sealed until `test()` is called."""

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    sha256: str  # of classes, pixels, labels and positions of train and val
    mean: tuple[float, float, float]  # of the train split used, per channel, in 0 .. 1
    std: tuple[float, float, float]
    load_test: Callable[[], Split] = field(repr=False)
    files: FileListing | None = field(default=None, repr=False)  # that all parts were read from; None: from none
    test_sha256: str | None = None  # of pictures and labels of the test part; None: they can't change unnoticed
    test_counts: tuple[int, ...] | None = None  # of each class in the test part, known without reading it
    copies: CopyCounts | None = None  # None: nobody looked for any
    class_weights: tuple[float, ...] | None = None  # of each class in the training loss; None: every picture weighs 1
    folds: int | None = None  # that the pictures for training and validation were dealt out to, one of which is `val`
    fold: int = 0  # which one
    seen: FileFacts | None = field(default=None, repr=False)  # of its files on reading them; None: of none

    @property
    def counts(self) -> tuple[int, ...]:
        """Training pictures of each class."""
        return tuple(torch.bincount(self.train.labels, minlength=len(self.classes)).tolist())

    @property
    def class_ratio(self) -> float:
        """How many times as many training pictures the largest class has as the smallest."""
        return max(self.counts) / max(1, min(self.counts))

    @property
    def test_images(self) -> int | None:
        """How many there are in the test part, where that is known without reading it."""
        return None if self.test_counts is None else sum(self.test_counts)

    def test(self) -> Split:
        """Read the test part."""
        return self.load_test()


def tensor_on(array: np.ndarray) -> torch.Tensor:
    """A tensor in the memory of an array, which may be mapped read-only: not to be written to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


@dataclass(frozen=True, eq=False)
class Part:
    """Some pictures of a part as its source has it, not copied yet."""

    images: np.ndarray  # uint8 [M, H, W, 3], all of the source's part, may be memory-mapped
    labels: np.ndarray  # int64 [N], of the pictures chosen
    rows: np.ndarray  # int64 [N], where they are in `images`

    @classmethod
    def whole(cls, images: np.ndarray, labels: np.ndarray) -> "Part":
        """Every picture: images uint8 [N, H, W, 3], labels int [N]."""
        return cls(images, np.asarray(labels, dtype=np.int64), np.arange(len(labels)))

    def choose(self, positions: np.ndarray) -> Self:
        """Only the pictures at `positions` (of this choice), in the order given."""
        return replace(self, labels=self.labels[positions], rows=self.rows[positions])

    def split(self) -> Split:
        """The chosen pictures in the source's order."""
        order = np.argsort(self.rows, kind="stable")
        return Split(*map(tensor_on, (self.images, self.labels[order], self.rows[order])))


def assemble(
    name: str,
    names: tuple[str, ...],
    train: Part,
    load_test: Callable[[], Part],
    options: SplitOptions,
    val: Part | None = None,
    files: FileListing | None = None,
    apart: Callable[[Part, Part], Part] | None = None,
    test_counts: Sequence[int] | None = None,
) -> Dataset:
    """Keep the chosen classes, split off the validation part, take the training subset and measure it.

    names: the source's classes. load_test: reads the test part; called only by `Dataset.test()`.
    val: the validation part that a source brings of its own; `options.validation_size` is not used then. None with
    `options.folds`, which divide train.
    files: what the source has read or will read. apart: takes out of the training part, its first argument, what must
    not lie beside the validation part. test_counts: pictures of each of the source's classes in the test part.
    Raises UserError for options that the data cannot meet.
    """
    keep = choose_classes(names, options.classes)
    train = _relabel(train, keep)
    if isinstance(options.folds, int):
        train = _subset(train, shuffled(train.labels, options.split_seed, keep), options)
        held_out, rest = one_fold(train.labels, options.folds, options.fold)
        train, val = train.choose(rest), train.choose(held_out)
        train = train if apart is None else apart(train, val)
    elif val is None:
        size, seed = options.validation_size, options.split_seed
        held_out, rest = stratified(train.labels, size, seed, keep, "data.validation_size")
        val = train.choose(held_out)
        train = _subset(train, rest, options, val, apart)
    else:
        val = _relabel(val, keep)
        train = _subset(train, shuffled(train.labels, options.split_seed, keep), options, val, apart)
    used, held = train.split(), val.split()
    chosen = tuple(names[position] for position in keep)

    def test() -> Split:
        return _relabel(load_test(), keep).split()

    known = dict(test_counts=None if test_counts is None else tuple(int(test_counts[position]) for position in keep))
    known |= dict(folds=options.folds, fold=options.fold)
    known["class_weights"] = balanced(used.labels.numpy(), len(chosen)) if options.class_weights else None
    return Dataset(name, chosen, used, held, fingerprint(chosen, used, held), *statistics(used), test, files, **known)


def balanced(labels: np.ndarray, classes: int) -> tuple[float, ...]:
    """A weight per class, n / (classes x its n), as scikit-learn's class_weight="balanced" has it.

    Source: King & Zeng (2001), "Logistic regression in rare events data", Political Analysis 9.
    """
    return tuple((len(labels) / (classes * np.bincount(labels, minlength=classes))).tolist())


def _subset(
    part: Part,
    rows: np.ndarray,
    options: SplitOptions,
    val: Part | None = None,
    apart: Callable[[Part, Part], Part] | None = None,
) -> Part:
    """What `train_size` takes of these rows, in shuffled order within a class; `apart` as `assemble` has it."""
    part = part.choose(rows)
    part = part if apart is None or val is None else apart(part, val)
    return part.choose(nested(part.labels, options.train_size))


def _relabel(part: Part, keep: list[int]) -> Part:
    """Only the classes in `keep`, renumbered 0 .. len(keep) - 1 in that order."""
    new = np.full(max(int(part.labels.max()), *keep) + 1, -1)
    new[keep] = np.arange(len(keep))
    labels = new[part.labels]
    kept = np.flatnonzero(labels >= 0)
    return replace(part, labels=labels[kept], rows=part.rows[kept])


def statistics(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel in 0 .. 1 of a split's pixels, from exact whole-number sums."""
    _, height, width, _ = split.source.shape
    total, squares = np.zeros(width * 3, dtype=np.int64), np.zeros(width * 3, dtype=np.int64)
    for pictures in split.blocks(60_000 // height):  # sums of more squares would not fit into 32 bits
        # Sums down long columns are the ones that vectorise.
        block = pictures.numpy().reshape(-1, width * 3).astype(np.uint16)
        total += np.add.reduce(block, axis=0, dtype=np.uint32)
        squares += np.add.reduce(block * block, axis=0, dtype=np.uint32)
    total, squares = (sums.reshape(width, 3).sum(0) for sums in (total, squares))
    n = len(split.labels) * height * width
    mean = [value / n for value in total.tolist()]
    spread = [max(square / n - m * m, 0) ** 0.5 for square, m in zip(squares.tolist(), mean, strict=True)]
    # A channel without any contrast would be divided by zero; one grey level is the least that can be seen.
    return tuple(m / 255 for m in mean), tuple(max(s, 1) / 255 for s in spread)


def fingerprint(classes: tuple[str, ...], *splits: Split) -> str:
    """The sha256, 64 hexadecimal digits, of class names, and of each split's pixels, labels and positions."""
    digest = hashlib.sha256(repr(classes).encode())
    for split in splits:
        digest.update(repr((len(split.labels), *split.source.shape[1:])).encode())
        for pictures in split.blocks(1000):
            digest.update(pictures.numpy().data)
        for tensor in (split.labels, split.indices):
            digest.update(repr(tuple(tensor.shape)).encode())
            digest.update(tensor.numpy().data)
    return digest.hexdigest()
