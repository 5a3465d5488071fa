"""Estimators of scikit-learn: a pipeline on pixels, or on what a frozen network makes of them, fitted in one go."""

import inspect
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeAlias

from annotated_types import Ge, Le

from headstart.errors import UserError
from headstart.models.builders import timm_model
from headstart.models.model import Model
from headstart.typed import Made, shown

ModelSearch: TypeAlias = dict[Literal["params", "first_points"], dict[str, Any] | list[dict[str, Any]] | None] | None
SET_ELSEWHERE = {"random_state": "seed", "n_jobs": "threads"}


@dataclass
class EstimatorModel:
    """A scikit-learn pipeline that is not fitted yet, and what a run has to know about it."""

    pipeline: Any  # sklearn.pipeline.Pipeline; its last step is the classifier
    cv: int | None = None  # folds
    network: Model | None = None  # frozen, whose features are the inputs; None: pixels
    report: list[str] = field(default_factory=list)  # lines for the log
    targets: tuple[float, float] | None = None  # of a regressor's outputs: for other classes, and for the own

    @property
    def estimator(self) -> Any:
        """The classifier, or regressor, at the pipeline's end."""
        return getattr(self.pipeline[-1], "regressor", self.pipeline[-1])

    @property
    def name(self) -> str:
        """The pipeline in words, such as `StandardScaler and LogisticRegression`."""
        return " and ".join(type(step).__name__ for step in (*self.pipeline[:-1], self.estimator))


def sklearn_model(
    *,
    estimator: Made,
    scale: bool = True,
    features: str | None = None,
    weights: str | None = None,
    cv: Annotated[int, Ge(2), Le(100)] | None = None,
    search: ModelSearch = None,
    classes: int,
    class_names: tuple[str, ...],
    image_size: int,
    **parameters: Any,
) -> EstimatorModel:
    """A classifier of scikit-learn on standardised features, or a regressor that is fitted to one-hot targets.

    estimator: one of them. parameters: set on it, and win over its own node's. search: read by sweeps alone.
    The other keys are those of conf/model/sklearn.yaml. Raises UserError for what is neither, for parameters that
    it does not have or take, and for options that do not go together.
    """
    from sklearn.base import is_regressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from headstart.models.one_hot import OneHotRegression, targets_of

    _check_estimator(estimator)
    _set_parameters(estimator, parameters)
    _check_options(features, weights)
    network = None if features is None else _network(features, weights, classes, class_names, image_size)
    classifier = OneHotRegression(estimator) if is_regressor(estimator) else estimator
    model = EstimatorModel(make_pipeline(*([StandardScaler()] if scale else []), classifier), cv, network)
    model.targets = targets_of(classifier)
    if network is not None:
        model.report += [*network.report, f"features: what {features} gives its classifier, computed once"]
    model.report.append(f"fitted in one go: {model.name}; no file of it is kept, its command fits it again")
    if not hasattr(estimator, "predict_proba"):
        model.report.append(f"{type(estimator).__name__} has no probabilities: the softmax of its outputs stands in")
    return model


def _network(features: str, weights: str | None, classes: int, class_names: tuple[str, ...], image_size: int) -> Model:
    shape = dict(classes=classes, class_names=class_names, image_size=image_size)
    frozen = dict(keep_classifier=False, freeze="backbone", unfreeze_epoch=None, backbone_lr_factor=1)
    try:
        return timm_model(name=features, stem="imagenet", weights=weights, **shape, **frozen)
    except UserError as error:
        raise UserError(str(error).replace("model.name=", "model.features=")) from error


def _check_estimator(estimator: Any) -> None:
    from sklearn.base import BaseEstimator, is_classifier, is_regressor

    name = type(estimator).__name__
    if isinstance(estimator, BaseEstimator) and is_regressor(estimator):
        return
    if not isinstance(estimator, BaseEstimator) or not is_classifier(estimator):
        raise UserError(
            f"model.estimator is a {name}, which is no classifier or regressor of scikit-learn;\n"
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
    for key, value in estimator.get_params(deep=False).items():
        _refuse_mistaken(key, value, type(estimator))
    try:
        estimator._validate_params()
    except (ValueError, TypeError) as error:
        raise UserError(f"model.estimator: {error}") from error


def _refuse_mistaken(key: str, value: Any, kind: type) -> None:
    """What scikit-learn takes without meaning it: true for the number 1, and a mapping for an array."""
    takes = getattr(kind, "_parameter_constraints", {}).get(key)
    meant = {bool: ("boolean", "verbose", bool), dict: (dict,)}.get(type(value), ())
    if isinstance(takes, list) and meant and not any(one in takes for one in meant):
        raise UserError(f"model.{key}={shown(value)} is no value of {kind.__name__}'s {key}")


def _check_options(features: str | None, weights: str | None) -> None:
    if features is None and weights is not None:
        raise UserError(
            f"model.weights={weights} has no network to go into; name one: model.features=resnet18, or leave it null"
        )
