"""Pictures whose labels stand in a file: a table of path, label and split, or an imagefolder's metadata."""

import csv
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.data.folder_tree import (
    BY_LIST,
    Labelled,
    Tree,
    check_parts,
    check_root,
    find,
    make_tree,
    part_folders,
    part_of,
)
from headstart.data.picture_files import REPEATED, UNLABELLED, UNLISTED, LeftOut, Listing, list_pictures, shown
from headstart.errors import UserError

NAMED = 5  # files that a message names
PATHS = ("path", "file_name")  # what the column of paths may be called
SPLITS = "train, val or test (or training, valid, validation, testing)"


@dataclass(frozen=True)
class Row:
    """A row of a list."""

    where: str  # the list and the line
    path: str  # below the list's folder
    label: str | None  # None: the list has none
    split: str  # "": none is given


def read_folder(root: Path) -> Tree:
    """The files of a folder: labelled by metadata files where it has them, else by its folders. Raises UserError."""
    listing = list_pictures(check_root(root))
    return read_metadata(root, listing) or find(root, listing)


def read_labelled(root: Path) -> Tree:
    """The labelled files of a folder, or of a list with the columns path, label and, if wanted, split.

    Raises UserError for what is neither.
    """
    return read_table(root) if root.is_file() else read_folder(root)


def read_table(path: Path) -> Tree:
    """A list of pictures: columns path (below the list's folder), label and, if wanted, split.

    Raises UserError for a list that is not there or lacks a column, and for files that are not there.
    """
    if os.path.isdir(path):
        raise UserError(f"data.root={path} is a folder; give a list of pictures, or data=folder data.root={path}")
    if not os.path.isfile(path):
        raise UserError(
            f"data.root={path} does not exist; give a CSV file with the columns path, label and, if wanted, split."
        )
    left = LeftOut()
    rows = list(_rows(path))
    if rows and rows[0].label is None:
        raise _lacks(path, "label", _columns(path))
    files = _labelled(path.parent, rows, "", left)
    return make_tree(path.parent, path.stem, files, left)


def read_metadata(root: Path, listing: Listing) -> Tree | None:
    """An imagefolder: metadata.csv or metadata.jsonl in the root, or in the folder of each part.

    None where there is none, or none with labels, so that folders say them. Raises UserError.
    """
    parts = part_folders(listing)
    lists = [path for path in listing.metadata if len(path) == 1 or (len(path) == 2 and path[0] in parts)]
    if odd := [path for path in lists if path[-1].lower().endswith(".parquet")]:
        raise UserError(f"{root.joinpath(*odd[0])} is not read; write it as metadata.csv, {BY_LIST}")
    labelled = [path for path in lists if _has_labels(root.joinpath(*path))]
    if labelled:
        check_parts(root, parts)
    files, left = [], listing.left_out
    left.paths[UNLABELLED] += ["/".join(path) for path in listing.metadata if path not in labelled]
    for names in labelled:
        rows, part = list(_rows(root.joinpath(*names))), parts.get(names[0], "") if len(names) == 2 else ""
        if not part and not any(row.split for row in rows):
            rows = [_with_folders_part(row, parts) for row in rows]
        files += _labelled(root, rows, part, left, names[:-1])
    if not files:
        return None
    listed = {os.path.normpath("/".join(file.path)) for file in files}
    left.paths[UNLISTED] += [name for name in map("/".join, listing.pictures) if name not in listed]
    names = ", ".join("/".join(path) for path in labelled)
    said = f"labels are those of {names}, whatever the folders are called"
    return make_tree(root, os.path.basename(os.path.abspath(root)), files, left, [said])


def _has_labels(path: Path) -> bool:
    """Whether a metadata file is an imagefolder's with labels, and not another program's.

    A mistake in its rows is no reason to take the folders' labels in silence: who reads them all raises.
    """
    columns = set(_columns(path))
    return "label" in columns and not columns.isdisjoint(PATHS)


def _with_folders_part(row: Row, parts: dict[str, str]) -> Row:
    """A row of the root's metadata: where its file lies in a part's folder, that is its split."""
    first = os.path.normpath(row.path).split("/")[0]
    return Row(row.where, row.path, row.label, parts.get(first, ""))


def _labelled(root: Path, rows: list[Row], part: str, left: LeftOut, below: tuple[str, ...] = ()) -> list[Labelled]:
    """The rows as labelled files, each file once; part: of all of them, "": each row's, or train."""
    found: dict[str, tuple[Row, Labelled]] = {}
    if not part and len({bool(row.split) for row in rows}) > 1:
        row = next(row for row in rows if not row.split)
        raise UserError(f"{row.where} has no split, though others have; give all of them {SPLITS}, or none.")
    for row in rows:
        path = os.path.normpath("/".join([*below, row.path]) if not os.path.isabs(row.path) else row.path)
        split = part or (part_of(row.split) if row.split else "train")
        if split is None:
            raise UserError(f"{row.where}: split {row.split!r} is unknown; give {SPLITS}.")
        if not row.label:
            raise UserError(f"{row.where} has no label.")
        file = Labelled((path,), row.label, split)
        before = found.setdefault(path, (row, file))
        if before[1] != file:
            raise UserError(
                f"{row.where} and {before[0].where} both list {shown(row.path)}, as {row.label} ({split}) and "
                f"{before[1].label} ({before[1].part}); delete one of the two rows."
            )
        if before[0] is not row:
            left.paths[REPEATED].append(row.path)
    missing = [row for row, file in found.values() if not os.path.isfile(root / file.path[0])]
    if missing:
        names = "; ".join(f"{row.where}: {shown(row.path)}" for row in missing[:NAMED])
        more = f"; and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        raise UserError(
            f"{len(missing)} of {len(found)} pictures are not there ({names}{more}).\n"
            f"Paths are meant below the list's folder, {root.joinpath(*below)}."
        )
    return [Labelled(tuple(file.path[0].split("/")), file.label, file.part) for _, file in found.values()]


def _rows(path: Path) -> Iterator[Row]:
    """The rows of a CSV or JSONL file. Raises UserError for one that is neither, or has no column of paths."""
    number = 0
    for number, row in _read(path):
        file = next((row[name] for name in PATHS if name in row), None)
        if file is None:
            raise _lacks(path, "path", list(row))
        if not file:
            raise UserError(f"{path}, line {number} has no path.")
        yield Row(f"{path}, line {number}", file, row.get("label"), row.get("split", ""))
    if not number:
        raise UserError(f"{path} lists no pictures; its columns are path, label and, if wanted, split.")


def _columns(path: Path) -> list[str]:
    """The columns' names, whatever the rows hold. Raises UserError for JSON lines that begin with something else."""
    text = _text(path, errors="replace")
    if path.suffix.lower() == ".jsonl":
        return list(next(_json_lines(path, text), (0, {}))[1])
    head = text.partition("\n")[0]
    return _names(next(csv.reader([head], delimiter=_delimiter(head)), []))


def _lacks(path: Path, column: str, columns: list[str]) -> UserError:
    has = ", ".join(map(shown, columns)) or "none"
    return UserError(
        f"{path} has no column {column}; its columns are {has}. Expected path, label and, if wanted, split."
    )


def _text(path: Path, errors: str = "strict") -> str:
    try:
        return path.read_text(encoding="utf-8-sig", errors=errors)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UserError(f"{path} cannot be read: {reason}.") from error


def _read(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row's line, and its values as texts by the columns' names in small letters."""
    text = _text(path)
    yield from _json_lines(path, text) if path.suffix.lower() == ".jsonl" else _table_lines(path, text)


def _table_lines(path: Path, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    delimiter = _delimiter(text.partition("\n")[0])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = _names(next(reader, []))
        for row in filter(None, reader):
            if len(row) != len(columns):
                raise UserError(f"{path}, line {reader.line_num} has {len(row)} values, not {len(columns)}.")
            yield reader.line_num, {name: value.strip() for name, value in zip(columns, row, strict=True)}
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num} cannot be read: {error}.") from error


def _delimiter(head: str) -> str:
    return max(",;\t", key=head.count)  # spreadsheets write what their country does


def _names(head: list[str]) -> list[str]:
    return [name.strip().lower() for name in head]


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row: Any = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise UserError(f"{path}, line {number} is no JSON object.")
        row = {name.lower(): value for name, value in row.items()}
        if isinstance(row.get("label"), (list, dict)) and not row.keys().isdisjoint(PATHS):
            raise UserError(f"{path}, line {number}: label {shown(str(row['label'])[:60])} is no text or number.")
        yield number, {name: "" if value is None else str(value).strip() for name, value in row.items()}
