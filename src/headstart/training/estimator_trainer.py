"""The fit of a scikit-learn pipeline in place of epochs: its inputs, its threads, its warnings and its predictions."""

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.data import Dataset, Split, normalise
from headstart.errors import UserError
from headstart.models import EstimatorModel, count_parameters
from headstart.training.devices import device_name, move_network
from headstart.training.frozen_features import FrozenFeatures
from headstart.training.metrics import accuracy, cross_entropy, regression_errors
from headstart.training.settings import Outcome, Settings, Watcher

log = logging.getLogger(__name__)

CHUNK = 1000  # images turned into floating point at a time


@dataclass
class EstimatorTrainer:
    """The fit of one scikit-learn pipeline, in one go; `run` is the way in."""

    model: EstimatorModel
    data: Dataset
    settings: Settings  # its seed and image size; device, precision and normalisation are the network's
    split_seed: int
    threads: int
    run_dir: Path
    watcher: Watcher
    identity: str  # config hash

    def __post_init__(self) -> None:
        keys = [key for key in self.model.pipeline.get_params() if key.split("__")[-1] == "random_state"]
        self.model.pipeline.set_params(**dict.fromkeys(keys, self.settings.seed))
        rarest = int(self.data.train.labels.bincount().min())
        if (self.model.cv or 0) > rarest:
            raise UserError(f"model.cv={self.model.cv} needs as many images of each class; one has {rarest}")
        self.weighted = self._weighted() if self.data.class_weights else {}
        self.validated: tuple[torch.Tensor, float] | None = None  # predictions of the validation part, once fitted
        self.errors: dict[str, float] = {}  # of a regressor on the parts that were predicted, as columns of trials.csv
        self.features: FrozenFeatures | None = None
        self.seconds_features: float | None = None  # for features that are not kept
        if (network := self.model.network) is not None:
            move_network(network.network, self.settings.device)
            self.features = FrozenFeatures(network, self.settings, lambda *_: None, self.watcher.features)

    def run(self) -> Outcome:
        """Fit the pipeline on the training part, after cross-validating it there where asked, and validate it."""
        inputs, labels = self._inputs(self.data.train), self.data.train.labels.numpy()
        images, width = inputs.shape
        log.info("fitting %s to %s images of %s features", self.model.name, f"{images:,}", f"{width:,}")
        self.watcher.fit(f"fitting {self.model.name}")
        columns = self._cross_validate(inputs, labels) if self.model.cv else {}
        seconds, reason = self._fit(inputs, labels)
        probabilities, val_loss = self.validated = self.predict(self.data.val)
        val_accuracy = accuracy(self.data.val.labels.numpy(), probabilities.numpy())
        validated = dict(val_accuracy=val_accuracy, val_loss=val_loss)
        return Outcome("COMPLETE", reason, **validated, seconds_train=seconds, columns=columns)

    def predict(self, split: Split) -> tuple[torch.Tensor, float]:
        """Return class probabilities float64 [N, K], as scikit-learn gives them, and the mean cross-entropy in nats."""
        if split is self.data.val and self.validated is not None:
            return self.validated
        inputs = self._inputs(split)
        with self._held_to_threads(1):  # a forest adds up its trees in the order in which threads come
            probabilities = self._probabilities(inputs, split)
        return torch.from_numpy(probabilities), cross_entropy(split.labels.numpy(), probabilities)

    def facts(self) -> dict[str, Any]:
        """What is in use, as columns of trials.csv; the count of parameters is known once the pipeline is fitted."""
        from sklearn import __version__ as version

        settings, network = self.settings, self.model.network
        normalised = [settings.normalisation] * (network is not None) + ["standard_scaler"] * self._is_scaled()
        return dict(
            freeze=network and network.freeze,
            image_size=settings.image_size,
            normalisation=", ".join(normalised) or None,
            weights_sha256=network and network.weights_sha256,
            precision=settings.precision,
            device="cpu" if network is None else device_name(settings.device),
            sklearn_version=version,
            **self._counts(),
        )

    def further_columns(self) -> dict[str, float | None]:
        """Seconds that computing features took, None where the inputs are pixels, and a regressor's errors."""
        kept = self.features is not None and self.features.used
        return dict(seconds_features=self.features.seconds if kept else self.seconds_features, **self.errors)

    def weights_file(self, architecture: str, network: str) -> bytes | None:
        """None: scikit-learn keeps a fitted estimator as a pickle, which runs code when it is read."""
        return None

    def _counts(self) -> dict[str, int | None]:
        """Coefficients and intercepts, and the parameters of the network before its classifier."""
        fitted = [getattr(self.model.estimator, name, None) for name in ("coef_", "intercept_")]
        if fitted[0] is None:
            return dict.fromkeys(("parameters", "parameters_trainable", "parameters_with_statistics"))
        own = sum(int(np.size(array)) for array in fitted)
        counts = dict(parameters=own, parameters_trainable=own, parameters_with_statistics=own)
        if (model := self.model.network) is not None:
            whole, head = map(count_parameters, (model.network, model.network.get_submodule(model.classifier)))
            for key in ("parameters", "parameters_with_statistics"):
                counts[key] += whole[key] - head[key]
        return counts

    def _is_scaled(self) -> bool:
        return len(self.model.pipeline) > 1

    # ---- its inputs, float32 [N, width]

    def _inputs(self, split: Split) -> np.ndarray:
        return self._pixels(split) if self.features is None else self._features(split)

    def _features(self, split: Split) -> np.ndarray:
        """What the frozen network gives its classifier: from the cache, or computed here where none is kept."""
        table, begin, chunks = self.features.table(split), time.monotonic(), []
        for start in range(0, len(split.labels), CHUNK):
            rows = torch.arange(start, min(start + CHUNK, len(split.labels)))
            found = self._computed(split.pictures(rows)) if table is None else table.rows(rows)
            chunks.append(found.flatten(1).float().cpu().numpy())
        if table is None:
            self.seconds_features = (self.seconds_features or 0.0) + time.monotonic() - begin
        return np.concatenate(chunks)

    def _computed(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.features.compute(batch) for batch in images.split(self.features.at_once())])

    def _pixels(self, split: Split) -> np.ndarray:
        """Pixels in 0..1, row by row, red, green, blue."""
        size = self.settings.image_size
        pixels = np.empty((len(split.labels), size * size * 3), dtype=np.float32)
        for start in range(0, len(pixels), CHUNK):
            chunk = normalise(split.pictures(slice(start, start + CHUNK)), (0, 0, 0), (1 / 255,) * 3, size=size)
            pixels[start : start + CHUNK] = chunk.permute(0, 2, 3, 1).flatten(1).numpy()
        return np.divide(pixels, 255, out=pixels)

    # ---- scikit-learn's part

    def _weighted(self) -> dict[str, np.ndarray]:
        """What the fit is given for data.class_weights=balanced: sample weights, where the estimator has no own way."""
        from sklearn.utils.validation import has_fit_parameter

        name, step = self.model.pipeline.steps[-1]
        own = step.get_params(deep=False)
        if own.get("class_weight") is not None:
            raise UserError(
                f"model.class_weight and data.class_weights are both given to {self.model.name}; leave one out"
            )
        if "class_weight" in own:
            step.set_params(class_weight="balanced")
            return {}
        if not has_fit_parameter(step, "sample_weight") or not has_fit_parameter(self.model.estimator, "sample_weight"):
            raise UserError(
                f"data.class_weights=balanced: {type(self.model.estimator).__name__} takes no weights of classes or "
                "pictures; leave it out, or choose another model"
            )
        weights = np.asarray(self.data.class_weights)[self.data.train.labels.numpy()]
        return {f"{name}__sample_weight": weights}

    def _fit(self, inputs: np.ndarray, labels: np.ndarray) -> tuple[float, str]:
        """Fit the pipeline; returns the seconds that it took and what scikit-learn says against the result."""
        with self._held_to_threads(self.threads) as complaints:
            begin = time.monotonic()
            self.model.pipeline.fit(inputs, labels, **self.weighted)
            seconds = time.monotonic() - begin
        reason = "; ".join(dict.fromkeys(complaints))
        if reason:
            log.warning("%s: %s", self.model.name, reason)
        return seconds, reason

    def _cross_validate(self, inputs: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        """Accuracy over stratified folds of the training part, the scaler fitted anew in each."""
        from sklearn.model_selection import StratifiedKFold, cross_val_score

        folds = StratifiedKFold(self.model.cv, shuffle=True, random_state=self.split_seed)
        options = dict(cv=folds, n_jobs=1, error_score="raise", params=self.weighted)
        with self._held_to_threads(self.threads) as complaints:
            accuracies = 100 * cross_val_score(self.model.pipeline, inputs, labels, **options)
        if complaints:
            log.warning("cross-validation: %s in some of the folds", "; ".join(dict.fromkeys(complaints)))
        mean, std = float(accuracies.mean()), float(accuracies.std(ddof=1))
        return dict(cv_folds=len(accuracies), cv_accuracy_mean=mean, cv_accuracy_std=std)

    def _probabilities(self, inputs: np.ndarray, split: Split) -> np.ndarray:
        """Class probabilities float64 [N, K]; of an estimator that has none, the softmax of its outputs.

        Of a regressor the outputs' errors are noted, as if its targets had been 0 and 1.
        """
        from scipy.special import softmax

        pipeline = self.model.pipeline
        if hasattr(pipeline, "predict_proba"):
            return pipeline.predict_proba(inputs).astype(np.float64)
        outputs = pipeline.decision_function(inputs).astype(np.float64)
        outputs = outputs if outputs.ndim == 2 else np.stack([-outputs, outputs], axis=1)
        if self.model.targets is not None:
            low, high = self.model.targets
            found = regression_errors(split.labels.numpy(), (outputs - low) / (high - low))
            part = "val" if split is self.data.val else "test"
            self.errors = {
                f"{part}_{name}": error for name, error in found.items()
            } | self.errors  # not of worse pictures
        return softmax(outputs, axis=1)

    @contextmanager
    def _held_to_threads(self, jobs: int) -> Iterator[list[str]]:
        """Hold scikit-learn to the run's threads, `jobs` of its own; yields a list that gets what it complains of.

        That is what bears on the result; other warnings are passed on. Raises UserError for what it cannot fit.
        """
        from joblib import parallel_config
        from threadpoolctl import threadpool_limits

        complaints: list[str] = []
        with _recorded_warnings() as caught:
            try:
                with threadpool_limits(self.threads), parallel_config("threading", n_jobs=jobs):
                    yield complaints
            except ValueError as error:
                raise UserError(f"{self.model.name} cannot be fitted: {error}") from error
        for warning in caught:
            if (complaint := _complaint(warning.category, self.model.estimator)) is not None:
                complaints.append(complaint)
            else:
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


@contextmanager
def _recorded_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """A list that gets every warning, of those that `_complaint` names all, not the first alone."""
    from scipy.linalg import LinAlgWarning
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(record=True) as caught:
        for category in (ConvergenceWarning, LinAlgWarning):
            warnings.simplefilter("always", category)
        yield caught


def _complaint(category: type[Warning], estimator: Any) -> str | None:
    """What a warning says against the result of a fit; None for one that does not."""
    from scipy.linalg import LinAlgWarning
    from sklearn.exceptions import ConvergenceWarning

    if issubclass(category, ConvergenceWarning):
        return f"did not converge in {getattr(estimator, 'max_iter', 'its')} iterations"
    return "the matrix is ill-conditioned" if issubclass(category, LinAlgWarning) else None
