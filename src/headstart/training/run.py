"""One configured run from configuration to record: data, model, training, evaluation, files on disk."""

import io
import json
import logging
import os
import subprocess
from functools import lru_cache, singledispatch
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from headstart import __version__
from headstart.config import check_values, command_line, config_hash, keys_without_effect, make, without_effect
from headstart.data import Dataset, Split, choose_thumbnails, shrink
from headstart.errors import UserError, first_line, summary
from headstart.models import Classical, Model, Normalisation
from headstart.store import OUTCOMES, lock_run, read_json, read_run, set_aside, sha256_of, write_atomically, write_json
from headstart.training import devices
from headstart.training import estimator_trainer as fitting
from headstart.training import metrics as evaluation
from headstart.training import trainer as training
from headstart.training import trial_context as current

log = logging.getLogger(__name__)

THUMBNAILS = 24  # most confidently wrong test images that a run stores a small copy of
NAMED_BY = {
    "timm": ("name", "{}"),
    "torchvision": ("name", "{}_torchvision"),
    "sklearn": ("estimator._target_", "{}"),
}  # model files that leave open which one: the key that says, and how the tables name it

Trainer = training.Trainer | fitting.Trainer


def train_run(
    cfg: DictConfig, choices: dict[str, str], run_dir: Path, *, reads_test: bool, watcher: training.Watcher
) -> dict[str, Any]:
    """Train, evaluate and record the run that `cfg` describes in `run_dir`; return its result as written there.

    choices: hydra.runtime.choices. reads_test: whether this run may read the test split, once, at its end.
    A run folder that holds a finished result is returned as it is; one with a checkpoint goes on from it.
    Raises UserError for what the user can mend; a failure of any kind leaves result.json with state FAILED.
    """
    check_values(cfg)
    ended = read_run(run_dir)
    if ended["state"] in OUTCOMES:
        return ended
    set_aside(run_dir / "result.json")
    with lock_run(run_dir):
        try:
            return _train(cfg, choices, run_dir, reads_test, watcher)
        except Exception as error:
            out_of_memory = _out_of_memory(error, cfg.batch_size)
            _record_failure(cfg, choices, run_dir, "out of memory" if out_of_memory else summary(error))
            if out_of_memory:
                raise UserError(out_of_memory) from error
            raise


def _out_of_memory(error: Exception, batch_size: int) -> str | None:
    """What to tell of an error that means it, on a GPU or here; None for any other."""
    if isinstance(error, torch.OutOfMemoryError):
        return f"out of GPU memory with batch_size={batch_size}; give a smaller one"
    _, of_torch, text = first_line(error).rpartition("DefaultCPUAllocator: ")  # a plain RuntimeError
    if isinstance(error, MemoryError) or of_torch:
        return f"out of memory ({text}); give a smaller image_size, batch_size or data.train_size"
    return None


def _record_failure(cfg: DictConfig, choices: dict[str, str], run_dir: Path, reason: str) -> None:
    """Write a FAILED result that belongs to its arm in the tables, even where the run came to nothing."""
    path = run_dir / "run.json"
    facts = _planned(cfg, choices) | (read_json(path) if path.exists() else {})
    write_json(run_dir / "result.json", facts | dict(state="FAILED", reason=reason))


def _train(
    cfg: DictConfig, choices: dict[str, str], run_dir: Path, reads_test: bool, watcher: training.Watcher
) -> dict[str, Any]:
    trainer = prepare_run(cfg, run_dir, watcher)
    facts = describe(cfg, choices, trainer) | dict(test_reads=read_run(run_dir).get("test_reads") or 0)
    write_json(run_dir / "run.json", facts)
    if without := without_effect(cfg, choices):
        log.info("without effect on model=%s, which is fitted in one go: %s", choices["model"], ", ".join(without))
    for line in trainer.model.report:
        log.info("%s", line)
    return _conclude(cfg, facts, trainer, trainer.run(), reads_test)


def prepare_run(cfg: DictConfig, run_dir: Path, watcher: training.Watcher) -> Trainer:
    """Make the data, the model and what trains it, so that a mistake in any of them is found before training."""
    devices.settle_threads(cfg.threads, cfg.jobs)
    devices.keep_memory()
    devices.settle_arithmetic(cfg.deterministic, cfg.tf32, cfg.cudnn_benchmark)
    data = _dataset(json.dumps(OmegaConf.to_container(cfg.data, resolve=True)), os.getcwd())
    torch.manual_seed(cfg.seed)
    size = cfg.image_size or cfg.model.get("image_size") or data.train.source.shape[1]
    model = make(cfg.model, classes=len(data.classes), class_names=data.classes, image_size=size)
    return _trainer(model, cfg, data, size, run_dir, watcher)


@singledispatch
def _trainer(
    model: Any, cfg: DictConfig, data: Dataset, size: int, run_dir: Path, watcher: training.Watcher
) -> Trainer:
    """What trains a model of this kind; size: pixels."""
    raise UserError(f"model._target_={cfg.model._target_} makes a {type(model).__name__}, which nothing here trains")


@_trainer.register
def _(
    model: Classical, cfg: DictConfig, data: Dataset, size: int, run_dir: Path, watcher: training.Watcher
) -> fitting.Trainer:
    settings = _settings(cfg, data, size, model.network)
    return fitting.Trainer(
        model=model, data=data, settings=settings, split_seed=cfg.split_seed, threads=torch.get_num_threads(),
        run_dir=run_dir, watcher=watcher, identity=_identity(cfg, settings),
    )  # fmt: skip


@_trainer.register
def _(
    model: Model, cfg: DictConfig, data: Dataset, size: int, run_dir: Path, watcher: training.Watcher
) -> training.Trainer:
    _check_batches(cfg, len(data.train.labels))
    settings = _settings(cfg, data, size, model)
    parts = {part: make(cfg[part]) for part in ("optimizer", "schedule", "augmentation")}
    try:
        parts["schedule"](0.5)
        pictures, labels = data.train.pictures(slice(2)), data.train.labels[:2]
        parts["augmentation"](pictures, labels, classes=len(data.classes), generator=torch.Generator())
        return training.Trainer(
            model=model, data=data, settings=settings, run_dir=run_dir, watcher=watcher,
            identity=_identity(cfg, settings), lr=cfg.lr,
            optimizer_factory=parts["optimizer"], schedule=parts["schedule"], augment=parts["augmentation"],
        )  # fmt: skip
    except (TypeError, ValueError) as error:
        text = [f"{part}.{k}={v}" for part in parts for k, v in cfg[part].items() if isinstance(v, str) and k[0] != "_"]
        what = ", ".join(text) or "optimizer, schedule or augmentation"  # their settings are numbers
        raise UserError(f"{what} is refused ({error}); headstart --cfg job shows values that work") from error


def _identity(cfg: DictConfig, settings: training.Settings) -> str:
    return config_hash(cfg, precision=settings.precision, compile=settings.compile)


def _settings(cfg: DictConfig, data: Dataset, size: int, model: Model | None) -> training.Settings:
    """What `auto` and null mean here; without a network, or weights in it, the data says how to normalise."""
    device = devices.resolve_device(cfg.device)
    expected = (model and model.normalisation) or Normalisation("data", data.mean, data.std)
    return training.Settings(
        epochs=cfg.epochs, batch_size=cfg.batch_size, seed=cfg.seed, device=device,
        precision=devices.resolve_precision(cfg.precision, device), image_size=size, normalisation=expected.name,
        mean=tuple(expected.mean), std=tuple(expected.std), label_smoothing=cfg.label_smoothing,
        clip_grad_norm=cfg.clip_grad_norm, patience=cfg.patience, compile=devices.resolve_compile(cfg.compile),
    )  # fmt: skip


@lru_cache(maxsize=2)
def _dataset(node: str, folder: str) -> Dataset:
    """The data set of a resolved `data` configuration, read once per process however many jobs it runs.

    folder: the working directory, which a relative root is below.
    """
    return make(OmegaConf.create(json.loads(node)))


def _check_batches(cfg: DictConfig, images: int) -> None:
    if cfg.batch_size > images:
        raise UserError(f"batch_size={cfg.batch_size} is larger than the {images} training images; give a smaller one")


def _conclude(
    cfg: DictConfig, facts: dict, trainer: Trainer, outcome: training.Outcome, reads_test: bool
) -> dict[str, Any]:
    """Evaluate the model, a network as of its best epoch, write what stays, and result.json last."""
    run_dir, data = trainer.run_dir, trainer.data
    seen, seconds = outcome.images, outcome.seconds_train
    result = facts | _counts(trainer) | outcome.columns | dict(
        state=outcome.state, reason=outcome.reason, epochs_run=outcome.epochs_run, best_epoch=outcome.best_epoch,
        val_accuracy=outcome.val_accuracy, val_loss=outcome.val_loss, seconds_train=seconds,
        images_per_second=seen / seconds if seen is not None and seconds else None,
    )  # fmt: skip
    if outcome.val_accuracy is not None:
        predictions = _predictions(trainer, data.val, "val")
        if outcome.state == "COMPLETE" and evaluation.at_chance(
            outcome.val_accuracy, data.val.labels.numpy(), len(data.classes)
        ):
            result.update(state="CHANCE", reason="validation accuracy is not above guessing by 3 standard errors")
        if reads_test and outcome.state == "COMPLETE":
            facts["test_reads"] += 1  # on disk before it is read: a reading counts whatever happens next
            write_json(run_dir / "run.json", facts)
            test = data.test()
            predictions |= _predictions(trainer, test, "test")
            predictions |= _thumbnails(test, predictions["test_probabilities"])
            scores = evaluation.metrics(predictions["test_labels"], predictions["test_probabilities"], data.classes)
            named = {f"test_{k}": scores[k] for k in ("accuracy", "precision_macro", "recall_macro", "f1_macro")}
            result.update(
                named, test_reads=facts["test_reads"], per_class=scores["per_class"], confusion=scores["confusion"]
            )
        if cfg.keep != "none" or cfg.phase == "source":
            result.update(_keep_best(trainer, facts["model"], predictions))
    result.update(trainer.costs())
    write_json(run_dir / "result.json", result)
    for left in run_dir.glob("last.ckpt*"):
        left.unlink()
    return result


def _counts(trainer: Trainer) -> dict[str, int | None]:
    return {k: v for k, v in trainer.facts().items() if k.startswith("parameters")}


def _predictions(trainer: Trainer, split: Split, part: str) -> dict[str, np.ndarray]:
    probabilities, _ = trainer.predict(split)
    return {
        f"{part}_indices": split.indices.numpy(),
        f"{part}_labels": split.labels.numpy(),
        f"{part}_probabilities": probabilities.numpy(),
    }


def _thumbnails(test: Split, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """Small copies of the test images that a report shows, so that it can be made again without the data."""
    shown = choose_thumbnails(test.labels.numpy(), probabilities, THUMBNAILS)
    return dict(thumbnails=shrink(test.pictures(torch.from_numpy(shown)).numpy()), thumbnail_indices=shown)


def _keep_best(trainer: Trainer, architecture: str, predictions: dict[str, np.ndarray]) -> dict[str, str]:
    """Write predictions.npz and, of a model that has such a file, best.safetensors; return that file's sha256."""
    weights, run_dir = trainer.weights_file(architecture), trainer.run_dir
    if weights is not None:
        write_atomically(run_dir / "best.safetensors", weights)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, classes=np.array(trainer.data.classes), **predictions)
    write_atomically(run_dir / "predictions.npz", buffer.getvalue())
    return {} if weights is None else dict(best_sha256=sha256_of(run_dir / "best.safetensors"))


def describe(cfg: DictConfig, choices: dict[str, str], trainer: Trainer) -> dict[str, Any]:
    """Return the static columns of trials.csv for a run that is about to train: configuration and what is in use."""
    data, used, threads = trainer.data, trainer.facts(), torch.get_num_threads()
    settled = dict(threads=threads, precision=used["precision"])
    facts = _planned(cfg, choices) | dict(
        data=data.name, train_size=len(data.train.labels), threads=threads, torch_version=torch.__version__,
        config_hash=trainer.identity, data_sha256=data.sha256, command=command_line(cfg, choices, **settled),
        classes=list(data.classes), **used,
    )  # fmt: skip
    return facts | dict.fromkeys(keys_without_effect(cfg) & facts.keys())


def _planned(cfg: DictConfig, choices: dict[str, str]) -> dict[str, Any]:
    """Return the columns that the configuration alone tells; None for keys without an effect on such a model."""
    facts = dict(
        **current.facts(), study=cfg.name, arm=cfg.arm or choices["model"], phase=cfg.phase,
        model=_name(cfg, choices["model"]), weights=cfg.model.get("weights"), stem=cfg.model.get("stem"),
        augmentation=choices["augmentation"], optimizer=choices["optimizer"], schedule=choices["schedule"], lr=cfg.lr,
        batch_size=cfg.batch_size, epochs=cfg.epochs, seed=cfg.seed, split_seed=cfg.split_seed,
        headstart_version=__version__, git_commit=git_commit(),
    )  # fmt: skip
    return facts | dict.fromkeys(keys_without_effect(cfg) & facts.keys())


def _name(cfg: DictConfig, choice: str) -> str:
    key, form = NAMED_BY.get(choice, (None, choice))
    return form.format(OmegaConf.select(cfg.model, key)) if key else choice


@lru_cache(maxsize=1)
def git_commit() -> str | None:
    """Commit of the checkout that headstart runs from, `-dirty` appended when changed; None outside a checkout."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None
    words = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
