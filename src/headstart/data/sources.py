"""Pictures in memory with a fixed, stratified split into train, validation and a sealed test part.

Every source ends in `assemble`, which keeps the chosen classes, splits, takes the subset and measures it.
`headstart.data.cifar` reads and fetches CIFAR's files, `headstart.data.image_folder` is the source for any tree of
image files.
"""

import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from headstart.data.splits import choose_classes, nested, shuffled, stratified
from headstart.errors import UserError
from headstart.store import cache_root


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

    def choose(self, positions: np.ndarray) -> "Part":
        """Only the pictures at `positions` (of this choice), in the order given."""
        return Part(self.images, self.labels[positions], self.rows[positions])

    def split(self) -> Split:
        """The chosen pictures in the source's order."""
        order = np.argsort(self.rows, kind="stable")
        return Split(*map(tensor_on, (self.images, self.labels[order], self.rows[order])))


def cifar10(
    root: str | Path,
    *,
    classes: Sequence[str | int] | None = None,
    train_size: int | None = None,
    validation_size: int | float = 0.1,
    split_seed: int = 0,
    download: bool = True,
) -> Dataset:
    """CIFAR-10 (https://www.cs.toronto.edu/~kriz/cifar.html): 50,000 + 10,000 pictures, 32 x 32, 10 classes.

    root: folder that holds, or is to hold, `cifar-10-batches-py`, torchvision's layout. Files are md5-checked and never
    overwritten. classes, train_size, validation_size, split_seed: see `assemble`. download: fetch what is missing.
    Raises UserError for files that are missing or damaged and for choices that the data cannot meet.
    """
    return _cifar("CIFAR10", str(root), _frozen(classes), *_single(train_size, validation_size), split_seed, download)


def cifar100(
    root: str | Path,
    *,
    classes: Sequence[str | int] | None = None,
    train_size: int | None = None,
    validation_size: int | float = 0.1,
    split_seed: int = 0,
    download: bool = True,
) -> Dataset:
    """CIFAR-100, 100 fine classes; otherwise as `cifar10`."""
    return _cifar("CIFAR100", str(root), _frozen(classes), *_single(train_size, validation_size), split_seed, download)


def digits(
    *,
    classes: Sequence[str | int] | None = None,
    train_size: int | None = None,
    validation_size: int | float = 0.2,
    split_seed: int = 0,
) -> Dataset:
    """Handwritten digits that come inside scikit-learn: 1,797 grey pictures of 8 x 8 pixels, 0 .. 16, 10 classes.

    Enlarged four times by bilinear interpolation and scaled from 0 .. 16 to 0 .. 255, the same in all three channels.
    The test part is 360 pictures, each class in proportion, the same whatever `split_seed` is. Indices count
    scikit-learn's order.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    # Weights of a fourfold bilinear enlargement are eighths, so that every sum is exact and equal on every machine.
    small = torch.from_numpy(bunch.images).float()[:, None]
    large = torch.nn.functional.interpolate(small, scale_factor=4, mode="bilinear", align_corners=False)
    grey = (large * (255 / 16)).round().to(torch.uint8).permute(0, 2, 3, 1)
    everything = Part.whole(grey.repeat(1, 1, 1, 3).numpy(), bunch.target)
    test, rest = stratified(everything.labels, 360, seed=0, what="test part")
    return assemble(
        "digits",
        tuple(str(digit) for digit in bunch.target_names),
        everything.choose(rest),
        lambda: everything.choose(test),
        classes=_frozen(classes),
        train_size=train_size,
        validation_size=validation_size,
        split_seed=split_seed,
    )


def folder(
    root: str | Path,
    *,
    size: int = 64,
    cache: str | Path | None = None,
    classes: Sequence[str | int] | None = None,
    train_size: int | None = None,
    validation_size: int | float | None = None,
    test_size: int | float | None = None,
    split_seed: int = 0,
    allow_duplicates: bool = False,
) -> Dataset:
    """Any tree of image files: root/{train,val,test}/<class>/**, only some of these parts, or root/<class>/**.

    size: pixels a side that every picture is decoded to (`headstart.data.image_folder.decode` says how), once, into
    `cache` (None: $HEADSTART_CACHE, or ~/.cache/headstart). Parts that the tree lacks are split off train, each class
    in proportion: first the test part (`test_size`, null: a fifth, the same whatever `split_seed` is), then the
    validation part (`validation_size`, null: a tenth of the rest). Indices are positions in the sorted list of the
    files of the tree's own part. allow_duplicates: accept test pictures that are exact copies of training or validation
    pictures.
    Raises UserError for a tree that cannot be read as classes, unreadable files by name, and such copies.
    """
    from headstart.data.image_folder import read

    if not isinstance(size, int) or not 1 <= size <= 4096:
        raise UserError(f"data.size={size} is no size in pixels; give a whole number from 1 to 4096, e.g. 64.")
    return read(
        Path(root),
        size=size,
        cache=cache_root() if cache is None else Path(cache),
        test_size=test_size,
        validation_size=validation_size,
        allow_duplicates=allow_duplicates,
        classes=_frozen(classes),
        train_size=train_size,
        split_seed=split_seed,
    )


def assemble(
    name: str,
    names: tuple[str, ...],
    train: Part,
    load_test: Callable[[], Part],
    *,
    classes: tuple[str | int, ...] | None,
    train_size: int | None,
    validation_size: int | float,
    split_seed: int,
    val: Part | None = None,
) -> Dataset:
    """Keep the chosen classes, split off the validation part, take the training subset and measure it.

    names: the source's classes. load_test: reads the test part; called only by `Dataset.test()`.
    classes: names, or positions in `names`, renumbered in the order given; None: all.
    train_size: training pictures, as many of each class, chosen so that smaller subsets lie within
    larger ones; None: all.
    validation_size: pictures split off `train` (a fraction below 1 of them), each class in proportion, chosen by
    `split_seed` alone. Not used when the source brings a validation part of its own (`val`).
    Raises UserError for choices that the data cannot meet.
    """
    if not isinstance(split_seed, int) or not 0 <= split_seed < 2**32:
        raise UserError(f"split_seed={split_seed!r} is no seed; give a whole number from 0 to {2**32 - 1}.")
    keep = choose_classes(names, classes)
    train = _relabel(train, keep)
    if val is None:
        held_out, rest = stratified(train.labels, validation_size, split_seed, keep, "data.validation_size")
        val = train.choose(held_out)
    else:
        val, rest = _relabel(val, keep), shuffled(train.labels, split_seed, keep)
    train = train.choose(rest)
    train = train.choose(nested(train.labels, train_size))
    used, held = train.split(), val.split()
    mean, std = _statistics(used)
    chosen = tuple(names[position] for position in keep)
    fingerprint = _fingerprint(chosen, used, held)
    return Dataset(name, chosen, used, held, fingerprint, mean, std, lambda: _relabel(load_test(), keep).split())


def _frozen(classes: Sequence[str | int] | None) -> tuple[str | int, ...] | None:
    if isinstance(classes, str | int):
        raise UserError(f"data.classes={classes!r} is no list; type e.g. 'data.classes=[cat,dog]' or [0,1].")
    return None if classes is None else tuple(classes)


def _single(*sizes: float | None) -> tuple[float | None, ...]:
    for size in sizes:
        if isinstance(size, list):  # which no cache can look up
            raise UserError(f"{size} is a list; give one number as data.train_size or data.validation_size")
    return sizes


def _relabel(part: Part, keep: list[int]) -> Part:
    """Only the classes in `keep`, renumbered 0 .. len(keep) - 1 in that order."""
    new = np.full(max(int(part.labels.max()), *keep) + 1, -1)
    new[keep] = np.arange(len(keep))
    labels = new[part.labels]
    kept = np.flatnonzero(labels >= 0)
    return Part(part.images, labels[kept], part.rows[kept])


def _statistics(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel in 0 .. 1, from exact whole-number sums."""
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


def _fingerprint(classes: tuple[str, ...], *splits: Split) -> str:
    digest = hashlib.sha256(repr(classes).encode())
    for split in splits:
        digest.update(repr((len(split.labels), *split.source.shape[1:])).encode())
        for pictures in split.blocks(1000):
            digest.update(pictures.numpy().data)
        for tensor in (split.labels, split.indices):
            digest.update(repr(tuple(tensor.shape)).encode())
            digest.update(tensor.numpy().data)
    return digest.hexdigest()


@lru_cache(maxsize=2)  # read once per process, however many trials it runs
def _cifar(kind, root, classes, train_size, validation_size, split_seed, download) -> Dataset:
    from headstart.data.cifar import read

    names, train, labels = read(kind, root, train=True, download=download)
    return assemble(
        kind.lower(),
        names,
        Part.whole(train, labels),
        lambda: Part.whole(*read(kind, root, train=False, download=download)[1:]),
        classes=classes,
        train_size=train_size,
        validation_size=validation_size,
        split_seed=split_seed,
    )
