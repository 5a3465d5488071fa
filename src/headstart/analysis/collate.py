"""Runs on disk collated into trials.csv and epochs.csv: a row per run, a row per run and epoch."""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from headstart.analysis.columns import EPOCHS, SORTED_BY, THRESHOLDS, TRIALS
from headstart.analysis.csv_tables import guessed_array, quoted, typed_array, write_lines, write_table
from headstart.errors import UserError
from headstart.store import (
    EPOCH_FIELDS,
    LARGEST_COUNT,
    NO_EPOCHS,
    PAUSED,
    Epochs,
    as_text,
    find_runs,
    read_epochs,
    read_run,
)


@dataclass
class _Run:
    cells: dict[str, Any]  # column name -> value of the column's type, or None
    params: dict[str, str]
    epochs: Epochs


class Collated:
    """The runs below a folder, all read at the same moment, and once."""

    def __init__(self, runs: list[_Run]):
        self._runs = runs

    @cached_property
    def trials(self) -> pd.DataFrame:
        """A row per run, whatever state it is in: `TRIALS`, and then `params_<key>` by name.

        The types are those of `TRIALS` for any number of runs. Values that are not of their column's type are left out
        and named in `reason`. Texts are kept as they are, also those that a spreadsheet takes for a formula (= + - @):
        names are restricted where they are given (`store.valid_name`), and the table must read back unchanged.
        """
        return _trials_frame(self._runs)

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """A row per epoch of every run (`EPOCHS`), in the order of `trials`."""
        return _epochs_frame(self._runs)

    def write(self, folder: str | Path) -> list[Path]:
        """Write trials.csv and epochs.csv, to read back as `write_table` would have them; return their paths.

        Raises:
            UserError: the folder cannot be written, or the disk is full.
        """
        lines = (line for run in self._runs for line in _epoch_lines(run))
        return [
            write_table(Path(folder) / "trials.csv", self.trials),
            write_lines(Path(folder) / "epochs.csv", EPOCHS, lines),
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
    lines = run.epochs.lines
    if lines is None:  # `repr` is what the run's own file has numbers written with
        lines = [",".join("" if v is None or v != v else repr(v) for v in row) for row in run.epochs.rows]
    about = (run.cells[name] for name in SORTED_BY)
    cells = ("" if cell is None else quoted(str(cell)) for cell in about)
    prefix = ",".join(cells) + ","
    return (prefix + line for line in lines)


def _collect_run(root: Path, run_dir: Path) -> _Run:
    record = read_run(run_dir)
    run_epochs = NO_EPOCHS if record.get("damaged") == "epochs.csv" else read_epochs(run_dir)
    last = run_epochs.last
    record["run_dir"] = run_dir.relative_to(root).as_posix()
    # A run that has not ended says in its epochs what it has cost so far.
    for name, field in (("epochs_run", "epoch"), ("seconds_train", "seconds_total")):
        if record.get(name) is None and last:
            record[name] = getattr(last, field)
    record |= dict(steps=last.steps if last else None, images=last.images if last else None)
    record |= _speed(run_epochs, otherwise=unreached([_state_to_come(record)], has_epochs=last is not None))
    record["train_accuracy"] = _at(run_epochs, "train_accuracy", record.get("best_epoch"))
    cells, faults = {}, []
    for name, column in TRIALS.items():
        cells[name] = value = record.get(name)
        if value is None:
            continue
        cells[name], fits = _cell(value, column.dtype)
        if column.unit == "percent" and fits and not 0 <= (cells[name] or 0) <= 100:
            cells[name], fits = None, False
        if not fits:
            faults.append(f"unreadable {name}={as_text(record[name])[:40]}")
    params = record.get("params")
    if params is not None and not isinstance(params, dict):
        faults.append(f"unreadable params={as_text(params)[:40]}")
    if faults:
        cells["reason"] = "; ".join(filter(None, (cells["reason"], *map(_clean, faults))))
    return _Run(cells, _params(params), run_epochs)


def _speed(epochs: Epochs, otherwise: str) -> dict[str, float | int | str | None]:
    """Return epochs and training seconds to each threshold, None where it was not reached, which is called so."""
    epoch, accuracy, seconds = (epochs.columns[name] for name in ("epoch", "val_accuracy", "seconds_total"))
    speed: dict[str, float | int | str | None] = {}
    place = 0
    for threshold in THRESHOLDS:  # rising, so that one walk through the epochs finds them all
        while place < len(epochs) and not (accuracy[place] or 0) >= threshold:
            place += 1
        reached = place < len(epochs)
        speed[f"epochs_to_{threshold}"] = epoch[place] if reached else None
        speed[f"seconds_to_{threshold}"] = seconds[place] if reached else None
        speed[f"reached_{threshold}"] = "yes" if reached else otherwise
    return speed


def _state_to_come(record: dict[str, Any]) -> str:
    """The run's state; of one that its search has paused, that of a run which may go on."""
    is_paused = record["state"] == "PRUNED" and as_text(record["reason"] or "").startswith(PAUSED)
    return "INTERRUPTED" if is_paused else record["state"]


def unreached(states: Collection[str], has_epochs: bool) -> str:
    """What `reached_` columns say of runs in these states that have not got to an accuracy, so that who never did is
    told apart from who was not run; has_epochs: whether one of them has ended an epoch."""
    if {"RUNNING", "INTERRUPTED"} & set(states):
        return "not yet"
    if has_epochs:
        return "never"
    return "no epochs" if {"COMPLETE", "CHANCE"} & set(states) else "not run"


def _at(epochs: Epochs, name: str, epoch: Any) -> float | None:
    """What a column of epochs.csv says of an epoch; None for one that it does not have."""
    numbers = list(epochs.columns["epoch"])
    return epochs.columns[name][numbers.index(epoch)] if epoch in numbers else None


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
    """Return the swept values as texts; their columns get a type when all of them are known (`guessed_array`)."""
    if not isinstance(params, dict):
        return {}
    return {
        _clean(f"params_{key.lstrip('+')}"): _clean(as_text(value))
        for key, value in params.items()
        if value is not None
    }


def _trials_frame(runs: list[_Run]) -> pd.DataFrame:
    columns = {name: typed_array([run.cells[name] for run in runs], column.dtype) for name, column in TRIALS.items()}
    for name in sorted({name for run in runs for name in run.params}):
        columns[name] = guessed_array([run.params.get(name) or None for run in runs])
    return pd.DataFrame(columns)


def _epochs_frame(runs: list[_Run]) -> pd.DataFrame:
    lengths = [len(run.epochs) for run in runs]
    source = np.repeat(np.arange(len(runs)), lengths)
    columns = {
        name: typed_array([run.cells[name] for run in runs], EPOCHS[name].dtype).take(source) for name in SORTED_BY
    }
    for name in EPOCH_FIELDS:
        values = list(chain.from_iterable(run.epochs.columns[name] for run in runs))
        columns[name] = typed_array(values, EPOCHS[name].dtype)
    return pd.DataFrame(columns)
