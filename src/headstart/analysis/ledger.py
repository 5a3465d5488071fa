"""ledger.csv: what every arm has cost, in trials, runs, readings of the test split, epochs and seconds."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from headstart.analysis.columns import LEDGER
from headstart.analysis.csv_tables import first, frame_of
from headstart.analysis.runs_of_arm import ArmRuns, of_present_choice, runs_of_arm

STATES = ("COMPLETE", "CHANCE", "PRUNED", "DIVERGED", "FAILED", "RUNNING", "INTERRUPTED")  # a column each


def ledger_table(trials: pd.DataFrame, runs: Mapping[str, ArmRuns]) -> pd.DataFrame:
    """Return what every arm has cost (`columns.LEDGER`), and last the sum, arm `all`; no row without runs.

    `trials`: rows of trials.csv, of one study; a column `retried`, if there is one, counts attempts that failed before;
    `runs`: those behind its arms.
    """
    study = first(trials["study"])
    groups = [(name if name is not pd.NA else None, rows) for name, rows in trials.groupby("arm", dropna=False)]
    rows = [dict(study=study, arm=name) | _costs(rows, runs.get(name) or runs_of_arm(rows)) for name, rows in groups]
    if rows:
        total = {name: sum(row[name] for row in rows) for name in LEDGER if name not in ("study", "arm")}
        rows.append(dict(study=study, arm="all") | total)
    return frame_of(rows, LEDGER)


def _costs(rows: pd.DataFrame, runs: ArmRuns) -> dict[str, Any]:
    is_search, is_confirmation = rows["phase"] == "search", rows["phase"] == "confirm"
    searched, confirmed = int(is_search.sum()), int(is_confirmation.sum())
    reads, states = rows["test_reads"], rows["state"][is_search]
    return {
        "trials": searched,
        **{state.lower(): int((states == state).sum()) for state in STATES},
        "retried": int(rows["retried"].sum()) if "retried" in rows else 0,
        "confirmations": confirmed,
        "other_runs": len(rows) - searched - confirmed,
        "test_reads": int(reads.sum()),
        "test_reads_earlier_choice": int(reads[is_confirmation & _of_earlier_choice(rows, runs.best)].sum()),
        "epochs": int(rows["epochs_run"].sum()),
        "images": int(rows["images"].sum()),
        "seconds": float(rows["seconds_train"].sum()),
    }


def _of_earlier_choice(rows: pd.DataFrame, best: pd.Series | None) -> pd.Series:
    """Whether each run is not of what the arm's search chooses now."""
    return pd.Series(True, index=rows.index) if best is None else ~of_present_choice(rows, best["number"])
