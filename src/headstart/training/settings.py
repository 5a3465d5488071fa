"""What training is given and what comes out of it: settings, watcher and outcome, and what both trainers can do."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from headstart.data import Dataset, Split
from headstart.models import EstimatorModel, Model


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
    patience: int | None = None  # epochs without a better one, after which a run ends
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
    paused: bool = False  # PRUNED for now: its checkpoint stays, from where the study may go on
    columns: dict[str, Any] = field(default_factory=dict)  # further ones of trials.csv


class Watcher(Protocol):
    """What looks on while a run trains: a progress bar, or lines in a log."""

    def step(self, epoch: int, done: float, images_per_second: float, loss: float) -> None:
        """Called about twice a second; done: share of this epoch, 0 to 1."""

    def epoch(self, row: dict[str, Any]) -> None:
        """Called after each epoch with its row of epochs.csv."""

    def features(self, done: int, total: int, images_per_second: float) -> None:
        """Called about twice a second, and at the end, while a frozen backbone computes the features of images."""

    def fit(self, what: str) -> None:
        """Called instead of `step` and `epoch` before a model is fitted in one go, which cannot say how far it is."""


class Trainer(Protocol):
    """One run in progress, whatever its model is; `NetworkTrainer` and `EstimatorTrainer` are such."""

    model: Model | EstimatorModel
    data: Dataset
    settings: Settings
    run_dir: Path
    identity: str  # config hash

    def run(self) -> Outcome:
        """Train to the end, from where the last checkpoint stands where there is one."""

    def predict(self, split: Split) -> tuple[torch.Tensor, float]:
        """Return class probabilities [N, K] on the CPU and the mean cross-entropy in nats."""

    def facts(self) -> dict[str, Any]:
        """What is in use, as columns of trials.csv."""

    def further_columns(self) -> dict[str, float | None]:
        """Columns of trials.csv beside those of the outcome, once all is predicted: what the run took, its errors."""

    def weights_file(self, architecture: str, network: str) -> bytes | None:
        """The trained network as a safetensors file; None for a model that has no such file."""
