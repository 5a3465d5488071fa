"""Whether two studies say the same: their tables, but for what the clock and the machine's past put into them."""

from pathlib import Path

import pandas as pd

TABLES = ("trials", "epochs", "arms", "pairs")
PAST = ("test_reads", "command", "git_commit")  # and all columns that have `second` in their names


def tables(study: Path) -> dict[str, pd.DataFrame]:
    """The study's tables as they were written, without the columns that depend on the clock."""
    found = {}
    for name in TABLES:
        frame = pd.read_csv(study / "tables" / f"{name}.csv", keep_default_na=False, dtype=str)
        found[name] = frame[[column for column in frame if "second" not in column and column not in PAST]]
    return found


def is_noted(trials: pd.DataFrame) -> bool:
    """Whether a row of trials.csv says that what a run left is damaged, or not there any more."""
    reasons = trials["reason"].fillna("").str.contains("unreadable|damaged|no run")
    return bool((reasons | (trials["state"] == "INTERRUPTED")).any())


def difference(one: dict[str, pd.DataFrame], other: dict[str, pd.DataFrame]) -> str:
    """The first thing in which they differ, in words; "" where they are the same."""
    for name, frame in one.items():
        theirs = other[name]
        if list(frame) != list(theirs) or len(frame) != len(theirs):
            return f"{name}.csv: {frame.shape} and {theirs.shape}"
        unequal = (frame != theirs).stack()
        if unequal.any():
            row, column = unequal[unequal].index[0]
            return f"{name}.csv, row {row}, {column}: {frame.at[row, column]!r} and {theirs.at[row, column]!r}"
    return ""
