"""What a run's record says of it beside its results: the static columns of trials.csv."""

import logging
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from headstart import __version__
from headstart.config import RunConfig
from headstart.errors import summary
from headstart.footprint import (
    BATCHES,
    Answering,
    multiply_adds,
    one_thread,
    processor,
    tensor_bytes,
    time_answers,
)
from headstart.models import NETWORK_OPTIONS, Model
from headstart.training import trial_context
from headstart.training.settings import Trainer

log = logging.getLogger(__name__)


def planned_facts(run_config: RunConfig) -> dict[str, Any]:
    """Return the columns that the configuration alone tells; None for keys without an effect on such a model."""
    values, choices, model = run_config.values, run_config.choices, run_config.values.model
    facts = dict(trial_context.facts(), study=values.name, arm=values.arm or choices["model"], phase=values.phase)
    facts |= dict(model=_model_name(run_config), weights=model.get("weights"), stem=model.get("stem"))
    facts |= dict(batch_norm="fixed" if model.get("batch_norm") == "fixed" else None)  # None: as of older runs
    facts |= {group: choices[group] for group in ("augmentation", "optimizer", "schedule")}
    facts |= {key: getattr(values, key) for key in ("lr", "batch_size", "epochs", "seed", "split_seed")}
    folds = values.data.get("folds")
    facts |= _fold(run_config, folds if folds != "auto" else None)
    facts |= dict(headstart_version=__version__, git_commit=git_commit())
    return _only_with_effect(facts, run_config)


def run_facts(run_config: RunConfig, trainer: Trainer) -> dict[str, Any]:
    """Return the static columns of trials.csv for a run that is about to train: configuration and what is in use."""
    data, used, threads = trainer.data, trainer.facts(), torch.get_num_threads()
    facts = planned_facts(run_config)
    facts |= dict(data=data.name, train_size=len(data.train.labels), val_size=len(data.val.labels), threads=threads)
    facts |= dict(torch_version=torch.__version__, config_hash=trainer.identity, data_sha256=data.sha256)
    facts |= dict(train_images=len(data.train.labels), val_images=len(data.val.labels), test_images=data.test_images)
    facts |= _fold(run_config, data.folds)
    facts |= dict(class_ratio=data.class_ratio, class_weights="balanced" if data.class_weights else None)
    facts |= {} if data.copies is None else asdict(data.copies)
    facts |= dict(data_files=data.files and data.files.key, data_test_sha256=data.test_sha256)
    facts |= dict(command=run_config.command(threads=threads, precision=used["precision"]), classes=list(data.classes))
    return _only_with_effect(facts | used, run_config)


def _fold(run_config: RunConfig, folds: int | None) -> dict[str, int | None]:
    return dict(folds=folds, fold=run_config.values.data.get("fold") if folds else None)


def _only_with_effect(facts: dict[str, Any], run_config: RunConfig) -> dict[str, Any]:
    return facts | dict.fromkeys(run_config.keys_without_effect & facts.keys())


def _model_name(run_config: RunConfig) -> str:
    """The model's file, or for one that leaves open which network or estimator it is, that."""
    choice, model = run_config.choices["model"], run_config.values.model
    names = {
        "timm": model.get("name"),
        "torchvision": f"{model.get('name')}_torchvision",
        "sklearn": model.get("estimator", {}).get("_target_"),
    }
    return str(names.get(choice, choice))


def network_words(run_config: RunConfig) -> str:
    """Overrides that choose the run's network, without where its weights came from and what of it learned."""
    choice, model = run_config.choices["model"], run_config.values.model
    keys = {key: value for key, value in model.items() if key != "_target_" and key not in NETWORK_OPTIONS}
    plain = {key: value for key, value in keys.items() if isinstance(value, str | int | float)}
    return " ".join([f"model={choice}", *(f"model.{key}={value}" for key, value in plain.items())])


def size_facts(trainer: Trainer) -> dict[str, Any]:
    """What the trained model takes to answer, as columns of trials.csv that no clock is in."""
    network = trainer.model.network if isinstance(trainer.model, Model) else None
    counted = _known("how much an answer multiplies", lambda: multiply_adds(_answering(trainer)))
    return dict(multiply_adds=counted, weights_bytes=None if network is None else tensor_bytes(network))


def latency_facts(trainer: Trainer) -> dict[str, Any]:
    """How long an answer takes, as columns of trials.csv: a timing, which decides nothing."""
    with one_thread():
        found = _known("how long an answer takes", lambda: time_answers(_answering(trainer).prepare))
    if found is None:
        return {}
    took = dict(latency_seconds=found.median, latency_p95_seconds=found.p95, answers_per_second=found.per_second)
    return took | dict(processor=processor())


def _known(what: str, find: Callable[[], Any]) -> Any:
    """What `find` returns; None, and a warning, where it fails: a run that trained for hours does not, over that."""
    try:
        return find()
    except Exception as error:
        log.warning("%s is not known: %s", what, summary(error))
        return None


def _answering(trainer: Trainer) -> Answering:
    """The model, on a few validation pictures."""
    settings = trainer.settings
    pictures = trainer.data.val.pictures(slice(max(BATCHES)))
    return Answering(trainer.model, pictures, settings.mean, settings.std, settings.image_size)


@lru_cache(maxsize=1)
def git_commit() -> str | None:
    """Commit of the checkout that headstart runs from, `-dirty` appended when changed; None outside a checkout."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None
    words = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
