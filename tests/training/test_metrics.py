"""Metrics against numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from headstart.training.metrics import (
    accuracy,
    at_chance,
    classification_metrics,
    cross_entropy,
    regression_errors,
    training_loss,
)

# True classes a a a b b c, predicted a a b b b b: c is never predicted.
LABELS = np.array([0, 0, 0, 1, 1, 2])
PROBABILITIES = np.array(
    [[0.8, 0.1, 0.1], [0.5, 0.3, 0.2], [0.2, 0.6, 0.2], [0.1, 0.9, 0.0], [0.3, 0.4, 0.3], [0.0, 0.75, 0.25]],
    dtype=np.float32,
)


def test_metrics_are_those_worked_out_by_hand():
    found = classification_metrics(LABELS, PROBABILITIES, ("a", "b", "c"))
    assert found["accuracy"] == pytest.approx(100 * 4 / 6)
    assert found["precision_macro"] == pytest.approx(100 * (1 + 2 / 4 + 0) / 3)
    assert found["recall_macro"] == pytest.approx(100 * (2 / 3 + 1 + 0) / 3)
    assert found["f1_macro"] == pytest.approx(100 * (4 / 5 + 2 / 3 + 0) / 3)
    assert found["loss"] == pytest.approx(-sum(map(math.log, (0.8, 0.5, 0.2, 0.9, 0.4, 0.25))) / 6, rel=1e-6)
    assert found["confusion"] == [[2, 1, 0], [0, 2, 0], [0, 1, 0]]
    assert found["per_class"]["b"] == pytest.approx(dict(precision=50, recall=100, f1=200 / 3, support=2))
    assert found["per_class"]["c"] == dict(precision=0, recall=0, f1=0, support=1)


def test_balanced_accuracy_is_scikit_learns_with_and_without_pictures_of_a_class():
    for count in (6, 5):
        expected = 100 * balanced_accuracy_score(LABELS[:count], PROBABILITIES[:count].argmax(1))
        found = classification_metrics(LABELS[:count], PROBABILITIES[:count], ("a", "b", "c"))
        assert found["balanced_accuracy"] == pytest.approx(expected)
    assert found["balanced_accuracy"] == pytest.approx(100 * (2 / 3 + 1) / 2)


def test_a_class_without_pictures_keeps_its_place_in_the_confusion_matrix():
    found = classification_metrics(LABELS[:5], PROBABILITIES[:5], ("a", "b", "c"))
    assert found["confusion"] == [[2, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert found["per_class"]["c"]["support"] == 0


def test_rounding_of_float32_probabilities_is_no_warning():
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(10), 500).astype(np.float32)
    assert math.isfinite(classification_metrics(rng.integers(0, 10, 500), shares, [str(k) for k in range(10)])["loss"])


@pytest.mark.parametrize(
    ("accuracy", "counts", "expected"),
    [
        (10.0, [100] * 10, True),
        (12.8, [100] * 10, True),  # 10 % and 3 standard errors of sqrt(0.1 * 0.9 / 1000): up to 12.85 %
        (12.9, [100] * 10, False),
        (90.0, [900, 100], True),  # always naming the commonest class
        (92.7, [900, 100], True),
        (92.9, [900, 100], False),
    ],
)
def test_chance_is_three_standard_errors_above_the_better_guess(accuracy, counts, expected):
    labels = np.repeat(np.arange(len(counts)), counts)
    assert at_chance(accuracy, labels, len(counts)) is expected


def test_accuracy_is_in_percent_and_ties_go_to_the_first_class():
    assert accuracy(LABELS, PROBABILITIES) == pytest.approx(100 * 4 / 6)
    assert accuracy(np.array([0, 1]), np.full((2, 3), 1 / 3)) == 50


def test_a_true_class_of_probability_zero_costs_the_smallest_step_of_float64():
    shares = np.array([[1.0, 0.0], [0.5, 0.5]])
    expected = (-math.log(np.finfo(np.float64).eps) + math.log(2)) / 2
    assert cross_entropy(np.array([1, 0]), shares) == pytest.approx(expected)


def test_errors_of_a_regressor_are_those_worked_out_by_hand():
    found = regression_errors(np.array([0, 1, 1]), np.array([[0.5, 0.5], [0.0, 1.0], [0.0, 0.0]]))
    assert found["mse"] == pytest.approx((0.25 + 0.25 + 1) / 6)
    assert found["mae"] == pytest.approx((0.5 + 0.5 + 1) / 6)
    assert found["r2"] == pytest.approx(((1 - 0.25 / (2 / 3)) + (1 - 1.25 / (2 / 3))) / 2)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_small_batches_add_up_to_the_weighted_loss_of_all_pictures(smoothing):
    """Whatever classes fall into one batch: with torch's own mean a rare class alone in it would weigh as a common."""
    draw = torch.Generator().manual_seed(0)
    labels, weights = torch.tensor([0] * 12 + [1] * 4), torch.tensor([16 / 24, 16 / 8])
    assert weights[labels].mean() == pytest.approx(1)
    logits = torch.randn(16, 2, generator=draw)
    whole = training_loss(logits, labels, weights, smoothing)
    parts = [training_loss(logits[i : i + 4], labels[i : i + 4], weights, smoothing) for i in range(0, 16, 4)]
    assert sum(parts) / 4 == pytest.approx(whole.item())
    mixed = torch.nn.functional.one_hot(labels).float()
    assert training_loss(logits, mixed, weights, smoothing) == pytest.approx(whole.item())
    plain = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    assert training_loss(logits, labels, torch.ones(2), smoothing) == pytest.approx(plain.item())
    assert training_loss(logits, labels, None, smoothing) == plain
