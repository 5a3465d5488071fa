"""Plots of predictions: confusions, classes, calibration."""

import numpy as np
from matplotlib.figure import Figure

from headstart import statistics
from headstart.report import plots
from report.helpers_report import legend_words, lines, predictions


def test_confusion_sums_the_runs_and_writes_the_counts(ax):
    result = dict(confusion=[[8, 2], [0, 10]], classes=["cat", "dog"])
    plots.confusion([result, result, {"confusion": "damaged"}], ax)
    assert sorted(t.get_text() for t in ax.texts) == ["16", "20", "4"]
    np.testing.assert_allclose(ax.images[0].get_array(), [[80, 20], [0, 100]])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["cat", "dog"]


def test_a_hundred_classes_are_drawn_without_names_and_counts(ax):
    plots.confusion(dict(confusion=np.eye(100, dtype=int).tolist(), classes=[f"c{i}" for i in range(100)]), ax)
    assert not ax.texts and len(ax.get_yticklabels()) < 30


def test_per_class_shows_recall_with_the_hardest_class_on_top(ax):
    results = [
        dict(confusion=[[8, 2], [5, 5]], classes=["cat", "dog"]),
        dict(confusion=[[10, 0], [7, 3]], classes=["cat", "dog"]),
    ]
    plots.per_class({"a": results}, ax)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["dog", "cat"]
    assert lines(ax, "a")[0].get_xydata().tolist() == [[40, 0], [90, 1]]
    many = dict(confusion=np.diag(range(1, 101)).tolist())
    plots.per_class({"a": [many]}, other := Figure().subplots())
    assert "20 hardest of 100" in other.get_title(loc="left")


def test_calibration_draws_accuracy_against_confidence_and_names_the_error(ax):
    confidence, correct = [0.99] * 60 + [0.55] * 40, [True] * 60 + [True] * 10 + [False] * 30
    plots.calibration({"a": [predictions(confidence, correct)]}, ax)
    np.testing.assert_allclose(lines(ax, "a")[0].get_xydata(), [[55, 25], [99, 100]])
    error = statistics.expected_calibration_error(confidence, correct)
    assert legend_words(ax)[0] == f"a: calibration error (ECE) {error:.1f} points"
    from sklearn.calibration import calibration_curve

    accuracy, mean = calibration_curve(correct, confidence, n_bins=statistics.CALIBRATION_BINS)
    np.testing.assert_allclose(lines(ax, "a")[0].get_xydata(), 100 * np.column_stack([mean, accuracy]))


def test_bins_of_few_images_are_not_joined_by_the_line(ax):
    plots.calibration({"a": [predictions([0.99] * 60 + [0.4] * 3, [True] * 63)]}, ax)
    np.testing.assert_array_equal(lines(ax, "a")[0].get_ydata(), [np.nan, 100])
    assert len(ax.collections[0].get_offsets()) == 2
