"""Regressors as classifiers, against scikit-learn's own on one-hot targets."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier, RidgeClassifierCV
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsRegressor
from sklearn.svm import LinearSVC

from headstart.models.one_hot import OneHotRegression, targets_of

INPUTS, LABELS = load_digits(return_X_y=True)


@pytest.mark.parametrize("classes", [2, 10])
def test_the_regressor_is_fitted_to_one_for_the_own_class_and_to_zero_for_others(classes):
    kept = np.isin(LABELS, range(classes))
    inputs, labels = INPUTS[kept], LABELS[kept]
    ours = OneHotRegression(Ridge(alpha=3)).fit(inputs, labels)
    theirs = Ridge(alpha=3).fit(inputs, np.eye(classes)[labels]).predict(inputs)
    np.testing.assert_allclose(ours.decision_function(inputs), theirs)
    assert np.array_equal(ours.predict(inputs), theirs.argmax(1))
    assert ours.score(inputs, labels) == (theirs.argmax(1) == labels).mean()


def test_it_is_cloned_and_cross_validated_as_scikit_learns_own_are():
    scores = cross_val_score(OneHotRegression(KNeighborsRegressor(3)), INPUTS[:300], LABELS[:300], cv=3)
    assert scores.min() > 0.8


def test_least_squares_have_targets_and_other_classifiers_none():
    assert targets_of(OneHotRegression(Ridge())) == (0, 1)
    assert targets_of(RidgeClassifier()) == targets_of(RidgeClassifierCV()) == (-1, 1)
    assert targets_of(LogisticRegression()) is targets_of(LinearSVC()) is None
