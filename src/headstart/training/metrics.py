"""Metrics from stored predictions, by scikit-learn."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.statistics import is_chance


def metrics(labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """Score class probabilities [N, K] against labels [N] in 0..K-1.

    Returns accuracy, precision_macro, recall_macro and f1_macro in percent, loss (mean cross-entropy, natural log),
    per_class {name: precision, recall, f1 in percent, support in images} and confusion [K][K] (rows: true class).
    A class that is never predicted counts as precision 0.
    """
    from sklearn.metrics import classification_report, confusion_matrix, log_loss

    expected = list(range(len(classes)))
    predicted = probabilities.argmax(1)
    report = classification_report(labels, predicted, labels=expected, output_dict=True, zero_division=0)
    macro = report["macro avg"]
    per_class = {
        name: dict(
            precision=100 * report[str(k)]["precision"],
            recall=100 * report[str(k)]["recall"],
            f1=100 * report[str(k)]["f1-score"],
            support=int(report[str(k)]["support"]),
        )
        for k, name in enumerate(classes)
    }
    shares = probabilities.astype(np.float64)
    return dict(
        accuracy=100 * float((predicted == labels).mean()),
        precision_macro=100 * macro["precision"],
        recall_macro=100 * macro["recall"],
        f1_macro=100 * macro["f1-score"],
        loss=float(log_loss(labels, shares / shares.sum(1, keepdims=True), labels=expected)),
        per_class=per_class,
        confusion=confusion_matrix(labels, predicted, labels=expected).tolist(),
    )


def at_chance(accuracy: float, labels: np.ndarray, classes: int) -> bool:
    """True when an accuracy (percent) is not above guessing by 3 standard errors of guessing on these labels [N].

    Guessing is the better of 1/K and always naming the commonest class.
    """
    share = np.bincount(labels, minlength=classes).max() / len(labels)
    return is_chance(accuracy, len(labels), classes, majority_share=float(share))
