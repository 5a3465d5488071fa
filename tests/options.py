"""The options of the config group `model`, built without Hydra: with random weights and for small pictures."""

import importlib
from pathlib import Path

import torch
from omegaconf import OmegaConf
from torch import nn

from headstart.models import builders as models

CONF = Path(__file__).parents[1] / "conf" / "model"
NAMES = tuple("abcdefghij")
EXAMPLE = {"timm": {"name": "test_resnet"}, "torchvision": {"name": "shufflenet_v2_x0_5"}}  # what leaves the name open


def keys_of(name: str) -> dict:
    """The keys of conf/model/NAME.yaml, those inherited included."""
    found = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    inherited = {}
    for parent in found.pop("defaults", []):
        inherited |= keys_of(parent) if parent != "_self_" else {}
    return inherited | found


def ours() -> list[str]:
    names = sorted(path.stem for path in CONF.glob("*.yaml"))
    return [name for name in names if keys_of(name)["_target_"].startswith("headstart.models.builders.")]


def distinct() -> list[str]:
    """One option for each network, without those that only start from other weights or freeze otherwise."""
    found = {}
    for name in ours():
        keys = keys_of(name)
        found.setdefault(tuple(keys.get(key) for key in ("_target_", "name", "stem")), name)
    return list(found.values())


def by_function() -> dict[str, dict]:
    """One option for each function of models/builders.py, with changes that make its network small."""
    changes = {"timm_with_head": {"name": "test_resnet"}, "fan": {"image_size": 16}}
    found = {keys_of(name)["_target_"].rpartition(".")[2]: name for name in reversed(ours())}
    return {name: changes.get(function, {}) | EXAMPLE.get(name, {}) for function, name in found.items()}


def build(name: str, /, *, classes: int = 10, image_size: int = 32, seed: int = 0, **changes) -> models.Model:
    keys = keys_of(name) | EXAMPLE.get(name, {}) | {"weights": None} | changes
    keys = dict(class_names=NAMES[:classes]) | keys | dict(classes=classes, image_size=image_size)
    module, _, function = keys.pop("_target_").rpartition(".")
    torch.manual_seed(seed)
    return getattr(importlib.import_module(module), function)(**keys)


def parts(model: models.Model) -> tuple[dict[str, nn.Parameter], dict[str, nn.Parameter]]:
    """Parameters of the backbone and of the classifier."""
    named = dict(model.network.named_parameters())
    head = {name: p for name, p in named.items() if name.startswith(f"{model.classifier}.")}
    return {name: p for name, p in named.items() if name not in head}, head
