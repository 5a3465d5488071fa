"""What tests of the models room share: conf/model built without Hydra, small, with random weights; files of weights."""

import importlib
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from headstart import models
from headstart.errors import UserError
from headstart.models import builders

CONF = Path(__file__).parents[2] / "conf" / "model"
NAMES = tuple("abcdefghij")
OPTIONS = dict(keep_classifier=False, freeze="none", unfreeze_epoch=None, backbone_lr_factor=1)
MEAN, STD = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
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


# ---- files of weights


def cnn(*, file=None, seed=0, classes=10, class_names=None, image_size=8, **changes) -> models.Model:
    """The small network at 8 px, so that its files are small too."""
    torch.manual_seed(seed)
    given = None if file is None else str(file)
    options = OPTIONS | dict(weights=given, classes=classes, image_size=image_size) | changes
    return builders.cnn(**options, class_names=class_names or NAMES[:classes])


def exported(model: models.Model, classes=NAMES) -> bytes:
    return models.export_bytes(model, classes=classes, mean=MEAN, std=STD, image_size=8, architecture="cnn")


def refused(file, *said: str, **changes) -> str:
    with pytest.raises(UserError) as caught:
        cnn(file=file, **changes)
    text = str(caught.value)
    assert [word for word in said if word not in text] == []
    assert len(text.splitlines()) <= 3 and len(text) < 700
    return text


def lightning(state: dict, prefix: str) -> dict:
    return {"state_dict": {f"{prefix}{k}": v for k, v in state.items()}, "pytorch-lightning_version": "2.6", "epoch": 3}
