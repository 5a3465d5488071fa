"""What a run is to an experiment tracker: parameters, tags, metrics of every epoch, and those of its end."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from headstart.analysis import Results

SWEPT = "params_"  # begins the columns of swept values
TAGS = ("study", "arm", "phase", "number", "search_trials", "seed", "fold", "state", "reason", "run_dir", "command")
TAGS += ("config_hash", "data_sha256", "weights_sha256", "normalisation", "device", "threads", "precision")
TAGS += ("torch_version", "sklearn_version", "headstart_version", "git_commit")
PARAMETERS = (
    "model",
    "weights",
    "freeze",
    "batch_norm",
    "stem",
    "data",
    "train_size",
    "val_size",
    "folds",
    "fold",
    "image_size",
)
PARAMETERS += ("augmentation", "optimizer", "schedule", "lr", "batch_size", "epochs", "seed", "split_seed")
OF_THE_RUN = ("study", "arm", "phase", "number", "seed", "run_dir", "epoch")  # columns of epochs.csv that are no metric


@dataclass(frozen=True, eq=False)
class RunRecord:
    """A run, its values under the names of trials.csv and epochs.csv."""

    study: str
    name: str  # its folder in the study, which tells it from the study's others
    parameters: dict[str, str | int | float | bool]
    tags: dict[str, str]
    epochs: list[tuple[int, dict[str, float]]]  # epoch, and its metrics as `epoch/NAME`
    metrics: dict[str, float]  # of the whole run: of its best epoch, on the test split, what it cost
    began: float  # seconds since 1970, as the files of the run say
    ended: float

    @property
    def key(self) -> str:
        """What the run is found under when it is exported again."""
        return f"{self.study}/{self.name}"

    @property
    def identity(self) -> str:
        """The same in 16 letters and digits."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:16]

    @property
    def digest(self) -> str:
        """Of everything that is exported: it changes when the run has gone on."""
        told = json.dumps([self.parameters, self.tags, self.epochs, self.metrics], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    @property
    def last_epoch(self) -> int:
        """Number of the last epoch; 0 of a model that was fitted in one go."""
        return self.epochs[-1][0] if self.epochs else 0


def run_records(results: Results) -> list[RunRecord]:
    """Every run of the results, in the order of trials.csv."""
    epochs = {place: list(_epochs(rows)) for place, rows in results.epochs.groupby("run_dir", sort=False)}
    rows = results.trials.astype(object).to_dict("records")
    names = [_name(row["run_dir"], results.root) for row in rows]
    counts = Counter((row["study"], name) for row, name in zip(rows, names, strict=True))
    return [
        _record(row, name if counts[row["study"], name] == 1 else _path(row["run_dir"]), epochs, results.root)
        for row, name in zip(rows, names, strict=True)
    ]


def _name(run_dir: str, root: Path) -> str:
    """What a run is called in its study, wherever the results begin: `ARM/search/000`; of a single run its folder."""
    parts = _path(run_dir).split("/")
    own = 3 if parts[-2:-1] == ["search"] else 4 if parts[-3:-2] == ["confirm"] else 1
    return "/".join(parts[-own:]) or root.absolute().name


def _path(run_dir: str) -> str:
    return "/".join(part for part in Path(run_dir).parts if part not in ("..", "."))


def _record(
    row: dict[str, Any], name: str, epochs: Mapping[str, list[tuple[int, dict[str, float]]]], root: Path
) -> RunRecord:
    known = {name: value for name, value in row.items() if not pd.isna(value)}
    swept = {name.removeprefix(SWEPT): value for name, value in known.items() if name.startswith(SWEPT)}
    parameters = swept | {name: known[name] for name in PARAMETERS if name in known}
    tags = {name: str(known[name]) for name in TAGS if name in known}
    rest = {name: known[name] for name in known if name not in (*TAGS, *PARAMETERS) and not name.startswith(SWEPT)}
    metrics = {name: float(value) for name, value in rest.items() if not isinstance(value, str)}
    tags |= {name: value for name, value in rest.items() if isinstance(value, str)}
    study = re.sub(r"[^A-Za-z0-9._-]+", "_", tags.get("study", "runs")).strip("_.")  # a path, of studies of one name
    own = epochs.get(row["run_dir"], [])
    return RunRecord(study, name, parameters, tags, own, metrics, *_times(root / row["run_dir"]))


def _epochs(rows: pd.DataFrame) -> Iterator[tuple[int, dict[str, float]]]:
    for row in rows.astype(object).to_dict("records"):
        metrics = {name: value for name, value in row.items() if name not in OF_THE_RUN and not pd.isna(value)}
        yield int(row["epoch"]), {f"epoch/{name}": float(value) for name, value in metrics.items()}


def _times(folder: Path) -> tuple[float, float]:
    """When the run's first file was written, and its last; 0 where only tables are left of it."""
    written = [path.stat().st_mtime for name in ("run.json", "epochs.csv", "result.json") for path in folder.glob(name)]
    return (min(written), max(written)) if written else (0.0, 0.0)
