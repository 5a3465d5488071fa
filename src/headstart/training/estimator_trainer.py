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
from headstart.models import EstimatorModel, backbone_features, count_parameters
from headstart.training.devices import autocast, device_name, place
from headstart.training.frozen_features import Features
from headstart.training.trainer import Outcome, Settings, Watcher

log = logging.getLogger(__name__)

CHUNK = 1000  # pictures turned into floating point at a time
BATCH = 100  # of them, that go through a network at once


@dataclass
class Trainer:
    """One fit, seen by a run as `training.Trainer` is: `run`, `predict`, `facts`, `costs`, `weights_file`."""

    model: EstimatorModel
    data: Dataset
    settings: Settings  # its seed and image size; device, precision and normalisation are the network's
    split_seed: int
    threads: int
    run_dir: Path
    watcher: Watcher
    identity: str  # config hash

    def __post_init__(self) -> None:
        keys = [k for k in self.model.pipeline.get_params() if k.split("__")[-1] == "random_state"]
        self.model.pipeline.set_params(**{k: self.settings.seed for k in keys})
        rarest = int(self.data.train.labels.bincount().min())
        if (self.model.cv or 0) > rarest:
            raise UserError(f"model.cv={self.model.cv} needs as many images of each class; one has {rarest}")
        self.validated: tuple[torch.Tensor, float] | None = None
        self.features: Features | None = None
        self.seconds_features: float | None = None
        if (network := self.model.network) is not None:
            place(network.network, self.settings.device)
            self.features = Features(network, self.settings, lambda *_: None, self.watcher.features)

    def run(self) -> Outcome:
        """Fit the pipeline on the training part, after cross-validating it there where asked, and validate it."""
        inputs, labels = self._inputs(self.data.train), self.data.train.labels.numpy()
        images, features = inputs.shape
        log.info("fitting %s to %s images of %s features", self.model.name, f"{images:,}", f"{features:,}")
        self.watcher.fit(f"fitting {self.model.name}")
        columns = self._cross_validate(inputs, labels) if self.model.cv else {}
        with self._computing() as notes:
            begin = time.monotonic()
            self.model.pipeline.fit(inputs, labels)
            seconds = time.monotonic() - begin
        reason = "; ".join(dict.fromkeys(notes))
        if reason:
            log.warning("%s: %s", self.model.name, reason)
        probabilities, loss = self.validated = self.predict(self.data.val)
        right = (probabilities.argmax(1) == self.data.val.labels).double().mean().item()
        return Outcome(
            "COMPLETE", reason, val_accuracy=100 * right, val_loss=loss, seconds_train=seconds, columns=columns
        )

    def predict(self, split: Split) -> tuple[torch.Tensor, float]:
        """Return class probabilities float64 [N, K], as scikit-learn gives them, and the mean cross-entropy in nats.

        A true class of probability 0 counts as the smallest step of float64, as `sklearn.metrics.log_loss` has it.
        """
        from sklearn.metrics import log_loss

        if split is self.data.val and self.validated is not None:
            return self.validated
        inputs = self._inputs(split)
        with self._computing(jobs=1):  # a forest adds up its trees in the order in which threads come
            shares = self._probabilities(inputs)
        loss = log_loss(split.labels.numpy(), shares / shares.sum(1, keepdims=True), labels=range(shares.shape[1]))
        return torch.from_numpy(shares), float(loss)

    def facts(self) -> dict[str, Any]:
        """What is in use, as columns of trials.csv; the count of parameters is known once the pipeline is fitted."""
        from sklearn import __version__ as version

        settings, network = self.settings, self.model.network
        normalised = [settings.normalisation] * (network is not None) + ["standard_scaler"] * self._is_scaled()
        return dict(
            freeze=network and network.freeze, image_size=settings.image_size,
            normalisation=", ".join(normalised) or None,
            weights_sha256=network and network.weights_sha256, precision=settings.precision,
            device="cpu" if network is None else device_name(settings.device), sklearn_version=version,
            **self._counts(),
        )  # fmt: skip

    def costs(self) -> dict[str, float | None]:
        """What the run took beside the columns of the outcome."""
        kept = self.features is not None and self.features.used
        return dict(seconds_features=self.features.seconds if kept else self.seconds_features)

    def weights_file(self, architecture: str) -> bytes | None:
        """None: scikit-learn keeps a fitted estimator as a pickle, which runs code when it is read."""
        return None

    # ---- its parts

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

    def _inputs(self, split: Split) -> np.ndarray:
        """What the pipeline is given for these pictures: float32 [N, features]."""
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

    @torch.inference_mode()
    def _computed(self, images: torch.Tensor) -> torch.Tensor:
        settings, network = self.settings, self.model.network
        network.network.eval()
        chunks = []
        for batch in images.split(BATCH):
            with autocast(settings.device, settings.precision):
                pictures = normalise(batch.to(settings.device), settings.mean, settings.std, size=settings.image_size)
                chunks.append(backbone_features(network, pictures))
        return torch.cat(chunks)

    def _pixels(self, split: Split) -> np.ndarray:
        """Pixels in 0..1, row by row, red, green, blue."""
        size = self.settings.image_size
        pixels = np.empty((len(split.labels), size * size * 3), dtype=np.float32)
        for start in range(0, len(pixels), CHUNK):
            chunk = normalise(split.pictures(slice(start, start + CHUNK)), (0, 0, 0), (1 / 255,) * 3, size=size)
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

        folds = StratifiedKFold(self.model.cv, shuffle=True, random_state=self.split_seed)
        with self._computing() as notes:
            scores = 100 * cross_val_score(self.model.pipeline, inputs, labels, cv=folds, n_jobs=1, error_score="raise")
        if notes:
            log.warning("cross-validation: %s in some of the folds", "; ".join(dict.fromkeys(notes)))
        return dict(
            cv_folds=len(scores), cv_accuracy_mean=float(scores.mean()), cv_accuracy_std=float(scores.std(ddof=1))
        )

    def _is_scaled(self) -> bool:
        return len(self.model.pipeline) > 1

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
