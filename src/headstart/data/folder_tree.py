"""Class folders of pictures, with or without folders for the parts, read as labelled files."""

import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from headstart.data.picture_files import (
    HEIF,
    LOOSE,
    SUFFIXES,
    UNLABELLED,
    UNREAD,
    LeftOut,
    Listing,
    list_pictures,
    shown,
)
from headstart.errors import UserError

PARTS = ("train", "val", "test")
CALLED = dict(train="train", training="train", val="val", valid="val", validation="val", test="test", testing="test")
EXPECTED = "Expected train/CLASS/*, val/CLASS/*, test/CLASS/*, some of these, or CLASS/*"
BY_LIST = "or list them in a file with the columns path, label and split: data=table data.root=FILE.csv"

Names = tuple[str, ...]  # of the folders on the way to a file, and its own


@dataclass(frozen=True)
class Labelled:
    """A picture with its label."""

    path: Names  # below the data set's root
    label: str
    part: str  # of PARTS


@dataclass(frozen=True)
class Tree:
    """The files of a data set: for each part a list of (path below root, label), class by class in sorted order."""

    root: Path
    name: str
    classes: tuple[str, ...]
    parts: dict[str, list[tuple[str, int]]]
    notes: tuple[str, ...] = ()  # what else there is to say, each in a line
    left_out: LeftOut = field(default_factory=LeftOut)

    @property
    def paths(self) -> list[str]:
        """Paths of all parts, one part after the other."""
        return [path for files in self.parts.values() for path, _ in files]

    def without(self, paths: Collection[str]) -> "Tree":
        """The tree without some files. Raises UserError where nothing is left of a class in a part."""
        kept = {part: [file for file in files if file[0] not in paths] for part, files in self.parts.items()}
        for part, files in self.parts.items():
            if gone := {label for _, label in files} - {label for _, label in kept[part]}:
                raise UserError(f"{self.root}: nothing is left of class {self.classes[min(gone)]} in {part}.")
        return replace(self, parts=kept)


def part_of(name: str) -> str | None:
    """The part that a folder or a split of this name is: `Training`, `valid`, `test_set`, in any case; else None."""
    word = re.sub(r"[\W_]|(19|20)\d\d$", "", name.lower())  # train2017 is one; test_1, test_2 and test_3 are classes
    return CALLED.get(re.sub(r"(?<=.)(set|split|data|images)$", "", word))


def make_tree(root: Path, name: str, files: Iterable[Labelled], left: LeftOut, notes: Sequence[str] = ()) -> Tree:
    """Sort and number the classes, which every part must have; left: what is left out. Raises UserError."""
    by_part: dict[str, dict[str, list[Names]]] = {}
    for file in files:
        by_part.setdefault(file.part, {}).setdefault(file.label, []).append(file.path)
    if "train" not in by_part:
        given = " and ".join(part for part in PARTS if part in by_part)
        raise UserError(f"{root} holds {given} but no train, which cannot be derived from them.")
    classes = tuple(sorted(by_part["train"]))
    _check_classes(root, classes, by_part)
    parts = {
        part: [("/".join(path), label) for label, name in enumerate(classes) for path in sorted(by_part[part][name])]
        for part in PARTS
        if part in by_part
    }
    name = re.sub(r"[^A-Za-z0-9._-]", "_", name) or "folder"
    return Tree(root, name, classes, parts, tuple(notes), left)


def _check_classes(root: Path, names: tuple[str, ...], by_part: dict[str, dict]) -> None:
    if len(names) < 2:
        raise UserError(f"{root} holds one class ({names[0]}); a classifier needs two or more class folders.")
    odd = [name for name in names if not name.isprintable()]
    if odd:
        raise UserError(f"{root}: the class folder {odd[0]!a} has characters that cannot be printed; rename it.")
    for part, classes in by_part.items():
        if other := sorted(set(classes) ^ set(names)):
            has, lacks = ("train", part) if other[0] in names else (part, "train")
            raise UserError(
                f"{root}: class {other[0]} is in {has} but not in {lacks}; every part needs the same classes."
            )


def find(root: Path, listing: Listing | None = None) -> Tree:
    """Read root/{train,val,test}/CLASS/**, only some of these, or root/CLASS/**; anything else is a UserError.

    The parts' folders may be called as `part_of` knows them. listing: of the root, where that is known already.
    """
    listing = list_pictures(check_root(root)) if listing is None else listing
    top = {path[0] for path in listing.pictures if len(path) > 1}
    part_called = part_folders(listing)
    if _is_divided(listing, part_called, top):
        check_parts(root, part_called)
        files = _divided(root, listing, part_called, top)
    else:
        files = _undivided(root, listing, {part: name for name, part in part_called.items() if name in top})
    return make_tree(root, os.path.basename(os.path.abspath(root)), files, listing.left_out)


def check_root(root: Path) -> Path:
    """The folder itself. Raises UserError where it is none."""
    if os.path.isfile(root):  # Path's own raises where a name is too long
        raise UserError(f"data.root={root} is a file. A list of pictures is read by data=table data.root={root}")
    if not os.path.isdir(root):
        raise UserError(f"data.root={root} is no folder; give one that holds train/CLASS/*.png or CLASS/*.png.")
    return root


def part_folders(listing: Listing) -> dict[str, str]:
    """The folders that could be a part by their name, and which; `check_parts` says whether they can be parts."""
    named = {path[0]: part_of(path[0]) for path in listing.folders if len(path) == 1}
    return {name: part for name, part in named.items() if part is not None}


def check_parts(root: Path, part_called: dict[str, str]) -> None:
    """Raises UserError for two folders of one part."""
    given: dict[str, str] = {}
    for name, part in part_called.items():
        if part in given:
            raise UserError(
                f"{root} holds {given[part]} and {name}, which both mean the {part} part; rename or move one, {BY_LIST}"
            )
        given[part] = name


def _is_divided(listing: Listing, part_called: dict[str, str], top: set[str]) -> bool:
    """Whether folders are parts: some hold class folders, and they are not just classes that are called so."""
    if not any(len(path) > 2 and path[0] in part_called for path in listing.pictures):
        return False
    plain = "train" in part_called.values() or not part_called.keys().isdisjoint(PARTS)
    return plain or top <= part_called.keys()


def _divided(root: Path, listing: Listing, part_called: dict[str, str], top: set[str]) -> list[Labelled]:
    """The pictures of a tree whose folders are parts."""
    if strange := sorted(top - part_called.keys()):
        raise UserError(
            f"{root} holds {', '.join(part_called)} and also {', '.join(map(shown, strange))}, which is no part; "
            "the parts are called train, val and test. Rename or move it."
        )
    for name in part_called:
        if not any(path[0] == name and len(path) > 2 for path in listing.pictures):
            raise UserError(f"{root / name} holds no images in class folders; fill it, or move it elsewhere, {BY_LIST}")
    _refuse_empty(root, listing, [path for path in listing.folders if len(path) == 2 and path[0] in part_called])
    loose, files = [], []
    for path in listing.pictures:
        if len(path) > 2:
            files.append(Labelled(path, path[1], part_called[path[0]]))
        else:
            loose.append("/".join(path))
    listing.left_out.paths[LOOSE] += loose
    return files


def _undivided(root: Path, listing: Listing, given: dict[str, str]) -> list[Labelled]:
    """The pictures of a tree whose folders are classes; given: those that could be a part by their name."""
    files = [Labelled(path, path[0], "train") for path in listing.pictures if len(path) > 1]
    loose = ["/".join(path) for path in listing.pictures if len(path) == 1]
    if not files:
        some = f" It holds {len(loose)} pictures without; label them by folders, {BY_LIST}" if loose else ""
        heic = listing.left_out.paths.get(UNREAD)
        if unlabelled := listing.left_out.paths.get(UNLABELLED):
            some += f" Its {', '.join(unlabelled)} lacks the columns file_name and label."
        some += f" Its {len(heic)} files in {'/'.join(HEIF)} are read with pip install pillow-heif." if heic else ""
        raise UserError(f"data.root={root} holds no folders of images ({', '.join(SUFFIXES)}).\n{EXPECTED}.{some}")
    if len(given) > 1:
        raise UserError(
            f"{root}: {' and '.join(given.values())} are parts by their names and hold no class folders, so nothing "
            f"says what their pictures show.\n{EXPECTED}, {BY_LIST}"
        )
    inner = {path[1] for path in listing.pictures if len(path) > 2}
    labels = {file.label for file in files}
    if len(labels) == 1 and len(inner) > 1:
        (one,) = labels
        raise UserError(
            f"{root} holds one class ({shown(one)}), itself a folder of {len(inner)} folders of images; "
            f"are these the classes or parts? Then type data.root={root / one}"
        )
    if len({part for part in map(part_of, inner) if part}) > 1:
        within = ", ".join(f"{files[0].label}/{name}" for name in sorted(inner) if part_of(name))
        raise UserError(f"{root} holds parts within classes ({within}); the parts come first.\n{EXPECTED}, {BY_LIST}")
    _refuse_empty(root, listing, [path for path in listing.folders if len(path) == 1])
    listing.left_out.paths[LOOSE] += loose
    return files


def _refuse_empty(root: Path, listing: Listing, folders: list[Names]) -> None:
    """Refuse class folders without a picture."""
    depth = len(folders[0]) if folders else 0
    filled = {path[:depth] for path in listing.pictures if len(path) > depth}
    if empty := [path for path in folders if path not in filled]:
        raise UserError(
            f"{root.joinpath(*empty[0])} holds no images ({', '.join(SUFFIXES)}); fill or delete this folder."
        )
