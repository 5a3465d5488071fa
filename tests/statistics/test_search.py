"""The best against the budget over all subsets, tolerance and edge by hand."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import beta, kstwo

from headstart.statistics import (
    best_against_budget,
    edge,
    expected_best,
    expected_best_band,
    learning_rate_tolerance,
)

STUDIES = 2000
DECADES = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5]


def test_expected_best_is_the_mean_over_all_subsets():
    values = [91.0, 10.0, 93.5, 90.0, 93.5, 88.0]
    expected = [np.mean([max(subset) for subset in itertools.combinations(values, n)]) for n in range(1, 7)]
    assert expected_best(values).tolist() == pytest.approx(expected, rel=1e-12)
    assert expected_best([]).size == 0
    assert expected_best([7.0]).tolist() == [7.0]


def test_expected_best_is_unbiased_where_the_plug_in_estimate_is_not():
    # The best of n uniform draws is n / (n + 1) on average.
    draws = np.random.default_rng(0).uniform(size=(STUDIES, 8))
    ours = np.mean([expected_best(row) for row in draws], axis=0)
    n, tolerance = np.arange(1, 9), 3 * 0.29 / math.sqrt(8 * STUDIES) * 3
    assert np.abs(ours - n / (n + 1)).max() < tolerance
    ranks = np.arange(1, 9) / 8
    plug_in = (np.sort(draws, axis=1) @ (ranks**8 - (ranks - 1 / 8) ** 8)).mean()
    assert 8 / 9 - plug_in > tolerance


def test_expected_best_of_many_trials_stays_finite():
    curve = expected_best(np.linspace(0, 1, 1000))
    assert np.isfinite(curve).all() and (np.diff(curve) > -1e-9).all()
    assert curve[-1] == pytest.approx(1)


TRIALS = 12
BUDGETS = np.arange(1, TRIALS + 1)


def best_of(shares, values, n):
    """E[best of n] of values in 0..100 whose distribution function has these shares at 0 and at each value, sorted."""
    return np.diff(np.concatenate([[0], shares, [1]]) ** n) @ [0, *values, 100]


@pytest.mark.parametrize("decimals", [9, -1])
def test_the_band_holds_the_whole_curve_in_95_studies_of_100(decimals):
    """Also of rounded accuracies, which tie."""
    distribution, studies = beta(4, 1.5), 400
    values, counts = np.unique(
        (100 * distribution.ppf((np.arange(10**5) + 0.5) / 10**5)).round(decimals), return_counts=True
    )
    truth = np.array([best_of([0, *counts.cumsum() / counts.sum()], values, n) for n in BUDGETS])
    inside = []
    for row in (100 * distribution.rvs((studies, TRIALS), random_state=0)).round(decimals):
        low, high = expected_best_band(row)
        inside.append(((low <= truth) & (truth <= high)).all())
        assert (low <= expected_best(row)).all() and (expected_best(row) <= high).all()
    assert np.mean(inside) > 0.95 - 3 * math.sqrt(0.95 * 0.05 / studies)


def test_the_band_is_that_of_the_order_statistics_widened_until_all_hold_at_once():
    ranks, values = np.arange(1, TRIALS + 1), np.sort(100 * beta(4, 1.5).rvs(TRIALS, random_state=1))
    of_rank = beta(ranks, TRIALS + 1 - ranks)  # which share of the distribution lies below the value of that rank
    drawn = np.sort(np.random.default_rng(5).random((20_000, TRIALS)), axis=1)
    coverage = np.quantile(np.abs(2 * of_rank.cdf(drawn) - 1).max(axis=1), 0.95)
    assert coverage > 0.98  # each alone at 95 % would not do
    most, least = [*of_rank.ppf((1 + coverage) / 2), 1], [0, *of_rank.ppf((1 - coverage) / 2)]
    low, high = expected_best_band(values)
    assert low == pytest.approx([best_of(most, values, n) for n in BUDGETS], abs=0.4)
    assert high == pytest.approx([best_of(least, values, n) for n in BUDGETS], abs=0.4)


def test_the_band_of_many_trials_is_kolmogorov_smirnovs():
    values, away = np.linspace(50, 90, 150), kstwo(150).ppf(0.95)
    shares = np.arange(151) / 150
    low, high = expected_best_band(values)
    for n in (1, 7, 150):
        assert low[n - 1] == pytest.approx(best_of(np.minimum(shares + away, 1), values, n))
        assert high[n - 1] == pytest.approx(best_of(np.maximum(shares - away, 0), values, n))


def test_the_band_is_the_same_at_every_call_and_knows_no_trials():
    values = [90.0, 92.0, 91.0, 93.0, 92.0]
    first = expected_best_band(values)
    expected_best_band(values[:3])
    np.testing.assert_array_equal(first, expected_best_band(values))
    assert [end.size for end in expected_best_band([])] == [0, 0]
    assert expected_best_band([150.0, 90.0])[1][-1] <= 150  # a record that somebody edited


def test_only_unpruned_random_draws_get_an_expected_best():
    values = [90.0, 92.0, 91.0, 93.0]
    so_far = best_against_budget(values, unpruned_random_draws=False)
    assert (so_far.kind, so_far.values.tolist()) == ("best so far", [90.0, 92.0, 92.0, 93.0])
    expected = best_against_budget(values, unpruned_random_draws=True)
    assert (expected.kind, expected.values[0]) == ("expected best", pytest.approx(91.5))
    assert so_far.low is so_far.high is None
    np.testing.assert_array_equal((expected.low, expected.high), expected_best_band(values))


def _tolerance(accuracy, states=None, lr=DECADES, low=1e-5, high=1e-1):
    return learning_rate_tolerance(lr, accuracy, states or ["COMPLETE"] * len(lr), low, high)


def test_tolerance_is_interpolated_on_log_lr():
    # Threshold 94: crossed halfway between 1e-2 (95) and 1e-1 (93), and a quarter of the way from 1e-3 (94.5) to 1e-4.
    assert _tolerance([93, 95, 94.5, 92.5, 50]) == pytest.approx(0.5 + 1 + 0.25)
    assert _tolerance([95, 95, 95, 94, 94]) == pytest.approx(4)
    assert _tolerance([95, 80, 95, 80, 95]) == pytest.approx(4 / 15)  # four slopes, each within for 1/15 of a decade


def test_tolerance_does_not_depend_on_the_order_of_trials():
    accuracy = np.array([93, 95, 94.5, 92.5, 50])
    shuffled = [3, 0, 4, 2, 1]
    assert _tolerance(accuracy[shuffled], lr=np.array(DECADES)[shuffled]) == pytest.approx(1.75)


def test_chance_and_diverged_trials_are_points_that_are_not_within():
    states = ["DIVERGED", "COMPLETE", "COMPLETE", "COMPLETE", "CHANCE"]
    # From 95 to 0 in a decade: the point within margin is left after 1/95 of it, on either side of a flat stretch of 2
    assert _tolerance([math.nan, 95, 95, 95, 10.2], states) == pytest.approx(2 + 2 / 95)


def test_a_rate_tried_twice_counts_with_its_mean():
    assert _tolerance([95, 95, 95, 95, 95, 91], lr=[*DECADES, 1e-5]) == pytest.approx(3 + 0.5)


@pytest.mark.parametrize(
    ("lr", "states", "low", "high"),
    [
        ([1e-1, 1e-2, 1e-4, 1e-5], ["COMPLETE"] * 4, 1e-5, 1e-1),
        ([1e-2, 1e-3, 1e-4], ["COMPLETE"] * 3, 1e-5 / 2, 1e-1),
        ([1e-2, 1e-3, 1e-4], ["COMPLETE"] * 3, 1e-5, 2e-1),
        ([1e-1, 1e-2, 1e-3], ["COMPLETE", "COMPLETE", "PRUNED"], 1e-3, 1e-1),
        (
            [1e-1, 10**-1.5, 1e-2, 10**-2.5, 1e-3],
            ["COMPLETE", "PRUNED", "COMPLETE", "COMPLETE", "COMPLETE"],
            1e-3,
            1e-1,
        ),
        ([1e-1, 1e-2, 1e-3], ["CHANCE", "DIVERGED", "CHANCE"], 1e-3, 1e-1),
        ([1e-1, 1e-2, 1e-3], ["COMPLETE", "FAILED", "COMPLETE"], 1e-3, 1e-1),
        ([1e-1, 1e-2], ["COMPLETE"] * 2, 1e-2, 1e-1),
        ([], [], 1e-2, 1e-1),
    ],
    ids=[
        "gap",
        "gap at low",
        "gap at high",
        "pruned",
        "pruned, no gap",
        "none complete",
        "failed",
        "two points",
        "none",
    ],
)
def test_tolerance_is_unknown_where_trials_do_not_cover_the_range(lr, states, low, high):
    assert math.isnan(learning_rate_tolerance(lr, [95.0] * len(lr), states, low, high))


def test_a_gap_of_one_decade_and_a_bit_of_rounding_is_covered():
    assert _tolerance([95] * 3, lr=[1e-2, 0.95e-3, 1e-4]) == pytest.approx(2)


@pytest.mark.parametrize(
    ("lr", "accuracy", "side"),
    [
        ([1e-1, 1e-2, 1e-3, 1e-4, 1e-5], [95, 94, 93, 92, 91], "high"),
        ([1e-1, 1e-2, 1e-3, 1e-4, 1e-5], [91, 92, 93, 94, 95], "low"),
        ([1e-1, 1e-2, 1e-3, 1e-4, 1e-5], [91, 92, 95, 94, 90], ""),
        ([10**-1.4, 1e-3, 1e-4], [95, 94, 93], "high"),  # exactly 10 % of the four decades
        ([10**-1.41, 1e-3, 1e-4], [95, 94, 93], ""),
        ([1e-3, 0.9e-1, 0.8e-1, 1e-4], [95, 94.9, 94.8, 90], "high"),  # the best is inside, the next two at the bound
        ([1e-3, 0.9e-1, 1e-4, 0.8e-1], [95, 94.9, 94.8, 90], ""),
        ([1e-3, 2e-5, 0.9e-1, 1.1e-5], [95, 94.9, 94.8, 94.7], ""),  # one at either bound
        ([1.2e-5, 0.9e-1, 0.8e-1], [95, 94.9, 94.8], "low"),  # the best alone goes first
        ([1e-5, 1e-3], [95, 95], "low"),  # a tie goes to the earlier trial, as in the selection
        ([1e-3, 1e-5], [95, 95], ""),
        ([1e-1], [95], "high"),
        ([], [], ""),
    ],
)
def test_edge_rule(lr, accuracy, side):
    following = {"high": (1e-5, 1.0), "low": (1e-6, 1e-1), "": (1e-5, 1e-1)}[side]
    result = edge(lr, accuracy, 1e-5, 1e-1)
    assert result.side == side
    assert (result.low, result.high) == pytest.approx(following)


@pytest.mark.parametrize(
    "call",
    [
        lambda: expected_best([math.nan]),
        lambda: best_against_budget([math.nan], unpruned_random_draws=False),
        lambda: learning_rate_tolerance([1e-2], [math.nan], ["COMPLETE"], 1e-3, 1e-1),
        lambda: learning_rate_tolerance([1e-2, 1e-3], [90.0], ["COMPLETE"] * 2, 1e-3, 1e-1),
        lambda: learning_rate_tolerance([1.0], [90.0], ["COMPLETE"], 1e-3, 1e-1),
        lambda: edge([1e-2], [math.nan], 1e-3, 1e-1),
        lambda: edge([1e-2], [90.0], 1e-1, 1e-3),
        lambda: edge([1e-2], [90.0], 0.0, 1e-1),
    ],
)
def test_values_that_cannot_be_meant_are_refused(call):
    with pytest.raises(ValueError):
        call()
