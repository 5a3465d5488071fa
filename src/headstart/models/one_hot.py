"""Regressors of scikit-learn as classifiers: fitted to 1 for the own class and 0 for others; the highest wins."""

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import RidgeClassifier, RidgeClassifierCV


class OneHotRegression(ClassifierMixin, BaseEstimator):
    """Any regressor that takes several targets at once, as a classifier."""

    def __init__(self, regressor: Any):
        self.regressor = regressor

    def fit(self, inputs: np.ndarray, labels: np.ndarray, sample_weight: np.ndarray | None = None) -> Self:
        """Fit the regressor: inputs [N, width], labels [N]; sample_weight: of each of them, [N]."""
        self.classes_ = np.unique(labels)
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        self.regressor.fit(inputs, (labels[:, None] == self.classes_[None]).astype(np.float64), **weights)
        return self

    def decision_function(self, inputs: np.ndarray) -> np.ndarray:
        """The regressor's outputs, float [N, K]."""
        return self.regressor.predict(inputs)

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """The class of the highest output, [N]."""
        return self.classes_[self.decision_function(inputs).argmax(1)]


def targets_of(estimator: Any) -> tuple[float, float] | None:
    """What a least-squares classifier's outputs are fitted to, for other classes and the own; None of any other one."""
    if isinstance(estimator, OneHotRegression):
        return 0.0, 1.0
    return (-1.0, 1.0) if isinstance(estimator, RidgeClassifier | RidgeClassifierCV) else None
