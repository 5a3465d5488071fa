"""Arms, pairs and ledger: the tables that compare, computed from trials.csv, epochs.csv and study.json."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from headstart.analysis import collate as tables
from headstart.analysis import columns
from headstart.analysis.arms_table import Study, arms, first
from headstart.analysis.caveats import caveats, verdicts
from headstart.analysis.csv_tables import frame_of, write_further_tables, write_table
from headstart.analysis.pairs_table import pairs
from headstart.analysis.published_figures import reported
from headstart.analysis.runs_of_arm import runs_of_arm
from headstart.errors import UserError
from headstart.store import read_json

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Comparison:
    """Everything a report shows: the five tables and the sentences that belong under the verdicts."""

    trials: pd.DataFrame
    epochs: pd.DataFrame
    arms: pd.DataFrame
    pairs: pd.DataFrame
    ledger: pd.DataFrame
    verdicts: list[str]
    caveats: list[str]


def compare(root: str | Path) -> Comparison:
    """Compare the arms of the study in `root`, of the studies directly below it, and single runs (only described).

    Arms of different studies are never paired.

    Raises:
        UserError: `root` is not a folder.
    """
    return _compare(Path(root), tables.collate(root))


def write_comparison(root: str | Path) -> list[Path]:
    """Write the tables of the runs below `root` to `root/tables/*.csv`, each atomically; return their paths.

    Raises:
        UserError: `root` is not a folder, cannot be written, or the disk is full.
    """
    collated, folder = tables.collate(root), Path(root) / "tables"
    found = _compare(Path(root), collated)
    names, study = ("arms", "pairs", "ledger"), _read_study(Path(root) / "study.json")
    further = dict(reported=reported(study or {}, found.arms), searches=_NONE, search_pairs=_NONE)
    return [
        *collated.write(folder),
        *(write_table(folder / f"{name}.csv", getattr(found, name)) for name in names),
        *write_further_tables(folder, further),
    ]


_NONE = pd.DataFrame()  # searches are repeated over several studies


def _compare(root: Path, collated: tables.Collated) -> Comparison:
    trials, epochs, parts = collated.trials, collated.epochs, []
    for study, own in _parts(root, _with_facts(root, trials)):
        found = arms(own, epochs, study)
        judged, spent = pairs(found, own, study, root), ledger(own)
        parts.append((found, judged, spent, caveats(found, judged, spent, own, study)))
    several = len(parts) > 1
    notes = [f"{_label(p[2])}: {note}" if several else note for p in parts for note in p[3]]
    empty = [frame_of([], wanted) for wanted in (columns.ARMS, columns.PAIRS, columns.LEDGER)]
    joined = [pd.concat([p[i] for p in parts], ignore_index=True) if parts else empty[i] for i in range(3)]
    return Comparison(trials, epochs, *joined, verdicts(joined[1]), notes)


def _label(spent: pd.DataFrame) -> str:
    return first(spent["study"]) or "single runs"


def _parts(root: Path, trials: pd.DataFrame) -> Iterator[tuple[Study | None, pd.DataFrame]]:
    """Each study with its rows, by the folder that its study.json is in; other runs by the name they give."""
    folders = [""] if (root / "study.json").exists() else sorted(p.parent.name for p in root.glob("*/study.json"))
    top = trials["run_dir"].str.partition("/")[0] if len(trials) else trials["run_dir"]
    rest = pd.Series(True, index=trials.index)
    for folder in folders:
        inside = rest if folder == "" else top == folder
        if inside.any() or folder == "":
            yield _read_study(root / folder / "study.json"), trials[inside]
        rest = rest & ~inside
    for _, own in trials[rest].groupby("study", dropna=False, sort=True):
        yield None, own


def _read_study(path: Path) -> Study | None:
    if not path.exists():
        return None
    try:
        study = read_json(path)
    except UserError as error:
        logger.warning("%s; its arms are described and not judged", error)
        return None
    return study if isinstance(study, dict) else None


_FACTS = ("classes", "test_images", "retried")  # what result.json knows beyond the columns of trials.csv


def _with_facts(root: Path, trials: pd.DataFrame) -> pd.DataFrame:
    """The trials with what result.json knows beyond their columns: classes, test_images; and failed attempts before."""
    rows = []
    for run_dir, score in zip(trials["run_dir"], trials["test_accuracy"], strict=True):
        folder = root / run_dir
        row: dict[str, int] = {"retried": len(list(folder.glob("result.failed-*.json")))}
        if score is not pd.NA:
            row |= _test_facts(folder / "result.json")
        rows.append(row)
    return trials.assign(**{n: pd.array([row.get(n) for row in rows], dtype="Int64") for n in _FACTS})


def _test_facts(path: Path) -> dict[str, int]:
    try:
        confusion = np.asarray(read_json(path)["confusion"], dtype=np.int64)
    except (UserError, ValueError, TypeError, KeyError, OverflowError):
        return {}  # both are only said in addition
    return {"classes": len(confusion), "test_images": int(confusion.sum())} if confusion.ndim == 2 else {}


# --------------------------------------------------------------------------------------------------------------- ledger


COUNTED = ("COMPLETE", "CHANCE", "PRUNED", "DIVERGED", "FAILED", "RUNNING", "INTERRUPTED")


def ledger(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what every arm has cost (`columns.LEDGER`), and last the sum, arm `all`; no row without runs.

    `trials`: as `tables.trials` returns it, of one study.
    """
    study = first(trials["study"])
    groups = [(name if name is not pd.NA else None, rows) for name, rows in trials.groupby("arm", dropna=False)]
    rows = [dict(study=study, arm=name) | _costs(rows) for name, rows in groups]
    if rows:
        total = {name: sum(row[name] for row in rows) for name in columns.LEDGER if name not in ("study", "arm")}
        rows.append(dict(study=study, arm="all") | total)
    return frame_of(rows, columns.LEDGER)


def _costs(rows: pd.DataFrame) -> dict[str, Any]:
    phase, reads, best = rows["phase"], rows["test_reads"], runs_of_arm(rows).best
    states, confirm = rows["state"][phase == "search"], phase == "confirm"
    earlier = confirm if best is None else confirm & (rows["number"] != best["number"]).fillna(True)
    return dict(
        trials=len(states), **{state.lower(): int((states == state).sum()) for state in COUNTED},
        retried=int(rows["retried"].sum()) if "retried" in rows else 0, confirmations=int(confirm.sum()),
        other_runs=len(rows) - len(states) - int(confirm.sum()), test_reads=int(reads.sum()),
        test_reads_earlier_choice=int(reads[earlier].sum()), epochs=int(rows["epochs_run"].sum()),
        images=int(rows["images"].sum()), seconds=float(rows["seconds_train"].sum()),
    )  # fmt: skip
