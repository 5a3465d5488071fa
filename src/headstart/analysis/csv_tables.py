"""Tables as CSV files: frames of exactly the columns in `columns`, written and read back without loss."""

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from headstart.analysis.columns import TABLES, Column, Columns
from headstart.errors import UserError
from headstart.store import LARGEST_RECORD, write_atomically

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,15})")
_TRUTH = {"True": True, "False": False, "true": True, "false": False}

# ---- frames


def frame_of(rows: Sequence[Mapping[str, Any]], columns: Columns) -> pd.DataFrame:
    """Rows as a frame of exactly these columns and types; what a row lacks, NaN and infinity are missing."""
    return pd.DataFrame(
        {name: pd.array([known(row.get(name)) for row in rows], dtype=c.dtype) for name, c in columns.items()}
    )


def known(value: Any) -> Any:
    """The value, or None where it is missing."""
    missing = value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value))
    return None if missing else value


def first(values: pd.Series) -> Any:
    """The first value that is there, or None."""
    there = values.dropna()
    return there.iloc[0] if len(there) else None


def typed_array(values: Sequence[Any], dtype: str) -> Any:
    """Return a pandas array of the nullable type `dtype`; None and NaN are missing."""
    if dtype == "string":
        return pd.array(np.array([pd.NA if v is None else v for v in values], dtype=object), dtype="string")
    if dtype == "Float64":
        numbers = np.array(values, dtype=np.float64)
        return pd.arrays.FloatingArray(numbers, np.isnan(numbers))
    missing = np.array([v is None for v in values], dtype=bool)
    filled = [v or 0 for v in values] if missing.any() else values
    if dtype == "Int64":
        return pd.arrays.IntegerArray(np.array(filled, dtype=np.int64), missing)
    return pd.arrays.BooleanArray(np.array(filled, dtype=bool), missing)


def _is_number(text: str) -> bool:
    return bool(_NUMBER.fullmatch(text)) and math.isfinite(float(text))


def guessed_array(texts: list[str | None]) -> Any:
    """Return the array of the narrowest type that holds every text exactly: Int64, Float64, boolean or string."""
    there = [text for text in texts if text is not None]
    for dtype, fits, convert in (
        ("Int64", _INTEGER.fullmatch, int),
        ("Float64", _is_number, float),
        ("boolean", _TRUTH.__contains__, _TRUTH.__getitem__),
    ):
        if there and all(map(fits, there)):
            return typed_array([None if text is None else convert(text) for text in texts], dtype)
    return typed_array(texts, "string")


# ---- files


def write_table(path: str | Path, table: pd.DataFrame) -> Path:
    """Write `table` as CSV, atomically, so that `read_table` gives it back; the folder is made.

    Numbers are written with all their digits, missing values as empty cells, texts as they are.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    columns = [_texts(table[name].array) for name in table.columns]
    return write_lines(Path(path), table.columns, map(",".join, zip(*columns, strict=True)))


def write_further_tables(folder: Path, tables: Mapping[str, pd.DataFrame]) -> list[Path]:
    """Write `folder`/NAME.csv of each table that has rows; return their paths. One that was left before goes."""
    for name in (name for name, table in tables.items() if table.empty):
        (folder / f"{name}.csv").unlink(missing_ok=True)
    return [write_table(folder / f"{name}.csv", table) for name, table in tables.items() if not table.empty]


def write_lines(path: Path, header: Iterable[str], lines: Iterable[str]) -> Path:
    """Write a header and lines whose cells are `quoted` already, as `write_table` does; return `path`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path.parent} cannot be made: {error.strerror}.") from error
    text = "\n".join((",".join(map(quoted, header)), *lines, ""))
    write_atomically(path, text.encode())
    return path


def _texts(array: Any) -> list[str]:
    """Return the cells of a column as they stand in the file."""
    if array.dtype == "string":
        values = array.astype(object).tolist()
        cells = {value: "" if value is pd.NA else quoted(value) for value in set(values)}
        return [cells[value] for value in values]
    missing = np.asarray(array.isna())
    kind = {"f": np.float64, "b": np.bool_}.get(array.dtype.kind, np.int64)
    numbers = array.to_numpy(dtype=kind, na_value=0)
    texts = list(map(repr, numbers.tolist()))
    for place in np.flatnonzero(missing | (numbers != numbers)):
        texts[place] = ""
    return texts


def quoted(text: str) -> str:
    """A text as a cell of a CSV file, in quotes where readers would otherwise take it for something else."""
    # csv.writer leaves a carriage return bare, and readers take it for the end of the line.
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') or text.strip() != text else text


def read_table(path: str | Path) -> pd.DataFrame:
    """Return a table that `write_table` wrote, with the types it had; an arm called NA, nan or null stays one.

    The types are those of `TABLES` by the file's name; what an earlier version did not write is missing in every row.
    Columns that are not there (`params_...`) get the narrowest type that holds all their cells.

    Raises:
        UserError: there is no such file, or it holds something else; with the line and column.
    """
    path = Path(path)
    csv.field_size_limit(LARGEST_RECORD)
    try:
        text = path.read_bytes().decode("utf-8-sig")
        header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True) if text else [[]]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a table: {error}.") from error
    if wrong := next((line for line, row in enumerate(rows, 2) if len(row) != len(header)), None):
        raise UserError(f"{path}, row {wrong}: {len(rows[wrong - 2])} cells, expected {len(header)}.")
    columns = zip(*rows, strict=True) if rows else repeat(())
    typed = TABLES.get(path.stem, {})
    found = {
        name: _parse([cell or None for cell in cells], typed.get(name), f"{path}, column {name}")
        for name, cells in zip(header, columns, strict=False)
    }
    lacking = {
        name: typed_array([None] * len(rows), column.dtype) for name, column in typed.items() if name not in found
    }
    return pd.DataFrame(found | (lacking if header else {}))


def _parse(texts: list[str | None], column: Column | None, where: str) -> Any:
    if column is None:
        return guessed_array(texts)
    convert = {"Int64": int, "Float64": float, "boolean": _TRUTH.__getitem__, "string": str}[column.dtype]
    try:
        return typed_array([None if text is None else convert(text) for text in texts], column.dtype)
    except (ValueError, KeyError, OverflowError) as error:
        raise UserError(f"{where}: {error}; expected {column.dtype}.") from error
