"""How far the training of a network has come, and the checkpoints from which it goes on to identical bytes."""

import io
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from headstart.errors import Damaged, UserError, summary
from headstart.models import Model, can_be_frozen, parameter_groups, set_trainable, stays_frozen
from headstart.store import digest_of, discard, read_checkpoint, read_epochs, truncate_epochs, write_checkpoint
from headstart.training import trial_context
from headstart.training.frozen_features import FrozenFeatures
from headstart.training.optimizers import add_new_parameters, align_state

log = logging.getLogger(__name__)

CHECKPOINT_SHARE = 0.05  # of the time, at most, goes into checkpoints,
CHEAP_CHECKPOINT = 2**20  # bytes, unless they are so small: then each epoch ends with one


@dataclass(frozen=True)
class BestEpoch:
    """The epoch of the highest validation accuracy, of equal ones the first."""

    epoch: int
    val_accuracy: float  # percent
    val_loss: float
    network: dict[str, torch.Tensor]  # what training can change of it


@dataclass
class TrainerState:
    """All that changes while a network trains, beside torch's random numbers."""

    model: Model
    optimizer: torch.optim.Optimizer
    features: FrozenFeatures
    device: torch.device
    lr: float
    epoch: int = 0  # the last one that ended
    seconds: float = 0.0  # in training steps
    images: int = 0  # seen by training, repeats counted
    best: BestEpoch | None = None

    def set_trainable(self, epoch: int) -> bool:
        """Freeze or unfreeze for an epoch; what learns from then on joins the optimizer. Returns whether it changed."""
        changed = set_trainable(self.model, epoch)
        if changed:
            add_new_parameters(self.optimizer, parameter_groups(self.model, self.lr))
        return changed

    def end_epoch(self, row: dict[str, Any]) -> None:
        """Count an epoch that ended with this row of epochs.csv, and keep its network where it is the best one."""
        self.epoch = row["epoch"]
        if self.best is None or row["val_accuracy"] > self.best.val_accuracy:
            network = {name: tensor.detach().clone() for name, tensor in self._learned().items()}
            self.best = BestEpoch(row["epoch"], row["val_accuracy"], row["val_loss"], network)

    def load_best(self) -> None:
        """Bring the network back to its best epoch, which there has to be."""
        self._load(self.best.network)

    # ---- what a checkpoint holds

    @property
    def upper_only(self) -> bool:
        """Whether the lower half never learns; it is then made anew rather than written in each epoch."""
        return stays_frozen(self.model)

    def _learned(self) -> dict[str, torch.Tensor]:
        """The tensors of the network that training can change."""
        state = self.model.network.state_dict()
        return {k: v for k, v in state.items() if not can_be_frozen(self.model, k)} if self.upper_only else state

    def _load(self, tensors: dict[str, torch.Tensor]) -> None:
        self.model.network.load_state_dict(tensors, strict=not self.upper_only)

    def to_dict(self) -> dict[str, Any]:
        """Plain values and tensors, random numbers included, that `restore` brings back."""
        on_gpu = self.device.type == "cuda"
        return dict(
            epoch=self.epoch,
            seconds=self.seconds,
            images=self.images,
            best=vars(self.best),
            seconds_features=self.features.seconds,
            backbone=self.features.backbone if self.upper_only else None,
            network=self._learned(),
            optimizer=self.optimizer.state_dict(),
            rng=torch.get_rng_state(),
            cuda_rng=torch.cuda.get_rng_state(self.device) if on_gpu else None,
        )

    def restore(self, saved: dict[str, Any]) -> None:
        """Become what `to_dict` gave, also on another device."""
        self.epoch, self.seconds, self.images = saved["epoch"], saved["seconds"], saved["images"]
        self.best = BestEpoch(**saved["best"])
        self.features.seconds = saved["seconds_features"]
        self.set_trainable(self.epoch)
        self._load(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        align_state(self.optimizer)
        torch.set_rng_state(saved["rng"].cpu())
        if saved["cuda_rng"] is not None:
            torch.cuda.set_rng_state(saved["cuda_rng"].cpu(), self.device)


class Checkpoints:
    """The checkpoints of one run, written as often as their cost allows."""

    def __init__(self, run_dir: Path, identity: str):
        self.run_dir, self.identity = run_dir, identity  # config hash: one of another configuration is refused
        self.next_due = 0.0  # on the clock of time.monotonic()

    @property
    def _path(self) -> Path:
        return self.run_dir / "last.ckpt"

    def write_if_due(self, state: TrainerState) -> None:
        """Write one, unless the last one was so expensive that it is too early.

        Always in a process told to stop, and where the study lets the run pause.
        """
        begin = time.monotonic()
        if begin < self.next_due and not trial_context.stop and not trial_context.pauses_after(state.epoch):
            return
        buffer = io.BytesIO()
        epochs = digest_of(self.run_dir / "epochs.csv")
        torch.save(dict(identity=self.identity, epochs_sha256=epochs) | state.to_dict(), buffer)
        payload = buffer.getvalue()
        trial_context.may_write()
        write_checkpoint(self._path, payload)
        if len(payload) > CHEAP_CHECKPOINT:
            end = time.monotonic()
            self.next_due = end + (end - begin) / CHECKPOINT_SHARE

    def resume(self, state: TrainerState) -> dict[str, Any] | None:
        """Load the last checkpoint into `state` and return its epoch's row of epochs.csv; None where there is none.

        Rows after it are removed. Raises UserError for a checkpoint of another configuration or frozen backbone, and
        Damaged where none is intact or that row is gone; in a study the run begins anew then.
        """
        try:
            return self._resume(state)
        except Damaged as error:
            if trial_context.study_folder is None:
                raise
            log.warning("%s; the run begins anew", summary(error))
            discard(self.run_dir)
            return None

    def _resume(self, state: TrainerState) -> dict[str, Any] | None:
        payload = read_checkpoint(self.run_dir)
        if payload is None:
            truncate_epochs(self.run_dir, 0)
            return None
        saved = torch.load(io.BytesIO(payload), map_location=state.device, weights_only=True)
        self._check(saved, state)
        truncate_epochs(self.run_dir, saved["epoch"])
        last = read_epochs(self.run_dir).last
        table, written = self.run_dir / "epochs.csv", saved.get("epochs_sha256")  # of before there was one: None
        is_there = last is not None and last.epoch == saved["epoch"]
        if not is_there or written not in (None, digest_of(table)):
            fault = "is not what the run left" if is_there else f"does not say epoch {saved['epoch']}"
            raise Damaged(
                f"{table} {fault}, where {self._path.name} stands.\n"
                "Put it back, or delete last.ckpt and last.ckpt.previous: the run starts anew."
            )
        state.restore(saved)
        return last._asdict()

    def _check(self, saved: dict[str, Any], state: TrainerState) -> None:
        if saved["identity"] != self.identity:
            raise UserError(f"{self._path} belongs to another configuration; use a new run folder")
        if state.upper_only and saved["backbone"] != state.features.backbone:
            raise UserError(
                f"{self._path} belongs to another frozen backbone than that of "
                f"model.weights={state.model.weights} now.\nPut the old weights back, or use a new run folder."
            )
