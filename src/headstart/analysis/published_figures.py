"""Figures that others reported for a study's arms, beside ours: data of the experiment's file, not of the code."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from headstart.analysis.columns import REPORTED
from headstart.analysis.csv_tables import frame_of
from headstart.errors import UserError

METRICS = {
    "test_mean": "test accuracy",
    "test_precision_macro": "test precision, macro",
    "test_recall_macro": "test recall, macro",
    "test_f1_macro": "test F1, macro",
    "val_accuracy": "validation accuracy",
    "parameters": "parameters",
}  # columns of arms.csv that a figure may be compared with


def check_figures(figures: Any) -> None:
    """Refuse an experiment's `reported:` that is not a list of {arm, metric, value, source, note}. Raises UserError."""
    if figures is None:
        return
    for figure in figures if isinstance(figures, list) else [figures]:
        known = {"arm", "metric", "value", "source", "note"}
        if not isinstance(figure, Mapping) or not {"arm", "value", "source"} <= set(figure) <= known:
            raise UserError(f"reported: got {figure}; expected {{arm: ..., value: 83.0, source: ..., note: ...}}")
        if figure.get("metric", "test_mean") not in METRICS:
            raise UserError(f"reported: metric={figure['metric']} is unknown; choose one of {', '.join(METRICS)}")
        value = figure["value"]
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise UserError(f"reported: value={value} of {figure['arm']} is not a number")


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
