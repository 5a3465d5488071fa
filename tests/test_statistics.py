"""Protocol statistics against independent numbers, and by simulation where they claim a coverage or an error rate."""

import itertools
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from headstart import statistics as hs
from headstart.analysis.verdict import PairEvidence
from headstart.analysis.verdict import verdict as judge

A = [93.1, 92.4, 94.0, 93.6, 92.9]
B = [91.0, 91.9, 92.2, 92.8, 90.7]
STUDIES = 2000


# ---------------------------------------------------------------------------------------------- one arm over its seeds
@pytest.mark.parametrize(
    ("level", "low", "high"),
    [(0.95, 92.42956775021577, 93.97043224978424), (0.99, 91.92241552216767, 94.47758447783234)],
)
def test_summary_equals_statsmodels(level, low, high):
    # statsmodels 0.15.0: DescrStatsW(A).mean, .std_mean * sqrt(5), .tconfint_mean(1 - level)
    summary = hs.summarise(A, level)
    assert (summary.n, summary.level) == (5, level)
    assert summary.mean == pytest.approx(93.2, abs=1e-12)
    assert summary.std == pytest.approx(0.6204836822995398, abs=1e-12)
    assert (summary.low, summary.high) == pytest.approx((low, high), abs=1e-9)


def test_summary_of_one_or_no_run_has_no_interval():
    one, none = hs.summarise([90.0]), hs.summarise([])
    assert (one.n, one.mean) == (1, 90.0)
    assert (none.n, math.isnan(none.mean)) == (0, True)
    assert all(math.isnan(value) for summary in (one, none) for value in (summary.std, summary.low, summary.high))


def test_equal_runs_have_an_interval_of_zero_width():
    summary = hs.summarise([90.1] * 7)
    assert summary.std == 0
    assert summary.low == summary.high == summary.mean == pytest.approx(90.1)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_95_percent_intervals_cover_93_to_97_percent_of_simulated_studies(seeds):
    rng = np.random.default_rng(seeds)
    common = rng.normal(0, 2, (STUDIES, seeds))  # what seeds share over arms, which pairing takes out
    a, b = 90 + common + rng.normal(0, 0.5, common.shape), 89 + common + rng.normal(0, 0.3, common.shape)
    means = [hs.summarise(row) for row in a]
    pairs = [hs.paired_difference(*rows) for rows in zip(a, b, strict=True)]
    assert 0.93 <= np.mean([m.low <= 90 <= m.high for m in means]) <= 0.97
    assert 0.93 <= np.mean([p.low <= 1 <= p.high for p in pairs]) <= 0.97
    assert np.median([m.high - m.low for m in means]) > 1.5 * np.median([p.high - p.low for p in pairs])


# ------------------------------------------------------------------------------------------------------- pairs of arms
def test_paired_difference_equals_statsmodels():
    # statsmodels 0.15.0: DescrStatsW(A - B).tconfint_mean(0.05), .tconfint_mean(0.01), .ttest_mean(0)
    result = hs.paired_difference(A, np.array(B))
    assert result.difference == pytest.approx(1.48, abs=1e-12)
    assert (result.low, result.high) == pytest.approx((0.5126170370260468, 2.4473829629739496), abs=1e-9)
    assert result.p == result.p_holm == pytest.approx(0.013182393738920127, rel=1e-9)
    wide = hs.paired_difference(A, B, level=0.99)
    assert (wide.low, wide.high) == pytest.approx((-0.12418188356093474, 3.084181883560931), abs=1e-9)


def test_paired_difference_equals_scipy_on_random_studies():
    rng = np.random.default_rng(0)
    for n in (2, 3, 6, 30):
        a, b = rng.normal(size=(2, n))
        ours, theirs = hs.paired_difference(a, b, 0.9), stats.ttest_rel(a, b)
        assert ours.p == pytest.approx(theirs.pvalue, rel=1e-9)
        assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval(0.9)), rel=1e-7)


def test_swapping_the_arms_mirrors_the_difference():
    ab, ba = hs.paired_difference(A, B), hs.paired_difference(B, A)
    assert (ab.difference, ab.low, ab.high, ab.p) == pytest.approx((-ba.difference, -ba.high, -ba.low, ba.p))


@pytest.mark.parametrize(
    ("a", "b"),
    [([], []), ([90.0], [89.0]), ([90.1, 90.2, 90.3], [80.1, 80.2, 80.3]), ([90.0] * 5, [90.0] * 5)],
    ids=["no seed", "one seed", "same difference at every seed", "equal arms"],
)
def test_pairs_without_spread_get_no_interval_and_no_p_value(a, b):
    result = hs.paired_difference(a, b)
    assert result.n == len(a)
    assert all(math.isnan(value) for value in (result.low, result.high, result.p, result.p_holm))


def test_probability_of_improvement_equals_mann_whitney_and_ties_count_half():
    assert hs.probability_of_improvement([1, 2], [1, 0]) == 0.875  # 3 of 4 combinations won, one tied
    assert hs.probability_of_improvement([5], [5]) == 0.5
    assert math.isnan(hs.probability_of_improvement([], [1.0]))
    u = stats.mannwhitneyu(A, B).statistic
    assert hs.probability_of_improvement(A, B) == pytest.approx(u / 25)
    assert hs.probability_of_improvement(B, A) == pytest.approx(1 - u / 25)


def test_holm_equals_statsmodels():
    # statsmodels 0.15.0: multipletests(p, method="holm")[1]
    adjusted = hs.holm([0.01, 0.04, 0.03, 0.005, 0.2, 0.04])
    assert adjusted.tolist() == pytest.approx([0.05, 0.12, 0.12, 0.03, 0.2, 0.12], abs=1e-12)
    assert hs.holm([0.04]).tolist() == [0.04]
    assert hs.holm([0.9, 0.8]).max() == 1
    assert hs.holm([]).size == 0


def test_levels_follow_the_steps_of_holm():
    # By hand, m = 4: 0.001 < 0.05/4 rejected, 0.01 < 0.05/3 rejected, 0.03 > 0.05/2 kept, and so is 0.04 after it.
    levels = hs.holm_levels([0.03, 0.001, 0.04, 0.01])
    assert (1 - levels).tolist() == pytest.approx([0.05 / 2, 0.05 / 4, 0.05 / 2, 0.05 / 3])
    assert (1 - hs.holm_levels([0.001, 0.001])).tolist() == pytest.approx([0.025, 0.025])
    assert hs.holm_levels([0.2], alpha=0.1).tolist() == [0.9]


def _families(rng, centres, families, seeds):
    """Simulated test accuracies of arms, [families, arms, seeds]; seeds share an effect over the arms."""
    shape = (families, len(centres), seeds)
    return np.asarray(centres)[:, None] + rng.normal(0, 0.5, shape) + rng.normal(0, 1, (families, 1, seeds))


def _judge(family, **evidence):
    """Every pair of a family through the code path of a report: (i, j, comparison, verdict)."""
    indices = list(itertools.combinations(range(len(family)), 2))
    comparisons = hs.compare_pairs([(family[i], family[j]) for i, j in indices])
    for (i, j), c in zip(indices, comparisons, strict=True):
        measured = dict(difference=c.difference, low=c.low, high=c.high, p_holm=c.p_holm, seeds=c.n)
        fields = dict(trials_a=12, trials_b=12, pairs=len(indices)) | measured | evidence
        yield i, j, c, judge(PairEvidence(f"arm{i}", f"arm{j}", **fields))


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_equal_arms_get_a_false_winner_in_at_most_5_percent_of_families(seeds):
    families = _families(np.random.default_rng(seeds), [90.0] * 4, STUDIES, seeds)
    wrong = np.mean([any(v.winner for *_, v in _judge(family)) for family in families])
    assert 0.01 < wrong < 0.05 + 3 * math.sqrt(0.05 * 0.95 / STUDIES)


def test_a_far_better_arm_does_not_raise_the_false_winners_among_the_others():
    families = _families(np.random.default_rng(1), [90.0, 90.0, 90.0, 99.0], STUDIES // 2, 5)
    judged = [list(_judge(family)) for family in families]
    wrong = np.mean([any(v.winner for i, j, _, v in pairs if j < 3) for pairs in judged])
    right = np.mean([v.winner == "arm3" for pairs in judged for i, j, _, v in pairs if j == 3])
    assert wrong < 0.05 + 3 * math.sqrt(0.05 * 0.95 / len(families))
    assert right > 0.99


def test_an_interval_excludes_zero_exactly_when_holm_rejects_and_a_winner_is_named():
    rejected = 0
    for family in _families(np.random.default_rng(2), [90.0, 90.5, 91.0, 92.5], 300, 5):
        for *_, comparison, verdict in _judge(family):
            excludes = comparison.low > 0 or comparison.high < 0
            assert excludes == (comparison.p_holm < 0.05) == bool(verdict.winner)
            assert comparison.level >= 0.95 - 1e-12
            rejected += excludes
    assert 300 < rejected < 1500  # both kinds are well represented among the 1,800 pairs


def test_each_interval_of_a_family_covers_its_own_difference():
    centres = [90.0, 90.5, 91.0, 92.5]
    families = _families(np.random.default_rng(3), centres, 500, 5)
    judged = [item for family in families for item in _judge(family)]
    assert np.mean([c.low <= centres[i] - centres[j] <= c.high for i, j, c, _ in judged]) > 0.95


def test_a_pair_that_cannot_be_tested_still_counts_in_the_family():
    failed = ([90.0], [89.0])
    alone, first, second = hs.compare_pairs([(A, B)])[0], *hs.compare_pairs([(A, B), failed])
    assert alone.p_holm == alone.p
    assert first.p_holm == pytest.approx(2 * alone.p)
    assert first.level == 0.975
    at_half = hs.paired_difference(A, B, 0.975)
    assert (first.low, first.high) == (at_half.low, at_half.high)
    assert second.n == 1
    assert math.isnan(second.low) and math.isnan(second.p_holm)
    assert hs.compare_pairs([]) == ()


# ------------------------------------------------------------------------------------------------- one single model
@pytest.mark.parametrize(("only_a", "only_b", "p"), [(12, 3, 0.03515625), (4, 4, 1.0), (0, 0, 1.0)])
def test_mcnemar_equals_statsmodels(only_a, only_b, p):
    # statsmodels 0.15.0: mcnemar([[0, only_a], [only_b, 0]], exact=True).pvalue
    correct_a = [True] * only_a + [False] * only_b + [True] * 5 + [False] * 2
    correct_b = [False] * only_a + [True] * only_b + [True] * 5 + [False] * 2
    result = hs.mcnemar(correct_a, np.array(correct_b))
    assert (result.only_a, result.only_b) == (only_a, only_b)
    assert result.p == pytest.approx(p, abs=1e-12)


def test_wilson_interval_equals_statsmodels():
    # statsmodels 0.15.0: proportion_confint(correct, images, alpha, method="wilson")
    assert hs.wilson_interval(9500, 10000) == pytest.approx((94.55528841569758, 95.41015173094152), abs=1e-9)
    assert hs.wilson_interval(18, 20, 0.9) == pytest.approx((73.83369536731331, 96.63367764380953), abs=1e-9)
    assert all(math.isnan(bound) for bound in hs.wilson_interval(0, 0))


def test_sampling_of_10000_images_alone_is_0_43_points_at_95_percent():
    assert hs.sampling_half_width(95, 10000) == pytest.approx(1.959964 * math.sqrt(0.95 * 0.05 / 10000) * 100, rel=1e-6)
    assert f"{hs.sampling_half_width(95, 10000):.2f}" == "0.43"
    assert hs.sampling_half_width(100, 10) == 0


@pytest.mark.parametrize(
    ("accuracy", "images", "classes", "share", "chance"),
    [
        (12.0, 2500, 10, 0.0, False),  # 10 % + 3 * sqrt(0.1 * 0.9 / 2500) = 11.8 %
        (11.8, 2500, 10, 0.0, True),
        (11.7, 2500, 10, 0.0, True),
        (0.0, 100, 10, 0.0, True),
        (65.0, 100, 2, 0.0, True),  # 50 % + 3 * 5 %
        (66.0, 100, 2, 0.0, False),
        (66.0, 100, 2, 0.6, True),  # always answering the larger class gives 60 %
        (100.0, 10, 1, 0.0, True),
    ],
)
def test_chance_is_within_3_standard_errors_of_guessing(accuracy, images, classes, share, chance):
    assert hs.is_chance(accuracy, images, classes, share) is chance


def test_calibration_error_equals_a_case_by_hand():
    # Bins of 1/15: 0.95, 0.97 in the last (1 of 2 right, mean 0.96), 0.62 in the tenth (right), 0 in the first (wrong).
    # (2 * |0.5 - 0.96| + |1 - 0.62| + 0) / 4
    assert hs.expected_calibration_error([0.95, 0.62, 0.97, 0.0], [1, 1, 0, 0]) == pytest.approx(100 * 1.3 / 4)
    assert hs.expected_calibration_error([1.0, 1.0], [True, True]) == 0
    assert math.isnan(hs.expected_calibration_error([], []))


def test_calibration_error_equals_a_loop_over_bins_and_puts_a_border_in_the_lower_bin():
    rng = np.random.default_rng(0)
    confidences = rng.uniform(0, 1, 500)
    correct = rng.uniform(size=500) < confidences**2
    expected = 0.0
    for k in range(15):
        inside = (confidences > k / 15) & (confidences <= (k + 1) / 15)
        expected += inside.mean() * abs(correct[inside].mean() - confidences[inside].mean())
    assert hs.expected_calibration_error(confidences, correct) == pytest.approx(100 * expected)
    assert hs.expected_calibration_error([0.5, 0.4], [1, 0], bins=2) == pytest.approx(100 * abs(1 - 0.9) / 2)


# ----------------------------------------------------------------------------------------------- the search of an arm
def test_expected_best_is_the_mean_over_all_subsets():
    values = [91.0, 10.0, 93.5, 90.0, 93.5, 88.0]
    expected = [np.mean([max(subset) for subset in itertools.combinations(values, n)]) for n in range(1, 7)]
    assert hs.expected_best(values).tolist() == pytest.approx(expected, rel=1e-12)
    assert hs.expected_best([]).size == 0
    assert hs.expected_best([7.0]).tolist() == [7.0]


def test_expected_best_is_unbiased_where_the_plug_in_estimate_is_not():
    # The best of n uniform draws is n / (n + 1) on average.
    draws = np.random.default_rng(0).uniform(size=(STUDIES, 8))
    ours = np.mean([hs.expected_best(row) for row in draws], axis=0)
    n, tolerance = np.arange(1, 9), 3 * 0.29 / math.sqrt(8 * STUDIES) * 3
    assert np.abs(ours - n / (n + 1)).max() < tolerance
    ranks = np.arange(1, 9) / 8
    plug_in = (np.sort(draws, axis=1) @ (ranks**8 - (ranks - 1 / 8) ** 8)).mean()
    assert 8 / 9 - plug_in > tolerance


def test_expected_best_of_many_trials_stays_finite():
    curve = hs.expected_best(np.linspace(0, 1, 1000))
    assert np.isfinite(curve).all() and (np.diff(curve) > -1e-9).all()
    assert curve[-1] == pytest.approx(1)


def test_only_unpruned_random_draws_get_an_expected_best():
    values = [90.0, 92.0, 91.0, 93.0]
    so_far = hs.best_against_budget(values, unpruned_random_draws=False)
    assert (so_far.kind, so_far.values.tolist()) == ("best so far", [90.0, 92.0, 92.0, 93.0])
    expected = hs.best_against_budget(values, unpruned_random_draws=True)
    assert (expected.kind, expected.values[0]) == ("expected best", pytest.approx(91.5))


DECADES = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5]


def _tolerance(accuracy, states=None, lr=DECADES, low=1e-5, high=1e-1):
    return hs.learning_rate_tolerance(lr, accuracy, states or ["COMPLETE"] * len(lr), low, high)


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
    assert math.isnan(hs.learning_rate_tolerance(lr, [95.0] * len(lr), states, low, high))


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
    result = hs.edge(lr, accuracy, 1e-5, 1e-1)
    assert result.side == side
    assert (result.low, result.high) == pytest.approx(following)


# -------------------------------------------------------------------------------------------------- convergence speed
@pytest.mark.parametrize(
    ("times", "reached", "horizon", "median", "mean"),
    [
        ([3, 5, 5, 8, 10, 10, 10], [1, 1, 1, 1, 1, 0, 0], 10, 8.0, 7.2857142857142865),
        ([4, 6, 6, 7, 9, 12, 15], [1, 0, 1, 1, 0, 1, 0], 12, 12.0, 9.107142857142858),
        ([10, 10, 10], [0, 0, 0], 10, math.inf, 10.0),
    ],
)
def test_time_to_target_equals_lifelines(times, reached, horizon, median, mean):
    # lifelines 0.30.3: KaplanMeierFitter().fit(times, reached).median_survival_time_, restricted_mean_survival_time
    result = hs.time_to_target(times, reached, horizon)
    assert (result.n, result.censored) == (len(times), reached.count(0))
    assert result.median == median
    assert result.restricted_mean == pytest.approx(mean, rel=1e-12)


def test_the_median_is_where_exactly_half_are_left():
    # By hand: 3 of 6 left after 5. lifelines says 8, its survival curve there being 0.5000000000000001 by rounding.
    assert hs.time_to_target([3, 5, 5, 8, 10, 10], [1, 1, 1, 1, 0, 0]).median == 5.0


def test_without_censoring_the_restricted_mean_is_the_mean():
    result = hs.time_to_target([4.0, 2.0, 9.0], [True] * 3)
    assert (result.median, result.restricted_mean, result.horizon) == (4.0, pytest.approx(5.0), 9.0)
    assert hs.time_to_target([4.0, 2.0, 9.0], [True] * 3, horizon=100).restricted_mean == pytest.approx(5.0)
    assert hs.time_to_target([4.0, 2.0, 9.0], [True] * 3, horizon=3).restricted_mean == pytest.approx((2 + 3 + 3) / 3)


def test_dropping_the_runs_that_never_arrive_would_look_faster():
    times, reached = [3, 4, 20, 20, 20], [1, 1, 0, 0, 0]
    result = hs.time_to_target(times, reached)
    assert result.median == math.inf
    assert result.restricted_mean == pytest.approx((3 + 4 + 60) / 5)


def test_restricted_mean_is_unknown_beyond_the_last_censored_run():
    assert math.isnan(hs.time_to_target([3, 5], [1, 0], horizon=6).restricted_mean)
    empty = hs.time_to_target([], [])
    assert (empty.n, math.isnan(empty.median), math.isnan(empty.restricted_mean)) == (0, True, True)


def test_speedup_is_known_only_where_both_medians_are():
    fast, slow, never = (hs.time_to_target([t] * 3, [r] * 3) for t, r in [(2, 1), (10, 1), (10, 0)])
    assert hs.speedup(fast, slow) == 5
    assert hs.speedup(slow, fast) == 0.2
    assert all(math.isnan(hs.speedup(*pair)) for pair in [(fast, never), (never, fast), (never, never)])
    assert math.isnan(hs.speedup(hs.time_to_target([0], [1]), slow))


# --------------------------------------------------------------------------------------------------------- the verdict
CLEAR = PairEvidence(
    "pretrained", "random", difference=3.0, low=1.0, high=5.0, p_holm=0.01, seeds=5, trials_a=12, trials_b=12
)


def test_clear_evidence_names_the_winner_with_interval_and_seeds():
    result = judge(CLEAR)
    assert (result.winner, result.hint) == ("pretrained", "")
    assert result.sentence == (
        "pretrained is better than random by 3.00 points "
        "(95 % interval 1.00 to 5.00, 5 seeds, luck of the search not included)"
    )


def test_the_winner_is_the_better_arm_in_whichever_order():
    mirrored = replace(CLEAR, arm_a="random", arm_b="pretrained", difference=-3.0, low=-5.0, high=-1.0)
    assert judge(mirrored) == judge(CLEAR)


def test_the_family_and_the_level_are_named():
    sentence = judge(replace(CLEAR, pairs=6, alpha=0.1)).sentence
    assert "90 % interval 1.00 to 5.00, corrected for 6 pairs" in sentence


def test_an_interval_around_zero_bounds_the_difference():
    result = judge(replace(CLEAR, difference=-0.4, low=-1.3, high=0.5, p_holm=0.3))
    assert result.winner == ""
    assert result.sentence.startswith("no difference larger than 1.30 points shown between pretrained and random")
    assert "difference -0.40, 95 % interval -1.30 to 0.50" in result.sentence
    assert result.hint == "confirm_seeds=10"
    assert judge(replace(CLEAR, low=-1.0, p_holm=0.3, seeds=10)).hint == ""


@pytest.mark.parametrize("change", [{"low": -0.1}, {"p_holm": 0.05}, {"p_holm": 0.2}, {"low": 0.0}])
def test_no_winner_without_both_the_interval_and_the_p_value(change):
    assert judge(replace(CLEAR, **change)).winner == ""


@pytest.mark.parametrize(
    ("change", "words", "hint"),
    [
        ({"trials_b": 30}, "budgets differ (12 against 30 trials)", "n_trials=30"),
        ({"trials_b": 30, "low": math.nan, "high": math.nan}, "budgets differ (12 against 30 trials)", "n_trials=30"),
        ({"epochs_a": 10, "epochs_b": 20}, "budgets differ (10 against 20 epochs)", ""),
        (
            {"edge_a": hs.Edge("high", 1e-5, 1.0)},
            "best learning rate of pretrained at the high edge (try 1e-05 to 1)",
            "search.extend_at_edge=true",
        ),
        (
            {"edge_b": hs.Edge("low", 1e-6, 0.1)},
            "best learning rate of random at the low edge (try 1e-06 to 0.1)",
            "search.extend_at_edge=true",
        ),
        ({"seeds": 2}, "too few seeds (2, at least 3)", "confirm_seeds=5"),
        ({"seeds": 0, "low": math.nan, "high": math.nan}, "too few seeds (0, at least 3)", "confirm_seeds=5"),
    ],
)
def test_a_broken_rule_is_named_instead_of_a_winner(change, words, hint):
    result = judge(replace(CLEAR, **change))
    assert result.winner == ""
    assert words in result.sentence
    assert "better" not in result.sentence and "nan" not in result.sentence
    assert result.hint == hint


def test_all_that_is_missing_is_named_at_once_and_each_hint_once():
    edges = dict(edge_a=hs.Edge("high", 1e-5, 1.0), edge_b=hs.Edge("high", 1e-5, 1.0))
    result = judge(replace(CLEAR, trials_a=30, seeds=1, low=math.nan, high=math.nan, **edges))
    assert result.hint == "n_trials=30 search.extend_at_edge=true confirm_seeds=5"
    assert result.sentence.count("edge") == 2


def test_an_arm_checked_and_found_inside_its_range_is_no_obstacle():
    inside = hs.Edge("", 1e-5, 0.1)
    assert judge(replace(CLEAR, edge_a=inside, edge_b=inside, epochs_a=10, epochs_b=10)).winner == "pretrained"


def test_small_gaps_are_shown_beside_the_sampling_of_test_images():
    small = replace(CLEAR, difference=0.3, low=0.1, high=0.5, test_sampling=0.427)
    assert "test-set sampling alone ±0.43" in judge(small).sentence
    assert "sampling" not in judge(replace(small, difference=0.5)).sentence


def test_equal_differences_at_every_seed_leave_the_question_to_mcnemar():
    same = replace(CLEAR, low=math.nan, high=math.nan, p_holm=math.nan)
    unknown = judge(same)
    assert unknown.winner == "" and "every one of 5 seeds gave the same difference (+3.00 points" in unknown.sentence
    assert "nan" not in unknown.sentence
    assert judge(replace(same, p_mcnemar=0.02)).winner == "pretrained"
    assert judge(replace(same, p_mcnemar=0.02, difference=-3.0)).winner == "random"
    assert judge(replace(same, p_mcnemar=0.02, pairs=6)).winner == ""  # 0.12 after Bonferroni
    assert judge(replace(same, p_mcnemar=0.02, difference=0.0)).winner == ""


# --------------------------------------------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    "call",
    [
        lambda: hs.summarise([90.0, math.nan]),
        lambda: hs.summarise([90.0, math.inf]),
        lambda: hs.summarise([[90.0], [91.0]]),
        lambda: hs.summarise([90.0, 91.0], level=95),
        lambda: hs.paired_difference([90.0, 91.0], [90.0]),
        lambda: hs.paired_difference([90.0, math.nan], [90.0, 91.0]),
        lambda: hs.probability_of_improvement([math.nan], [1.0]),
        lambda: hs.holm([0.1, math.nan]),
        lambda: hs.holm([0.1, 1.1]),
        lambda: hs.holm_levels([0.1], alpha=5),
        lambda: hs.compare_pairs([(A, B)], alpha=0),
        lambda: hs.mcnemar([0, 1], [0, 1, 1]),
        lambda: hs.mcnemar([0, 2], [0, 1]),
        lambda: hs.wilson_interval(11, 10),
        lambda: hs.wilson_interval(-1, 10),
        lambda: hs.sampling_half_width(math.nan, 10),
        lambda: hs.sampling_half_width(95, 0),
        lambda: hs.is_chance(50.0, 0, 10),
        lambda: hs.is_chance(math.nan, 10, 10),
        lambda: hs.is_chance(50.0, 10, 10, majority_share=60),
        lambda: hs.expected_calibration_error([50.0], [1]),
        lambda: hs.expected_calibration_error([0.5, 0.5], [1]),
        lambda: hs.expected_best([math.nan]),
        lambda: hs.best_against_budget([math.nan], unpruned_random_draws=False),
        lambda: hs.learning_rate_tolerance([1e-2], [math.nan], ["COMPLETE"], 1e-3, 1e-1),
        lambda: hs.learning_rate_tolerance([1e-2, 1e-3], [90.0], ["COMPLETE"] * 2, 1e-3, 1e-1),
        lambda: hs.learning_rate_tolerance([1.0], [90.0], ["COMPLETE"], 1e-3, 1e-1),
        lambda: hs.edge([1e-2], [math.nan], 1e-3, 1e-1),
        lambda: hs.edge([1e-2], [90.0], 1e-1, 1e-3),
        lambda: hs.edge([1e-2], [90.0], 0.0, 1e-1),
        lambda: hs.time_to_target([1.0, math.nan], [1, 0]),
        lambda: hs.time_to_target([1.0], [1, 0]),
        lambda: hs.time_to_target([-1.0], [1]),
        lambda: hs.time_to_target([1.0], [1], horizon=math.nan),
    ],
)
def test_values_that_cannot_be_meant_are_refused(call):
    with pytest.raises(ValueError):
        call()


def test_importing_takes_neither_torch_nor_scipy():
    loaded = "import sys, headstart.statistics; print(sorted({'torch', 'hydra', 'pandas', 'scipy'} & set(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
