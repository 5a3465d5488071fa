"""The typed top level of every configuration, what may be instantiated from it, its hash and its command line."""

import hashlib
import json
import math
import os
import re
import shlex
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

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

# What describes a run, or a sweep around it, without changing what the run computes.
DESCRIBING = {
    "name", "arm", "phase", "resume", "keep", "device", "jobs", "dry_run",
    "n_trials", "confirm_seeds", "lr_low", "lr_high", "search", "budget", "experiments", "reported",
}  # fmt: skip

# What only training by epochs reads, and only torch: without effect on an estimator that is fitted in one go.
EPOCHS_ONLY = frozenset({
    "lr", "epochs", "batch_size", "augmentation", "optimizer", "schedule",
    "label_smoothing", "clip_grad_norm", "patience", "compile",
})  # fmt: skip
TORCH_ONLY = frozenset({"precision", "deterministic", "tf32", "cudnn_benchmark"})

# Coarse: Hydra refuses everything else. Fine: `make` also checks the exact shape of each name and where it was defined.
WHITELIST = (
    "headstart.data.augmentation.*",
    "headstart.models.estimators.*",
    "headstart.cli.checks.Check",
    "headstart.data.sources.*",
    "headstart.models.builders.*",
    "headstart.training.trainer.*",
    "hydra_plugins.hydra_optuna_sweeper.*",
    "logging.FileHandler",
    "logging.Formatter",
    "logging.StreamHandler",
    "optuna.pruners.*",
    "optuna.samplers.*",
    "sklearn.*",
    "timm.optim.*",
    "torch.optim.*",
)
OUR_FUNCTION = re.compile(
    r"headstart\.(data\.augmentation|models\.estimators|data\.sources|models\.builders|training\.trainer)\.[a-z][a-z0-9_]*"
)
LIBRARY_CLASS = re.compile(
    r"(torch\.optim|timm\.optim|optuna\.(samplers|pruners)|sklearn\.[a-z_]+)(\.[a-z_]+)?\.[A-Z]\w*"
)


def make(node: DictConfig, **arguments: Any) -> Any:
    """Instantiate a `_target_` node, nested ones included; arguments are passed on to the outermost.

    Raises UserError for a target outside the whitelist, for keys that the target does not take, and, unwrapped, for
    whatever the target itself refuses. A prefix like `torch.optim.*` alone would let `torch.optim.adam.torch.load`
    through, hence the check of each name and of the module that defines it.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    for target in _targets(OmegaConf.to_container(node, resolve=True)):
        if not (OUR_FUNCTION.fullmatch(target) or LIBRARY_CLASS.fullmatch(target)):
            raise UserError(
                f"_target_={target!r} may not be called from a configuration; see WHITELIST in config/schema.py"
            )
        if OUR_FUNCTION.fullmatch(target):
            module, _, name = target.rpartition(".")
            found = getattr(__import__(module, fromlist=[name]), name, None)
            if not str(getattr(found, "__module__", "")).startswith("headstart."):
                raise UserError(f"_target_={target!r} is not one of headstart's own functions")
    try:
        return instantiate(node, **arguments, _convert_="all", _execution_whitelist_=WHITELIST)
    except InstantiationException as error:
        raise UserError(f"{node.get('_target_')}: {str(error).splitlines()[0]}") from error
    except TypeError as error:
        if "argument" not in str(error):  # not about the keys, so a fault of the code, to be seen as such
            raise
        raise UserError(f"{node.get('_target_')} refused its configuration: {error}") from error


def _targets(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [str(value["_target_"])] if "_target_" in value else []
        return own + [t for v in value.values() for t in _targets(v)]
    return [t for v in value for t in _targets(v)] if isinstance(value, list) else []


def check_values(cfg: DictConfig) -> None:
    """Refuse values that no run can work with, before anything is written. Raises UserError."""
    for key in ("lr", "lr_low", "lr_high"):
        if not (math.isfinite(cfg[key]) and cfg[key] > 0):
            raise UserError(f"{key}={cfg[key]} is not a learning rate; give a number above 0, such as {key}=1e-3")
    if cfg.lr_low >= cfg.lr_high:
        raise UserError(f"lr_low={cfg.lr_low} is not below lr_high={cfg.lr_high}; the search needs a range")
    least = dict(epochs=1, batch_size=1, n_trials=1, jobs=1, seed=0, split_seed=0, confirm_seeds=0)
    optional = dict(threads=1, patience=1, image_size=8)
    last = 2**32 - 1  # of NumPy's seeds; a study's confirmations take those after its own
    most = dict(seed=last - (0 if cfg.phase == "confirm" else cfg.confirm_seeds), split_seed=last, threads=1024)
    for key, low in (least | {k: v for k, v in optional.items() if cfg[k] is not None}).items():
        if cfg[key] < low:
            raise UserError(f"{key}={cfg[key]} is too small; give a whole number from {low}")
        if cfg[key] > most.get(key, cfg[key]):
            raise UserError(f"{key}={cfg[key]} is too large; give a whole number from {low} to {most[key]}")
    unfreeze = cfg.model.get("unfreeze_epoch")
    if unfreeze is not None and unfreeze > cfg.epochs:
        raise UserError(f"model.unfreeze_epoch={unfreeze} comes after the last epoch ({cfg.epochs}); unfreeze earlier")
    if not 0 <= cfg.label_smoothing < 1:
        raise UserError(f"label_smoothing={cfg.label_smoothing} is outside 0 to 1 (1 excluded)")
    if cfg.clip_grad_norm is not None and not cfg.clip_grad_norm > 0:
        raise UserError(f"clip_grad_norm={cfg.clip_grad_norm} would stop all learning; give a number above 0 or null")
    for key, valid in (("phase", PHASES), ("precision", PRECISIONS), ("keep", KEEPS), ("compile", COMPILES)):
        if cfg[key] not in valid:
            raise UserError(f"{key}={cfg[key]} is unknown; choose one of {', '.join(valid)}")
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", cfg.device):
        raise UserError(f"device={cfg.device} is unknown; choose auto, cpu, cuda, cuda:0, cuda:1, ... or mps")


def check_complete(cfg: DictConfig) -> None:
    """Refuse a job's configuration in which a value is still to be given. Raises UserError."""
    if missing := sorted(OmegaConf.missing_keys(cfg)):
        raise UserError(f"{missing[0]} is not given; add {missing[0]}=..., as its file in conf/ explains")


def without_hydra(cfg: DictConfig) -> DictConfig:
    """The job's own part of a configuration that Hydra composed."""
    return OmegaConf.masked_copy(cfg, [k for k in cfg if k != "hydra"])


def keys_without_effect(cfg: DictConfig) -> frozenset[str]:
    """Top-level keys without effect on this run: those of training by epochs where an estimator is fitted in one go."""
    if "estimator" not in cfg.model:
        return frozenset()
    return EPOCHS_ONLY if cfg.model.get("features") else EPOCHS_ONLY | TORCH_ONLY


def config_hash(cfg: DictConfig, **settled: Any) -> str:
    """First 16 digits of the sha256 of what determines a run's result; equal hash, equal row (at equal threads).

    settled: values that the run filled in for `auto`. Threads are left out: a run may go on with other ones. So is what
    has no effect on the model, and the search space that its file brings.
    The folder that data is read from is left out: its content is identified by `data_sha256` in the run's record.
    """
    content = {k: v for k, v in OmegaConf.to_container(cfg, resolve=True).items() if k not in DESCRIBING | {"threads"}}
    content = {k: v for k, v in (content | settled).items() if k not in keys_without_effect(cfg)}
    content["model"] = {k: v for k, v in content["model"].items() if k != "search"}
    content["data"] = {k: v for k, v in content["data"].items() if k not in ("root", "cache", "download")}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


@lru_cache(maxsize=64)
def _baseline(choices: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Composed, unresolved configuration with only these group choices on top of the defaults."""
    from hydra import compose, initialize_config_module
    from hydra.core.global_hydra import GlobalHydra

    overrides = [f"{group}={option}" for group, option in choices]
    if GlobalHydra.instance().is_initialized():
        return OmegaConf.to_container(compose("config", overrides), resolve=False)
    with initialize_config_module("headstart.conf"):
        return OmegaConf.to_container(compose("config", overrides), resolve=False)


def command_line(cfg: DictConfig, choices: dict[str, str], **settled: Any) -> str:
    """Return the single-run command line that gives the same result as this job, whatever study it was part of.

    cfg: the composed job configuration; choices: hydra.runtime.choices; settled: top-level values that the run filled
    in itself (threads, precision). Built from the difference to the defaults, so that an experiment file's content is
    in it and its name is not. What has no effect on the model is left out.
    """
    without = keys_without_effect(cfg)
    words = [w for w in _changes(cfg, choices, settled) if _top_key(w) not in without]
    return " ".join(["headstart", *(shlex.quote(w) for w in words)])


def without_effect(cfg: DictConfig, choices: dict[str, str]) -> list[str]:
    """Top-level keys that differ from their defaults and have no effect on this run's model, sorted."""
    return sorted({_top_key(w) for w in _changes(cfg, choices, {})} & keys_without_effect(cfg))


def _top_key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0].partition(".")[0]


def _changes(cfg: DictConfig, choices: dict[str, str], settled: dict[str, Any]) -> list[str]:
    """The overrides that lead from the defaults to this job."""
    groups = ("data", "model", "augmentation", "optimizer", "schedule")
    default = _baseline(())
    picked = tuple((g, str(choices[g])) for g in groups if str(choices[g]) != _default_choices()[g])
    baseline = _baseline(picked) if picked else default
    own = OmegaConf.to_container(cfg, resolve=False)
    own.update(settled)
    skip = DESCRIBING - {"phase"}
    changes = []
    for key, value in sorted(own.items()):
        if key not in skip:
            changes += _differences(baseline.get(key, MISSING), value, key)
    changes = [c for c in changes if not c.lstrip("+~").startswith("model.search")]  # a sweep's, as `search` is
    if own["phase"] != "search":
        changes = [c for c in changes if not c.startswith("phase=")]
    return [f"{g}={c}" for g, c in picked] + changes


@lru_cache(maxsize=1)
def _default_choices() -> dict[str, str]:
    entries = OmegaConf.load(str(files("headstart.conf") / "config.yaml")).defaults
    return {k: str(v) for e in entries if isinstance(e, DictConfig) for k, v in e.items()}


def _differences(old: Any, new: Any, key: str) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        gone = [f"~{key}.{k}" for k in old if k not in new]
        return gone + [c for k in new for c in _differences(old.get(k, MISSING), new[k], f"{key}.{k}")]
    if old == new and type(old) is type(new):
        return []
    return [f"{'+' if old is MISSING else ''}{key}={override_value(new)}"]


def override_value(value: Any) -> str:
    """Write a value so that Hydra's override grammar reads it back as the same value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{k}:{override_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(override_value(v) for v in value) + "]"
    text = str(value)
    if re.fullmatch(r"[A-Za-z_/.][A-Za-z0-9_./-]*", text) and text.lower() not in (
        "null",
        "true",
        "false",
        "nan",
        "inf",
    ):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def decades(low: float, high: float) -> list[float]:
    """The powers of 10 within [low, high], largest first: what a hand search by factors of 10 tries."""
    first, last = math.floor(math.log10(high) + 1e-9), math.ceil(math.log10(low) - 1e-9)
    return [float(f"1e{e}") for e in range(first, last - 1, -1)]


def first_pruned_epoch(epochs: int, warmup: float) -> int:
    """The first epoch after which a search trial may be pruned; warmup: share of the epochs in which the rate rises."""
    return math.ceil(round(warmup * epochs, 6)) + max(2, math.ceil(epochs / 15))


@lru_cache(maxsize=1)
def _stamp() -> str:
    return datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")


def _study_name(name: str | None) -> str:
    return name if name is not None else os.environ.setdefault("HEADSTART_SWEEP", f"sweep-{_stamp()}")


def experiments_folder() -> Path:
    """The folder of the studies; its parent is the search path on which Hydra finds that group."""
    return Path(str(files("headstart.experiments")))


def options(group: str) -> list[str]:
    """The options of a config group: names of its YAML files, sorted."""
    folder = experiments_folder() if group == "experiments" else files("headstart.conf") / group
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


def groups() -> list[str]:
    """The config groups, in the order of conf/config.yaml."""
    return [group for group in _default_choices() if "/" not in group]


def _help_text() -> str:
    rows = "\n".join(f"  {g:<13} {', '.join(options(g))}" for g in groups())
    return HELP.replace("{rows}", rows)


HELP = """headstart: what does pretraining buy an image classifier, against training from random weights?

One run          headstart model=resnet18 lr=1e-3
A study          headstart -m experiments=quickstart
Your own sweep   headstart -m model=cnn,resnet18 data=digits
Tables again     headstart report outputs/quickstart

Groups (group=option)
{rows}

Keys people change (key=value; `headstart --cfg job` shows them all)
  lr=1e-3 epochs=10 batch_size=128 seed=0     training
  data.train_size=5000 data.classes=[0,1]     fewer images (stratified), fewer classes
  model.weights=null|imagenet|FILE            start from random or from pretrained weights
  model.freeze=none|backbone                  fine-tune everything or only the head
  patience=5 clip_grad_norm=1 label_smoothing=0.1 optimizer.weight_decay=1e-2
  device=auto threads=2 precision=auto|fp32|bf16 compile=auto|off|on
  n_trials=12 confirm_seeds=5 lr_low=1e-5 lr_high=1e-1 jobs=2 dry_run=true     with -m only
  resume=outputs/runs/...                     go on with an interrupted run

CIFAR is read from $$HEADSTART_DATA or ./data and downloaded there when missing. Everything is written below outputs/.
Tab completion: eval "$$(headstart -sc install=bash)". Hydra's own flags: headstart --hydra-help
"""

OmegaConf.register_resolver("config_root", lambda _="": str(experiments_folder().parent), replace=True)
OmegaConf.register_resolver("study_name", _study_name, replace=True)
OmegaConf.register_resolver("help_text", lambda _="": _help_text(), replace=True)
OmegaConf.register_resolver(
    "first_pruned_epoch", lambda epochs, warmup: first_pruned_epoch(epochs, warmup), replace=True
)
OmegaConf.register_resolver("decade_count", lambda low, high: len(decades(low, high)), replace=True)
OmegaConf.register_resolver(
    "decades", lambda low, high: "choice(" + ",".join(map(repr, decades(low, high))) + ")", replace=True
)
