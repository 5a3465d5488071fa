"""The loss of a training step, and metrics of stored predictions, by scikit-learn where it has them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional

from headstart.statistics import chance_limit, is_chance


def training_loss(logits: Tensor, targets: Tensor, weights: Tensor | None, label_smoothing: float) -> Tensor:
    """Cross-entropy of a batch in nats, the mean over its n pictures: logits [n, K], targets [n] or [n, K].

    weights: of each class, [K], 1 on average over the training pictures. Each picture then adds its weight's share of
    1 / n. torch divides by the sum of the batch's weights instead, which takes them back in a small batch: where all of
    eight pictures are of one class, whichever that is. Only so are mixed targets weighted as others are, too.
    """
    if weights is None:
        return functional.cross_entropy(logits, targets, label_smoothing=label_smoothing)
    total = functional.cross_entropy(logits, targets, weights, label_smoothing=label_smoothing, reduction="sum")
    return total / len(logits)


def accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Percent of the images whose likeliest class is their own: labels [N] in 0..K-1, probabilities [N, K]."""
    return 100 * float((probabilities.argmax(1) == labels).mean())


def cross_entropy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean cross-entropy in nats: labels [N] in 0..K-1, probabilities [N, K] of any floating type.

    Rows are made to add up to 1 in float64. A true class of probability 0 counts as the smallest step of float64, as
    `sklearn.metrics.log_loss` has it.
    """
    from sklearn.metrics import log_loss

    exact = probabilities.astype(np.float64)
    return float(log_loss(labels, exact / exact.sum(1, keepdims=True), labels=range(exact.shape[1])))


def classification_metrics(labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """Score class probabilities [N, K] against labels [N] in 0..K-1.

    Returns accuracy, balanced_accuracy (over the classes that there are images of, as scikit-learn has it),
    precision_macro, recall_macro and f1_macro in percent, loss (mean cross-entropy, natural log), per_class
    {name: precision, recall, f1 in percent, support in images} and confusion [K][K] (rows: true class).
    A class that is never predicted counts as precision 0.
    """
    from sklearn.metrics import classification_report, confusion_matrix, recall_score

    expected = list(range(len(classes)))
    predicted = probabilities.argmax(1)
    report = classification_report(labels, predicted, labels=expected, output_dict=True, zero_division=0)
    macro = _in_percent(report["macro avg"])
    of_class = {name: report[str(k)] for k, name in enumerate(classes)}
    return dict(
        accuracy=accuracy(labels, probabilities),
        balanced_accuracy=100 * float(recall_score(labels, predicted, labels=np.unique(labels), average="macro")),
        **{f"{name}_macro": value for name, value in macro.items()},
        loss=cross_entropy(labels, probabilities),
        per_class={name: _in_percent(row) | dict(support=int(row["support"])) for name, row in of_class.items()},
        confusion=confusion_matrix(labels, predicted, labels=expected).tolist(),
    )


def _in_percent(row: dict[str, float]) -> dict[str, float]:
    """precision, recall and f1 of a row of scikit-learn's classification report."""
    names = {"precision": "precision", "recall": "recall", "f1-score": "f1"}
    return {ours: 100 * row[theirs] for theirs, ours in names.items()}


def regression_errors(labels: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
    """mse, mae and r2 of outputs [N, K] against 1 for the class of each label [N] and 0 for the others."""
    from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

    scores = dict(mse=mean_squared_error, mae=mean_absolute_error, r2=r2_score)
    targets = np.eye(outputs.shape[1])[labels]
    return {name: float(score(targets, outputs)) for name, score in scores.items()}


def at_chance(accuracy: float, labels: np.ndarray, classes: int) -> bool:
    """True when an accuracy (percent) is not above guessing by 3 standard errors of guessing on these labels [N].

    Guessing is the better of 1/K and always naming the commonest class.
    """
    return is_chance(accuracy, len(labels), classes, majority_share=_largest_share(labels))


def chance_in_words(accuracy: float, labels: np.ndarray, classes: int) -> str:
    """Why that accuracy is at chance, with the accuracy that would not be."""
    limit = limit_of_chance(labels, classes)
    return (
        f"{accuracy:.2f} % of {len(labels):,} validation pictures is not above guessing by 3 standard errors, which "
        f"takes more than {limit:.2f} %"
    )


def limit_of_chance(labels: np.ndarray, classes: int) -> float:
    """The highest accuracy (percent) on these labels [N] that `at_chance` takes for guessing."""
    return chance_limit(len(labels), classes, majority_share=_largest_share(labels))


def _largest_share(labels: np.ndarray) -> float:
    """Of the commonest class, 0..1."""
    return float(np.bincount(labels).max() / len(labels))
