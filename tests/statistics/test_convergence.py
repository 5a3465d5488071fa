"""Times to a target against lifelines."""

import math

import pytest

from headstart.statistics import time_to_target


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
