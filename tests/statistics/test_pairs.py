"""Paired differences and their corrections against statsmodels and scipy, and by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from headstart.statistics import (
    compare_pairs,
    detectable,
    foreseen_detectable,
    paired_difference,
    probability_of_improvement,
)
from headstart.statistics.pairs import holm, holm_levels

A = [93.1, 92.4, 94.0, 93.6, 92.9]
B = [91.0, 91.9, 92.2, 92.8, 90.7]


def test_paired_difference_equals_statsmodels():
    # statsmodels 0.15.0: DescrStatsW(A - B).tconfint_mean(0.05), .tconfint_mean(0.01), .ttest_mean(0)
    result = paired_difference(A, np.array(B))
    assert result.difference == pytest.approx(1.48, abs=1e-12)
    assert (result.low, result.high) == pytest.approx((0.5126170370260468, 2.4473829629739496), abs=1e-9)
    assert result.p == result.p_holm == pytest.approx(0.013182393738920127, rel=1e-9)
    wide = paired_difference(A, B, level=0.99)
    assert (wide.low, wide.high) == pytest.approx((-0.12418188356093474, 3.084181883560931), abs=1e-9)


def test_paired_difference_equals_scipy_on_random_studies():
    rng = np.random.default_rng(0)
    for n in (2, 3, 6, 30):
        a, b = rng.normal(size=(2, n))
        ours, theirs = paired_difference(a, b, 0.9), stats.ttest_rel(a, b)
        assert ours.p == pytest.approx(theirs.pvalue, rel=1e-9)
        assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval(0.9)), rel=1e-7)


def test_swapping_the_arms_mirrors_the_difference():
    ab, ba = paired_difference(A, B), paired_difference(B, A)
    assert (ab.difference, ab.low, ab.high, ab.p) == pytest.approx((-ba.difference, -ba.high, -ba.low, ba.p))


def test_no_interval_leaves_what_two_percentages_can_differ_by():
    a, b = [90.0, 20.0, 95.0], [30.0, 80.0, 10.0]
    wide = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert wide.low < -100 and wide.high > 100
    alone, (of_family, *_) = paired_difference(a, b), compare_pairs([[paired_difference(a, b)]] * 3)
    assert (alone.low, alone.high) == (of_family.low, of_family.high) == (-100, 100)
    assert alone.p == pytest.approx(stats.ttest_rel(a, b).pvalue)  # the test is that of the whole interval
    assert detectable(alone) == math.inf and detectable(paired_difference(A, B)) < 2
    still = paired_difference([90.0] * 3, [80.0] * 3)
    assert math.isnan(detectable(still))


@pytest.mark.parametrize(
    ("a", "b"),
    [([], []), ([90.0], [89.0]), ([90.1, 90.2, 90.3], [80.1, 80.2, 80.3]), ([90.0] * 5, [90.0] * 5)],
    ids=["no seed", "one seed", "same difference at every seed", "equal arms"],
)
def test_pairs_without_spread_get_no_interval_and_no_p_value(a, b):
    result = paired_difference(a, b)
    assert result.n == len(a)
    assert all(math.isnan(value) for value in (result.low, result.high, result.p, result.p_holm))


def test_probability_of_improvement_equals_mann_whitney_and_ties_count_half():
    assert probability_of_improvement([1, 2], [1, 0]) == 0.875  # 3 of 4 combinations won, one tied
    assert probability_of_improvement([5], [5]) == 0.5
    assert math.isnan(probability_of_improvement([], [1.0]))
    u = stats.mannwhitneyu(A, B).statistic
    assert probability_of_improvement(A, B) == pytest.approx(u / 25)
    assert probability_of_improvement(B, A) == pytest.approx(1 - u / 25)


def test_holm_equals_statsmodels():
    # statsmodels 0.15.0: multipletests(p, method="holm")[1]
    adjusted = holm([0.01, 0.04, 0.03, 0.005, 0.2, 0.04])
    assert adjusted.tolist() == pytest.approx([0.05, 0.12, 0.12, 0.03, 0.2, 0.12], abs=1e-12)
    assert holm([0.04]).tolist() == [0.04]
    assert holm([0.9, 0.8]).max() == 1
    assert holm([]).size == 0


def test_levels_follow_the_steps_of_holm():
    # By hand, m = 4: 0.001 < 0.05/4 rejected, 0.01 < 0.05/3 rejected, 0.03 > 0.05/2 kept, and so is 0.04 after it.
    levels = holm_levels([0.03, 0.001, 0.04, 0.01])
    assert (1 - levels).tolist() == pytest.approx([0.05 / 2, 0.05 / 4, 0.05 / 2, 0.05 / 3])
    assert (1 - holm_levels([0.001, 0.001])).tolist() == pytest.approx([0.025, 0.025])
    assert holm_levels([0.2], alpha=0.1).tolist() == [0.9]


def test_a_pair_that_cannot_be_tested_still_counts_in_the_family():
    own, failed = paired_difference(A, B), paired_difference([90.0], [89.0])
    alone, first, second = compare_pairs([[own]])[0], *compare_pairs([[own], [failed]])
    assert alone.p_holm == alone.p
    assert first.p_holm == pytest.approx(2 * alone.p)
    assert first.level == 0.975
    at_half = paired_difference(A, B, 0.975)
    assert (first.low, first.high) == (at_half.low, at_half.high)
    assert second.n == 1
    assert math.isnan(second.low) and math.isnan(second.p_holm)
    assert compare_pairs([]) == ()


@pytest.mark.parametrize(
    "call",
    [
        lambda: paired_difference([90.0, 91.0], [90.0]),
        lambda: paired_difference([90.0, math.nan], [90.0, 91.0]),
        lambda: probability_of_improvement([math.nan], [1.0]),
        lambda: holm([0.1, math.nan]),
        lambda: holm([0.1, 1.1]),
        lambda: holm_levels([0.1], alpha=5),
        lambda: compare_pairs([[paired_difference(A, B)]], alpha=0),
    ],
)
def test_values_that_cannot_be_meant_are_refused(call):
    with pytest.raises(ValueError):
        call()


def test_what_a_study_can_show_is_foreseen_from_test_pictures_seeds_and_pairs():
    """One pair, 10,000 pictures, 10 seeds: standard errors of 0.447 for pictures, 0.316 for seeds."""
    error = math.hypot(100 * math.sqrt(0.2 / 10_000), 1 / math.sqrt(10))
    low, high = (error * (stats.t.ppf(0.975, df) + stats.t.ppf(0.8, df)) for df in (1e6, 9))
    assert low < foreseen_detectable(10_000, 10) < high
    assert foreseen_detectable(100, 10) > 3 * foreseen_detectable(10_000, 10)
    assert foreseen_detectable(10_000, 3) > foreseen_detectable(10_000, 5) > foreseen_detectable(10_000, 10)
    assert foreseen_detectable(10_000, 10, family=6) > foreseen_detectable(10_000, 10)
