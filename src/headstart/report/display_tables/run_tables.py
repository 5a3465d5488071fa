"""The tables of runs: every single one, what they have cost, and what they ran with."""

import pandas as pd

from headstart.analysis import Results, counted
from headstart.report.display_tables.frame import (
    Cell,
    DisplayColumn,
    DisplayTable,
    link,
    records,
    study_column,
    table,
    text_of,
    value_of,
)
from headstart.report.formatting import ABSENT, count, duration, significant, text

STATES = ("complete", "chance", "pruned", "diverged", "failed", "running", "interrupted", "retried")
RECORDED = {  # columns of trials.csv by what they are called here
    "headstart_version": "headstart",
    "git_commit": "commit",
    "torch_version": "torch",
    "sklearn_version": "scikit-learn",
    "device": "device",
    "threads": "threads",
    "precision": "precision",
    "data": "data",
    "data_sha256": "SHA-256 of the data",
}


def ledger(results: Results) -> DisplayTable:
    """What every arm has cost, and how often it read the test split."""
    frame = results.ledger
    shown = [name for name in STATES if name == "complete" or frame[name].any()]
    order = {arm: place for place, arm in enumerate(results.arms["arm"])} | {"all": len(results.arms) + 1}
    return table(
        "What every arm has cost",
        sorted(records(frame), key=lambda row: order.get(row["arm"], len(results.arms))),
        [
            text_of("arm", "Arm"),
            *study_column(frame),
            value_of("trials", "Trials", count),
            *(value_of(name, name.capitalize(), count) for name in shown),
            value_of("confirmations", "Confirmations", count),
            value_of("other_runs", "Other runs", count),
            value_of("test_reads", "Readings of the test split", count),
            value_of("epochs", "Epochs", count),
            value_of("images", "Images", count),
            value_of("seconds", "Training time", duration),
        ],
    )


def trials(results: Results) -> DisplayTable:
    """Every run, in whatever state."""
    frame = results.trials
    swept = [name for name in frame if name.startswith("params_") and name != "params_lr"]
    return table(
        f"All {len(frame):,} runs",
        records(frame),
        [
            DisplayColumn("Run", lambda row: Cell(text(row["run_dir"]), link(row["run_dir"])), numeric=False),
            *study_column(frame),
            text_of("arm", "Arm"),
            text_of("phase", "Phase"),
            text_of("state", "State"),
            text_of("reason", "Reason"),
            value_of("lr", "Learning rate", significant),
            *(value_of(name, name.removeprefix("params_"), lambda value: text(significant(value))) for name in swept),
            value_of("seed", "Seed", count),
            *([value_of("fold", "Fold", count)] if frame["fold"].notna().any() else []),
            value_of("epochs_run", "Epochs", count),
            value_of("val_accuracy", "Validation, %"),
            value_of("test_accuracy", "Test, %"),
            value_of("seconds_train", "Training time", duration),
        ],
    )


def versions(results: Results) -> DisplayTable:
    """Versions and hardware as the runs recorded them, with the number of runs where they differ."""
    rows = [{"what": what, "found": _used(results.trials[name])} for name, what in RECORDED.items()]
    return table("Versions and hardware", rows, [text_of("what", "What"), text_of("found", "Used")])


def _used(values: pd.Series) -> str:
    found = values.value_counts(dropna=True, sort=False)
    if len(found) == 1:
        return text(found.index[0])
    each = [f"{text(value)} ({counted(runs, 'run')})" for value, runs in found.items()]
    return ", ".join(each) or ABSENT
