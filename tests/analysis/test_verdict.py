"""A verdict names a winner only where every rule is met, by simulation in at most 5 % of families of equal arms."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from headstart.analysis.verdict import ArmEvidence, NextStep, PairEvidence, PicturesAlone, counted
from headstart.analysis.verdict import verdict as judge
from headstart.statistics import Edge, compare_pairs, paired_difference

STUDIES = 2000


def _families(rng, centres, families, seeds):
    """Simulated test accuracies of arms, [families, arms, seeds]; seeds share an effect over the arms."""
    shape = (families, len(centres), seeds)
    return np.asarray(centres)[:, None] + rng.normal(0, 0.5, shape) + rng.normal(0, 1, (families, 1, seeds))


def _judge(family):
    """Every pair of a family through the code path of a report: (i, j, comparison, verdict)."""
    indices = list(itertools.combinations(range(len(family)), 2))
    comparisons = compare_pairs([[paired_difference(family[i], family[j])] for i, j in indices])
    for (i, j), compared in zip(indices, comparisons, strict=True):
        arms = [ArmEvidence(f"arm{k}", trials=12) for k in (i, j)]
        yield i, j, compared, judge(PairEvidence(*arms, compared, family=len(indices)))


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


COMPARED = replace(paired_difference([0.0] * 5, [0.0] * 5), difference=3.0, low=1.0, high=5.0, p_holm=0.01)
CLEAR = PairEvidence(ArmEvidence("pretrained", trials=12), ArmEvidence("random", trials=12), COMPARED)


def changed(evidence=CLEAR, **values):
    """Evidence with other values: trials_a, edge_b, ... of an arm; low, n, ... of what was compared; or its own."""
    for side in "ab":
        own = {key: values.pop(f"{key}_{side}") for key in vars(evidence.a) if f"{key}_{side}" in values}
        evidence = replace(evidence, **{side: replace(getattr(evidence, side), **own)})
    compared = {key: values.pop(key) for key in vars(COMPARED) if key in values}
    return replace(evidence, compared=replace(evidence.compared, **compared), **values)


def test_clear_evidence_names_the_winner_with_interval_and_seeds():
    result = judge(CLEAR)
    assert (result.winner, result.next_steps) == ("pretrained", ())
    assert result.sentence == (
        "pretrained is better than random by 3.00 points "
        "(95 % interval 1.00 to 5.00, 5 seeds, luck of the search not included)"
    )


def test_the_winner_is_the_better_arm_in_whichever_order():
    mirrored = changed(name_a="random", name_b="pretrained", difference=-3.0, low=-5.0, high=-1.0)
    assert judge(mirrored) == judge(CLEAR)


def test_the_family_and_the_level_are_named():
    sentence = judge(changed(family=6, alpha=0.1)).sentence
    assert "90 % interval 1.00 to 5.00, corrected for 6 pairs" in sentence


def test_an_interval_around_zero_bounds_the_difference():
    result = judge(changed(difference=-0.4, low=-1.3, high=0.5, p_holm=0.3))
    assert result.winner == ""
    assert result.sentence.startswith("no difference larger than 1.30 points shown between random and pretrained")
    assert "difference +0.40, 95 % interval -0.50 to 1.30" in result.sentence
    assert result.next_steps == (NextStep("seeds"),)
    searches = changed(low=-1.0, p_holm=0.3, repeats="searches")
    assert judge(searches).next_steps == (NextStep("seeds", 10),)
    assert judge(changed(searches, n=10)).next_steps == ()


def test_where_no_difference_would_have_been_shown_the_sentence_says_so():
    wide = paired_difference([90.0, 20.0, 95.0], [30.0, 80.0, 10.0])
    sentence = judge(replace(CLEAR, compared=wide)).sentence
    assert sentence.startswith("no difference larger than 100.00 points shown")
    assert "95 % interval -100.00 to 100.00" in sentence
    assert sentence.endswith("; not even one of 100 would have been shown 80 times in 100")


@pytest.mark.parametrize("change", [{"low": -0.1}, {"p_holm": 0.05}, {"p_holm": 0.2}, {"low": 0.0}])
def test_no_winner_without_both_the_interval_and_the_p_value(change):
    assert judge(changed(**change)).winner == ""


@pytest.mark.parametrize(
    ("change", "words", "steps"),
    [
        ({"trials_b": 30}, "budgets differ (12 against 30 trials)", [NextStep("trials", 30)]),
        (
            {"trials_b": 30, "low": math.nan, "high": math.nan},
            "budgets differ (12 against 30 trials)",
            [NextStep("trials", 30)],
        ),
        ({"epochs_a": 10, "epochs_b": 20}, "budgets differ (10 against 20 epochs)", []),
        (
            {"edge_a": Edge("high", 1e-5, 1.0)},
            "best learning rate of pretrained at the high edge (try 1e-05 to 1)",
            [NextStep("range")],
        ),
        (
            {"edge_b": Edge("low", 1e-6, 0.1)},
            "best learning rate of random at the low edge (try 1e-06 to 0.1)",
            [NextStep("range")],
        ),
        ({"n": 2}, "too few seeds (2, at least 3)", [NextStep("seeds", 5)]),
        ({"n": 0, "low": math.nan, "high": math.nan}, "too few seeds (0, at least 3)", [NextStep("seeds", 5)]),
    ],
)
def test_a_broken_rule_is_named_instead_of_a_winner(change, words, steps):
    result = judge(changed(**change))
    assert result.winner == ""
    assert words in result.sentence
    assert "better" not in result.sentence and "nan" not in result.sentence
    assert list(result.next_steps) == steps


def test_all_that_is_missing_is_named_at_once_and_each_step_once():
    edges = dict(edge_a=Edge("high", 1e-5, 1.0), edge_b=Edge("high", 1e-5, 1.0))
    result = judge(changed(trials_a=30, n=1, low=math.nan, high=math.nan, **edges))
    assert result.next_steps == (NextStep("trials", 30), NextStep("range"), NextStep("seeds", 5))
    assert result.sentence.count("edge") == 2


def test_an_arm_checked_and_found_inside_its_range_is_no_obstacle():
    inside = Edge("", 1e-5, 0.1)
    assert judge(changed(edge_a=inside, edge_b=inside, epochs_a=10, epochs_b=10)).winner == "pretrained"


def test_a_model_without_epochs_has_none_that_another_could_have_more_of():
    assert judge(changed(epochs_a=10, epochs_b=None)).winner == "pretrained"


def test_where_test_pictures_alone_could_make_the_difference_it_is_said_in_plain_words():
    unclear = changed(difference=11.11, low=-6.0, high=28.2, p_holm=0.2, pictures=PicturesAlone(36, 16.23))
    found = judge(unclear)
    assert found.sentence.endswith("; 36 test pictures alone leave ±16.23 points")
    assert found.next_steps == (NextStep("seeds"), NextStep("hidden"))
    unpaired = judge(changed(unclear, pictures=PicturesAlone(36, 16.23, is_paired=False)))
    assert unpaired.sentence.endswith("±16.23 points, as predictions were not kept to pair them")
    assert unpaired.next_steps == (NextStep("seeds"), NextStep("unpaired"))
    many = judge(changed(unclear, pictures=PicturesAlone(10_000, 0.8)))
    assert "pictures alone" not in many.sentence and many.next_steps == (NextStep("seeds"),)


def test_equal_differences_at_every_seed_say_nothing_without_the_test_images():
    same = changed(low=math.nan, high=math.nan, p_holm=math.nan)
    unknown = judge(same)
    assert unknown.winner == "" and "every one of 5 seeds gave the same difference (+3.00 points" in unknown.sentence
    assert "nan" not in unknown.sentence


@pytest.mark.parametrize(
    ("paired", "deterministic", "step"),
    [
        (True, False, NextStep("seeds")),
        (False, False, NextStep("seeds")),
        (True, True, NextStep("images")),
        (False, True, NextStep("predictions")),
    ],
)
def test_more_seeds_are_asked_for_only_where_they_can_change_something(paired, deterministic, step):
    pictures = PicturesAlone(1000, 0.2, paired)
    unclear = changed(low=-1.0, high=2.0, p_holm=0.4, deterministic=deterministic, pictures=pictures)
    assert judge(unclear).next_steps == (step,)


def test_one_thing_is_counted_in_the_singular():
    assert [counted(number, "trial") for number in (0, 1, 1234)] == ["0 trials", "1 trial", "1,234 trials"]
