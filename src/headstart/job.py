"""One configured run from configuration to record: data, model, training, evaluation, files on disk."""

import io
import logging
import os
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from headstart import __version__, config, current, evaluation, records, training
from headstart.data import Dataset, Split
from headstart.errors import UserError
from headstart.models import Model, count_parameters, export_bytes

log = logging.getLogger(__name__)


def run(
    cfg: DictConfig, choices: dict[str, str], run_dir: Path, *, reads_test: bool, watcher: training.Watcher
) -> dict[str, Any]:
    """Train, evaluate and record the run that `cfg` describes in `run_dir`; return its result as written there.

    choices: hydra.runtime.choices. reads_test: whether this run may read the test split, once, at its end.
    A run folder that holds a finished result is returned as it is; one with a checkpoint goes on from it.
    Raises UserError for what the user can mend; a failure of any kind leaves result.json with state FAILED.
    """
    config.check(cfg)
    ended = records.read_run(run_dir)
    if ended["state"] in records.FINISHED and ended["state"] != "FAILED":
        return ended
    records.set_aside(run_dir / "result.json")
    with records.lock_run(run_dir):
        try:
            return _train(cfg, choices, run_dir, reads_test, watcher)
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
            records.write_json(run_dir / "result.json", _facts_so_far(run_dir) | dict(state="FAILED", reason=reason))
            raise


def _facts_so_far(run_dir: Path) -> dict[str, Any]:
    path = run_dir / "run.json"
    return records.read_json(path) if path.exists() else {}


def _train(
    cfg: DictConfig, choices: dict[str, str], run_dir: Path, reads_test: bool, watcher: training.Watcher
) -> dict[str, Any]:
    device = training.resolve_device(cfg.device)
    settle_threads(cfg)
    torch.use_deterministic_algorithms(cfg.deterministic)
    data: Dataset = config.make(cfg.data)
    if cfg.batch_size > len(data.train.labels):
        raise UserError(
            f"batch_size={cfg.batch_size} is larger than the {len(data.train.labels)} training images; give a smaller one"
        )
    torch.manual_seed(cfg.seed)
    own_size = data.train.images.shape[1]
    size = cfg.image_size or cfg.model.get("image_size") or own_size
    model: Model = config.make(cfg.model, classes=len(data.classes), class_names=data.classes, image_size=size)
    mean, std, norm = data.mean, data.std, "data"
    if model.normalisation is not None:
        mean, std, norm = model.normalisation.mean, model.normalisation.std, model.normalisation.name
    settings = training.Settings(
        epochs=cfg.epochs, batch_size=cfg.batch_size, seed=cfg.seed, device=device,
        precision=training.resolve_precision(cfg.precision, device), image_size=size, mean=tuple(mean), std=tuple(std),
        label_smoothing=cfg.label_smoothing, clip_grad_norm=cfg.clip_grad_norm, patience=cfg.patience,
    )  # fmt: skip
    facts = describe(cfg, choices, data, model, settings, norm)
    records.write_json(run_dir / "run.json", facts)
    for line in model.report:
        log.info("%s", line)
    trainer = training.Trainer(
        model=model, data=data, settings=settings, run_dir=run_dir, watcher=watcher, identity=facts["config_hash"], lr=cfg.lr,
        optimizer_factory=config.make(cfg.optimizer), schedule=config.make(cfg.schedule), augment=config.make(cfg.augmentation),
    )  # fmt: skip
    outcome = trainer.run()
    return _conclude(cfg, facts, trainer, outcome, reads_test)


def _conclude(
    cfg: DictConfig, facts: dict, trainer: training.Trainer, outcome: training.Outcome, reads_test: bool
) -> dict[str, Any]:
    """Evaluate the best epoch's network, write what stays, and result.json last."""
    run_dir, data = trainer.run_dir, trainer.data
    result = facts | dict(
        state=outcome.state, reason=outcome.reason, epochs_run=outcome.epochs_run, best_epoch=outcome.best_epoch,
        val_accuracy=outcome.val_accuracy, val_loss=outcome.val_loss, seconds_train=outcome.seconds_train,
        images_per_second=outcome.images / outcome.seconds_train if outcome.seconds_train else None, test_reads=0,
        **count_parameters(trainer.network),
    )  # fmt: skip
    if outcome.best_epoch is not None:
        predictions = _predictions(trainer, data.val, "val")
        if outcome.state == "COMPLETE" and evaluation.at_chance(
            outcome.val_accuracy, data.val.labels.numpy(), len(data.classes)
        ):
            result.update(state="CHANCE", reason="validation accuracy is not above guessing by 3 standard errors")
        if reads_test and outcome.state == "COMPLETE":
            predictions |= _predictions(trainer, data.test(), "test")
            scores = evaluation.metrics(predictions["test_labels"], predictions["test_probabilities"], data.classes)
            named = {f"test_{k}": scores[k] for k in ("accuracy", "precision_macro", "recall_macro", "f1_macro")}
            result.update(named, test_reads=1, per_class=scores["per_class"], confusion=scores["confusion"])
        if cfg.keep != "none":
            result.update(best_sha256=_keep_best(trainer, facts, predictions))
    records.write_json(run_dir / "result.json", result)
    for left in run_dir.glob("last.ckpt*"):
        left.unlink()
    return result


def _predictions(trainer: training.Trainer, split: Split, part: str) -> dict[str, np.ndarray]:
    probabilities, _ = trainer.predict(split)
    return {
        f"{part}_indices": split.indices.numpy(),
        f"{part}_labels": split.labels.numpy(),
        f"{part}_probabilities": probabilities.numpy(),
    }


def _keep_best(trainer: training.Trainer, facts: dict[str, Any], predictions: dict[str, np.ndarray]) -> str:
    """Write best.safetensors and predictions.npz; return the sha256 of the weights file."""
    settings, run_dir = trainer.settings, trainer.run_dir
    weights = export_bytes(
        trainer.model, classes=trainer.data.classes, mean=settings.mean, std=settings.std,
        image_size=settings.image_size, architecture=facts["model"],
    )  # fmt: skip
    records.write_atomically(run_dir / "best.safetensors", weights)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, classes=np.array(trainer.data.classes), **predictions)
    records.write_atomically(run_dir / "predictions.npz", buffer.getvalue())
    return records.sha256_of(run_dir / "best.safetensors")


def describe(
    cfg: DictConfig,
    choices: dict[str, str],
    data: Dataset,
    model: Model,
    settings: training.Settings,
    normalisation: str,
) -> dict[str, Any]:
    """Return the static columns of trials.csv for a run that is about to train: configuration and what is in use."""
    threads = torch.get_num_threads()
    settled = dict(threads=threads, precision=settings.precision)
    return dict(
        **current.facts(), study=cfg.name, arm=cfg.arm or choices["model"], phase=cfg.phase,
        model=choices["model"] if choices["model"] != "timm" else cfg.model.name, weights=cfg.model.get("weights"),
        freeze=model.freeze, stem=cfg.model.get("stem"), data=data.name, train_size=len(data.train.labels),
        image_size=settings.image_size, augmentation=choices["augmentation"], optimizer=choices["optimizer"],
        schedule=choices["schedule"], lr=cfg.lr, batch_size=cfg.batch_size, epochs=cfg.epochs, seed=cfg.seed,
        split_seed=cfg.split_seed, weights_sha256=model.weights_sha256, normalisation=normalisation,
        device=device_name(settings.device), threads=threads, precision=settings.precision,
        torch_version=torch.__version__, headstart_version=__version__, git_commit=git_commit(),
        config_hash=config.config_hash(cfg), data_sha256=data.sha256, command=config.command(cfg, choices, **settled),
        classes=list(data.classes), **count_parameters(model.network),
    )  # fmt: skip


def settle_threads(cfg: DictConfig) -> int:
    """Set and return the number of threads torch computes with: `threads`, or this process's cores divided by `jobs`."""
    threads = cfg.threads or max(1, len(os.sched_getaffinity(0)) // cfg.jobs)
    torch.set_num_threads(threads)
    return threads


def device_name(device: torch.device) -> str:
    """`cpu` or the GPU's name as its maker gives it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@lru_cache(maxsize=1)
def git_commit() -> str | None:
    """Commit of the checkout that headstart runs from, `-dirty` appended when changed; None outside a checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    words = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
