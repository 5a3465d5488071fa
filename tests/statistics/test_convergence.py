"""Times to a target against lifelines."""

import math

import numpy as np
import pytest
import scipy.stats

from headstart.statistics import speedup_interval, time_to_target


@pytest.mark.parametrize(
    ("times", "reached", "median"),
    [
        ([3, 5, 5, 8, 10, 10, 10], [1, 1, 1, 1, 1, 0, 0], 8.0),
        ([4, 6, 6, 7, 9, 12, 15], [1, 0, 1, 1, 0, 1, 0], 12.0),
        ([10, 10, 10], [0, 0, 0], math.inf),
    ],
)
def test_the_median_equals_that_of_lifelines(times, reached, median):
    # lifelines 0.30.3: KaplanMeierFitter().fit(times, reached).median_survival_time_
    result = time_to_target(times, reached)
    assert (result.n, result.censored) == (len(times), reached.count(0))
    assert result.median == median


def test_the_median_is_where_exactly_half_are_left():
    # By hand: 3 of 6 left after 5. lifelines says 8, its survival curve there being 0.5000000000000001 by rounding.
    assert time_to_target([3, 5, 5, 8, 10, 10], [1, 1, 1, 1, 0, 0]).median == 5.0


def test_dropping_the_runs_that_never_arrive_would_look_faster():
    assert time_to_target([3, 4, 20, 20, 20], [1, 1, 0, 0, 0]).median == math.inf
    assert time_to_target([3, 4], [1, 1]).median == 3.0


def test_without_censoring_the_median_is_that_of_the_times_and_without_runs_none():
    assert time_to_target([4.0, 2.0, 9.0], [True] * 3).median == 4.0
    empty = time_to_target([], [])
    assert (empty.n, empty.censored, math.isnan(empty.median)) == (0, 0, True)


@pytest.mark.parametrize(("times", "reached"), [([1.0, math.nan], [1, 0]), ([1.0], [1, 0]), ([-1.0], [1])])
def test_times_that_cannot_be_meant_are_refused(times, reached):
    with pytest.raises(ValueError):
        time_to_target(times, reached)


def test_the_interval_of_a_speedup_is_students_on_logarithms_of_paired_ratios():
    a, b, there = [2.0, 3.0, 4.0], [4.0, 9.0, 6.0], [True] * 3
    found = speedup_interval(a, b, there, there)
    expected = scipy.stats.ttest_1samp(np.log(np.divide(b, a)), 0).confidence_interval(0.95)
    assert found == pytest.approx((math.exp(expected.low), math.exp(expected.high)))
    mirrored = speedup_interval(b, a, there, there)
    assert mirrored == pytest.approx((1 / found[1], 1 / found[0]))


def test_a_run_that_never_got_there_leaves_the_bound_on_its_side_open():
    a, b, there, never = [2.0, 3.0, 4.0], [10.0, 10.0, 10.0], [True] * 3, [True, False, True]
    low, high = speedup_interval(a, b, there, never)
    assert high == math.inf and low == speedup_interval(a, b, there, there)[0]
    low, high = speedup_interval(b, a, never, there)
    assert low == 0 and high == speedup_interval(b, a, there, there)[1]


def test_equal_ratios_have_an_interval_of_no_width_and_one_pair_none():
    assert speedup_interval([1, 2], [3, 6], [True] * 2, [True] * 2) == pytest.approx((3, 3))
    assert np.isnan(speedup_interval([1], [2], [True], [True])).all()
    with pytest.raises(ValueError, match="more than 0"):
        speedup_interval([0, 1], [1, 1], [True] * 2, [True] * 2)
