"""Figures that others reported for a study's arms, beside ours: data of the experiment's file, not of the code."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from headstart.analysis.columns import REPORTED
from headstart.analysis.csv_tables import frame_of
from headstart.errors import UserError
from headstart.store import check_figures


def reported(study: Mapping[str, Any], arms: pd.DataFrame) -> pd.DataFrame:
    """Return a row (`columns.REPORTED`) per figure in study.json's `reported` whose arm is in `arms`.

    `arms`: as `arm_rows.arms` returns it. Figures that are malformed, in a file edited by hand, are left out.
    """
    figures = study.get("reported")
    rows = []
    for figure in figures if isinstance(figures, list) else []:
        try:
            check_figures([figure])
        except UserError:
            continue
        own = arms[arms["arm"] == figure["arm"]]
        if len(own):
            rows.append(_row(figure, own.iloc[0]))
    return frame_of(rows, REPORTED)


def _row(figure: Mapping[str, Any], arm: pd.Series) -> dict[str, Any]:
    metric, value = figure.get("metric", "test_mean"), float(figure["value"])
    ours = arm[metric]
    interval = dict(ci_low=arm["test_ci_low"], ci_high=arm["test_ci_high"]) if metric == "test_mean" else {}
    return dict(
        arm=figure["arm"], metric=metric, reported=value, ours=ours,
        difference=None if pd.isna(ours) else float(ours) - value, source=str(figure["source"]),
        note=str(figure["note"]) if figure.get("note") else None, **interval,
    )  # fmt: skip
