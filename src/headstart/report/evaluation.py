"""What an evaluation on other pictures leaves in a folder: its figures, its answers and two plots."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from headstart.analysis import Predictions
from headstart.report.drawing import DrawnFigure
from headstart.report.plots import calibration, confusion, style
from headstart.report.save_figures import save
from headstart.store import write_atomically, write_json


def write_evaluation(
    folder: Path, found: Mapping[str, Any], answers: pd.DataFrame, robustness: pd.DataFrame | None = None
) -> list[Path]:
    """Write metrics.json, predictions.csv, confusion and calibration as pictures, and robustness.csv; return the paths.

    found: metrics with confusion [K][K] and per_class. answers: a row per picture with image, label, predicted,
    probability and a column per class. robustness: accuracy in percent by corruption and strength.

    Raises:
        UserError: the folder cannot be written.
    """
    classes = list(found["per_class"])
    drawn = [_confusion(found), _calibration(answers, classes)]
    written = [path for figure in drawn for path in save(figure, folder)]
    write_json(folder / "metrics.json", dict(found))
    tables = {"predictions.csv": answers.to_csv(index=False)}
    tables |= {} if robustness is None else {"robustness.csv": robustness.to_csv()}
    if robustness is None:
        (folder / "robustness.csv").unlink(missing_ok=True)  # of another evaluation
    for name, text in tables.items():
        write_atomically(folder / name, text.encode())
    return [folder / "metrics.json", *(folder / name for name in tables), *written]


def _figure(height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(6.4, height), layout="constrained")


def _confusion(found: Mapping[str, Any]) -> DrawnFigure:
    with style():
        figure = _figure(5.6)
        title = "Confusion matrix"
        confusion(found, figure.subplots(), title=title)
    right, total = np.trace(np.array(found["confusion"])), np.sum(found["confusion"])
    alt = f"Confusion matrix of {len(found['per_class'])} classes: {right} of {total} pictures on the diagonal, right."
    return DrawnFigure("confusion", title, "", alt, figure)


def _calibration(answers: pd.DataFrame, classes: list[str]) -> DrawnFigure:
    place = {name: number for number, name in enumerate(classes)}
    labels, predicted = (answers[column].map(place).to_numpy() for column in ("label", "predicted"))
    given = Predictions(
        labels=labels,
        predicted=predicted,
        confidence=answers["probability"].to_numpy(),
        indices=np.arange(len(answers)),
        classes=tuple(classes),
        thumbnails={},
    )
    with style():
        figure = _figure(5.0)
        axes = calibration({"network": [given]}, figure.subplots())
        axes.set_title("Calibration")
    right = 100 * (labels == predicted).mean()
    confidence = 100 * given.confidence.mean()
    alt = f"Accuracy against confidence: {right:.1f} % right at a mean confidence of {confidence:.1f} %."
    return DrawnFigure("calibration", "Calibration", "", alt, figure)
