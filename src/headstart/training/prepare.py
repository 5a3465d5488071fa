"""What a run is made of before it trains: the data, the model and what trains it, from the configuration."""

import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, singledispatchmethod
from pathlib import Path
from typing import Any

import torch

from headstart.config import RunConfig, make
from headstart.data import Dataset, normalise
from headstart.errors import UserError, first_line
from headstart.models import EstimatorModel, Model, Normalisation, fit_whitening, learns_batch_norm
from headstart.statistics import UNBALANCED, sampling_half_width
from headstart.store import read_facts
from headstart.training import devices
from headstart.training.batches import usual_batch_size
from headstart.training.compiling import resolve_compile
from headstart.training.estimator_trainer import EstimatorTrainer
from headstart.training.optimizers import spare_compiler
from headstart.training.settings import Settings, Trainer, Watcher
from headstart.training.trainer import NetworkTrainer

log = logging.getLogger(__name__)

SAMPLE = 1_000  # training images from which a network's statistics are computed


def prepare_run(run_config: RunConfig, run_dir: Path, watcher: Watcher) -> Trainer:
    """Make the data, the model and what trains it, so that a mistake in any of them is found before training.

    Raises UserError for what the user can mend.
    """
    values = run_config.values
    devices.set_threads(values.threads, values.jobs)
    devices.keep_memory()
    spare_compiler()
    devices.set_arithmetic(values.deterministic, values.tf32, values.cudnn_benchmark)
    node = json.dumps(values.data)
    data = _dataset(_READ_AS.get(node, node), os.getcwd())
    torch.manual_seed(values.seed)
    image_size = values.image_size or values.model.get("image_size") or data.train.source.shape[1]
    model = make(values.model, classes=len(data.classes), class_names=data.classes, image_size=image_size)
    return _Preparation(run_config, data, image_size, run_dir, watcher).trainer(model)


def folds_in_use(data: Mapping[str, Any]) -> int | None:
    """Into how many folds the pictures of a resolved `data` configuration are dealt out; None: into none.

    Raises UserError as reading them does.
    """
    devices.set_threads(1, 1)  # workers are forked from this process
    folds = _dataset(json.dumps(data), os.getcwd()).folds
    _READ_AS[json.dumps(data | _with_folds(folds))] = json.dumps(data)
    return folds


def _with_folds(folds: int | None) -> dict[str, Any]:
    """What a study writes down where the source chose these folds."""
    return dict(folds=folds) | (dict(validation_size=None) if folds else {})


_READ_AS: dict[str, str] = {}  # configurations of data that another one was read for already, by which


@lru_cache(maxsize=2)
def _dataset(node: str, folder: str) -> Dataset:
    """The data set of a resolved `data` configuration, read once per process however many jobs it runs.

    folder: the working directory, which a relative root is below.
    """
    data = make(json.loads(node))
    parts = dict(train=len(data.train.labels), validation=len(data.val.labels), test=data.test_images)
    counts = ", ".join(
        f"{count} {part}" + ("" if part == "train" else f" (±{sampling_half_width(50, count):.1f} points)")
        for part, count in parts.items()
        if count
    )
    log.info("%s, %d pictures: %s", data.name, sum(filter(None, parts.values())), counts)
    if data.class_ratio > UNBALANCED:
        log.info(_sizes_of_classes(data))
    return data


def _sizes_of_classes(data: Dataset) -> str:
    """The largest and the smallest class by name, and what may be done about it."""
    ranked = sorted(zip(data.counts, data.classes, strict=True), key=lambda pair: -pair[0])
    largest, smallest = (name if name.isprintable() else ascii(name) for _, name in (ranked[0], ranked[-1]))
    most, least = ranked[0][0], ranked[-1][0]
    weighted = "rare classes weigh more (data.class_weights=balanced)"
    other = "balanced accuracy counts every class alike; data.class_weights=balanced makes rare ones weigh more"
    said = weighted if data.class_weights else other
    return f"classes differ in size, from {largest} ({most} training pictures) to {smallest} ({least}): {said}"


@lru_cache(maxsize=64)
def _say_steps(batch_size: int, steps: int) -> None:
    """Once in a process however many arms or jobs have them."""
    log.info("batches of %d pictures, %d steps an epoch", batch_size, steps)


@dataclass(frozen=True)
class _Preparation:
    """What a model's trainer is made of, beside the model."""

    run_config: RunConfig
    data: Dataset
    image_size: int  # pixels
    run_dir: Path
    watcher: Watcher

    @property
    def batch_size(self) -> int:
        """Training images in a step."""
        return self.run_config.values.batch_size or usual_batch_size(len(self.data.train.labels))

    @singledispatchmethod
    def trainer(self, model: Any) -> Trainer:
        """What trains a model of this kind."""
        target = self.run_config.values.model["_target_"]
        raise UserError(f"model._target_={target} makes a {type(model).__name__}, which nothing here trains")

    @trainer.register
    def _(self, model: EstimatorModel) -> EstimatorTrainer:
        split_seed, threads = self.run_config.values.split_seed, torch.get_num_threads()
        return EstimatorTrainer(model=model, split_seed=split_seed, threads=threads, **self._shared(model.network))

    @trainer.register
    def _(self, model: Model) -> NetworkTrainer:
        values, images = self.run_config.values, len(self.data.train.labels)
        if (size := self.batch_size) > images:
            raise UserError(f"batch_size={size} is larger than the {images} training images; give a smaller one")
        if size == 1 and learns_batch_norm(model):
            raise UserError("batch_size=1: the network's batch normalisation needs two pictures or more at a time")
        parts = {key: make(getattr(values, key)) for key in ("optimizer", "schedule", "augmentation")}
        for key, part in parts.items():
            self._try(key, part)
        optimizer_factory, schedule, augment = parts.values()
        learning = dict(optimizer_factory=optimizer_factory, schedule=schedule, augment=augment, lr=values.lr)
        shared = self._shared(model)
        if model.weights is None:
            fit_whitening(model.network, lambda: self._sample(shared["settings"]))
        trainer = NetworkTrainer(model=model, **learning, **shared)
        _say_steps(size, len(trainer.starts))
        return trainer

    def _sample(self, settings: Settings) -> torch.Tensor:
        """Training images from all over the split as the network sees them, float [N, 3, height, width]."""
        train = self.data.train
        picked = torch.linspace(0, len(train.labels) - 1, min(SAMPLE, len(train.labels))).long()
        return normalise(train.pictures(picked), settings.mean, settings.std, size=settings.image_size)

    def _try(self, key: str, part: Callable[..., Any]) -> None:
        """Use the part of that key once: settings that do not go together are refused only then."""
        pictures, labels = self.data.train.pictures(slice(2)), self.data.train.labels[:2]
        arguments = dict(
            optimizer=lambda: part([torch.nn.Parameter(torch.zeros(1))]),
            schedule=lambda: part(0.5),
            augmentation=lambda: part(pictures, labels, classes=len(self.data.classes), generator=torch.Generator()),
        )
        try:
            arguments[key]()
        except (TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"{key}={self.run_config.choices[key]} is refused: {first_line(error)}") from error

    def _shared(self, network: Model | None) -> dict[str, Any]:
        """What trainers of either kind are given."""
        settings = self._settings(network)
        in_use = self.run_config.with_values(data=self.run_config.values.data | self._folds())
        identity = in_use.config_hash(precision=settings.precision, compile=settings.compile)
        return dict(data=self.data, settings=settings, run_dir=self.run_dir, watcher=self.watcher, identity=identity)

    def _folds(self) -> dict[str, int]:
        """What the source chose of the `data` settings, where it was left to it."""
        return {"folds": self.data.folds} if self.data.folds else {}

    def _precision(self) -> str:
        """That which is asked for; a run that goes on does so in what `auto` meant when it began."""
        asked = self.run_config.values.precision
        began = read_facts(self.run_dir).get("precision") if asked == "auto" else None
        return began if began in ("fp32", "bf16") else asked

    def _settings(self, network: Model | None) -> Settings:
        """What `auto` and null mean here; without a network, or weights in it, the data says how to normalise."""
        values = self.run_config.values
        device = devices.resolve_device(values.device)
        expected = (network and network.normalisation) or Normalisation("data", self.data.mean, self.data.std)
        as_given = ("epochs", "seed", "label_smoothing", "clip_grad_norm", "patience")
        return Settings(
            device=device,
            precision=devices.resolve_precision(self._precision(), device, network and network.network),
            compile=resolve_compile(values.compile),
            image_size=self.image_size,
            batch_size=self.batch_size,
            normalisation=expected.name,
            mean=tuple(expected.mean),
            std=tuple(expected.std),
            **{key: getattr(values, key) for key in as_given},
        )
