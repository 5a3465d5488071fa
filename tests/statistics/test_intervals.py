"""Means and intervals against statsmodels, and by simulation where they claim a coverage."""

import math

import numpy as np
import pytest

from headstart.statistics import accuracy_interval, half_width, paired_difference, sampling_half_width, summarise

A = [93.1, 92.4, 94.0, 93.6, 92.9]
STUDIES = 2000


@pytest.mark.parametrize(
    ("level", "low", "high"),
    [(0.95, 92.42956775021577, 93.97043224978424), (0.99, 91.92241552216767, 94.47758447783234)],
)
def test_summary_equals_statsmodels(level, low, high):
    # statsmodels 0.15.0: DescrStatsW(A).mean, .std_mean * sqrt(5), .tconfint_mean(1 - level)
    summary = summarise(A)
    assert summary.n == 5
    assert summary.mean == pytest.approx(93.2, abs=1e-12)
    assert summary.std == pytest.approx(0.6204836822995398, abs=1e-12)
    half = half_width(summary.uncertainty, level)
    assert (summary.mean - half, summary.mean + half) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize("values", [[99.8, 97.0, 99.9], [0.1, 3.0, 0.2], [100.0, 100.0], [0.0, 30.0], [0.0, 0.0, 0.0]])
def test_an_accuracys_interval_lies_within_0_and_100_percent(values):
    summary = summarise(values)
    low, high = accuracy_interval(summary.mean, summary.uncertainty)
    assert 0 <= low <= summary.mean <= high <= 100


def test_summary_of_one_or_no_run_has_no_interval():
    one, none = summarise([90.0]), summarise([])
    assert (one.n, one.mean) == (1, 90.0)
    assert (none.n, math.isnan(none.mean)) == (0, True)
    assert all(math.isnan(value) for own in (one, none) for value in (own.std, *accuracy_interval(50, own.uncertainty)))


def test_equal_runs_have_an_interval_of_zero_width():
    summary = summarise([90.1] * 7)
    assert summary.std == 0
    assert accuracy_interval(summary.mean, summary.uncertainty) == pytest.approx((90.1, 90.1))


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_95_percent_intervals_cover_93_to_97_percent_of_simulated_studies(seeds):
    rng = np.random.default_rng(seeds)
    common = rng.normal(0, 2, (STUDIES, seeds))  # what seeds share over arms, which pairing takes out
    a, b = 90 + common + rng.normal(0, 0.5, common.shape), 89 + common + rng.normal(0, 0.3, common.shape)
    means = [accuracy_interval(own.mean, own.uncertainty) for own in map(summarise, a)]
    pairs = [paired_difference(*rows) for rows in zip(a, b, strict=True)]
    assert 0.93 <= np.mean([low <= 90 <= high for low, high in means]) <= 0.97
    assert 0.93 <= np.mean([p.low <= 1 <= p.high for p in pairs]) <= 0.97
    assert np.median([high - low for low, high in means]) > 1.5 * np.median([p.high - p.low for p in pairs])


def test_sampling_of_10000_images_alone_is_0_43_points_at_95_percent():
    assert sampling_half_width(95, 10000) == pytest.approx(1.959964 * math.sqrt(0.95 * 0.05 / 10000) * 100, rel=1e-6)
    assert f"{sampling_half_width(95, 10000):.2f}" == "0.43"
    assert sampling_half_width(100, 10) == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: summarise([90.0, math.nan]),
        lambda: summarise([90.0, math.inf]),
        lambda: summarise([[90.0], [91.0]]),
        lambda: half_width(summarise([90.0, 91.0]).uncertainty, level=95),
        lambda: sampling_half_width(math.nan, 10),
        lambda: sampling_half_width(95, 0),
    ],
)
def test_values_that_cannot_be_meant_are_refused(call):
    with pytest.raises(ValueError):
        call()
