"""What tests of the inference room share: the folder that a finished run leaves, without training."""

from pathlib import Path

import torch
from models.helpers_models import EXAMPLE, MEAN, STD, build, keys_of
from omegaconf import OmegaConf

from headstart import models, store

CLASSES = ("cat", "dog", "bird")


def finished(folder: Path, option: str = "cnn", image_size: int = 32, **changes) -> models.Model:
    """Leave in `folder` what a finished run of this option leaves, and return its network."""
    model = build(option, classes=3, image_size=image_size, seed=7, **changes)
    for module in model.network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as after training, so that forgetting them would show
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)  # a ResNet's begin at 0 behind its last convolutions
    words = [f"model={option}", *(f"model.{key}={value}" for key, value in changes.items())]
    told = dict(image_size=image_size, architecture=option, network=" ".join(words))
    content = models.export_bytes(model, classes=CLASSES, mean=MEAN, std=STD, **told)
    (folder / ".hydra").mkdir(parents=True)
    node = keys_of(option) | EXAMPLE.get(option, {}) | changes
    OmegaConf.save(dict(model=node | {"weights": None}), folder / ".hydra" / "config.yaml")
    (folder / "best.safetensors").write_bytes(content)
    record = dict(state="COMPLETE", val_accuracy=81.5, best_sha256=store.sha256_of(folder / "best.safetensors"))
    store.write_json(folder / "result.json", record)
    model.network.eval()
    return model
