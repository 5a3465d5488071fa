"""Labelled image files as a data set: decoded, checked for copies and split into parts."""

import dataclasses
import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from headstart.data.copies import Choice, Copies, Look
from headstart.data.dataset import Dataset, Part, assemble
from headstart.data.decoding import Decoded, FileFacts, decode_once
from headstart.data.folder_tree import Tree
from headstart.data.picture_files import shown
from headstart.data.refusals import TooManyCopies, Unreadable
from headstart.data.splits import (
    VALIDATION_SHARE,
    SplitOptions,
    choose_classes,
    stratified,
    usual_folds,
    usual_validation_size,
)
from headstart.errors import UserError
from headstart.store import DIGEST, FileListing

log = logging.getLogger(__name__)

_TEST_SEED = 0  # the derived test part stays the same whatever split_seed is
TEST_SHARE = 0.2  # where nobody asks for another


def read_dataset(
    tree: Tree,
    *,
    size: int,
    cache: Path,
    test_size: int | float | None,
    duplicates: Choice | Look | None,
    options: SplitOptions,
) -> Dataset:
    """Decode, check and split labelled files; arguments and errors as `headstart.data.sources.folder` has them.

    options.validation_size: None or "auto" for a tree that brings a validation part of its own; for others None is a
    tenth, "auto" `usual_validation_size`. options.folds: "auto" is `usual_folds`, and none beside a size that was
    given, a subset for training or a validation part of the tree's own.
    Of what is wrong with the files and their copies, the error knows how to read the data set anyway.
    """
    others = dict(size=size, cache=cache, test_size=test_size, options=options)
    try:
        return _read(tree, duplicates=duplicates, **others)
    except Unreadable as error:
        broken = error.paths
        error.anyway = lambda: read_dataset(tree.without(broken), duplicates=duplicates, **others)
        raise
    except TooManyCopies as error:
        error.anyway = lambda: read_dataset(tree, duplicates="look", **others)
        raise


def _read(
    tree: Tree,
    *,
    size: int,
    cache: Path,
    test_size: int | float | None,
    duplicates: Choice | Look | None,
    options: SplitOptions,
) -> Dataset:
    own = len(tree.parts["train"])
    if isinstance(options.folds, int):
        tree = _with_val_in_train(tree)
    _refuse_size_of_given(tree, "val", "validation_size", options.validation_size)
    _refuse_size_of_given(tree, "test", "test_size", test_size)
    keep = choose_classes(tree.classes, options.classes)
    decoded = decode_once(tree.root, tree.paths, size, cache)
    _log_facts(tree, decoded)
    copies = Copies(str(tree.root), tree.paths, decoded.digests, decoded.hashes, duplicates)
    parts = _parts(tree, decoded)
    _leave_contradictions(parts, copies, keep)
    _refuse_small_classes(tree, parts, keep)
    if "test" not in parts:
        parts |= _derived_test(parts["train"], own, TEST_SHARE if test_size is None else test_size, keep)
    train, test, val = parts["train"], parts["test"], parts.get("val")
    seen = _chosen(test, keep)
    train = _leave(train, keep, lambda own: copies.of_held_out(own.places, seen.places, "test"))

    def apart(train: Placed, val: Placed) -> Placed:  # of the chosen classes
        return _leave(train, range(len(keep)), lambda own: copies.of_held_out(own.places, val.places, "validation"))

    options = _settled(options, _chosen(train, keep).labels if val is None else None)
    files = FileListing(tree.paths, decoded.digests[:, :DIGEST].tobytes())
    counts = np.bincount(test.labels, minlength=len(tree.classes))
    data = assemble(tree.name, tree.classes, train, lambda: test, options, val, files, apart, counts)
    used = [train.first + data.train.indices.numpy(), (train if val is None else val).first + data.val.indices.numpy()]
    copies.check_held_out(used[1], seen.places)
    counted = copies.counts(*used, seen.places)  # which says the more about them that the facts repeat
    facts = FileFacts.of(tree, decoded, copies, dict(train=used[0], val=used[1], test=seen.places))
    return dataclasses.replace(data, test_sha256=_identity(decoded, seen), copies=counted, seen=facts)


def _settled(options: SplitOptions, labels: np.ndarray | None) -> SplitOptions:
    """The options with nothing left to the source: folds or a size to validate on, and a line where it is not a tenth.

    labels: of the pictures for training and validation; None where the tree brings a validation part of its own.
    """
    is_auto = options.validation_size == "auto"
    options = dataclasses.replace(options, validation_size=None) if is_auto else options
    usual = None if labels is None or options.train_size else usual_folds(labels)
    if options.folds == "auto":
        options = dataclasses.replace(options, folds=usual if is_auto else None)
        if options.folds:
            few = f"{len(labels)} pictures to train and validate on are few"
            which = f"fold {options.fold} of 0 to {options.folds - 1} validates"
            log.info("%s: %s (data.folds=null: a quarter)", few, which)
    if labels is None or options.validation_size is not None or options.folds is not None:
        return options
    size, total = usual_validation_size(labels) if is_auto else VALIDATION_SHARE, len(labels)
    if size != VALIDATION_SHARE:
        folds = f"; data.folds={usual} validates on all of them in turn" if usual else ""
        why = f"as a tenth would be {round(VALIDATION_SHARE * total)}"
        log.info("validating on %d of %d pictures, %s (data.validation_size=... chooses)%s", size, total, why, folds)
    return dataclasses.replace(options, validation_size=size)


@dataclasses.dataclass(frozen=True, eq=False)
class Placed(Part):
    """A part whose pictures follow those of the parts before it in the list of all files."""

    first: int = 0  # where that part begins

    @property
    def places(self) -> np.ndarray:
        """Where the chosen pictures are among all, int64 [N]."""
        return self.first + self.rows


def _identity(decoded: Decoded, part: Placed) -> str:
    """The sha256 of a part's pictures and labels."""
    return hashlib.sha256(decoded.digests[part.places].tobytes() + part.labels.tobytes()).hexdigest()


def _parts(tree: Tree, decoded: Decoded) -> dict[str, Placed]:
    """The pictures of each part of the tree."""
    parts, start = {}, 0
    for part, files in tree.parts.items():
        stop = start + len(files)
        labels = np.array([label for _, label in files], dtype=np.int64)
        parts[part] = Placed(decoded.images[start:stop], labels, np.arange(len(files)), start)
        start = stop
    return parts


def _leave_contradictions(parts: dict[str, Placed], copies: Copies, keep: Sequence[int]) -> None:
    """Take pictures of two of the chosen classes out of the training part."""
    chosen = [_chosen(part, keep) for part in parts.values()]
    places, labels = (np.concatenate([getattr(part, name) for part in chosen]) for name in ("places", "labels"))
    parts["train"] = _leave(parts["train"], keep, lambda own: copies.in_two_classes(places, labels, own.places))


def _leave(train: Placed, keep: Sequence[int], leaves: Callable[[Placed], np.ndarray]) -> Placed:
    """The training part without what `leaves` says of its pictures of the classes in `keep`.

    Raises UserError where that would be all of a class.
    """
    mine = np.flatnonzero(np.isin(train.labels, keep))
    leave = mine[leaves(train.choose(mine))]
    if not len(leave):
        return train
    rest = train.choose(np.delete(np.arange(len(train.labels)), leave))
    if len(set(rest.labels.tolist())) < len(set(train.labels.tolist())):
        raise UserError(
            "that leaves a class without training pictures, as all of them are copies of others; add pictures, or type "
            "data.duplicates=keep"
        )
    return rest


def _chosen(part: Placed, keep: Sequence[int]) -> Placed:
    """The pictures of these classes."""
    return part.choose(np.flatnonzero(np.isin(part.labels, keep)))


def _derived_test(train: Placed, own: int, size: int | float, keep: Sequence[int]) -> dict[str, Placed]:
    """A test part split off train, whatever classes are chosen the same, and the rest.

    own: how many pictures are the tree's own training part; those that joined it behind these stay in training.
    """
    enough = np.bincount(train.labels[train.rows < own], minlength=int(train.labels.max()) + 1) > 1
    enough[list(keep)] = True
    split = train.choose(np.flatnonzero(enough[train.labels]))  # another class with one picture is in neither
    mine, joined = np.flatnonzero(split.rows < own), np.flatnonzero(split.rows >= own)
    held, rest = stratified(split.labels[mine], size, _TEST_SEED, what="data.test_size")
    return {"test": split.choose(mine[held]), "train": split.choose(np.concatenate([mine[rest], joined]))}


def _with_val_in_train(tree: Tree) -> Tree:
    """The tree without a validation part, whose files come behind those of train."""
    parts = {part: files for part, files in tree.parts.items() if part != "val"}
    return dataclasses.replace(tree, parts=parts | {"train": [*tree.parts["train"], *tree.parts.get("val", [])]})


def _refuse_small_classes(tree: Tree, parts: dict[str, Placed], keep: Sequence[int]) -> None:
    """Refuse classes that have fewer pictures than parts to share them out to."""
    lacking = [part for part in ("val", "test") if part not in parts]
    counts = np.bincount(parts["train"].labels, minlength=len(tree.classes))
    small = [position for position in keep if counts[position] <= len(lacking)]
    if not small:
        return
    named = ", ".join(f"{shown(tree.classes[p])} ({counts[p]})" for p in small[:5]) + (", ..." if small[5:] else "")
    rest = [tree.classes[position] for position in keep if position not in small]
    without = f", or leave the class out: 'data.classes=[{','.join(rest)}]'" if len(rest) > 1 else ""
    raise UserError(
        f"the smallest classes of {tree.root} have too few pictures to be in {', '.join(['train', *lacking])}: "
        f"{named}.\nAdd pictures{without}."
    )


def _refuse_size_of_given(tree: Tree, part: str, key: str, value: int | float | str | None) -> None:
    if part in tree.parts and value not in (None, "auto"):
        raise UserError(
            f"{tree.root} brings its own {part} part, so data.{key}={value} means nothing; give data.{key}=null."
        )


def _log_facts(tree: Tree, decoded: Decoded) -> None:
    counts = ", ".join(f"{len(files)} {part}" for part, files in tree.parts.items())
    (narrow, low), (wide, high) = decoded.sizes.min(0), decoded.sizes.max(0)
    extents = f"{narrow} to {wide} wide, {low} to {high} high"  # pixels
    log.info("%s: %s, %d classes, %s", tree.root, counts, len(tree.classes), extents)
    for note in filter(None, (*tree.notes, tree.left_out.line())):
        log.info("%s", note)
