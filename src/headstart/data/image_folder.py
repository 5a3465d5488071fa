"""Any tree of image files as a data set: listed, checked and split into parts."""

import dataclasses
import hashlib
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.data.dataset import Dataset, Part, SplitOptions, assemble
from headstart.data.decoding import Decoded, decode_once, shown
from headstart.data.splits import choose_classes, stratified
from headstart.errors import UserError
from headstart.store import DIGEST, FileListing

log = logging.getLogger(__name__)

PARTS = ("train", "val", "test")
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_TEST_SEED = 0  # the derived test part stays the same whatever split_seed is


@dataclass(frozen=True)
class Tree:
    """What lies in a folder, in sorted order: for each part a list of (path below root, label)."""

    root: Path
    classes: tuple[str, ...]
    parts: dict[str, list[tuple[str, int]]]
    ignored: int  # files that have no image's suffix

    @property
    def paths(self) -> list[str]:
        """Paths of all parts, one part after the other."""
        return [path for files in self.parts.values() for path, _ in files]


def read_dataset(
    root: Path, *, size: int, cache: Path, test_size: int | float | None, allow_duplicates: bool, options: SplitOptions
) -> Dataset:
    """Check, decode and split a tree of images; arguments and errors as `headstart.data.sources.folder` has them.

    options.validation_size: None for a tree that brings a validation part of its own; for others None is a tenth.
    """
    tree = find(root)
    own = len(tree.parts["train"])
    if options.folds is not None:
        tree = _with_val_in_train(tree)
    _refuse_size_of_given(tree, "val", "validation_size", options.validation_size)
    _refuse_size_of_given(tree, "test", "test_size", test_size)
    decoded = decode_once(tree.root, tree.paths, size, cache)
    _log_facts(tree, decoded)
    parts, digests = _parts(tree, decoded)
    if "test" not in parts:
        share = 0.2 if test_size is None else test_size
        whole = parts["train"]
        held, rest = stratified(whole.labels[:own], share, _TEST_SEED, what="data.test_size")
        joined = np.arange(own, len(whole.labels))
        parts["test"], parts["train"] = whole.choose(held), whole.choose(np.concatenate([rest, joined]))
        digests["test"] = digests["train"]
    _refuse_duplicates(tree, parts, digests, allow_duplicates)
    if options.validation_size is None and options.folds is None:
        options = dataclasses.replace(options, validation_size=0.1)
    name = re.sub(r"[^A-Za-z0-9._-]", "_", tree.root.name) or "folder"
    files = FileListing(tree.paths, decoded.digests[:, :DIGEST].tobytes())
    data = assemble(name, tree.classes, parts["train"], lambda: parts["test"], options, parts.get("val"), files)
    _warn_of_copies(data, digests)
    keep = choose_classes(tree.classes, options.classes)
    return dataclasses.replace(data, test_sha256=_test_sha256(parts["test"], digests["test"], keep))


def _test_sha256(test: Part, digests: np.ndarray, keep: list[int]) -> str:
    """Of the chosen classes' pictures, as decoding saw them, so that nothing of the test part is read."""
    chosen = np.isin(test.labels, keep)
    return hashlib.sha256(digests[test.rows[chosen]].tobytes() + test.labels[chosen].tobytes()).hexdigest()


def find(root: Path) -> Tree:
    """List root/{train,val,test}/<class>/**, only some of these, or root/<class>/**; anything else is a UserError."""
    if not os.path.isdir(root):  # Path's own raises where a name is too long
        raise UserError(f"data.root={root} is no folder; give one that holds train/CLASS/*.png or CLASS/*.png.")
    folders = {path.name: path for path in _folders(root)}
    given = [part for part in PARTS if part in folders]
    if not any(_has_images(inner) for part in given for inner in _folders(folders[part])):
        if not any(_has_images(path) for path in folders.values()):
            raise UserError(
                f"data.root={root} holds no folders of images ({', '.join(SUFFIXES)}).\n"
                "Expected train/CLASS/*, val/CLASS/*, test/CLASS/*, some of these, or CLASS/*."
            )
        return _tree(root, {"train": root})
    strange = [name for name, path in folders.items() if name not in PARTS and _has_images(path)]
    if strange:
        raise UserError(
            f"{root} holds {', '.join(given)} and also {', '.join(sorted(strange))}, which is no part; "
            "the parts are called train, val and test. Rename or move it."
        )
    if "train" not in given:
        raise UserError(f"{root} holds {' and '.join(given)} but no train, which cannot be derived from them.")
    return _tree(root, {part: folders[part] for part in given})


def _tree(root: Path, parts: dict[str, Path]) -> Tree:
    found = {part: {path.name: _files(path) for path in _folders(folder)} for part, folder in parts.items()}
    for part, classes in found.items():
        empty = [name for name, (images, _) in classes.items() if not images]
        if empty or not classes:
            where = parts[part] / empty[0] if empty else parts[part]
            raise UserError(f"{where} holds no images ({', '.join(SUFFIXES)}); fill or delete this folder.")
    names = tuple(sorted(found["train"]))
    _check_names(root, names, found)
    listed = {
        part: [(str(path.relative_to(root)), label) for label, name in enumerate(names) for path in classes[name][0]]
        for part, classes in found.items()
    }
    return Tree(root, names, listed, sum(other for classes in found.values() for _, other in classes.values()))


def _with_val_in_train(tree: Tree) -> Tree:
    """The tree without a validation part, whose files come behind those of train."""
    parts = {part: files for part, files in tree.parts.items() if part != "val"}
    return dataclasses.replace(tree, parts=parts | {"train": [*tree.parts["train"], *tree.parts.get("val", [])]})


def _check_names(root: Path, names: tuple[str, ...], found: dict[str, dict]) -> None:
    if len(names) < 2:
        raise UserError(f"{root} holds one class ({names[0]}); a classifier needs two or more class folders.")
    odd = [name for name in names if not name.isprintable()]
    if odd:
        raise UserError(f"{root}: the class folder {odd[0]!a} has characters that cannot be printed; rename it.")
    for part, classes in found.items():
        other = sorted(set(classes) ^ set(names))
        if other:
            has, lacks = ("train", part) if other[0] in names else (part, "train")
            raise UserError(
                f"{root}: class {other[0]} is in {has} but not in {lacks}; every part needs the same classes."
            )


def _folders(path: Path) -> list[Path]:
    """Folders in `path` that are not hidden or a system's own (.ipynb_checkpoints, __MACOSX), sorted."""
    return sorted(inner for inner in path.iterdir() if inner.is_dir() and not inner.name.startswith((".", "__")))


def _files(folder: Path) -> tuple[list[Path], int]:
    """Image files in `folder` and below, sorted, and the number of other files."""
    images, others = [], 0
    for where, inner, names in os.walk(folder, onerror=_refuse_locked):
        inner[:] = [name for name in inner if not name.startswith((".", "__"))]
        for name in names:
            is_image = name.lower().endswith(SUFFIXES) and not name.startswith(".")
            images += [Path(where, name)] if is_image else []
            others += not is_image
    return sorted(images), others


def _refuse_locked(error: OSError) -> None:
    raise UserError(f"{error.filename} cannot be read ({error.strerror}); its images would be missing in silence.")


def _has_images(folder: Path) -> bool:
    return bool(_files(folder)[0])


def _refuse_size_of_given(tree: Tree, part: str, key: str, value: int | float | None) -> None:
    if part in tree.parts and value is not None:
        raise UserError(
            f"{tree.root} brings its own {part} part, so data.{key}={value} means nothing; give data.{key}=null."
        )


def _parts(tree: Tree, decoded: Decoded) -> tuple[dict[str, Part], dict[str, np.ndarray]]:
    """For each part of the tree its pictures and, in the same order, the sha256 of each."""
    parts, digests, start = {}, {}, 0
    for part, files in tree.parts.items():
        stop = start + len(files)
        parts[part] = Part.whole(decoded.images[start:stop], np.array([label for _, label in files]))
        digests[part] = decoded.digests[start:stop]
        start = stop
    return parts, digests


def _refuse_duplicates(tree: Tree, parts: dict[str, Part], digests: dict[str, np.ndarray], allow: bool) -> None:
    """Refuse test pictures that are, pixel for pixel, training or validation pictures too, unless allowed."""
    test = digests["test"][parts["test"].rows]
    others = [digests[part][parts[part].rows] for part in ("train", "val") if part in parts]
    shared = _shared(test, np.concatenate(others))
    if not len(shared):
        return
    files = tree.parts["test" if "test" in tree.parts else "train"]
    names = [shown(files[row][0]) for row in parts["test"].rows[shared][:5]]
    what = (
        f"{len(shared)} of {len(test)} test pictures of {tree.root} are exact copies of training or validation pictures"
    )
    if not allow:
        raise UserError(
            f"{what}: {', '.join(names)}{' ...' if len(shared) > 5 else ''}.\n"
            "Delete the copies, or type data.allow_duplicates=true to accept a test accuracy that is too high."
        )
    log.warning("%s", what)


def _warn_of_copies(data: Dataset, digests: dict[str, np.ndarray]) -> None:
    """Say how many pictures are, pixel for pixel, in both the training and the validation part."""
    train, val = digests["train"], digests.get("val", digests["train"])
    copies = len(_shared(train[data.train.indices], val[data.val.indices]))
    if copies:
        log.warning("%d training pictures lie, pixel for pixel, in the validation part too", copies)


def _shared(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Positions in `ours` whose digest (uint8 [N, 32]) is also in `theirs`."""
    known = {row.tobytes() for row in theirs}
    return np.flatnonzero([row.tobytes() in known for row in ours])


def _log_facts(tree: Tree, decoded: Decoded) -> None:
    counts = ", ".join(f"{len(files)} {part}" for part, files in tree.parts.items())
    (narrow, low), (wide, high) = decoded.sizes.min(0), decoded.sizes.max(0)
    extents = f"{narrow} to {wide} wide, {low} to {high} high"  # pixels
    log.info("%s: %s, %d classes, %s", tree.root, counts, len(tree.classes), extents)
    copies = len(decoded.digests) - len({row.tobytes() for row in decoded.digests})
    if copies or tree.ignored:
        log.info("%d exact copies of other pictures; %d files that are no images were left out", copies, tree.ignored)
