"""Plots of the test split's predictions: confusion matrices, accuracy by class, calibration."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart import statistics
from headstart.analysis import Predictions
from headstart.report.plots.style import DOTTED, GREY, Look, Looks, drawn, legend, looks_for, sample, say

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CLASSES = 20  # that a plot shows by name
FEW_IMAGES = 20  # in a bin: its accuracy is drawn faintly


@drawn
def confusion(
    result: Mapping[str, Any] | Sequence[Mapping[str, Any]], ax: "Axes", *, title: str = "", bar: bool = True
) -> "Axes":
    """Draw the confusion matrix of a result.json, or the sum of several: rows are true classes, counts in the cells.

    The shade is the share of the true class, on a scale that shows single errors too; `bar`: whether to
    draw that scale. Returns `ax`.
    """
    from matplotlib.colors import PowerNorm

    matrix, classes = summed_confusion([result] if isinstance(result, Mapping) else result)
    ax.set_title(textwrap.fill(title or "Confusion matrix (test images)", 44))
    if matrix is None:
        return say(ax, "No run has read the test split yet.")
    shares = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = ax.imshow(shares, cmap="Blues", norm=PowerNorm(0.4, 0, 100), interpolation="none")
    ax.grid(False)
    ax.spines[:].set_visible(False)
    if len(classes) <= MOST_CLASSES:
        tilt = dict(rotation=45, ha="right", rotation_mode="anchor") if max(map(len, classes)) > 2 else {}
        ax.set_xticks(range(len(classes)), classes, parse_math=False, **tilt)
        ax.set_yticks(range(len(classes)), classes, parse_math=False)
        _counts(ax, matrix, shares)
    ax.set_xlabel("class the model said")
    ax.set_ylabel("true class")
    if bar:
        scale = ax.figure.colorbar(image, ax=ax, shrink=0.8, ticks=[0, 1, 5, 20, 50, 100])
        scale.set_label("share of the true class (%)")
        scale.outline.set_visible(False)
    return ax


def _counts(ax: "Axes", matrix: np.ndarray, shares: np.ndarray) -> None:
    """Write the counts into the cells; empty ones stay empty."""
    for true, answer in np.argwhere(matrix > 0):
        shade = "white" if shares[true, answer] > 25 else "black"
        count = ax.text(answer, true, f"{matrix[true, answer]}", ha="center", va="center", color=shade, fontsize=7.5)
        count.set_in_layout(False)  # it lies inside; measuring hundreds of them takes most of the time


def summed_confusion(results: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray | None, list[str]]:
    """Sum of the confusion matrices [K, K] that fit the first one, and the names of the classes."""
    matrices = [np.asarray(r["confusion"], dtype=np.int64) for r in results if has_confusion(r)]
    if not matrices:
        return None, []
    first = next(r for r in results if has_confusion(r))
    same = [m for m in matrices if m.shape == matrices[0].shape]
    names = first.get("classes") or list(first.get("per_class") or {})
    classes = list(map(str, names)) if len(names) == len(same[0]) else list(map(str, range(len(same[0]))))
    return np.sum(same, axis=0), classes


def has_confusion(result: Mapping[str, Any]) -> bool:
    """Whether a result has a square confusion matrix of counts: files may have been edited by hand."""
    rows = result.get("confusion")
    if not isinstance(rows, list) or not rows:
        return False
    return all(isinstance(r, list) and len(r) == len(rows) and all(type(v) is int for v in r) for r in rows)


@drawn
def per_class(results: Mapping[str, Sequence[Mapping[str, Any]]], ax: "Axes", *, looks: Looks = None) -> "Axes":
    """Draw each arm's test accuracy by true class (recall, %): mean over its results, line from lowest to highest.

    `results`: {arm: [result.json of its confirmations]}. Hardest class on top; of more than 20 classes the hardest 20.
    Returns `ax`.
    """
    ax.set_title("Test accuracy by class")
    table = {arm: [_recalls(r) for r in own if has_confusion(r)] for arm, own in results.items()}
    table = {arm: rows for arm, rows in table.items() if rows}
    if not table:
        return say(ax, "No run has read the test split yet.")
    looks, classes = looks_for(results, looks), _hardest_first(table)
    shown = classes[:MOST_CLASSES]
    for i, (arm, rows) in enumerate(table.items()):
        shift = 0.7 * ((i + 0.5) / len(table) - 0.5)
        values = {y + shift: own for y, name in enumerate(shown) if (own := [r[name] for r in rows if name in r])}
        for y, own in values.items():
            ax.plot([min(own), max(own)], [y, y], color=looks[arm].colour, linewidth=1, alpha=0.6)
        means = [float(np.mean(own)) for own in values.values()]
        ax.plot(means, list(values), looks[arm].marker, color=looks[arm].colour, label=f"_{arm}")
    ax.set_yticks(range(len(shown)), shown, parse_math=False)
    ax.set_ylim(len(shown) - 0.5, -0.5)
    ax.set_xlabel("test accuracy within the class (%): mean, lowest and highest over seeds")
    ax.set_ylabel("true class")
    if len(classes) > len(shown):
        ax.set_title(f"Test accuracy by class: the {len(shown)} hardest of {len(classes)}")
    legend(ax, [(sample(looks[arm], linestyle="none"), arm) for arm in table])
    return ax


def _hardest_first(table: Mapping[str, Sequence[Mapping[str, float]]]) -> list[str]:
    """Classes by their recall, averaged over the arms' means: the lowest first."""
    overall = {}
    for name in dict.fromkeys(name for rows in table.values() for name in rows[0]):
        means = [np.mean(own) for rows in table.values() if (own := [r[name] for r in rows if name in r])]
        overall[name] = np.mean(means)
    return sorted(overall, key=overall.__getitem__)


def _recalls(result: Mapping[str, Any]) -> dict[str, float]:
    """Recall (%) by class name, from the confusion matrix; classes without images left out."""
    matrix, classes = summed_confusion([result])
    support = matrix.sum(axis=1)
    return {c: 100 * matrix[i, i] / support[i] for i, c in enumerate(classes) if support[i]}


@drawn
def calibration(
    predictions: Mapping[str, Sequence[Predictions]],
    ax: "Axes",
    *,
    looks: Looks = None,
    bins: int = statistics.CALIBRATION_BINS,
) -> "Axes":
    """Draw a reliability diagram: accuracy (%) against confidence (%) in bins of equal width, runs of an arm together.

    `predictions`: {arm: [its confirmations]}. A marker's area grows with the images in its bin. The legend names the
    expected calibration error (mean over the runs of an arm). Returns `ax`. Source: Guo et al. (2017), 1706.04599.
    """
    ax.set_title("Calibration on the test split")
    shown = {arm: runs for arm, runs in predictions.items() if any(len(run.labels) for run in runs)}
    if not shown:
        return say(ax, "No predictions of confirmation runs are stored.")
    looks, entries = looks_for(predictions, looks), []
    diagonal = ax.plot([0, 100], [0, 100], color=GREY, linewidth=1, linestyle=DOTTED)[0]
    for arm, runs in shown.items():
        _draw_reliability(ax, runs, looks[arm], f"_{arm}", bins)
        errors = [statistics.expected_calibration_error(r.confidence, r.correct, bins) for r in runs if len(r.labels)]
        entries.append((sample(looks[arm]), f"{arm}: calibration error (ECE) {np.mean(errors):.1f} points"))
    legend(ax, [*entries, (diagonal, "perfectly calibrated")])
    ax.set_xlim(-2, 102)
    ax.set_ylim(-2, 102)
    ax.set_xlabel("confidence: probability of the answer (%)")
    ax.set_ylabel("accuracy of these answers (%)")
    return ax


def _draw_reliability(ax: "Axes", runs: Sequence[Predictions], look: Look, label: str, bins: int) -> None:
    """One arm's line, and its markers, faint where they stand for few images."""
    confidence, accuracy, images = _reliability(runs, bins)
    enough = images >= min(FEW_IMAGES, images.max())
    ax.plot(confidence, np.where(enough, accuracy, np.nan), label=label, linewidth=1, **look.line)
    area, alpha = 8 + 120 * images / images.sum(), np.where(enough, 0.8, 0.35)
    ax.scatter(confidence, accuracy, s=area, color=look.colour, marker=look.marker, alpha=alpha, linewidths=0)


def _reliability(runs: Sequence[Predictions], bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean confidence (%), accuracy (%) and number of images in each bin that has any."""
    confidence = np.concatenate([r.confidence for r in runs]).astype(float)
    correct = np.concatenate([r.correct for r in runs])
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    images = np.bincount(place, minlength=bins)
    filled = images > 0
    sums = [np.bincount(place, weights=w, minlength=bins)[filled] for w in (confidence, correct)]
    return 100 * sums[0] / images[filled], 100 * sums[1] / images[filled], images[filled]
