"""Looks at a growing number of seeds: all together name a false winner with chance alpha at most, by simulation."""

import math

import numpy as np
import pytest
from scipy.special import ndtr, ndtri
from scipy.stats import multivariate_normal

from headstart.statistics import Looks, compare_pairs, paired_difference

WALKS = 100_000
PLANS = [
    Looks((5,), 5),
    Looks((5, 7, 9, 11, 13, 15), 15),
    Looks((3, 5, 10), 3),
    Looks((5, 7, 9, 11, 13, 15, 20, 25), 15),
    Looks(tuple(range(3, 16)), 15),
]


@pytest.mark.parametrize("alpha", [0.05, 0.5])
@pytest.mark.parametrize("looks", PLANS, ids=str)
def test_the_error_of_all_looks_is_what_may_be_spent_by_the_last_one(looks, alpha):
    steps = np.random.default_rng(0).standard_normal((WALKS, looks.at[-1])).cumsum(axis=1)
    rejected = np.zeros(WALKS, dtype=bool)
    for look, level in zip(looks.at, looks.levels(alpha), strict=True):
        rejected |= 2 * ndtr(-np.abs(steps[:, look - 1]) / math.sqrt(look)) < level
        spent = alpha * looks.spent(look)
        assert abs(rejected.mean() - spent) < 4 * math.sqrt(spent * (1 - spent) / WALKS)


def test_what_may_be_spent_rises_and_never_reaches_the_whole():
    looks = Looks((5,), 5)
    spent = [looks.spent(seeds) for seeds in range(1, 1000)]
    assert spent == sorted(spent) and spent[0] > 0 and spent[-1] < 1
    assert looks.spent(5) == pytest.approx(0.9)


def test_later_looks_leave_the_levels_of_earlier_ones_alone():
    for plan in PLANS:
        longer = Looks((*plan.at, plan.at[-1] + 10), plan.planned)
        assert longer.levels()[: len(plan.at)] == plan.levels()


def test_two_looks_equal_the_integral_of_a_bivariate_normal():
    looks, correlation = Looks((8, 16), 16), math.sqrt(0.5)
    first, second = -ndtri(np.array(looks.levels(0.05)) / 2)
    assert 2 * ndtr(-first) == pytest.approx(0.05 * 0.9 / 4)
    both = multivariate_normal(cov=[[1, correlation], [correlation, 1]])
    assert 1 - both.cdf([first, second], lower_limit=[-first, -second]) == pytest.approx(0.05 * 0.9, abs=1e-5)


@pytest.mark.parametrize("looks", PLANS, ids=str)
def test_a_look_rejects_exactly_where_its_p_value_of_all_looks_is_below_alpha(looks):
    for look, level in enumerate(looks.levels(0.05)):
        assert looks.p_of_all(0.99 * level, look) < 0.05 < looks.p_of_all(1.01 * level, look)
        assert looks.p_of_all(0.0, look) == pytest.approx(0, abs=1e-6)
        assert looks.p_of_all(1.0, look) == 1


@pytest.mark.parametrize(("at", "planned"), [((), 5), ((5, 5), 5), ((7, 5), 7), ((0, 5), 5), ((5,), 0)])
def test_looks_that_nobody_can_make_are_refused(at, planned):
    with pytest.raises(ValueError, match="rising"):
        Looks(at, planned)


def test_a_pair_keeps_the_look_that_named_its_winner_and_others_their_last():
    looks = Looks((3, 5), 5)
    clear = [paired_difference([9.0, 9.1, 9.2, 5.0, 5.1][:n], [5.0] * n) for n in (3, 5)]
    equal = [paired_difference([9.0, 9.5, 9.2, 9.4, 9.3][:n], [9.3, 9.2, 9.4, 9.1, 9.5][:n]) for n in (3, 5)]
    named, undecided = compare_pairs([clear, equal], looks=looks)
    assert (named.n, undecided.n) == (3, 5)
    assert named.p_holm < 0.05 < undecided.p_holm and named.low > 0
    first, last = looks.levels(0.025)[0], looks.levels(0.05)[1]
    assert (1 - named.level, 1 - undecided.level) == (pytest.approx(first), pytest.approx(last))


def test_a_further_look_never_widens_an_interval():
    looks, rng = Looks((5, 10), 5), np.random.default_rng(0)
    for _ in range(50):
        a, b = rng.standard_normal((2, 10))
        at = [paired_difference(a[:n], b[:n]) for n in looks.at]
        (first,), (both,) = compare_pairs([at[:1]], looks=looks), compare_pairs([at], looks=looks)
        if first.low <= both.difference <= first.high and not first.p_holm < 0.05:
            assert first.low <= both.low <= both.difference <= both.high <= first.high
