"""Runs on disk collated into typed pandas tables and CSV files; `TABLES` says what each column means."""

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from headstart.errors import UserError
from headstart.records import (
    EPOCH_FIELDS,
    LARGEST_COUNT,
    LARGEST_RECORD,
    as_text,
    find_runs,
    read_epoch_lines,
    read_run,
    write_atomically,
)

THRESHOLDS = (70, 80, 90, 93, 95)  # percent validation accuracy at which speed is compared
SORTED_BY = ("study", "arm", "phase", "number", "seed", "run_dir")


@dataclass(frozen=True)
class Column:
    """One column: pandas type (Int64, Float64, string, boolean; a missing value is an empty cell), unit, meaning."""

    dtype: str
    unit: str
    meaning: str


def _speed_columns(name: str, dtype: str, unit: str, what: str) -> dict[str, Column]:
    return {
        f"{name}_to_{threshold}": Column(
            dtype,
            unit,
            f"{what} to the end of the first epoch with val_accuracy >= {threshold}, computed from epochs.csv; "
            "empty: censored, never reached in the epochs run",
        )
        for threshold in THRESHOLDS
    }


COLUMNS: dict[str, Column] = {
    "study": Column("string", "", "name of the study (`name=`)"),
    "arm": Column("string", "", "name of the arm, what is compared"),
    "phase": Column("string", "", "run (single run), search, confirm or source"),
    "number": Column("Int64", "count from 0", "Optuna's number of the trial within the arm; empty for single runs"),
    "state": Column(
        "string", "", "COMPLETE, CHANCE, PRUNED, DIVERGED, FAILED, RUNNING, INTERRUPTED; only COMPLETE can be selected"
    ),
    "reason": Column(
        "string",
        "",
        "why the state is not COMPLETE, why training ended early or did not converge, and what was "
        "unreadable in the run's files",
    ),
    "model": Column("string", "", "network or scikit-learn pipeline"),
    "weights": Column("string", "", "initial weights as given: a tag or a path; empty: random"),
    "freeze": Column("string", "", "what is not trained: none, backbone or backbone_then_none"),
    "stem": Column(
        "string", "", "first layers: imagenet or cifar (3x3, stride 1, no pool); empty: the model has no choice"
    ),
    "data": Column("string", "", "data set"),
    "train_size": Column("Int64", "images", "training images, validation split taken off"),
    "image_size": Column("Int64", "pixels", "height and width of what enters the network"),
    "augmentation": Column("string", "", "augmentation of the training images"),
    "optimizer": Column("string", "", "optimizer"),
    "schedule": Column("string", "", "schedule of the learning rate"),
    "lr": Column("Float64", "", "learning rate, the schedule's highest; empty: the model has none"),
    "batch_size": Column("Int64", "images", "images in a step"),
    "epochs": Column("Int64", "epochs", "epochs planned"),
    "epochs_run": Column("Int64", "epochs", "epochs that ended"),
    "seed": Column("Int64", "", "seed of initial weights, order and augmentation, or of the estimator's random_state"),
    "split_seed": Column("Int64", "", "seed of the split into training and validation images"),
    "val_accuracy": Column(
        "Float64",
        "percent",
        "validation accuracy of the best epoch, or of a model fitted in one go; empty until the run has ended",
    ),
    "val_loss": Column(
        "Float64",
        "nats",
        "validation cross-entropy of the best epoch; of an estimator without probabilities, such as "
        "model=linear, that of the softmax of its outputs",
    ),
    "cv_folds": Column("Int64", "count", "folds of the cross-validation on the training images; empty: none was asked"),
    "cv_accuracy_mean": Column("Float64", "percent", "accuracy on the folds left out, mean over folds"),
    "cv_accuracy_std": Column("Float64", "points", "its standard deviation over folds (n - 1)"),
    "best_epoch": Column("Int64", "count from 1", "epoch with the highest validation accuracy, whose weights are kept"),
    "test_accuracy": Column(
        "Float64", "percent", "accuracy of the best epoch's weights on the test split; empty: not read"
    ),
    "test_precision_macro": Column("Float64", "percent", "test precision, mean over classes"),
    "test_recall_macro": Column("Float64", "percent", "test recall, mean over classes"),
    "test_f1_macro": Column("Float64", "percent", "test F1, mean over classes"),
    **_speed_columns("epochs", "Int64", "epochs", "epochs"),
    **_speed_columns("seconds", "Float64", "seconds", "training time (no evaluation, no loading)"),
    "seconds_train": Column(
        "Float64", "seconds", "training time, or that of the fit: no evaluation, compilation or loading of data"
    ),
    "images_per_second": Column("Float64", "images per second", "images seen by training / seconds_train"),
    "seconds_features": Column(
        "Float64",
        "seconds",
        "time to compute features of a frozen backbone, not in seconds_train; 0: earlier runs had left them; empty: "
        "none are kept, the backbone runs in every epoch",
    ),
    "steps": Column("Int64", "steps", "optimizer steps of the epochs in epochs.csv"),
    "images": Column("Int64", "images", "images seen by training in the epochs in epochs.csv, repeats counted"),
    "parameters": Column(
        "Int64",
        "count",
        "parameters of the network, frozen ones too, and the estimator's coefficients and intercepts; "
        "empty: an estimator without, such as trees",
    ),
    "parameters_trainable": Column("Int64", "count", "parameters that are trained (at the end of the run)"),
    "parameters_with_statistics": Column(
        "Int64", "count", "parameters and the moving means and variances of batch norm, as Keras counts"
    ),
    "weights_sha256": Column("string", "hexadecimal", "SHA-256 of the file of the initial weights; empty: random"),
    "normalisation": Column(
        "string",
        "",
        "whose mean and standard deviation the inputs were normalised with: data or imagenet per channel, "
        "standard_scaler per feature",
    ),
    "test_reads": Column("Int64", "count", "how often this run read the test split"),
    "device": Column("string", "", "device that trained"),
    "threads": Column("Int64", "count", "CPU threads of the run; bit-identity is promised at equal threads and device"),
    "precision": Column("string", "", "arithmetic of the forward pass"),
    "torch_version": Column("string", "", "version of torch"),
    "sklearn_version": Column("string", "", "version of scikit-learn, where it fitted the model"),
    "headstart_version": Column("string", "", "version of headstart"),
    "git_commit": Column("string", "hexadecimal", "commit of the code; empty outside a clone"),
    "config_hash": Column("string", "hexadecimal", "hash of every setting that changes the result"),
    "data_sha256": Column("string", "hexadecimal", "SHA-256 of pixels, labels and split"),
    "command": Column("string", "", "the command that repeats this run"),
    "run_dir": Column("string", "", "folder of the run, relative to the folder collated"),
}

EPOCH_COLUMNS: dict[str, Column] = {
    **{name: COLUMNS[name] for name in SORTED_BY},
    "epoch": Column("Int64", "count from 1", "epoch"),
    "steps": Column("Int64", "steps", "optimizer steps so far"),
    "images": Column("Int64", "images", "images seen by training so far, repeats counted"),
    "lr": Column("Float64", "", "learning rate of the epoch's last step (first parameter group)"),
    "train_loss": Column("Float64", "nats", "training loss, mean over the epoch, augmented images"),
    "train_accuracy": Column("Float64", "percent", "training accuracy, mean over the epoch, augmented images"),
    "val_loss": Column("Float64", "nats", "validation cross-entropy after the epoch"),
    "val_accuracy": Column("Float64", "percent", "validation accuracy after the epoch"),
    "seconds_train": Column("Float64", "seconds", "training time of this epoch, no evaluation"),
    "images_per_second": Column("Float64", "images per second", "images of this epoch / seconds_train"),
    "seconds_total": Column("Float64", "seconds", "training time so far"),
}

TABLES: dict[str, dict[str, Column]] = {"trials": COLUMNS, "epochs": EPOCH_COLUMNS}

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,15})")
_TRUTH = {"True": True, "False": False, "true": True, "false": False}


# ------------------------------------------------------------------------------------------------------------ collating


def trials(root: str | Path) -> pd.DataFrame:
    """Return one row per run below `root`, `COLUMNS` and then `params_<key>` by name, whatever state the run is in.

    The types are those of `COLUMNS` for any number of runs. Values that are not of their column's type are left out
    and named in `reason`. Texts are kept as they are, also those that a spreadsheet takes for a formula (= + - @):
    names are restricted where they are given (`records.valid_name`), and the table must read back unchanged.

    Raises:
        UserError: `root` is not a folder.
    """
    return collate(root).trials


def epochs(root: str | Path) -> pd.DataFrame:
    """Return one row per epoch of every run below `root` (`EPOCH_COLUMNS`), in the order of `trials`.

    Raises:
        UserError: `root` is not a folder.
    """
    return collate(root).epochs


@dataclass
class _Run:
    cells: dict[str, Any]  # column name -> value of the column's type, or None
    params: dict[str, str]
    epochs: list[tuple[float | int | None, ...]]  # in the order of EPOCH_FIELDS
    lines: list[str] | None  # of epochs.csv, where they can be copied


class Collated:
    """The runs below a folder, all read at the same moment, and once."""

    def __init__(self, runs: list[_Run]):
        self._runs = runs

    @cached_property
    def trials(self) -> pd.DataFrame:
        """As the function `trials` returns it."""
        return _trials_frame(self._runs)

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """As the function `epochs` returns it."""
        return _epochs_frame(self._runs)

    def write(self, folder: str | Path) -> list[Path]:
        """Write trials.csv and epochs.csv, to read back as `write_table` would have them; return their paths.

        Raises:
            UserError: the folder cannot be written, or the disk is full.
        """
        lines = (line for run in self._runs for line in _epoch_lines(run))
        return [
            write_table(Path(folder) / "trials.csv", self.trials),
            _write_lines(Path(folder) / "epochs.csv", EPOCH_COLUMNS, lines),
        ]


def collate(root: str | Path) -> Collated:
    """Read the runs below `root`, whatever state they are in.

    Raises:
        UserError: `root` is not a folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root} is not a folder; give one that holds runs, such as outputs/quickstart.")
    runs = [_collect_run(root, run_dir) for run_dir in find_runs(root)]
    return Collated(sorted(runs, key=lambda run: [(run.cells[c] is None, run.cells[c] or 0) for c in SORTED_BY]))


def _epoch_lines(run: _Run) -> Iterator[str]:
    """The run's lines of epochs.csv."""
    lines = run.lines
    if lines is None:  # `repr` is what `records` writes numbers with
        lines = [",".join("" if v is None or v != v else repr(v) for v in row) for row in run.epochs]
    about = (run.cells[name] for name in SORTED_BY)
    cells = ("" if cell is None else _quoted(str(cell)) for cell in about)
    prefix = ",".join(cells) + ","
    return (prefix + line for line in lines)


def _collect_run(root: Path, run_dir: Path) -> _Run:
    record = read_run(run_dir)
    rows, lines = read_epoch_lines(run_dir)
    record["run_dir"] = run_dir.relative_to(root).as_posix()
    # A run that has not ended says in its epochs what it has cost so far.
    for name, field in (("epochs_run", "epoch"), ("seconds_train", "seconds_total")):
        if record.get(name) is None and rows:
            record[name] = rows[-1][EPOCH_FIELDS.index(field)]
    record |= {name: rows[-1][EPOCH_FIELDS.index(name)] if rows else None for name in ("steps", "images")}
    record |= _speed(rows)
    cells, faults = {}, []
    for name, column in COLUMNS.items():
        cells[name] = value = record.get(name)
        if value is None:
            continue
        cells[name], fits = _cell(value, column.dtype)
        if not fits:
            faults.append(f"unreadable {name}={as_text(record[name])[:40]}")
    params = record.get("params")
    if params is not None and not isinstance(params, dict):
        faults.append(f"unreadable params={as_text(params)[:40]}")
    if faults:
        cells["reason"] = "; ".join(filter(None, (cells["reason"], *map(_clean, faults))))
    return _Run(cells, _params(params), rows, lines)


def _speed(rows: list[tuple[float | int | None, ...]]) -> dict[str, float | int | None]:
    """Return epochs and training seconds to each threshold; None where it was never reached (censored)."""
    epoch, accuracy, seconds = (EPOCH_FIELDS.index(name) for name in ("epoch", "val_accuracy", "seconds_total"))
    speed: dict[str, float | int | None] = {}
    place = 0
    for threshold in THRESHOLDS:  # rising, so that one walk through the epochs finds them all
        while place < len(rows) and not (rows[place][accuracy] or 0) >= threshold:
            place += 1
        reached = rows[place] if place < len(rows) else None
        speed[f"epochs_to_{threshold}"] = reached and reached[epoch]
        speed[f"seconds_to_{threshold}"] = reached and reached[seconds]
    return speed


def _cell(value: Any, dtype: str) -> tuple[Any, bool]:
    """Return `value` as a cell of type `dtype` (None: missing), and whether it fitted; never raises."""
    if value is None:
        return None, True
    if dtype == "string":
        return _clean(as_text(value)) or None, True
    if dtype == "boolean":
        return (value, True) if isinstance(value, bool) else (None, False)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None, False
    if isinstance(value, float) and math.isnan(value):
        return None, True
    if abs(value) > LARGEST_COUNT and (dtype == "Int64" or isinstance(value, int)):
        return None, False
    if dtype == "Int64":
        return (int(value), True) if value == int(value) else (None, False)
    return float(value), True


def _clean(text: str) -> str:
    """Replace what no CSV file in UTF-8 can hold: lone surrogates and NUL."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _params(params: Any) -> dict[str, str]:
    """Return the swept values as texts; their columns get a type when all of them are known (`_guess`)."""
    if not isinstance(params, dict):
        return {}
    return {_clean(f"params_{key}"): _clean(as_text(value)) for key, value in params.items() if value is not None}


# --------------------------------------------------------------------------------------------------------------- frames


def _trials_frame(runs: list[_Run]) -> pd.DataFrame:
    columns = {name: _array([run.cells[name] for run in runs], column.dtype) for name, column in COLUMNS.items()}
    for name in sorted({name for run in runs for name in run.params}):
        columns[name] = _guess([run.params.get(name) or None for run in runs])
    return pd.DataFrame(columns)


def _epochs_frame(runs: list[_Run]) -> pd.DataFrame:
    lengths = [len(run.epochs) for run in runs]
    source = np.repeat(np.arange(len(runs)), lengths)
    columns = {
        name: _array([run.cells[name] for run in runs], EPOCH_COLUMNS[name].dtype).take(source) for name in SORTED_BY
    }
    rows = [row for run in runs for row in run.epochs]
    values = zip(*rows, strict=True) if rows else repeat(())
    for name, column in zip(EPOCH_FIELDS, values, strict=False):
        columns[name] = _array(column, EPOCH_COLUMNS[name].dtype)
    return pd.DataFrame(columns)


def _array(values: Sequence[Any], dtype: str) -> Any:
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


def _guess(texts: list[str | None]) -> Any:
    """Return the array of the narrowest type that holds every text exactly: Int64, Float64, boolean or string."""
    known = [text for text in texts if text is not None]
    for dtype, fits, convert in (
        ("Int64", _INTEGER.fullmatch, int),
        ("Float64", _is_number, float),
        ("boolean", _TRUTH.__contains__, _TRUTH.__getitem__),
    ):
        if known and all(map(fits, known)):
            return _array([None if text is None else convert(text) for text in texts], dtype)
    return _array(texts, "string")


# ------------------------------------------------------------------------------------------------------------------ CSV


def write_table(path: str | Path, table: pd.DataFrame) -> Path:
    """Write `table` as CSV, atomically, so that `read_table` gives it back; the folder is made.

    Numbers are written with all their digits, missing values as empty cells, texts as they are.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    columns = [_texts(table[name].array) for name in table.columns]
    return _write_lines(Path(path), table.columns, map(",".join, zip(*columns, strict=True)))


def _write_lines(path: Path, header: Iterable[str], lines: Iterable[str]) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path.parent} cannot be made: {error.strerror}.") from error
    text = "\n".join((",".join(map(_quoted, header)), *lines, ""))
    write_atomically(path, text.encode())
    return path


def _texts(array: Any) -> list[str]:
    """Return the cells of a column as they stand in the file."""
    if array.dtype == "string":
        values = array.astype(object).tolist()
        quoted = {value: "" if value is pd.NA else _quoted(value) for value in set(values)}
        return [quoted[value] for value in values]
    missing = np.asarray(array.isna())
    kind = {"f": np.float64, "b": np.bool_}.get(array.dtype.kind, np.int64)
    numbers = array.to_numpy(dtype=kind, na_value=0)
    texts = list(map(repr, numbers.tolist()))
    for place in np.flatnonzero(missing | (numbers != numbers)):
        texts[place] = ""
    return texts


def _quoted(text: str) -> str:
    # csv.writer leaves a carriage return bare, and readers take it for the end of the line.
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') or text.strip() != text else text


def read_table(path: str | Path) -> pd.DataFrame:
    """Return a table that `write_table` wrote, with the types it had; an arm called NA, nan or null stays one.

    The types are those of `TABLES` by the file's name; columns that are not there (`params_...`) get the narrowest
    type that holds all their cells.

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
    known = TABLES.get(path.stem, {})
    return pd.DataFrame(
        {
            name: _parse([cell or None for cell in cells], known.get(name), f"{path}, column {name}")
            for name, cells in zip(header, columns, strict=False)
        }
    )


def _parse(texts: list[str | None], column: Column | None, where: str) -> Any:
    if column is None:
        return _guess(texts)
    convert = {"Int64": int, "Float64": float, "boolean": _TRUTH.__getitem__, "string": str}[column.dtype]
    try:
        return _array([None if text is None else convert(text) for text in texts], column.dtype)
    except (ValueError, KeyError, OverflowError) as error:
        raise UserError(f"{where}: {error}; expected {column.dtype}.") from error


# ----------------------------------------------------------------------------------------------------------- dictionary


def dictionary_markdown() -> str:
    """Return the data dictionary of all tables as Markdown, a section with a table each."""
    return "\n".join(line for name, columns in TABLES.items() for line in _dictionary_section(name, columns))


def _dictionary_section(name: str, columns: dict[str, Column]) -> Iterable[str]:
    yield f"## {name}.csv\n"
    yield "| column | type | unit | meaning |"
    yield "| --- | --- | --- | --- |"
    for column, about in columns.items():
        yield f"| `{column}` | {about.dtype} | {about.unit} | {about.meaning.replace('|', chr(92) + '|')} |"
    if columns is COLUMNS:
        yield "| `params_<key>` | by content | | the value of a swept setting `<key>`, one column each, by name |"
    yield ""
