"""Chance and calibration by hand."""

import math

import numpy as np
import pytest

from headstart.statistics import chance_limit, change_interval, expected_calibration_error, is_chance


@pytest.mark.parametrize(
    ("accuracy", "images", "classes", "share", "chance"),
    [
        (12.0, 2500, 10, 0.0, False),  # 10 % + 3 * sqrt(0.1 * 0.9 / 2500) = 11.8 %
        (11.8, 2500, 10, 0.0, True),
        (11.7, 2500, 10, 0.0, True),
        (0.0, 100, 10, 0.0, True),
        (65.0, 100, 2, 0.0, True),  # 50 % + 3 * 5 %
        (66.0, 100, 2, 0.0, False),
        (66.0, 100, 2, 0.6, True),  # always answering the larger class gives 60 %
        (100.0, 10, 1, 0.0, True),
        (100.0, 30, 2, 0.8, False),  # 3 errors are more than 100 %: all right has 0.8 ** 30 = 0.0012 by guessing
        (100 * 29 / 30, 30, 2, 0.8, True),
        (100.0, 26, 2, 0.857, True),  # 0.018
    ],
)
def test_chance_is_within_3_standard_errors_of_guessing(accuracy, images, classes, share, chance):
    assert is_chance(accuracy, images, classes, share) is chance
    assert (accuracy <= chance_limit(images, classes, share) + 1e-9) is chance


def test_calibration_error_equals_a_case_by_hand():
    # Bins of 1/15: 0.95, 0.97 in the last (1 of 2 right, mean 0.96), 0.62 in the tenth (right), 0 in the first (wrong).
    # (2 * |0.5 - 0.96| + |1 - 0.62| + 0) / 4
    assert expected_calibration_error([0.95, 0.62, 0.97, 0.0], [1, 1, 0, 0]) == pytest.approx(100 * 1.3 / 4)
    assert expected_calibration_error([1.0, 1.0], [True, True]) == 0
    assert math.isnan(expected_calibration_error([], []))


def test_calibration_error_equals_a_loop_over_bins_and_puts_a_border_in_the_lower_bin():
    rng = np.random.default_rng(0)
    confidences = rng.uniform(0, 1, 500)
    correct = rng.uniform(size=500) < confidences**2
    expected = 0.0
    for k in range(15):
        inside = (confidences > k / 15) & (confidences <= (k + 1) / 15)
        expected += inside.mean() * abs(correct[inside].mean() - confidences[inside].mean())
    assert expected_calibration_error(confidences, correct) == pytest.approx(100 * expected)
    assert expected_calibration_error([0.5, 0.4], [1, 0], bins=2) == pytest.approx(100 * abs(1 - 0.9) / 2)


@pytest.mark.parametrize(
    "call",
    [
        lambda: is_chance(50.0, 0, 10),
        lambda: is_chance(math.nan, 10, 10),
        lambda: is_chance(50.0, 10, 10, majority_share=60),
        lambda: expected_calibration_error([50.0], [1]),
        lambda: expected_calibration_error([0.5, 0.5], [1]),
    ],
)
def test_values_that_cannot_be_meant_are_refused(call):
    with pytest.raises(ValueError):
        call()


def test_a_change_is_judged_by_the_images_whose_answer_turned():
    before, after = np.array([True] * 90 + [False] * 10), np.array([True] * 85 + [False] * 13 + [True] * 2)
    change, low, high = change_interval(before, after)
    assert change == pytest.approx(-3) and low < change < high
    nothing, low, high = change_interval(before, before)
    assert nothing == 0 and -high == low < 0, "that none of a hundred turned does not say that none will"
    assert all(map(math.isnan, change_interval([], [])))
    with pytest.raises(ValueError, match="before"):
        change_interval([True], [True, False])


@pytest.mark.parametrize(("gained", "lost"), [(0.02, 0.03), (0.001, 0.01), (0.1, 0.1)])
def test_the_interval_of_a_change_holds_the_true_one_as_often_as_it_says(gained, lost):
    rng, held = np.random.default_rng(0), 0
    for _ in range(2000):
        kind = rng.choice(4, 500, p=[gained, lost, 0.8, 0.2 - gained - lost])
        _, low, high = change_interval((kind == 1) | (kind == 2), (kind == 0) | (kind == 2))
        held += low <= 100 * (gained - lost) <= high
    assert held / 2000 >= 0.94
