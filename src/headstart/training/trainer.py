"""The epoch loop: one network, one data set in memory, no DataLoader; checkpoints that resume to identical bytes."""

import io
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional

from headstart.data import Dataset, Split, normalise
from headstart.errors import UserError
from headstart.models import (
    Model,
    classify,
    count_parameters,
    export_bytes,
    in_classifier,
    is_frozen,
    parameter_groups,
    set_trainable,
)
from headstart.store import append_epoch, read_checkpoint, read_epochs, truncate_epochs, write_checkpoint
from headstart.training import trial_context as current
from headstart.training.devices import (
    align_state,
    autocast,
    compiled,
    device_name,
    optimizer_step,
    place,
    spare_compiler,
)
from headstart.training.frozen_features import Features

log = logging.getLogger(__name__)

EVALUATION_BATCH = 500
CHECKPOINT_SHARE = 0.05  # of the time, at most, goes into checkpoints,
CHEAP_CHECKPOINT = 2**20  # bytes, unless they are so small: then each epoch ends with one
SECONDS_BETWEEN_LOOKS = 0.5  # the loss is read from the device, and shown, no more often than this


# ---- schedules: share of training done, 0 to 1, to the factor on the learning rate. Stateless, so a resumed run and a
# parameter group that joins later need nothing restored.


def constant(progress: float) -> float:
    """Keep the learning rate as it is."""
    return 1.0


def cosine(progress: float, warmup: float = 0.0) -> float:
    """Half a cosine from 1 to 0 (Loshchilov & Hutter 2017), after a linear rise over the first `warmup` share."""
    _check_share(warmup)
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def onecycle(progress: float, warmup: float = 0.3, start: float = 0.04, end: float = 4e-6) -> float:
    """Cosine up from `start` to 1 over the `warmup` share, cosine down to `end` (Smith 2018), as torch's OneCycleLR."""
    _check_share(warmup)
    low, high, share = (
        (start, 1.0, progress / warmup) if progress < warmup else (end, 1.0, (1 - progress) / (1 - warmup))
    )
    return high + (low - high) * 0.5 * (1 + math.cos(math.pi * share))


def _check_share(warmup: float) -> None:
    if not (isinstance(warmup, int | float) and 0 <= warmup < 1):
        raise UserError(f"schedule.warmup={warmup} is no share of the training; give 0 or more, below 1, e.g. 0.1.")


# ---- settings and outcome


@dataclass(frozen=True)
class Settings:
    """Everything about training that is not the network, the data, the optimizer or the augmentation."""

    epochs: int
    batch_size: int
    seed: int
    device: torch.device
    precision: str  # "fp32" or "bf16"
    image_size: int  # pixels
    normalisation: str  # name of what mean and std belong to: "data", "imagenet", ...
    mean: tuple[float, ...]  # of the inputs, in 0..1
    std: tuple[float, ...]
    label_smoothing: float = 0.0
    clip_grad_norm: float | None = None
    patience: int | None = None
    compile: bool = False


@dataclass
class Outcome:
    """How training ended; a network's best epoch is loaded into `model.network`, a model without epochs has none."""

    state: str  # COMPLETE, PRUNED or DIVERGED
    reason: str = ""
    epochs_run: int | None = None
    best_epoch: int | None = None
    val_accuracy: float | None = None  # percent, of the best epoch
    val_loss: float | None = None
    seconds_train: float = 0.0  # training steps only: no evaluation, no loading, no features
    images: int | None = None  # seen by training, repeats counted
    columns: dict[str, Any] = field(default_factory=dict)  # further ones of trials.csv


class Watcher(Protocol):
    """What looks on while a run trains: a progress bar, a study that may prune."""

    def step(self, epoch: int, done: float, images_per_second: float, loss: float) -> None:
        """Called about twice a second; done: share of this epoch, 0 to 1."""

    def epoch(self, row: dict[str, Any]) -> None:
        """Called after each epoch with its row of epochs.csv."""

    def features(self, done: int, total: int, images_per_second: float) -> None:
        """Called about twice a second, and at the end, while a frozen backbone computes the features of images."""

    def fit(self, what: str) -> None:
        """Called instead of `step` and `epoch` before a model is fitted in one go, which cannot say how far it is."""


# ---- the loop


@dataclass
class Trainer:
    """One run in progress. `fit` is the way in."""

    model: Model
    data: Dataset
    settings: Settings
    optimizer_factory: Callable[..., torch.optim.Optimizer]
    schedule: Callable[[float], float]
    augment: Callable[..., tuple[torch.Tensor, torch.Tensor]]
    run_dir: Path
    watcher: Watcher
    identity: str  # config hash: a checkpoint of another configuration is refused
    lr: float
    epoch: int = 0
    best: dict[str, Any] = field(default_factory=dict)  # epoch, val_accuracy, val_loss, network
    seconds: float = 0.0
    images: int = 0
    next_checkpoint: float = 0.0  # on the clock of time.monotonic()

    def __post_init__(self) -> None:
        device = self.settings.device
        self.network = place(self.model.network, device)
        self.learner = compiled(self.network, device) if self.settings.compile else self.network
        self.has_to_compile = self.settings.compile
        set_trainable(self.model, 1)
        self.kept = Features(self.model, self.settings, self.augment, self.watcher.features)
        self.frozen = False
        spare_compiler()
        self.optimizer = self.optimizer_factory(parameter_groups(self.model, self.lr))
        self.train, self.val = self.data.train.to(device), self.data.val.to(device)
        self.steps_per_epoch = len(list(self._starts()))

    def run(self) -> Outcome:
        """Train from where the last checkpoint stands, or from the start, to the end."""
        row = self._resume()
        outcome = self._after(row) if row else None
        while outcome is None and self.epoch < self.settings.epochs:
            row = self._one_epoch(self.epoch + 1)
            if row is None:
                outcome = Outcome("DIVERGED", f"loss became NaN or infinite in epoch {self.epoch + 1}")
            else:
                self._keep(row)
                outcome = self._after(row)
        return self._finish(outcome or Outcome("COMPLETE"))

    def _after(self, row: dict[str, Any]) -> Outcome | None:
        """Announce an epoch and say whether the run ends with it; after a resume that of the last epoch again, whose
        announcement the kill may have prevented."""
        self.watcher.epoch(row)
        pruned = current.report(row["val_accuracy"], row["epoch"])
        if pruned and self.epoch < self.settings.epochs:
            return Outcome("PRUNED", pruned)
        patience = self.settings.patience
        if patience is not None and self.epoch - self.best["epoch"] >= patience:
            return Outcome("COMPLETE", f"no better validation accuracy for {patience} epochs")
        return None

    def _finish(self, outcome: Outcome) -> Outcome:
        outcome.epochs_run, outcome.seconds_train, outcome.images = self.epoch, self.seconds, self.images
        if self.best:
            outcome.best_epoch = self.best["epoch"]
            outcome.val_accuracy, outcome.val_loss = self.best["val_accuracy"], self.best["val_loss"]
            self._load(self.best["network"])
            self.frozen = is_frozen(self.model, self.best["epoch"])
        return outcome

    def _starts(self) -> Iterator[int]:
        """First position of each batch; a last batch of one image is left out, batch norm cannot train on it."""
        n, size = len(self.data.train.labels), self.settings.batch_size
        return (s for s in range(0, n, size) if n - s > 1 or n == 1)

    def _generator(self, epoch: int, stream: int) -> torch.Generator:
        """One stream each for order and augmentation, from seed and epoch alone: equal in all arms and when resumed."""
        return torch.Generator().manual_seed(self.settings.seed * 1_000_003 + epoch * 101 + stream)

    def _one_epoch(self, epoch: int) -> dict[str, Any] | None:
        """Train and validate one epoch and return its row, or None when the loss was not finite."""
        settings, device = self.settings, self.settings.device
        self._enter(epoch)
        self.network.train()
        if set_trainable(self.model, epoch):
            self._admit_parameters()
            self.has_to_compile = settings.compile
        if self.has_to_compile:
            self._compile()
        order = torch.randperm(len(self.train.labels), generator=self._generator(epoch, 0)).to(device)
        augmentation_stream = self._generator(epoch, 1)
        totals = torch.zeros(2, device=device, dtype=torch.float64)  # sum of losses, number of hits
        seen, begin = 0, time.monotonic()
        looked = begin
        for number, start in enumerate(self._starts()):
            rate = self._set_rate((epoch - 1) * self.steps_per_epoch + number)
            picked = order[start : start + settings.batch_size]
            totals += self._step(picked, augmentation_stream)
            seen += len(picked)
            if (now := time.monotonic()) - looked > SECONDS_BETWEEN_LOOKS:
                loss = float(totals[0]) / seen
                looked = now
                if not math.isfinite(loss):
                    break
                self.watcher.step(epoch, seen / len(order), seen / (now - begin), loss)
        loss, hits = totals.tolist()  # waits for the device
        seconds = time.monotonic() - begin
        self.seconds += seconds
        self.images += seen
        if not math.isfinite(loss):
            return None
        probabilities, val_loss = self.predict(self.data.val)
        if not math.isfinite(val_loss):
            return None
        right = (probabilities.argmax(1) == self.data.val.labels).double().mean().item()
        return dict(
            epoch=epoch, steps=epoch * self.steps_per_epoch, images=self.images, lr=rate,
            train_loss=loss / seen, train_accuracy=100 * hits / seen, val_loss=val_loss, val_accuracy=100 * right,
            seconds_train=seconds, images_per_second=seen / seconds, seconds_total=self.seconds,
        )  # fmt: skip

    def _enter(self, epoch: int) -> None:
        """Have the features of a frozen backbone ready before its first epoch, and let go of them after the last."""
        frozen = is_frozen(self.model, epoch)
        if frozen and not self.frozen:
            self.kept.prepare(self.data)
            if self.settings.compile and self.kept.train is not None:
                log.info("compile=on has nothing to do while training reads the kept features of a frozen backbone")
        if self.frozen and not frozen:
            self.kept.release()
        self.frozen = frozen

    def _compile(self) -> None:
        """Compile for both sizes of a batch before the clock starts; weights, statistics and random numbers stay."""
        device, count = self.settings.device, len(self.train.labels)
        kept = {k: v.clone() for k, v in self.network.state_dict().items()}
        on_gpu = device.type == "cuda"  # where the first calls of a shape warm up and record its CUDA graph
        sizes = {min(self.settings.batch_size, count - start) for start in self._starts()}
        try:
            with torch.random.fork_rng(devices=[device] if on_gpu else []):
                for size in sizes:
                    picked = torch.arange(size, device=device)
                    for _ in range(3 if on_gpu else 1):
                        self.optimizer.zero_grad(set_to_none=True)  # the last gradients lie in the graph's memory
                        logits, _ = self._forward(picked, self.train.labels[picked], torch.Generator())
                        logits.float().sum().backward()
        except Exception as error:
            if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise
            why = str(error).strip().splitlines()[0]
            raise UserError(f"compile=on: torch cannot compile this network here: {why}\nUse compile=off.") from error
        self.optimizer.zero_grad(set_to_none=True)
        self.network.load_state_dict(kept)
        self.has_to_compile = False

    def _step(self, picked: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """One optimizer step on training images `picked`; returns (sum of losses, number of hits) on the device."""
        settings, labels = self.settings, self.train.labels[picked]
        self.optimizer.zero_grad(set_to_none=True)
        logits, targets = self._forward(picked, labels, generator)
        loss = functional.cross_entropy(logits.float(), targets, label_smoothing=settings.label_smoothing)
        loss.backward()
        if settings.clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip_grad_norm)
        optimizer_step(self.optimizer)
        hits = (logits.detach().argmax(1) == labels).sum()
        return torch.stack([loss.detach().double() * len(labels), hits.double()])

    def _forward(
        self, picked: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and targets of augmented training images, from features that are kept or else by the whole network."""
        features = self.kept.batch(picked, generator) if self.frozen else None
        if features is not None:
            with self._autocast():
                return classify(self.model, features), labels
        images, targets = self.augment(
            self.train.pictures(picked), labels, classes=len(self.data.classes), generator=generator
        )
        return self._logits(self.learner, images), targets

    def _logits(self, network: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor) -> torch.Tensor:
        """The network's answer to images [n, H, W, 3] on the scale 0 .. 255."""
        settings = self.settings
        with self._autocast():
            return network(normalise(images, settings.mean, settings.std, size=settings.image_size))

    def _autocast(self) -> Any:
        return autocast(self.settings.device, self.settings.precision)

    def _set_rate(self, step: int) -> float:
        """Set every group's learning rate for this step (counted from 0) and return the first group's."""
        factor = self.schedule(step / (self.steps_per_epoch * self.settings.epochs))
        for group in self.optimizer.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
        return self.optimizer.param_groups[0]["lr"]

    def _admit_parameters(self) -> None:
        """Give the optimizer the parameters that were just unfrozen, as groups of their own."""
        known = {id(p) for g in self.optimizer.param_groups for p in g["params"]}
        for group in parameter_groups(self.model, self.lr):
            group["params"] = [p for p in group["params"] if id(p) not in known]
            if group["params"]:
                self.optimizer.add_param_group(group)

    @torch.inference_mode()
    def predict(self, split: Split) -> tuple[torch.Tensor, float]:
        """Return class probabilities float32 [N, K] on the CPU and the mean cross-entropy, in eval mode."""
        self.network.eval()
        table = self.kept.table(split) if self.frozen else None
        split = self.val if split is self.data.val else split
        device, chunks = self.settings.device, []
        for start in range(0, len(split.labels), EVALUATION_BATCH):
            rows = slice(start, min(start + EVALUATION_BATCH, len(split.labels)))
            if table is None:
                chunks.append(self._logits(self.network, split.pictures(rows).to(device)))
                continue
            with self._autocast():
                chunks.append(classify(self.model, table.rows(torch.arange(rows.start, rows.stop))))
        logits = torch.cat([chunk.float() for chunk in chunks])
        loss = functional.cross_entropy(logits, split.labels.to(device))
        return logits.softmax(1).cpu(), float(loss)

    # ---- what a run records

    def facts(self) -> dict[str, Any]:
        """What is in use, as columns of trials.csv."""
        settings, model = self.settings, self.model
        return dict(
            freeze=model.freeze, image_size=settings.image_size, weights_sha256=model.weights_sha256,
            normalisation=settings.normalisation, device=device_name(settings.device), precision=settings.precision,
            **count_parameters(self.network),
        )  # fmt: skip

    def costs(self) -> dict[str, Any]:
        """What a run's end knows besides training, as columns of trials.csv."""
        return dict(seconds_features=self.kept.seconds if self.kept.used else None)

    def weights_file(self, architecture: str) -> bytes:
        """The network as it stands, as a safetensors file."""
        settings = self.settings
        return export_bytes(
            self.model, classes=self.data.classes, mean=settings.mean, std=settings.std,
            image_size=settings.image_size, architecture=architecture,
        )  # fmt: skip

    # ---- checkpoints

    @property
    def _head_only(self) -> bool:
        """Whether only the classifier ever learns; the backbone is then made anew rather than written in each epoch."""
        return self.model.freeze == "backbone"

    def _learned(self) -> dict[str, torch.Tensor]:
        """The tensors of the network that training can change."""
        state = self.network.state_dict()
        return {k: v for k, v in state.items() if in_classifier(self.model, k)} if self._head_only else state

    def _load(self, state: dict[str, torch.Tensor]) -> None:
        self.network.load_state_dict(state, strict=not self._head_only)

    def _keep(self, row: dict[str, Any]) -> None:
        """Record an epoch that ended: its row first, then, when one is due, the checkpoint that makes it count."""
        self.epoch = row["epoch"]
        if not self.best or row["val_accuracy"] > self.best["val_accuracy"]:
            state = {k: v.detach().clone() for k, v in self._learned().items()}
            self.best = dict(epoch=self.epoch, network=state, **{k: row[k] for k in ("val_accuracy", "val_loss")})
        append_epoch(self.run_dir, row)
        begin = time.monotonic()
        due = current.stop or begin >= self.next_checkpoint
        if due and self.epoch < self.settings.epochs:
            payload = self._checkpoint()
            write_checkpoint(self.run_dir / "last.ckpt", payload)
            if len(payload) > CHEAP_CHECKPOINT:
                end = time.monotonic()
                self.next_checkpoint = end + (end - begin) / CHECKPOINT_SHARE

    def _checkpoint(self) -> bytes:
        state = dict(
            identity=self.identity, epoch=self.epoch, seconds=self.seconds, images=self.images,
            seconds_features=self.kept.seconds, backbone=self.kept.backbone if self._head_only else None,
            network=self._learned(), optimizer=self.optimizer.state_dict(),
            best=self.best, rng=torch.get_rng_state(),
            cuda_rng=torch.cuda.get_rng_state(self.settings.device) if self.settings.device.type == "cuda" else None,
        )  # fmt: skip
        buffer = io.BytesIO()
        torch.save(state, buffer)
        return buffer.getvalue()

    def _resume(self) -> dict[str, Any] | None:
        """Load the last checkpoint, if there is one, and return its epoch's row."""
        payload = read_checkpoint(self.run_dir)
        if payload is None:
            truncate_epochs(self.run_dir, 0)
            return None
        state = torch.load(io.BytesIO(payload), map_location=self.settings.device, weights_only=True)
        if state["identity"] != self.identity:
            raise UserError(f"{self.run_dir / 'last.ckpt'} belongs to another configuration; use a new run folder")
        if self._head_only and state.get("backbone") not in (None, self.kept.backbone):
            raise UserError(
                f"{self.run_dir / 'last.ckpt'} belongs to another frozen backbone than that of "
                f"model.weights={self.model.weights} now.\nPut the old weights back, or use a new run folder."
            )
        self.epoch, self.seconds, self.images, self.best = (state[k] for k in ("epoch", "seconds", "images", "best"))
        self.kept.seconds = state.get("seconds_features", 0.0)  # which checkpoints of 0.1.0 lack
        truncate_epochs(self.run_dir, self.epoch)
        if set_trainable(self.model, self.epoch):
            self._admit_parameters()
        self._load(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        align_state(self.optimizer)
        torch.set_rng_state(state["rng"].cpu())
        if state["cuda_rng"] is not None:
            torch.cuda.set_rng_state(state["cuda_rng"].cpu(), self.settings.device)
        log.info("going on after epoch %d of %d", self.epoch, self.settings.epochs)
        return read_epochs(self.run_dir).last._asdict()
