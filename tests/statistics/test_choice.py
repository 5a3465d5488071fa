"""What a repeated search would choose: on curves whose optimum is known."""

import math

import numpy as np
import pytest

from headstart.statistics import choice_of
from headstart.statistics.choice import fit_response

LR = {"lr": {"low": 1e-5, "high": 1e-1, "log": True, "step": None}}
DECADES = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5]


def choice(values, rates=DECADES, **changes):
    return choice_of(LR, [{"lr": rate} for rate in rates], values, **dict(pictures=1000, seed=0, arm="a") | changes)


def parabola(rates, top=-3.0):
    return [80 - 2 * (np.log10(rate) - top) ** 2 for rate in rates]


def test_the_smoothed_best_lies_where_the_curve_has_its_top():
    assert choice(parabola(DECADES, top=-3.4)).best["lr"] == pytest.approx(10**-3.4, rel=0.15)


def test_a_lucky_trial_does_not_move_the_choice_as_far_as_the_best_trial_is():
    rates = [*DECADES, *np.geomspace(2e-5, 5e-2, 7)]
    values = np.array(parabola(rates)) + np.where(np.isclose(rates, 5e-2), 9.0, 0.0)
    assert rates[int(values.argmax())] == pytest.approx(5e-2)
    assert choice(values, rates).best["lr"] < 4e-2


def test_each_seed_repeats_the_choice_in_its_own_way_and_always_in_the_same():
    found = choice(parabola(DECADES))
    repeated = [found.repeated(seed)["lr"] for seed in range(1, 11)]
    assert len(set(repeated)) > 3
    assert repeated == [choice(parabola(DECADES)).repeated(seed)["lr"] for seed in range(1, 11)]
    assert repeated != [choice(parabola(DECADES), arm="b").repeated(seed)["lr"] for seed in range(1, 11)]
    assert repeated != [choice(parabola(DECADES), seed=1).repeated(seed)["lr"] for seed in range(1, 11)]
    assert all(1e-5 <= rate <= 1e-1 for rate in repeated)


def test_luck_grows_with_the_noise_of_the_search_and_is_none_where_there_is_nothing_to_choose():
    random = np.random.default_rng(0)
    rates = [*DECADES, *np.geomspace(2e-5, 5e-2, 7)]
    noise = random.normal(size=len(rates))
    little, much = (choice(np.array(parabola(rates)) + s * noise, rates, pictures=10**6).luck for s in (0.1, 2.0))
    assert 0 < little < much / 10
    assert choice([80.0], [1e-3]).luck == 0 and choice([80.0], [1e-3]).repeated(3) == {"lr": 1e-3}


def test_trials_that_do_not_differ_are_no_mistake():
    assert choice([80.0] * 5).luck >= 0
    assert choice([80.0, 81.0], [1e-3, 1e-3]).best == {"lr": 1e-3}


def test_the_fit_equals_a_gaussian_process_of_scikit_learn_with_the_same_length_and_ratio():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF

    x, values = np.linspace(0, 1, 4)[:, None], np.array([1.0, 3.0, 2.0, 2.5])
    response = fit_response(x, values, x, 1, noise=1.0)
    fit = response.fits[-1]  # length 0.5, ratio 100; of four trials the trend is a constant, that of least squares
    covariance = np.eye(4) + 100 * np.exp(-0.5 * ((x - x.T) / 0.5) ** 2)
    inverse = np.linalg.inv(covariance)
    warped = fit.warp(values)
    mean = inverse.sum(axis=0) @ warped / inverse.sum()
    process = GaussianProcessRegressor(100 * RBF(0.5), alpha=1.0, optimizer=None).fit(x, warped - mean)
    np.testing.assert_allclose(fit.fitted, mean + process.predict(x), rtol=1e-8)


def simulated(curve, random, arms):
    """Arms equal at their optimum: each searched, its settings, and the accuracy lost by ten repeated choices."""
    for _ in range(arms):
        top = random.uniform(-4, -2)
        logs = np.concatenate([[-1, -2, -3, -4, -5], random.uniform(-5, -1, 7)])
        values = 80 + curve(logs - top) + 1.1 * random.normal(size=12)
        found = choice(values, 10**logs, seed=int(random.integers(2**31)), pictures=1600)
        chosen = np.log10([found.repeated(seed)["lr"] for seed in range(1, 11)])
        best = logs[values.argmax()]
        yield curve(chosen - top), curve(np.full(10, best) - top), found.luck


@pytest.mark.parametrize(
    "curve", [lambda u: -2 * u**2, lambda u: np.where(u < 0, -(u**2), -4 * u - 8 * np.maximum(u - 0.7, 0))]
)
def test_equal_arms_seldom_get_a_winner_where_the_best_trial_alone_gives_one_often(curve):
    """Searched with noise and confirmed with ten seeds, as in a study: nominal are 5 % (400 pairs: +- 1)."""
    from scipy import stats

    random = np.random.default_rng(1)
    arms = list(simulated(curve, random, 60))
    wrong = {"repeated": 0, "best": 0}
    for _ in range(400):
        i, j = random.choice(60, 2, replace=False)
        noise = random.normal(size=(2, 10))
        for name, at in (("repeated", 0), ("best", 1)):
            d = arms[i][at] + noise[0] - arms[j][at] - noise[1]
            luck = arms[i][2] + arms[j][2] if at == 0 else 0.0
            variance = d.var(ddof=1) / 10 + luck
            df = variance**2 / ((d.var(ddof=1) / 10) ** 2 / 9 + luck**2 / 8)
            wrong[name] += 2 * stats.t.sf(abs(d.mean()) / np.sqrt(variance), df) < 0.05
    assert wrong["repeated"] / 400 < 0.09
    assert wrong["best"] / 400 > 0.12


def test_the_share_of_good_settings_has_an_interval_that_narrows_with_the_noise():
    found = []
    for noise, pictures in ((0.1, 160_000), (1.0, 1600)):
        random = np.random.default_rng(0)
        rates = 10.0 ** np.linspace(-5, -1, 12)
        values = 80 - 2 * (np.log10(rates) + 3) ** 2 + noise * random.standard_normal(12)
        found.append(choice(values, rates, pictures=pictures).shares_within(1.0))
    true = 2 * math.sqrt(0.5) / 4  # of 4 decades, those within sqrt(1 / 2) of the optimum
    (low, high), (wide_low, wide_high) = found
    assert low < true < high < low + 0.1
    assert 0 <= wide_low < true < wide_high <= 1 and wide_high - wide_low > high - low


@pytest.mark.parametrize("trials", [6, 12])
def test_numbers_that_were_tried_at_two_values_or_rose_together_have_a_choice(trials):
    random = np.random.default_rng(0)
    space = LR | {"depth": {"low": 1, "high": 2, "log": False, "step": 1}, "decay": LR["lr"]}
    rates = 10 ** random.uniform(-5, -1, trials)
    points = [{"lr": rate, "depth": 1 + n % 2, "decay": rate} for n, rate in enumerate(rates)]
    found = choice_of(space, points, 80 + random.standard_normal(trials), pictures=1000, seed=0, arm="a")
    assert found.best["depth"] in (1, 2) and 1e-5 <= found.repeated(3)["lr"] <= 1e-1 and found.luck >= 0
