"""What is on record of the data sets that some runs were given, and what the tables say where nothing is."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from headstart.analysis import Results, read_predictions
from headstart.report.data_view import DataView
from headstart.report.formatting import count
from headstart.report.plots.data_samples import read_sheet
from headstart.store import DataRecord, find_data_record, read_data_record


@dataclass(frozen=True, eq=False)
class KeptData:
    """A record, and where its sheet of samples is."""

    record: DataRecord
    path: Path  # of the sheet

    @cached_property
    def sheet(self) -> np.ndarray | None:
        """The pictures on it; None where it is missing."""
        return read_sheet(self.path, self.record)


@dataclass(frozen=True)
class DataOfResults:
    """What a page says of the data."""

    said: list[str]
    views: list[DataView]


def kept_data(results: Results) -> list[KeptData]:
    """What was kept of the data sets, in the order of the runs; of folds of the same pictures one, of sizes each."""
    found: dict[tuple, KeptData] = {}
    for rows in _by_data_set(results.trials):
        kept = _kept(results.root, rows)
        if kept is not None:
            record = kept.record
            used = sum(record.total(part) or 0 for part in ("train", "val"))
            if rows["folds"].notna().any():  # training pictures that are copies leave beside one fold and not another
                used += (record.copies or {}).get("dropped", 0)
            found.setdefault((record.name, record.classes, record.pixels, used), kept)
    return list(found.values())


def data_of(results: Results) -> DataOfResults:
    """What there is to say of the data of these runs."""
    views = [DataView(kept.record) for kept in kept_data(results)]
    if views:
        away = [where for view in views if (where := view.away())]
        said = [
            f"The pictures are not at hand: {where} is not there. This is what was recorded when the runs began."
            for where in dict.fromkeys(away)
        ]
        return DataOfResults(said, views)
    if not len(results.trials):
        return DataOfResults(["No run has begun."], [])
    said = ["No record of the pictures is at hand, which runs leave when they begin. The tables say:"]
    said += list(dict.fromkeys(map(_in_words, _rows(results.trials))))
    return DataOfResults(said, list(filter(None, [_of_test(results)])))


def _by_data_set(trials: pd.DataFrame) -> Iterator[pd.DataFrame]:
    known = trials[trials["data_sha256"].notna() & trials["run_dir"].notna()]
    return (rows for _, rows in known.groupby(["study", "data_sha256"], sort=False, dropna=False))


def _kept(root: Path, rows: pd.DataFrame) -> KeptData | None:
    """The first record that one of the runs left or shares."""
    for run_dir, sha256 in zip(rows["run_dir"], rows["data_sha256"], strict=True):
        path = find_data_record(root / run_dir, root, sha256)
        record = None if path is None else read_data_record(path)
        if path is not None and record is not None:
            return KeptData(record, path.with_suffix(".png"))
    return None


def _rows(trials: pd.DataFrame) -> list[dict]:
    columns = ["data", "train_images", "val_images", "test_images"]
    return trials[columns].drop_duplicates().astype(object).to_dict("records")


def _in_words(row: dict) -> str:
    numbers = [f"{count(row[f'{part}_images'])} {called}" for part, called in CALLED.items()]
    name = "data" if pd.isna(row["data"]) else row["data"]
    return f"{name}: {', '.join(numbers)} pictures."


CALLED = dict(train="training", val="validation", test="test")


def _of_test(results: Results) -> DataView | None:
    """Classes with their test pictures, from the first run that has kept its answers; None without any."""
    tested = results.trials[results.trials["test_accuracy"].notna()]
    for run_dir, name in zip(tested["run_dir"], tested["data"], strict=True):
        path = results.root / run_dir / "predictions.npz"
        found = read_predictions(path) if path.exists() else None
        if found is not None:
            counts = np.bincount(found.labels, minlength=len(found.classes))[: len(found.classes)].tolist()
            return DataView(DataRecord(name=str(name), classes=found.classes, counts={"test": tuple(counts)}))
    return None
