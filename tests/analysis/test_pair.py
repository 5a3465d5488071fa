"""Two arms as a verdict sees them."""

import numpy as np
import pandas as pd
import pytest

from headstart.analysis.pair import ArmOfPair, Pair
from headstart.analysis.pairs_table import NO_EPOCHS
from headstart.analysis.predictions import Answers
from headstart.analysis.runs_of_arm import ArmRuns
from headstart.statistics import crossed_uncertainty, half_width, pictures_alone, seeds_alone, unpaired_pictures

IMAGES = np.arange(40)
RIGHT = np.random.default_rng(0).random((3, 40)) < 0.7


def arm(right=RIGHT, *, seeds=(1, 2, 3), images=IMAGES, luck=pd.NA, fold=pd.NA, answered=True, tested=40) -> ArmOfPair:
    scores = 100 * right.mean(axis=1)
    repeats = pd.DataFrame(dict(seed=seeds, test_accuracy=scores, state="COMPLETE", fold=fold)).convert_dtypes()
    answers = Answers(tuple(seeds), images, right) if answered else None
    return ArmOfPair(
        pd.Series({"luck_std": luck, "test_images": tested}),
        ArmRuns(repeats, None, repeats),
        pd.DataFrame(),
        answers,
        NO_EPOCHS,
    )


def test_seeds_and_pictures_are_both_in_the_variance():
    pair = Pair(arm(), arm(~RIGHT))
    known = crossed_uncertainty(100.0 * RIGHT - 100.0 * ~RIGHT)
    assert (pair.difference().variance, pair.difference().df) == pytest.approx((known.variance, known.df))
    assert str(pair.holds_for) == "new seeds and new test pictures"


def test_the_luck_of_both_searches_adds_to_it():
    without, with_luck = Pair(arm(), arm(~RIGHT)), Pair(arm(luck=0.5), arm(~RIGHT, luck=1.0))
    assert with_luck.difference().variance == pytest.approx(without.difference().variance + 0.25 + 1.0)
    assert str(with_luck.holds_for) == "new seeds, new test pictures and repeated searches"
    assert not Pair(arm(luck=0.5), arm(~RIGHT)).has_luck


def test_where_both_were_validated_on_several_folds_it_holds_for_other_training_pictures_of_them():
    folded = dict(luck=0.5, fold=[0, 1, 2])
    said = "new seeds, new test pictures, repeated searches and other training pictures of these folds"
    assert str(Pair(arm(**folded), arm(~RIGHT, **folded)).holds_for) == said
    for fold in (pd.NA, 0):
        assert "training" not in str(Pair(arm(**folded), arm(~RIGHT, fold=fold)).holds_for)


def test_answers_to_other_pictures_are_not_compared():
    pair = Pair(arm(), arm(images=np.arange(1, 41)))
    assert pair.answered is None and not pair.pictures().is_paired


def test_only_seeds_that_both_have_are_paired():
    pair = Pair(arm(), arm(~RIGHT, seeds=(2, 3, 4)))
    assert pair.seeds == [2, 3]
    assert (pair.answered[0] == 100.0 * RIGHT[1:]).all() and (pair.answered[1] == 100.0 * ~RIGHT[:2]).all()


def test_without_answers_the_pictures_count_as_of_two_accuracies_on_pictures_of_their_own():
    paired = Pair(arm(), arm(~RIGHT))
    pair = Pair(arm(answered=False), arm(~RIGHT, answered=False))
    a, b = pair.scores.mean()
    expected = seeds_alone(float((pair.scores["a"] - pair.scores["b"]).std()), 3).variance
    expected += unpaired_pictures(a, b, 40).variance
    assert pair.difference().variance == pytest.approx(expected) and not pair.pictures().is_paired
    assert str(pair.holds_for) == "new seeds and new test pictures"
    assert pair.pictures().number == paired.pictures().number == 40


def test_a_search_that_was_not_tested_on_known_pictures_leaves_them_out():
    pair = Pair(arm(answered=False, tested=pd.NA), arm(~RIGHT, answered=False))
    assert pair.pictures() is None and str(pair.holds_for) == "new seeds"


def test_on_10000_pictures_the_unpaired_error_is_that_of_two_proportions():
    known = unpaired_pictures(80.0, 78.0, 10_000)
    assert half_width(known) == pytest.approx(196 * np.sqrt((0.8 * 0.2 + 0.78 * 0.22) / 10_000), rel=1e-3)


def test_pictures_alone_leave_no_more_than_two_accuracies_can_differ_by():
    few = Pair(arm(RIGHT[:, :2], images=IMAGES[:2]), arm(~RIGHT[:, :2], images=IMAGES[:2])).pictures()
    assert half_width(few.alone, 0.99) > 100 and few.at(0.99).half_width == 100


def test_a_nearly_perfect_accuracy_on_few_pictures_is_not_sure():
    shares = np.array([37 / 38, 33 / 38])  # 36 and 32 of 36, and a right and a wrong answer more
    assert unpaired_pictures(100.0, 100 * 32 / 36, 36).variance == pytest.approx(
        1e4 * (shares * (1 - shares)).sum() / 38
    )


def test_paired_pictures_alone_leave_what_mcnemars_interval_does():
    values = np.repeat([100.0, -100.0, 0.0], [9, 4, 23])[None]  # 13 of 36 pictures are answered differently
    known = pictures_alone(values)
    share, net = 13 / 36, 5 / 36
    assert known.variance == pytest.approx(1e4 * (share - net**2) / 35) and known.df == 35
