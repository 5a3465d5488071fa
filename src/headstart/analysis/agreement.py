"""Whether what has to be equal behind a verdict is equal: pictures, weights and settings of all runs of both arms."""

from collections.abc import Iterator

import pandas as pd

from headstart.analysis.csv_tables import known
from headstart.analysis.runs_of_arm import ArmRuns

# Of every run of an arm, but for what the arm searches.
OF_ONE_ARM = ("model", "weights_sha256", "freeze", "stem", "data", "data_sha256", "train_size", "val_size")
OF_ONE_ARM += ("image_size", "augmentation", "optimizer", "schedule", "batch_size", "epochs", "split_seed")
MACHINE = ("device", "precision", "torch_version")  # what may differ, and is said


def disagreements(arm: str, rows: pd.DataFrame, runs: ArmRuns) -> Iterator[str]:
    """What the arm's search trials and present confirmations differ in, though they must not; a reason each.

    `rows`: the arm's, of trials.csv; `runs`: those behind it.
    """
    searched = {name.removeprefix("params_").rpartition(".")[2] for name in rows if name.startswith("params_")}
    both = pd.concat([rows[rows["phase"] == "search"], runs.repeats]) if len(runs.repeats) else rows
    for column in OF_ONE_ARM:
        if column not in searched and len(found := both[column].dropna().unique()) > 1:
            yield f"the runs of {arm} differ in {column} ({_shown(found[0])} and {_shown(found[1])})"


def differing_machines(rows: pd.DataFrame) -> Iterator[str]:
    """Columns of the machine in which these runs differ, with their values."""
    for column in MACHINE:
        if len(found := rows[column].dropna().unique()) > 1:
            yield f"{column} {' and '.join(map(_shown, found))}"


def _shown(value: object) -> str:
    return str(known(value))[:12]
