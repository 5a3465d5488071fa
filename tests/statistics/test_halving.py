"""Who goes on after a rung, in an order that is always the same; what those left behind would have at the end."""

import itertools
import random

import pytest

from headstart.statistics import Curve, at_equal_epochs, expected_share, goals, is_settled, rungs, to_choose_from


@pytest.mark.parametrize(
    ("epochs", "found"),
    [
        (1, [1]),
        (2, [2]),
        (3, [1, 3]),
        (5, [1, 2, 5]),
        (10, [1, 2, 10]),
        (12, [1, 2, 12]),
        (13, [1, 2, 5, 13]),
        (30, [1, 2, 5, 10, 30]),
        (200, [1, 2, 5, 10, 20, 50, 200]),
    ],
)
def test_trials_are_compared_more_and_more_seldom_and_not_shortly_before_the_end(epochs, found):
    assert rungs(epochs) == found


@pytest.mark.parametrize(
    ("epochs", "warmup", "found"),
    [(10, 0.3, [3, 5, 10]), (30, 0.1, [3, 5, 8, 13, 30]), (10, 0.1, [1, 3, 10]), (3, 0.3, [3]), (30, 0.9, [27, 30])],
)
def test_while_the_rate_rises_trials_are_not_compared(epochs, warmup, found):
    assert rungs(epochs, warmup) == found


@pytest.mark.parametrize(
    ("epochs", "warmup", "frozen", "found"),
    [
        (20, 0.0, 3, [4, 5, 8, 20]),  # a first epoch of all of it, and 2 and 5 of them
        (20, 0.0, 0, [1, 2, 5, 20]),
        (10, 0.3, 1, [3, 5, 10]),
        (10, 0.1, 3, [4, 5, 10]),
        (3, 0.0, 1, [3]),
        (4, 0.0, 3, [4]),
        (3, 0.0, 5, [3]),
    ],
)
def test_while_a_backbone_stands_still_that_learns_later_trials_are_not_compared(epochs, warmup, frozen, found):
    assert rungs(epochs, warmup, frozen) == found


def curve(values, epochs=None, **more) -> Curve:
    return Curve(dict(enumerate(values[:epochs], 1)), **more)


def test_a_curve_is_known_by_its_best_epoch_up_to_any_that_it_has_come_to():
    found = curve([10, 30, 20])
    assert [found.at(epoch) for epoch in (1, 2, 3, 4)] == [10, 30, 30, None]
    assert curve([10, 30, 20], has_ended=True).at(9) == 30  # it stopped early, with patience
    assert curve([10, 30], has_ended=True, led_nowhere=True).at(9) == -float("inf")
    assert curve([10, 30], has_ended=True, led_nowhere=True).at(2) == 30
    assert curve([], has_ended=True).at(1) == -float("inf")


def trained(full, at, factor=3, order=None, total=None, chance=-float("inf")):
    """Train whatever is asked for, one run at a time in some order, until nothing is; the epochs that each came to."""
    total, reached = total or len(full), [0] * len(full)
    while True:
        begun = [
            curve(values, epochs, has_ended=epochs == at[-1], chance=chance)
            for values, epochs in zip(full, reached, strict=True)
        ]
        found = goals(begun, at, factor, total)
        behind = [trial for trial, goal in enumerate(found) if reached[trial] < goal]
        assert is_settled(begun, found) == (not behind)
        if not behind:
            return reached
        trial = order.choice(behind) if order else behind[-1]
        reached[trial] = found[trial]


def rising(*firsts):
    """Curves that keep their ranks."""
    return [[first + epoch for epoch in range(10)] for first in firsts]


def test_the_best_third_of_those_compared_goes_on():
    assert trained(rising(1, 2, 9, 3, 4, 5), [1, 2, 10]) == [1, 1, 10, 2, 2, 10]  # each was second for a while
    assert trained(rising(9, 8, 7, 6, 5, 4), [1, 2, 10]) == [10, 2, 1, 1, 1, 1]


def test_one_that_waits_goes_on_where_its_rank_allows_it_and_the_leader_falls_back():
    early = [[30, 31] + [32] * 8, [20] * 10, [25, 40] + [60] * 8, [10] * 10]
    assert trained(early, [1, 2, 10]) == [10, 1, 10, 1]  # of the first three one goes on, of four two
    assert trained(early[:3], [1, 2, 10]) == [10, 1, 1]


@pytest.mark.parametrize("seed", range(30))
def test_the_order_of_the_runs_and_a_total_that_is_raised_change_nothing(seed):
    dice = random.Random(seed)
    full = [[dice.random() + epoch * dice.random() / 5 for epoch in range(10)] for _ in range(14)]
    once = trained(full, [1, 2, 5, 10])
    assert trained(full, [1, 2, 5, 10], order=dice) == once
    for smaller in (3, 5, 9, 13):
        before = trained(full[:smaller], [1, 2, 5, 10])
        assert all(a <= b for a, b in zip(before, once, strict=False))


def test_what_a_trial_had_before_the_first_comparison_does_not_count_in_it():
    ruined, sound = [74, 10, 10, 10, 10], [60, 70, 72, 75, 80]  # a backbone was let go after the first epoch
    assert trained([ruined, ruined, sound], [2, 5]) == [2, 2, 5]
    assert trained([ruined, ruined, sound], [1, 5]) == [5, 1, 1]
    assert [curve(ruined).at(3, since) for since in (1, 2, 4)] == [74, 10, 74]  # none from 4 on, up to 3


SLOW = [[10, 10, 10, 40, 50], [11, 11, 20, 30, 30], [12, 12, 12, 12, 12], [10.5, 10.5, 25, 60, 70]]


def test_those_at_chance_level_go_on_together_where_one_of_them_would():
    assert trained(SLOW, [1, 5], chance=14) == [5, 5, 5, 5]
    assert trained(SLOW, [1, 5]) == [1, 5, 5, 1]  # by luck
    assert trained(SLOW, [1, 3, 5], chance=14) == [3, 5, 3, 5]  # two of four are above it by then
    assert trained(SLOW, [3, 5], chance=22) == [5, 5, 5, 5]  # of four two go on, and one alone is above it
    assert trained(SLOW[:3], [3, 5], chance=22) == [5, 5, 5]
    assert trained([[30, 31, 32, 33, 34], *SLOW[:2]], [1, 5], chance=14) == [5, 1, 1]


def test_one_at_chance_level_is_above_one_that_led_nowhere_and_does_not_take_it_along():
    lost = Curve({1: 60.0}, has_ended=True, led_nowhere=True, chance=14)
    begun = [lost, *(curve(values, 2, chance=14) for values in SLOW)]
    assert goals(begun, [2, 5], 3, total=5) == [2, 5, 5, 5, 5]
    unborn = Curve({}, has_ended=True, chance=14)
    assert not lost.is_guess(lost.at(2)) and not unborn.is_guess(unborn.at(1))


@pytest.mark.parametrize("seed", range(20))
def test_with_chance_levels_the_order_of_the_runs_and_a_raised_total_change_nothing_either(seed):
    dice = random.Random(seed)
    full = [[dice.random() + max(0, epoch - dice.randrange(8)) for epoch in range(10)] for _ in range(14)]
    once = trained(full, [1, 2, 5, 10], chance=1)
    assert trained(full, [1, 2, 5, 10], order=dice, chance=1) == once
    for smaller in (3, 5, 9, 13):
        before = trained(full[:smaller], [1, 2, 5, 10], chance=1)
        assert all(a <= b for a, b in zip(before, once, strict=False))


def test_fewer_trials_than_the_factor_are_ranked_together_and_one_alone_is_not():
    assert trained(rising(1, 2), [1, 2, 10]) == [1, 10]
    assert goals([Curve({})], [1, 2, 10], 3, total=1) == [10]


def test_where_the_best_diverged_another_goes_on_so_that_one_comes_to_the_end():
    full = rising(1, 2, 9)
    begun = [curve(full[0], 1), curve(full[1], 1), curve(full[2], 4, has_ended=True, led_nowhere=True)]
    assert goals(begun, [1, 2, 10], 3, total=3) == [1, 10, 10]
    assert goals(begun, [1, 2, 10], 3, total=4) == [1, 1, 10]  # more are to come
    lost = [curve(values, 1, has_ended=True, led_nowhere=True) for values in full]
    assert goals(lost, [1, 2, 10], 3, total=3)


def test_the_expected_share_is_what_random_ranks_take():
    dice, spent = random.Random(0), []
    for _ in range(300):
        spent.append(sum(trained(rising(*dice.sample(range(12), 12)), [1, 2, 10])))
    assert expected_share(12, [1, 2, 10], 3) == pytest.approx(sum(spent) / len(spent) / 120, rel=0.05)
    assert expected_share(1, [1, 2, 10], 3) == 1


def test_what_was_stopped_gets_what_the_others_gained_from_there_on():
    curves = [curve([10]), curve([20, 24]), curve([30, 36, 39], has_ended=True), curve([28, 30, 37], has_ended=True)]
    gained = [(4 + 6 + 2) / 3, (3 + 7) / 2]
    assert at_equal_epochs(curves, [0, 1]) == pytest.approx([10 + sum(gained), 24 + gained[1], 39, 37])
    assert at_equal_epochs(curves[2:], []) == [39, 37]
    assert at_equal_epochs([curve([10])], [0]) == [10]


def test_a_choice_is_made_from_those_that_went_on_where_they_are_enough():
    ended = [curve([30, 36, 39], has_ended=True) for _ in range(2)]
    first, second = curve([10]), curve([20, 24])
    assert to_choose_from([first, second, *ended], [0, 1])[0] == [0, 1, 2, 3]
    places, values = to_choose_from([first, second, second, *ended], [0, 1, 2])
    assert (places, values) == ([1, 2, 3, 4], [27, 27, 39, 39])


def test_every_pair_of_factors_and_totals_lets_one_finish():
    for factor, total in itertools.product([1.5, 2, 3, 4.5], [1, 2, 3, 4, 7, 20]):
        dice = random.Random(total)
        full = [[dice.random() + epoch for epoch in range(10)] for _ in range(total)]
        assert 10 in trained(full, [1, 2, 5, 10], factor), (factor, total)
