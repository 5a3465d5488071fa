"""Forecasts from small to large training sets hold what is known to come, and are as sure as they may be."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import multivariate_normal

from headstart.statistics import forecast, forecast_gap, size_curve

SIZES = [500, 1000, 2000, 5000]


def law(n, level=0.4, slope=0.35, floor=0.0):
    """Accuracy (percent) of a law that has such an error at 5,000 images, and 0.9 by guessing."""
    of_guessing = level / (0.9 - level) * (floor + (1 - floor) * (np.asarray(n) / 5000.0) ** -slope)
    return 100 * (1 - 0.9 * of_guessing / (1 + of_guessing))


def curve(sizes=SIZES, std=0.4, seeds=5, chance=10.0, **options):
    n = len(sizes)
    return size_curve(sizes, law(sizes, **options), np.full(n, std), np.full(n, seeds), chance)


def test_the_forecast_of_a_power_law_is_near_it_and_its_interval_holds_it():
    found = curve().forecast(45_000)
    assert found.low < law(45_000) < found.high and found.middle == pytest.approx(law(45_000), abs=2.5)
    assert found.images == 45_000 and found.level == 0.95


def test_a_floor_is_seen_and_not_run_through():
    like_a_floor = dict(level=0.4, slope=0.7, floor=0.85)
    found = curve([200, 500, 1000, 2000, 5000], **like_a_floor).forecast(45_000)
    assert found.low < law(45_000, **like_a_floor) < found.high
    assert abs(found.middle - law(45_000, **like_a_floor)) < 2 < curve().forecast(45_000).middle - found.middle


def test_the_interval_widens_with_the_distance_and_narrows_with_sizes_seeds_and_level():
    def width(found):
        return found.high - found.low

    by_distance = [width(curve().forecast(n)) for n in (5000, 10_000, 20_000, 45_000, 100_000)]
    assert by_distance == sorted(by_distance)
    assert width(curve([500, 5000]).forecast(45_000)) > 1.1 * width(curve().forecast(45_000))
    assert width(curve(std=4.0, seeds=2).forecast(6000)) > 1.5 * width(curve(std=0.4, seeds=5).forecast(6000))
    assert width(curve().forecast(45_000, level=0.8)) < 0.8 * width(curve().forecast(45_000))


def test_one_seed_has_an_interval_too():
    found = size_curve(SIZES, law(SIZES), np.full(4, np.nan), np.ones(4), 10.0).forecast(45_000)
    assert found.low < law(45_000) < found.high


def test_accuracies_stay_between_guessing_and_all():
    hopeless = size_curve([100, 1000], [10.2, 9.8], [1.0, 1.0], [3, 3], 10.0).draws(45_000)
    assert hopeless.min() >= 10 and hopeless.max() <= 100
    assert (np.diff(hopeless) >= 0).all()
    assert curve(level=0.01).draws(10**9).max() <= 100


def test_the_order_of_the_sizes_does_not_matter():
    turned = size_curve(SIZES[::-1], law(SIZES)[::-1], np.full(4, 0.4), np.full(4, 5), 10.0)
    assert turned.forecast(45_000) == curve().forecast(45_000)


def test_a_gap_is_that_of_the_forecasts_and_less_sure_than_either():
    a, b = curve(level=0.3), curve(level=0.4, slope=0.3)
    found = forecast_gap(a, b, 45_000)
    truth = law(45_000, level=0.3) - law(45_000, slope=0.3)
    assert found.low < truth < found.high
    assert found.middle == pytest.approx(a.forecast(45_000).middle - b.forecast(45_000).middle, abs=0.5)
    mirrored = forecast_gap(b, a, 45_000)
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low))
    widths = [one.high - one.low for one in (a.forecast(45_000), b.forecast(45_000), found)]
    assert max(widths[:2]) < widths[2] < sum(widths[:2])


def test_the_drift_is_a_wiener_process_integrated_once():
    distance = np.array([2.0, 0.7, 0.0])
    expected = [[quad(lambda u, s=s, t=t: (s - u) * (t - u), 0, min(s, t))[0] for t in distance] for s in distance]
    assert forecast._integrated_wiener(distance) == pytest.approx(np.array(expected))


def test_beyond_the_largest_size_a_law_is_left_with_the_distance_to_the_power_three_halves():
    one = [np.array([value]) for value in (1.0, 1.0, 0.0, 0.0, 0.1, 0.4)]  # weight, slope, floor, level, its std, drift
    for decades in (1, 2):
        error = 1 - forecast.SizeCurve(100, 0.9, *one).draws(100 * 10**decades) / 100
        scaled = np.log(error / (0.9 - error))
        assert scaled.mean() == pytest.approx(-decades * np.log(10), abs=0.01)
        assert scaled.std() == pytest.approx(np.sqrt(0.1**2 + 0.4**2 * decades**3 / 3), rel=0.02)


def test_errors_that_rise_count_less():
    flat = [np.array([value]) for value in (1.0, 0.0, 0.0, 0.0, 0.0, 0.4)]
    draws = forecast.SizeCurve(100, 0.9, *flat).draws(1000)  # error 0.45 at 100 images
    worse = (draws < 55).mean()
    assert worse == pytest.approx(forecast.RISING / (1 + forecast.RISING), abs=0.01) and draws.min() > 30


def test_laws_are_weighed_by_their_likelihood():
    """Against scipy's normal density, the level's flat prior taken as a very wide one."""
    sizes, seen, seeds = np.array([500.0, 5000.0]), np.array([0.6, 0.4]), np.array([5.0, 5.0])
    only = np.where(forecast.NOISES == 0.016, 1.0, 0.0)
    found = forecast._weighed(sizes, seen, seeds, 0.9, only)
    y, stretch = forecast._scaled(seen, 0.9)
    prior = {(s, f): w for s, f, w in zip(*forecast._laws(), strict=True)}

    def weight(slope, floor, drift):
        covariance = drift**2 * forecast._integrated_wiener(-np.log10(sizes / 5000)) + 1e6
        covariance += np.diag(stretch**2 * (0.016**2 / seeds + forecast.SUBSET_NOISE**2 * 100 / sizes))
        mean = np.log(floor + (1 - floor) * (sizes / 5000) ** -slope)
        return prior[slope, floor] * multivariate_normal(mean, covariance).pdf(y)

    rows = np.argsort(found.weight)[[-1, -50, -200]]
    expected = [weight(found.slope[i], found.floor[i], found.drift[i]) for i in rows]
    assert found.weight[rows] / found.weight[rows[0]] == pytest.approx(np.array(expected) / expected[0], rel=1e-3)
    assert found.weight.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("sizes", "mean", "chance", "words"),
    [
        ([500], [60.0], 10.0, "two or more"),
        ([500, 500], [60.0, 61.0], 10.0, "two or more"),
        ([500, 5000], [60.0, 100.0], 10.0, "below 100"),
        ([500, 5000], [60.0, 70.0], 100.0, "chance=100"),
    ],
)
def test_what_no_curve_can_be_made_of_is_refused(sizes, mean, chance, words):
    with pytest.raises(ValueError, match=words):
        size_curve(sizes, mean, np.full(len(sizes), 0.5), np.full(len(sizes), 5), chance)


def test_fewer_images_than_were_tried_are_no_forecast():
    with pytest.raises(ValueError, match="images=4999; expected no fewer than 5000"):
        curve().forecast(4999)
