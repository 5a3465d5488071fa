"""The epoch loop: one network, one data set in memory, no DataLoader."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart import models
from headstart.data import Dataset, Split, normalise
from headstart.store import append_epoch
from headstart.training import trial_context
from headstart.training.batches import AUGMENTATION, ORDER, batch_starts, random_stream
from headstart.training.compiling import compile_ahead, compiled
from headstart.training.devices import autocast, device_name, move_network
from headstart.training.frozen_features import FrozenFeatures
from headstart.training.metrics import accuracy, training_loss
from headstart.training.optimizers import optimizer_step, scale_learning_rates, spare_compiler
from headstart.training.settings import Outcome, Settings, Watcher
from headstart.training.trainer_state import Checkpoints, TrainerState

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 0.5  # the loss is read from the device, and shown, no more often than this


@dataclass(frozen=True)
class TrainingPass:
    """One pass over the training images."""

    loss: float  # sum over the images
    hits: float
    images: int
    seconds: float
    lr: float  # of the last step, of the first group


@dataclass
class NetworkTrainer:
    """The training of one network, epoch by epoch; `run` is the way in."""

    model: models.Model
    data: Dataset
    settings: Settings
    optimizer_factory: Callable[..., torch.optim.Optimizer]
    schedule: Callable[[float], float]
    augment: Callable[..., tuple[Tensor, Tensor]]
    run_dir: Path
    watcher: Watcher
    identity: str  # config hash
    lr: float

    def __post_init__(self) -> None:
        device = self.settings.device
        self.network = move_network(self.model.network, device)
        self.learner = compiled(self.network, device) if self.settings.compile else self.network
        self.has_to_compile = self.settings.compile
        models.set_trainable(self.model, 1)
        self.features = FrozenFeatures(self.model, self.settings, self.augment, self.watcher.features)
        self.frozen = False  # whether the backbone stands still now, its features ready where they can be kept
        spare_compiler()
        optimizer = self.optimizer_factory(models.parameter_groups(self.model, self.lr))
        self.state = TrainerState(self.model, optimizer, self.features, device, self.lr)
        self.checkpoints = Checkpoints(self.run_dir, self.identity)
        self.train, self.val = self.data.train.to(device), self.data.val.to(device)
        self.weights = None if (found := self.data.class_weights) is None else torch.tensor(found, device=device)
        self.starts = batch_starts(len(self.train.labels), self.settings.batch_size)

    def run(self) -> Outcome:
        """Train from where the last checkpoint stands, or from the start, to the end."""
        state, epochs = self.state, self.settings.epochs
        row = self.checkpoints.resume(state)
        if row:
            log.info("going on after epoch %d of %d", state.epoch, epochs)
        outcome = self._after(row, again=True) if row else None
        while outcome is None and state.epoch < epochs:
            row = self.one_epoch(state.epoch + 1)
            if row is None:
                outcome = Outcome("DIVERGED", f"loss became NaN or infinite in epoch {state.epoch + 1}")
            else:
                self._keep(row)
                outcome = self._after(row)
        return self._finish(outcome or Outcome("COMPLETE"))

    def _keep(self, row: dict[str, Any]) -> None:
        """Record an epoch that ended: its row first, then, when one is due, the checkpoint that makes it count."""
        self.state.end_epoch(row)
        trial_context.may_write()
        append_epoch(self.run_dir, row)
        if self.state.epoch < self.settings.epochs:
            self.checkpoints.write_if_due(self.state)

    def _after(self, row: dict[str, Any], again: bool = False) -> Outcome | None:
        """Announce an epoch (again, as a kill may have prevented it); say whether the run ends with it."""
        self.watcher.epoch(row)
        state, patience = self.state, self.settings.patience
        is_last = state.epoch == self.settings.epochs
        pruned = trial_context.report(row["val_accuracy"], row["epoch"], goes_on=again or is_last)
        if pruned and not is_last:
            return Outcome("PRUNED", pruned, paused=trial_context.pauses_after(state.epoch))
        if patience is not None and state.epoch - state.best.epoch >= patience:
            return Outcome("COMPLETE", f"no better validation accuracy for {patience} epochs")
        return None

    def _finish(self, outcome: Outcome) -> Outcome:
        state = self.state
        outcome.epochs_run, outcome.seconds_train, outcome.images = state.epoch, state.seconds, state.images
        if state.best is not None:
            outcome.best_epoch = state.best.epoch
            outcome.val_accuracy, outcome.val_loss = state.best.val_accuracy, state.best.val_loss
            state.load_best()
            self.frozen = models.is_frozen(self.model, state.best.epoch)
        return outcome

    # ---- an epoch

    def one_epoch(self, epoch: int) -> dict[str, Any] | None:
        """Train and validate one epoch, counted from 1; its row of epochs.csv, or None when the loss was not finite."""
        self._enter(epoch)
        done = self._train(epoch)
        self.state.seconds += done.seconds
        self.state.images += done.images
        if not math.isfinite(done.loss):
            return None
        probabilities, val_loss = self.predict(self.data.val)
        if not math.isfinite(val_loss):
            return None
        return self._row(epoch, done, val_loss, accuracy(self.data.val.labels.numpy(), probabilities.numpy()))

    def _enter(self, epoch: int) -> None:
        """Bring the network into the state in which it learns in this epoch, before the clock starts."""
        self._enter_freezing(models.is_frozen(self.model, epoch))
        self.network.train()
        if self.state.set_trainable(epoch):
            self.has_to_compile = self.settings.compile
        if self.has_to_compile:
            self._compile()

    def _enter_freezing(self, frozen: bool) -> None:
        """Have the features of a frozen backbone ready before its first epoch, and let go of them after the last."""
        if frozen and not self.frozen:
            self.features.prepare(self.data)
            if self.settings.compile and self.features.train is not None:
                log.info("compile=on has nothing to do while training reads the kept features of a frozen backbone")
        if self.frozen and not frozen:
            self.features.release()
        self.frozen = frozen

    def _compile(self) -> None:
        device, images = self.settings.device, len(self.train.labels)

        def logits(size: int) -> Tensor:
            picked = torch.arange(size, device=device)
            return self._forward(picked, self.train.labels[picked], torch.Generator())[0]

        sizes = {min(self.settings.batch_size, images - start) for start in self.starts}
        compile_ahead(self.network, logits, sizes, device)
        self.has_to_compile = False

    def _train(self, epoch: int) -> TrainingPass:
        """One pass over the training images in this epoch's order; it ends early when the loss is not finite."""
        seed, device = self.settings.seed, self.settings.device
        order = torch.randperm(len(self.train.labels), generator=random_stream(seed, epoch, ORDER)).to(device)
        augmentation_stream = random_stream(seed, epoch, AUGMENTATION)
        totals = torch.zeros(2, device=device, dtype=torch.float64)  # sum of losses, number of hits
        seen, begin = 0, time.monotonic()
        last_look = begin
        for number, start in enumerate(self.starts):
            lr = self._set_learning_rates((epoch - 1) * len(self.starts) + number)
            picked = order[start : start + self.settings.batch_size]
            totals += self.step(picked, augmentation_stream)
            seen += len(picked)
            if (now := time.monotonic()) - last_look > SECONDS_BETWEEN_LOOKS:
                last_look, loss = now, float(totals[0]) / seen
                if not math.isfinite(loss):
                    break
                self.watcher.step(epoch, seen / len(order), seen / (now - begin), loss)
        loss, hits = totals.tolist()  # waits for the device
        return TrainingPass(loss, hits, seen, time.monotonic() - begin, lr)

    def _row(self, epoch: int, done: TrainingPass, val_loss: float, val_accuracy: float) -> dict[str, Any]:
        return dict(
            epoch=epoch,
            steps=epoch * len(self.starts),
            images=self.state.images,
            lr=done.lr,
            train_loss=done.loss / done.images,
            train_accuracy=100 * done.hits / done.images,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            seconds_train=done.seconds,
            images_per_second=done.images / done.seconds,
            seconds_total=self.state.seconds,
        )

    # ---- a step

    def _set_learning_rates(self, step: int) -> float:
        """Set the learning rates of this step, counted from 0 over the run, and return the first group's."""
        factor = self.schedule(step / (len(self.starts) * self.settings.epochs))
        return scale_learning_rates(self.state.optimizer, factor)

    def step(self, picked: Tensor, generator: torch.Generator) -> Tensor:
        """One optimizer step on training images `picked`; returns (sum of losses, number of hits) on the device."""
        labels = self.train.labels[picked]
        return self._learn(lambda: self._forward(picked, labels, generator), labels)

    def classifier_step(self, features: Tensor, labels: Tensor) -> Tensor:
        """The same on what a frozen backbone makes of images with these labels."""
        return self._learn(lambda: (self._classify(features), labels), labels)

    def _learn(self, forward: Callable[[], tuple[Tensor, Tensor]], labels: Tensor) -> Tensor:
        settings = self.settings
        self.state.optimizer.zero_grad(set_to_none=True)
        logits, targets = forward()
        loss = training_loss(logits.float(), targets, self.weights, settings.label_smoothing)
        loss.backward()
        if settings.clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip_grad_norm)
        optimizer_step(self.state.optimizer)
        hits = (logits.detach().argmax(1) == labels).sum()
        return torch.stack([loss.detach().double() * len(labels), hits.double()])

    def _forward(self, picked: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Logits and targets of augmented training images, from features that are kept or else by the whole network."""
        features = self.features.batch(picked, generator) if self.frozen else None
        if features is not None:
            return self._classify(features), labels
        images, classes = self.train.pictures(picked), len(self.data.classes)
        images, targets = self.augment(images, labels, classes=classes, generator=generator)
        return self._logits(self.learner, images), targets

    def _logits(self, network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """The network's answer to images [n, H, W, 3] on the scale 0 .. 255."""
        settings = self.settings
        with self._autocast():
            return network(normalise(images, settings.mean, settings.std, size=settings.image_size))

    def _classify(self, features: Tensor) -> Tensor:
        """The classifier's answer to what the frozen backbone gives it."""
        with self._autocast():
            return models.classify(self.model, features)

    def _autocast(self) -> AbstractContextManager:
        return autocast(self.settings.device, self.settings.precision)

    # ---- what a run records

    @torch.inference_mode()
    def predict(self, split: Split) -> tuple[Tensor, float]:
        """Return class probabilities float32 [N, K] on the CPU and the mean cross-entropy in nats, in eval mode."""
        self.network.eval()
        logits = torch.cat([chunk.float() for chunk in self._evaluated(split)])
        loss = functional.cross_entropy(logits, split.labels.to(self.settings.device))
        return logits.softmax(1).cpu(), float(loss)

    def _evaluated(self, split: Split) -> Iterator[Tensor]:
        """The logits of a split's images in order, batch by batch."""
        table = self.features.table(split) if self.frozen else None
        images = self.val if split is self.data.val else split
        at_once = models.evaluation_batch(self.settings.image_size, self.settings.device)
        for start in range(0, len(split.labels), at_once):
            rows = slice(start, min(start + at_once, len(split.labels)))
            if table is None:
                yield self._logits(self.network, images.pictures(rows).to(self.settings.device))
            else:
                yield self._classify(table.rows(torch.arange(rows.start, rows.stop)))

    def facts(self) -> dict[str, Any]:
        """What is in use, as columns of trials.csv."""
        settings, model = self.settings, self.model
        return dict(
            freeze=model.freeze,
            batch_size=settings.batch_size,
            image_size=settings.image_size,
            weights_sha256=model.weights_sha256,
            normalisation=settings.normalisation,
            device=device_name(settings.device),
            precision=settings.precision,
            **models.count_parameters(self.network),
        )

    def further_columns(self) -> dict[str, float | None]:
        """Seconds that computing features took, None where none are kept."""
        return dict(seconds_features=self.features.seconds if self.features.used else None)

    def weights_file(self, architecture: str, network: str) -> bytes:
        """The network as it stands, as a safetensors file."""
        settings = self.settings
        sizes = dict(image_size=settings.image_size, picture_size=self.data.train.source.shape[1])
        expects = dict(classes=self.data.classes, mean=settings.mean, std=settings.std, **sizes)
        return models.export_bytes(self.model, architecture=architecture, network=network, **expects)
