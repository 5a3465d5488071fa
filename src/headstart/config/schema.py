"""The typed top level of every configuration: its keys, their values, and what each has an effect on."""

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal, get_type_hints

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf, open_dict

from headstart.errors import UserError
from headstart.store import check_figures
from headstart.typed import (
    LARGEST_SEED,
    Count,
    Factor,
    PictureSize,
    Positive,
    Processes,
    Seed,
    Seeds,
    Share,
    Truth,
    refusal,
    shown,
)


@dataclass
class Config:
    """Every top-level key; the groups fill `data` to `schedule`, `search` and `budget`."""

    name: str | None = None  # of a study: its folder under outputs/
    arm: str | None = None
    phase: Literal["run", "search", "confirm", "source"] = "run"
    lr: Positive = 1e-3
    epochs: Count = 10
    batch_size: Count | None = None  # None: by the number of training pictures, training.batches has the rule
    seed: Seed = 0
    split_seed: Seed = 0
    image_size: PictureSize | None = None  # pixels; None: the data's own, or what the model file says
    label_smoothing: Share = 0.0
    clip_grad_norm: Positive | None = None
    patience: Count | None = None
    device: str = "auto"
    threads: Processes | None = None  # None: cores divided by jobs
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    deterministic: Truth = False  # torch.use_deterministic_algorithms; matters on a GPU only
    tf32: Truth = True  # on a GPU, fp32 convolutions and matrix products with 10 bits of mantissa
    cudnn_benchmark: Truth = True  # on a GPU, each shape's fastest convolution is tried out; not with deterministic
    compile: Literal["auto", "off", "on"] = "auto"  # the network by torch.compile, on a GPU as CUDA graphs
    resume: str | None = None
    keep: Literal["best", "all", "none"] = "best"
    corruptions: Truth = False  # whoever reads the test split answers its pictures under noise, blur, ... as well
    n_trials: Count = MISSING  # per arm, from the budget group
    confirm_seeds: Any = MISSING  # from the budget group; auto: until every pair of arms is decided
    confirm_seeds_max: Count = 15  # with auto
    margin: Positive | None = None  # points of accuracy that don't matter: a pair is decided below, too
    confirm: Literal["search", "best"] = "search"  # every seed repeats the choice, or the best trial's settings
    halving: Factor | None = None  # in place of budget.pruner: the best 1/halving of the trials go on, the others pause
    lr_low: Positive = 1e-5
    lr_high: Positive = 1e-1
    minutes: Positive | None = None  # what a study may take: trials, epochs and seeds that were not typed are fitted
    jobs: Processes = 1
    dry_run: Truth = False
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
ANNOTATIONS = get_type_hints(Config, include_extras=True) | {"confirm_seeds": Seeds | Literal["auto"]}
RUN_GROUPS = ("data", "model", "augmentation", "optimizer", "schedule")  # search and budget are a sweep's
PARTIAL = {"augmentation", "optimizer", "schedule"}  # called for each step, or once the network is there
PASSED = dict(augmentation={"images", "labels", "classes", "generator"}, optimizer={"params"}, schedule={"progress"})
PASSED |= dict(model={"classes", "class_names"})  # what a run gives them itself

# What changes nothing that a run computes: how it is called, carried out and kept, and the sweep around it.
OF_A_RUN = {"name", "arm", "phase", "resume", "keep", "device", "experiments", "reported"}
OF_A_SWEEP = {"n_trials", "confirm_seeds", "confirm_seeds_max", "margin", "confirm", "lr_low", "lr_high", "search"}
OF_A_SWEEP |= {"budget", "halving", "minutes", "jobs", "dry_run"}
DESCRIBING = frozenset(OF_A_RUN | OF_A_SWEEP)

# Keys that say nothing at these values, as of studies and checkpoints that are older than the keys.
SILENT = {"corruptions": False}

# What only training by epochs reads, and only torch: without effect on an estimator that is fitted in one go.
LEARNING = {"lr", "epochs", "batch_size", "augmentation", "optimizer", "schedule", "label_smoothing"}
EPOCHS_ONLY = frozenset(LEARNING | {"clip_grad_norm", "patience", "compile"})
TORCH_ONLY = frozenset({"precision", "deterministic", "tf32", "cudnn_benchmark"})


def without_hydra(cfg: DictConfig) -> DictConfig:
    """A copy of the job's own part of a configuration that Hydra composed, still typed by `Config`."""
    own = deepcopy(cfg)
    with open_dict(own):
        own.pop("hydra", None)
    return own


def frozen_epochs(cfg: DictConfig) -> int:
    """So many first epochs of a run a backbone stands still that learns later."""
    first = OmegaConf.select(cfg, "model.unfreeze_epoch")  # what is wrong with it says who makes the network
    return max(first - 1, 0) if isinstance(first, int) else 0


def runs_elsewhere(cfg: DictConfig) -> bool:
    """Whether the jobs run on other machines, with devices and disks of their own."""
    return cfg.hydra.runtime.choices.get("hydra/launcher", "").startswith(("submitit", "ray"))


def keys_without_effect(cfg: Config) -> frozenset[str]:
    """Top-level keys without effect on this run: those of training by epochs where an estimator is fitted in one go.

    cfg: such an object, or the configuration that Hydra composed in its place; here and below.
    """
    if "estimator" not in cfg.model:
        return frozenset()
    return EPOCHS_ONLY if cfg.model.get("features") else EPOCHS_ONLY | TORCH_ONLY


def identifying_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `data` that say which pictures a run gets, not where their files lie.

    Keys that say nothing are left out, as of studies and checkpoints that are older than these: those of folds without
    any or with `auto`, `class_weights: null`, and `duplicates` where nobody chose; before that was `allow_duplicates:
    false`.
    """
    ignored = {"root", "cache", "download"} | (set() if data.get("folds") not in (None, "auto") else {"folds", "fold"})
    ignored |= {key for key in ("duplicates", "allow_duplicates", "class_weights") if not data.get(key)}
    return {key: value for key, value in data.items() if key not in ignored}


def identifying_model(model: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `model` without those that say nothing, as of studies and checkpoints that are older than these.

    That is `batch_norm: learn`, which is what was before there was a choice.
    """
    return {key: value for key, value in model.items() if (key, value) != ("batch_norm", "learn")}


def outspoken(content: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration's top level without the keys that say nothing."""
    return {key: value for key, value in content.items() if key not in SILENT or value != SILENT[key]}


def check_complete(cfg: DictConfig) -> None:
    """Refuse a job's configuration in which a value is still to be given. Raises UserError."""
    if missing := sorted(OmegaConf.missing_keys(cfg)):
        raise UserError(f"{missing[0]} is not given; add {missing[0]}=..., as its file in conf/ explains")


def check_values(cfg: Config) -> None:
    """Refuse values that no run can work with, before anything is written; `check_node` those of groups.

    Raises UserError.
    """
    for group in RUN_GROUPS:
        node = getattr(cfg, group)
        if not isinstance(node, Mapping) or not isinstance(node.get("_target_"), str):
            raise UserError(f"{group}={shown(node)}: expected a mapping with _target_, as the files in conf/{group}")
    check_figures(OmegaConf.to_container(cfg.reported) if OmegaConf.is_config(cfg.reported) else cfg.reported)
    for key, annotation in ANNOTATIONS.items():
        if annotation is not Any and (refused := refusal(key, getattr(cfg, key), annotation)):
            raise UserError(refused)
    if cfg.lr_low >= cfg.lr_high:
        raise UserError(f"lr_low={cfg.lr_low} is not below lr_high={cfg.lr_high}; the search needs a range")
    seeds = cfg.confirm_seeds_max if cfg.confirm_seeds == "auto" else cfg.confirm_seeds
    last = LARGEST_SEED - (0 if cfg.phase == "confirm" else seeds)  # which come after the study's own
    if cfg.seed > last:
        raise UserError(f"seed={cfg.seed} is too large; give a whole number from 0 to {last}")
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", cfg.device):
        raise UserError(f"device={cfg.device}: expected auto, cpu, cuda, cuda:0, cuda:1, ... or mps")
