"""The data sources that configurations name, a function per `_target_`; each ends in `dataset.assemble`.

torch comes when one is called: a configuration's keys and values are held against these functions before.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import numpy as np
from annotated_types import Ge, Le, Lt

from headstart.data import cifar
from headstart.data.copies import Choice
from headstart.data.folder_tree import Tree
from headstart.data.label_lists import read_folder, read_table
from headstart.data.splits import SplitOptions, stratified
from headstart.errors import UserError
from headstart.store import cache_root, expanded
from headstart.typed import Count, Fraction, Seed

if TYPE_CHECKING:
    from headstart.data.dataset import Dataset, Part

Classes: TypeAlias = Sequence[str | int] | None  # names or positions
Size: TypeAlias = Count | Fraction  # pictures, or a share of them
PictureSize: TypeAlias = Annotated[int, Ge(1), Le(4096)]  # pixels a side
Folds: TypeAlias = Annotated[int, Ge(2), Le(1_000_000)]
ClassWeights: TypeAlias = Literal["balanced"] | None
Fold: TypeAlias = Annotated[int, Ge(0), Lt(1_000_000)]


def cifar10(
    root: str | Path,
    *,
    classes: Classes = None,
    train_size: Count | None = None,
    validation_size: Size | None = None,
    split_seed: Seed = 0,
    folds: Folds | None = None,
    fold: Fold = 0,
    class_weights: ClassWeights = None,
    download: bool = True,
) -> "Dataset":
    """CIFAR-10 (https://www.cs.toronto.edu/~kriz/cifar.html): 50,000 + 10,000 pictures, 32 x 32, 10 classes.

    root: folder that holds, or is to hold, `cifar-10-batches-py`, torchvision's layout. Files are md5-checked and never
    overwritten. download: fetch what is missing. The other keys: see `SplitOptions`; validation_size=None is a tenth.
    Raises UserError for files that are missing or damaged and for choices that the data cannot meet.
    """
    options = SplitOptions(
        classes, train_size, _usual(0.1, validation_size, folds), split_seed, folds, fold, class_weights
    )
    return _cifar("CIFAR10", root, options, download)


def cifar100(
    root: str | Path,
    *,
    classes: Classes = None,
    train_size: Count | None = None,
    validation_size: Size | None = None,
    split_seed: Seed = 0,
    folds: Folds | None = None,
    fold: Fold = 0,
    class_weights: ClassWeights = None,
    download: bool = True,
) -> "Dataset":
    """CIFAR-100, 100 fine classes; otherwise as `cifar10`."""
    options = SplitOptions(
        classes, train_size, _usual(0.1, validation_size, folds), split_seed, folds, fold, class_weights
    )
    return _cifar("CIFAR100", root, options, download)


def digits(
    *,
    classes: Classes = None,
    train_size: Count | None = None,
    validation_size: Size | None = None,
    split_seed: Seed = 0,
    folds: Folds | None = None,
    fold: Fold = 0,
    class_weights: ClassWeights = None,
) -> "Dataset":
    """Handwritten digits that come inside scikit-learn: 1,797 grey pictures of 8 x 8 pixels, 0 .. 16, 10 classes.

    Enlarged four times by bilinear interpolation and scaled from 0 .. 16 to 0 .. 255, the same in all three channels.
    The test part is 360 pictures, each class in proportion, the same whatever `split_seed` is. Indices count
    scikit-learn's order. The keys: see `SplitOptions`; validation_size=None is a fifth. Raises UserError for choices
    that the data cannot meet.
    """
    import torch
    from sklearn.datasets import load_digits

    from headstart.data.dataset import Part, assemble

    options = SplitOptions(
        classes, train_size, _usual(0.2, validation_size, folds), split_seed, folds, fold, class_weights
    )
    bunch = load_digits()
    # Weights of a fourfold bilinear enlargement are eighths, so that every sum is exact and equal on every machine.
    small = torch.from_numpy(bunch.images).float()[:, None]
    large = torch.nn.functional.interpolate(small, scale_factor=4, mode="bilinear", align_corners=False)
    grey = (large * (255 / 16)).round().to(torch.uint8).permute(0, 2, 3, 1)
    everything = Part.whole(grey.repeat(1, 1, 1, 3).numpy(), bunch.target)
    test, rest = stratified(everything.labels, 360, seed=0, what="test part")
    names = tuple(str(digit) for digit in bunch.target_names)
    counts = np.bincount(everything.labels[test])
    return assemble(
        "digits", names, everything.choose(rest), lambda: everything.choose(test), options, test_counts=counts
    )


def folder(
    root: str | Path,
    *,
    size: PictureSize = 64,
    cache: str | Path | None = None,
    classes: Classes = None,
    train_size: Count | None = None,
    validation_size: Size | Literal["auto"] | None = None,
    test_size: Size | None = None,
    split_seed: Seed = 0,
    folds: Folds | Literal["auto"] | None = None,
    fold: Fold = 0,
    class_weights: ClassWeights = None,
    duplicates: Choice | None = None,
) -> "Dataset":
    """Any tree of image files: root/{train,val,test}/<class>/**, only some of these parts, or root/<class>/**.

    The parts may be called Training, valid, Testing and the like, too. Labels in metadata.csv or metadata.jsonl
    (columns file_name and label) in the root or in each part, as Hugging Face's imagefolder has them, win over folders.
    size: pixels a side that every picture is decoded to (`headstart.data.decoding.decode` says how), once, into
    `cache` (None: $HEADSTART_CACHE, or ~/.cache/headstart). Parts that the tree lacks are split off train, each class
    in proportion and with one picture or more: first the test part (`test_size`, None: a fifth, the same whatever
    `split_seed` is), then the validation part (`validation_size`, None: a tenth of the rest, "auto": the same, of few
    pictures 30 or up to a quarter, as `splits.usual_validation_size` says). With a number of `folds` a
    val part of the tree's own joins train; "auto" is what `splits.usual_folds` says where the tree has no such part and
    nobody asks for a size. Indices are positions in the sorted list of the files of the tree's own part.
    duplicates: what is done with training pictures that are exact copies of validation or test pictures, or lie in
    two classes: "drop" leaves them out of training, "refuse" is an error, "keep" trains on them. None: they are dropped
    where copies are at most 5, or 5 %, of either part, and pictures in two classes 0.5 % of all; else an error.
    The other keys: see `SplitOptions`.
    Raises UserError for a tree that cannot be read as classes, unreadable files by name, and such copies.
    """
    root, cache = expanded(root), cache_root() if cache is None else expanded(cache)
    tree = read_folder(root)
    if cache.absolute().resolve().is_relative_to(root.resolve()):
        raise UserError(f"data.cache={cache} lies among the pictures in {root}; give a folder outside.")
    options = SplitOptions(classes, train_size, validation_size, split_seed, folds, fold, class_weights)
    return _of_files(tree, size=size, cache=cache, test_size=test_size, duplicates=duplicates, options=options)


def table(
    root: str | Path,
    *,
    size: PictureSize = 64,
    cache: str | Path | None = None,
    classes: Classes = None,
    train_size: Count | None = None,
    validation_size: Size | Literal["auto"] | None = None,
    test_size: Size | None = None,
    split_seed: Seed = 0,
    folds: Folds | Literal["auto"] | None = None,
    fold: Fold = 0,
    class_weights: ClassWeights = None,
    duplicates: Choice | None = None,
) -> "Dataset":
    """Pictures that a CSV file lists: columns path (below the file's folder), label and, if wanted, split.

    root: the file. split: train, val or test, or as folders of parts may be called; without that column, and for parts
    that it does not name, pictures are split off train. Otherwise as `folder`.
    Raises UserError for a list that lacks a column or names files that are not there, too.
    """
    options = SplitOptions(classes, train_size, validation_size, split_seed, folds, fold, class_weights)
    cache = cache_root() if cache is None else expanded(cache)
    tree = read_table(expanded(root))
    return _of_files(tree, size=size, cache=cache, test_size=test_size, duplicates=duplicates, options=options)


def _of_files(tree: Tree, **how: Any) -> "Dataset":
    from headstart.data.image_folder import read_dataset

    return read_dataset(tree, **how)


def _usual(share: float, size: int | float | None, folds: int | None) -> int | float | None:
    """The size of the validation part: as given, else the usual share; None with folds, one of which it is."""
    return share if size is None and folds is None else size


def _cifar(kind: str, root: str | Path, options: SplitOptions, download: bool) -> "Dataset":
    return _cifar_once(kind, str(expanded(root)), options, download)


@lru_cache(maxsize=2)  # read once per process, however many trials it runs
def _cifar_once(kind: str, root: str, options: SplitOptions, download: bool) -> "Dataset":
    from headstart.data.dataset import Part, assemble

    names, images, labels = cifar.read_part(kind, root, train=True, download=download)

    def test() -> "Part":
        return Part.whole(*cifar.read_part(kind, root, train=False, download=download)[1:])

    each = [cifar.TEST_IMAGES // len(names)] * len(names)
    train, files = Part.whole(images, labels), cifar.listing(kind)
    return assemble(kind.lower(), names, train, test, options, files=files, test_counts=each)
