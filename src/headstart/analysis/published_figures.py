"""reported.csv: figures that others reported for a study's arms, beside ours; they stand in the experiment's file."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from headstart.analysis.columns import REPORTED
from headstart.analysis.csv_tables import frame_of
from headstart.store import PublishedFigure


def reported_table(figures: Sequence[PublishedFigure], arms: pd.DataFrame) -> pd.DataFrame:
    """Return a row (`columns.REPORTED`) per figure whose arm is in `arms`, which is as `arms_table` returns it."""
    named = [(figure, arms[arms["arm"] == figure.arm]) for figure in figures]
    return frame_of([_row(figure, own.iloc[0]) for figure, own in named if len(own)], REPORTED)


def _row(figure: PublishedFigure, arm: pd.Series) -> dict[str, Any]:
    ours = arm[figure.metric]
    row: dict[str, Any] = {"arm": figure.arm, "metric": figure.metric, "reported": figure.value, "ours": ours}
    row |= {"difference": None if pd.isna(ours) else float(ours) - figure.value}
    if figure.metric == "test_mean":
        row |= {"ci_low": arm["test_ci_low"], "ci_high": arm["test_ci_high"]}
    return row | {"source": figure.source, "note": figure.note or None}
