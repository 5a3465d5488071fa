"""reported.csv: figures that others reported for a study's arms, beside ours; they stand in the experiment's file."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from headstart.analysis.columns import REPORTED
from headstart.analysis.csv_tables import frame_of
from headstart.store import PublishedFigure

OF_CHANCE = "validation, of a trial at chance"


def reported_table(figures: Sequence[PublishedFigure], arms: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """Return a row (`columns.REPORTED`) per figure whose arm is in `arms`, which is as `arms_table` returns it.

    trials: rows of trials.csv. An arm whose trials are all at chance was never tested; its figure is their best one.
    """
    named = [(figure, arms[arms["arm"] == figure.arm]) for figure in figures]
    return frame_of([_row(figure, own.iloc[0], trials) for figure, own in named if len(own)], REPORTED)


def _row(figure: PublishedFigure, arm: pd.Series, trials: pd.DataFrame) -> dict[str, Any]:
    ours, what = arm[figure.metric], None
    if figure.metric == "test_mean" and pd.isna(ours) and pd.isna(arm["val_accuracy"]):  # none was selected
        tried = trials[(trials["arm"] == figure.arm) & trials["state"].eq("CHANCE")]["val_accuracy"].dropna()
        ours, what = (tried.max(), OF_CHANCE) if len(tried) else (ours, None)
    row: dict[str, Any] = {"arm": figure.arm, "metric": figure.metric, "reported": figure.value, "ours": ours}
    row |= {"ours_is": what, "difference": None if pd.isna(ours) else float(ours) - figure.value}
    if figure.metric == "test_mean":
        row |= {"ci_low": arm["test_ci_low"], "ci_high": arm["test_ci_high"]}
    return row | {"source": figure.source, "note": figure.note or None}
