"""The typed top level of every configuration: its keys, what each has an effect on, and values that no run can have."""

import math
import re
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf, open_dict

from headstart.errors import UserError

PHASES = ("run", "search", "confirm", "source")
PRECISIONS = ("auto", "fp32", "bf16")
KEEPS = ("best", "all", "none")
COMPILES = ("auto", "off", "on")


@dataclass
class Config:
    """Every top-level key; the groups fill `data` to `schedule`, `search` and `budget`."""

    name: str | None = None  # of a study: its folder under outputs/
    arm: str | None = None
    phase: str = "run"
    lr: float = 1e-3
    epochs: int = 10
    batch_size: int = 128
    seed: int = 0
    split_seed: int = 0
    image_size: int | None = None  # pixels; None: the data's own, or what the model file says
    label_smoothing: float = 0.0
    clip_grad_norm: float | None = None
    patience: int | None = None
    device: str = "auto"
    threads: int | None = None  # None: cores divided by jobs
    precision: str = "auto"
    deterministic: bool = False  # torch.use_deterministic_algorithms; matters on a GPU only
    tf32: bool = True  # on a GPU, fp32 convolutions and matrix products with 10 bits of mantissa
    cudnn_benchmark: bool = True  # on a GPU, each shape's fastest convolution is tried out; not with deterministic
    compile: str = "auto"  # the network by torch.compile, on a GPU as CUDA graphs
    resume: str | None = None
    keep: str = "best"
    n_trials: int = MISSING  # per arm, from the budget group
    confirm_seeds: int = MISSING  # from the budget group
    lr_low: float = 1e-5
    lr_high: float = 1e-1
    jobs: int = 1
    dry_run: bool = False
    data: Any = MISSING
    model: Any = MISSING
    augmentation: Any = MISSING
    optimizer: Any = MISSING
    schedule: Any = MISSING
    search: Any = MISSING
    budget: Any = field(default_factory=dict)
    reported: Any = None  # figures of others for a study's arms, which its report prints beside ours


ConfigStore.instance().store(name="schema", node=Config)

KEYS = tuple(Config.__dataclass_fields__)
RUN_GROUPS = ("data", "model", "augmentation", "optimizer", "schedule")  # search and budget are a sweep's

# What changes nothing that a run computes: how it is called, carried out and kept, and the sweep around it.
OF_A_RUN = {"name", "arm", "phase", "resume", "keep", "device", "experiments", "reported"}
OF_A_SWEEP = {"n_trials", "confirm_seeds", "lr_low", "lr_high", "search", "budget", "jobs", "dry_run"}
DESCRIBING = frozenset(OF_A_RUN | OF_A_SWEEP)

# What only training by epochs reads, and only torch: without effect on an estimator that is fitted in one go.
LEARNING = {"lr", "epochs", "batch_size", "augmentation", "optimizer", "schedule", "label_smoothing"}
EPOCHS_ONLY = frozenset(LEARNING | {"clip_grad_norm", "patience", "compile"})
TORCH_ONLY = frozenset({"precision", "deterministic", "tf32", "cudnn_benchmark"})

# What check_values refuses besides: every whole number that is given has a least value, some have a largest one.
LEAST = dict(epochs=1, batch_size=1, n_trials=1, jobs=1, seed=0, split_seed=0, confirm_seeds=0)
LEAST |= dict(threads=1, patience=1, image_size=8)
LARGEST_SEED = 2**32 - 1  # of NumPy
MOST_THREADS = 1024
VALID = dict(phase=PHASES, precision=PRECISIONS, keep=KEEPS, compile=COMPILES)


def without_hydra(cfg: DictConfig) -> DictConfig:
    """A copy of the job's own part of a configuration that Hydra composed, still typed by `Config`."""
    own = deepcopy(cfg)
    with open_dict(own):
        own.pop("hydra", None)
    return own


def keys_without_effect(cfg: Config) -> frozenset[str]:
    """Top-level keys without effect on this run: those of training by epochs where an estimator is fitted in one go.

    cfg: such an object, or the configuration that Hydra composed in its place; here and below.
    """
    if "estimator" not in cfg.model:
        return frozenset()
    return EPOCHS_ONLY if cfg.model.get("features") else EPOCHS_ONLY | TORCH_ONLY


def check_complete(cfg: DictConfig) -> None:
    """Refuse a job's configuration in which a value is still to be given. Raises UserError."""
    if missing := sorted(OmegaConf.missing_keys(cfg)):
        raise UserError(f"{missing[0]} is not given; add {missing[0]}=..., as its file in conf/ explains")


def check_values(cfg: Config) -> None:
    """Refuse values that no run can work with, before anything is written. Raises UserError."""
    _check_rates(cfg)
    _check_whole_numbers(cfg)
    _check_regularisation(cfg)
    for key, valid in VALID.items():
        if getattr(cfg, key) not in valid:
            raise UserError(f"{key}={getattr(cfg, key)} is unknown; choose one of {', '.join(valid)}")
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", cfg.device):
        raise UserError(f"device={cfg.device} is unknown; choose auto, cpu, cuda, cuda:0, cuda:1, ... or mps")


def _check_rates(cfg: Config) -> None:
    for key in ("lr", "lr_low", "lr_high"):
        rate = getattr(cfg, key)
        if not (math.isfinite(rate) and rate > 0):
            raise UserError(f"{key}={rate} is not a learning rate; give a number above 0, such as {key}=1e-3")
    if cfg.lr_low >= cfg.lr_high:
        raise UserError(f"lr_low={cfg.lr_low} is not below lr_high={cfg.lr_high}; the search needs a range")


def _check_whole_numbers(cfg: Config) -> None:
    last_seed = LARGEST_SEED - (0 if cfg.phase == "confirm" else cfg.confirm_seeds)  # which come after the study's own
    most = dict(seed=last_seed, split_seed=LARGEST_SEED, threads=MOST_THREADS)
    for key, least in LEAST.items():
        value = getattr(cfg, key)
        if value is not None and value < least:
            raise UserError(f"{key}={value} is too small; give a whole number from {least}")
        if value is not None and value > most.get(key, value):
            raise UserError(f"{key}={value} is too large; give a whole number from {least} to {most[key]}")
    unfreeze = cfg.model.get("unfreeze_epoch")
    if unfreeze is not None and unfreeze > cfg.epochs:
        raise UserError(f"model.unfreeze_epoch={unfreeze} comes after the last epoch ({cfg.epochs}); unfreeze earlier")


def _check_regularisation(cfg: Config) -> None:
    if not 0 <= cfg.label_smoothing < 1:
        raise UserError(f"label_smoothing={cfg.label_smoothing} is outside 0 to 1 (1 excluded)")
    if cfg.clip_grad_norm is not None and not cfg.clip_grad_norm > 0:
        raise UserError(f"clip_grad_norm={cfg.clip_grad_norm} would stop all learning; give a number above 0 or null")
