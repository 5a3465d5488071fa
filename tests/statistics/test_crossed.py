"""Seeds and test pictures as crossed factors, against a simulation and by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from headstart.statistics import Uncertainty, crossed_uncertainty, together


def test_the_variance_is_that_of_the_analysis_of_variance_by_hand():
    # Mean 5, seeds 2 and 8, pictures 3 and 7, rest ±1: MS_S = 2 * 18 = 36, MS_I = 2 * 8 = 16, MS_E = 4.
    found = crossed_uncertainty([[1.0, 3.0], [5.0, 11.0]])
    assert found.variance == pytest.approx((36 + 16 - 4) / 4)
    assert found.df == 1


def test_degrees_of_freedom_lie_halfway_to_satterthwaites_from_5_seeds_and_pictures_on():
    of_seed, of_picture = np.arange(5.0)[:, None], 3 * np.arange(6.0)[None, :]
    found = crossed_uncertainty(of_seed + of_picture)
    seeds, pictures = 6 * of_seed.var(ddof=1), 5 * of_picture.var(ddof=1)  # mean squares, without any rest
    assert found.variance == pytest.approx((seeds + pictures) / 30)
    satterthwaite = (seeds + pictures) ** 2 / (seeds**2 / 4 + pictures**2 / 5)
    assert found.df == pytest.approx((satterthwaite + 4) / 2)
    assert crossed_uncertainty((of_seed + of_picture)[:4]).df == 3


def test_where_the_rest_outweighs_both_factors_the_larger_of_them_counts():
    values = np.array([[1.0, -1.0], [-1.0, 1.0]])
    assert crossed_uncertainty(values).variance == 0
    shifted = values + np.array([[0.0], [0.1]])
    assert crossed_uncertainty(shifted).variance == pytest.approx(0.1**2 / 4)


def test_equal_seeds_leave_the_pictures():
    pictures = np.array([0.0, 100.0, 100.0, -100.0, 0.0])
    found = crossed_uncertainty(np.tile(pictures, (3, 1)))
    assert found.variance == pytest.approx(pictures.var(ddof=1) / 5)
    assert found.df == pytest.approx(4)


@pytest.mark.parametrize("shape", [(1, 50), (5, 1)])
def test_one_seed_or_one_picture_has_no_spread(shape):
    found = crossed_uncertainty(np.zeros(shape))
    assert math.isnan(found.variance) and math.isnan(found.df)


def test_arms_that_are_equal_in_the_population_get_a_winner_in_5_percent():
    """Two arms that disagree on a tenth of 180 pictures: seeds alone name one in 40 % of studies."""
    random, crossed, seeds_only = np.random.default_rng(0), 0, 0
    for _ in range(400):
        own = np.where(random.random(180) < 0.1, random.choice([-100.0, 100.0], 180), 0.0)
        differences = own + np.where(random.random((5, 180)) < 0.04, random.choice([-100.0, 100.0], (5, 180)), 0.0)
        known = crossed_uncertainty(differences)
        error = math.sqrt(known.variance)
        crossed += 2 * stats.t.sf(abs(differences.mean()) / error, known.df) < 0.05
        seeds_only += stats.ttest_1samp(differences.mean(axis=1), 0).pvalue < 0.05
    assert crossed / 400 < 0.08 < 0.2 < seeds_only / 400


def test_variances_of_independent_parts_add_up_with_degrees_of_freedom_between_satterthwaites_and_the_fewest():
    found = together(Uncertainty(1.0, 4), Uncertainty(3.0, 8))
    assert found.variance == 4 and found.df == pytest.approx((16 / (1 / 4 + 9 / 8) + 4) / 2)
    assert together(Uncertainty(2.0, 4), Uncertainty(0.0, 8)) == Uncertainty(2.0, 4)
    assert together(Uncertainty(0.0, 4)) == Uncertainty(0.0, 4)
    assert math.isnan(together(Uncertainty(math.nan, math.nan), Uncertainty(1.0, 8)).df)


@pytest.mark.parametrize(("seeds", "level", "at_most"), [(3, 0.05, 0.6), (5, 0.05 / 15, 1.5)])
def test_few_seeds_beside_a_part_that_is_known_better_keep_the_level(seeds, level, at_most):
    """Satterthwaite's name 1.4 and 1.9 times as many: a spread over few seeds that is small by chance hides itself."""
    random, studies, other = np.random.default_rng(2), 20_000, 0.1 / seeds
    values = random.standard_normal((studies, seeds))
    estimates = values.mean(axis=1) + math.sqrt(other) * random.standard_normal(studies)
    lucks = other * random.chisquare(8, studies) / 8
    spreads = values.var(axis=1, ddof=1) / seeds
    parts = zip(spreads, lucks, strict=True)
    known = [together(Uncertainty(spread, seeds - 1), Uncertainty(luck, 8)) for spread, luck in parts]
    errors, df = np.sqrt([one.variance for one in known]), np.array([one.df for one in known])
    told_apart = (2 * stats.t.sf(np.abs(estimates) / errors, df) < level).mean()
    assert 0.3 * level < told_apart < at_most * level
