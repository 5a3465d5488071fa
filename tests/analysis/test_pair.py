"""Two arms as a verdict sees them."""

import numpy as np
import pandas as pd
import pytest

from headstart.analysis.pair import ArmOfPair, Pair
from headstart.analysis.pairs_table import NO_EPOCHS
from headstart.analysis.predictions import Answers
from headstart.analysis.runs_of_arm import ArmRuns
from headstart.statistics import crossed_uncertainty

IMAGES = np.arange(40)
RIGHT = np.random.default_rng(0).random((3, 40)) < 0.7


def arm(right=RIGHT, *, seeds=(1, 2, 3), images=IMAGES, luck=pd.NA, fold=pd.NA) -> ArmOfPair:
    scores = 100 * right.mean(axis=1)
    repeats = pd.DataFrame(dict(seed=seeds, test_accuracy=scores, state="COMPLETE", fold=fold)).convert_dtypes()
    answers = Answers(tuple(seeds), images, right)
    return ArmOfPair(pd.Series({"luck_std": luck}), ArmRuns(None, repeats), pd.DataFrame(), answers, NO_EPOCHS)


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
    assert pair.answered is None and str(pair.holds_for) == "new seeds"


def test_only_seeds_that_both_have_are_paired():
    pair = Pair(arm(), arm(~RIGHT, seeds=(2, 3, 4)))
    assert pair.seeds == [2, 3]
    assert (pair.answered[0] == 100.0 * RIGHT[1:]).all() and (pair.answered[1] == 100.0 * ~RIGHT[:2]).all()
