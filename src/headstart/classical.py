"""Classifiers of scikit-learn: a pipeline on pixels, or on what a frozen network makes of them, fitted in one go."""

import inspect
import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.augmentation import normalise
from headstart.data import Dataset, Split
from headstart.errors import UserError
from headstart.training import Outcome, Watcher

log = logging.getLogger(__name__)

CHUNK = 1000  # pictures turned into floating point at a time
SET_ELSEWHERE = {"random_state": "seed", "n_jobs": "threads"}


@dataclass
class Classical:
    """A scikit-learn pipeline that is not fitted yet, and what a run has to know about it."""

    pipeline: Any  # sklearn.pipeline.Pipeline; its last step is the classifier
    cv: int | None = None  # folds
    freeze: str | None = None
    weights_sha256: str | None = None
    report: list[str] = field(default_factory=list)  # lines for the log

    @property
    def estimator(self) -> Any:
        """The classifier at the pipeline's end."""
        return self.pipeline[-1]

    @property
    def name(self) -> str:
        """The pipeline in words, such as `StandardScaler and LogisticRegression`."""
        return " and ".join(type(step).__name__ for _, step in self.pipeline.steps)


def classical(
    *, estimator: Any, scale: bool = True, features: str | None = None, weights: str | None = None,
    cv: int | None = None, search: Any = None, classes: int, class_names: tuple[str, ...], image_size: int,
    **parameters: Any,
) -> Classical:  # fmt: skip
    """A classifier of scikit-learn on standardised features.

    estimator: the classifier. parameters: set on it, and win over its own node's. search: read by sweeps alone.
    The other keys are those of conf/model/sklearn.yaml. Raises UserError for what is no classifier, for parameters that
    it does not have or take, and for options that do not go together.
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    _check_estimator(estimator)
    _set_parameters(estimator, parameters)
    _check_options(scale, features, weights, cv)
    model = Classical(make_pipeline(*([StandardScaler()] if scale else []), estimator), cv)
    model.report.append(f"fitted in one go: {model.name}; no file of it is kept, its command fits it again")
    if not hasattr(estimator, "predict_proba"):
        model.report.append(f"{type(estimator).__name__} has no probabilities: the softmax of its outputs stands in")
    return model


def _check_estimator(estimator: Any) -> None:
    from sklearn.base import BaseEstimator, is_classifier

    name = type(estimator).__name__
    if not isinstance(estimator, BaseEstimator) or not is_classifier(estimator):
        raise UserError(
            f"model.estimator is a {name}, which is no classifier of scikit-learn;\n"
            "give one, such as model.estimator._target_=sklearn.neighbors.KNeighborsClassifier"
        )
    if not hasattr(estimator, "predict_proba") and not hasattr(estimator, "decision_function"):
        raise UserError(f"model.estimator: {name} has neither predict_proba nor decision_function; give another")


def _set_parameters(estimator: Any, parameters: dict[str, Any]) -> None:
    """Set the parameters and have scikit-learn check all of them: left to itself it would do so when it fits."""
    known, name = estimator.get_params(deep=False), type(estimator).__name__
    defaults = inspect.signature(type(estimator)).parameters
    for key in parameters:
        if key not in known:
            close = get_close_matches(key, known, n=1)
            guess = f"Did you mean model.{close[0]}? " if close else ""
            raise UserError(f"model.{key} is no parameter of {name}. {guess}It has {', '.join(sorted(known))}")
        if known[key] is not defaults[key].default and known[key] != defaults[key].default:
            raise UserError(f"model.{key} and model.estimator.{key} are both given; leave the second out")
    estimator.set_params(**parameters)
    for key, instead in SET_ELSEWHERE.items():
        if estimator.get_params(deep=False).get(key) is not None:
            raise UserError(f"{key} of {name} is set by {instead}=...; leave model.{key} and model.estimator.{key} out")
    try:
        estimator._validate_params()
    except (ValueError, TypeError) as error:
        raise UserError(f"model.estimator: {error}") from error


def _check_options(scale: bool, features: str | None, weights: str | None, cv: int | None) -> None:
    if not isinstance(scale, bool):
        raise UserError(f"model.scale={scale!r} is neither true nor false")
    if features is None and weights is not None:
        raise UserError(
            f"model.weights={weights} has no network to go into; name one: model.features=resnet18, or leave it null"
        )
    if cv is not None and (type(cv) is not int or cv < 2):
        raise UserError(f"model.cv={cv!r} is no number of folds; give a whole number from 2, such as 5, or null")


# ---------------------------------------------------------------------------------------------------------- one fit


@dataclass
class Trainer:
    """One fit, seen by a run as `training.Trainer` is: `run`, `predict`, `facts`, `weights_file`."""

    model: Classical
    data: Dataset
    image_size: int  # pixels
    seed: int
    split_seed: int
    threads: int
    run_dir: Path
    watcher: Watcher
    identity: str  # config hash

    def __post_init__(self) -> None:
        seeds = {k: self.seed for k in self.model.pipeline.get_params() if k.split("__")[-1] == "random_state"}
        self.model.pipeline.set_params(**seeds)

    def run(self) -> Outcome:
        """Fit the pipeline on the training part, after cross-validating it there where asked, and validate it."""
        inputs, labels = self._inputs(self.data.train), self.data.train.labels.numpy()
        images, features = inputs.shape
        what = f"fitting {self.model.name} to {images:,} images of {features:,} features"
        log.info("%s", what)
        self.watcher.fit(what)
        columns = self._cross_validate(inputs, labels) if self.model.cv else {}
        with self._computing() as notes:
            begin = time.monotonic()
            self.model.pipeline.fit(inputs, labels)
            seconds = time.monotonic() - begin
        reason = "; ".join(dict.fromkeys(notes))
        if reason:
            log.warning("%s: %s", self.model.name, reason)
        probabilities, loss = self.predict(self.data.val)
        right = (probabilities.argmax(1) == self.data.val.labels).double().mean().item()
        return Outcome(
            "COMPLETE", reason, val_accuracy=100 * right, val_loss=loss, seconds_train=seconds, columns=columns
        )

    def predict(self, split: Split) -> tuple[torch.Tensor, float]:
        """Return class probabilities float64 [N, K], as scikit-learn gives them, and the mean cross-entropy in nats.

        A true class of probability 0 counts as the smallest step of float64, as `sklearn.metrics.log_loss` has it.
        """
        from sklearn.metrics import log_loss

        with self._computing(jobs=1):  # a forest adds up its trees in the order in which threads come
            shares = self._probabilities(self._inputs(split))
        loss = log_loss(split.labels.numpy(), shares / shares.sum(1, keepdims=True), labels=range(shares.shape[1]))
        return torch.from_numpy(shares), float(loss)

    def facts(self) -> dict[str, Any]:
        """What is in use, as columns of trials.csv; the count of parameters is known once the pipeline is fitted."""
        from sklearn import __version__ as version

        fitted = [getattr(self.model.estimator, name, None) for name in ("coef_", "intercept_")]
        count = None if fitted[0] is None else sum(int(np.size(a)) for a in fitted)
        return dict(
            freeze=self.model.freeze, image_size=self.image_size, weights_sha256=self.model.weights_sha256,
            normalisation=self._normalisation(), device="cpu", precision=None,
            sklearn_version=version,
            parameters=count, parameters_trainable=count, parameters_with_statistics=None,
        )  # fmt: skip

    def weights_file(self, architecture: str) -> bytes | None:
        """None: scikit-learn keeps a fitted estimator as a pickle, which runs code when it is read."""
        return None

    # ---- its parts

    def _inputs(self, split: Split) -> np.ndarray:
        """Pictures as float32 [N, features]: pixels in 0..1, row by row, red, green, blue."""
        size = self.image_size
        pixels = np.empty((len(split.labels), size * size * 3), dtype=np.float32)
        for start in range(0, len(pixels), CHUNK):
            chunk = normalise(split.images[start : start + CHUNK], (0, 0, 0), (1 / 255,) * 3, size=size)
            pixels[start : start + CHUNK] = chunk.permute(0, 2, 3, 1).flatten(1).numpy()
        return np.divide(pixels, 255, out=pixels)

    def _probabilities(self, inputs: np.ndarray) -> np.ndarray:
        from scipy.special import softmax

        pipeline = self.model.pipeline
        if hasattr(pipeline, "predict_proba"):
            return pipeline.predict_proba(inputs).astype(np.float64)
        outputs = pipeline.decision_function(inputs).astype(np.float64)
        return softmax(outputs if outputs.ndim == 2 else np.stack([-outputs, outputs], axis=1), axis=1)

    def _cross_validate(self, inputs: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        """Accuracy over stratified folds of the training part, the scaler fitted anew in each."""
        from sklearn.model_selection import StratifiedKFold, cross_val_score

        rarest = int(np.bincount(labels).min())
        if self.model.cv > rarest:
            raise UserError(f"model.cv={self.model.cv} needs as many images of each class; one has {rarest}")
        folds = StratifiedKFold(self.model.cv, shuffle=True, random_state=self.split_seed)
        with self._computing() as notes:
            scores = 100 * cross_val_score(self.model.pipeline, inputs, labels, cv=folds, n_jobs=1, error_score="raise")
        if notes:
            log.warning("cross-validation: %s in some of the folds", "; ".join(dict.fromkeys(notes)))
        return dict(
            cv_folds=len(scores), cv_accuracy_mean=float(scores.mean()), cv_accuracy_std=float(scores.std(ddof=1))
        )

    def _normalisation(self) -> str | None:
        return "standard_scaler" if len(self.model.pipeline) > 1 else None

    @contextmanager
    def _computing(self, jobs: int | None = None) -> Iterator[list[str]]:
        """Hold scikit-learn to the run's threads; yields a list that gets what it warned of that bears on the result.

        Other warnings are passed on. Raises UserError for what it cannot fit.
        """
        from joblib import parallel_config
        from scipy.linalg import LinAlgWarning
        from sklearn.exceptions import ConvergenceWarning
        from threadpoolctl import threadpool_limits

        notes: list[str] = []
        with warnings.catch_warnings(record=True) as caught:
            for category in (ConvergenceWarning, LinAlgWarning):
                warnings.simplefilter("always", category)
            try:
                with threadpool_limits(self.threads), parallel_config("threading", n_jobs=jobs or self.threads):
                    yield notes
            except ValueError as error:
                raise UserError(f"{self.model.name} cannot be fitted: {error}") from error
        for warning in caught:
            if issubclass(warning.category, ConvergenceWarning):
                notes.append(f"did not converge in {getattr(self.model.estimator, 'max_iter', 'its')} iterations")
            elif issubclass(warning.category, LinAlgWarning):
                notes.append("the matrix is ill-conditioned")
            else:
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
