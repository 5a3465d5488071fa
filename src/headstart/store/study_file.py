"""What a study says of itself in study.json, beside its runs."""

import math
from collections.abc import Mapping
from typing import Any

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
