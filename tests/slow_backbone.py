"""Features of a backbone that takes its time, for tests that start processes and kill them; imports little."""

import logging
import sys
import time

import torch
from torch import nn

from headstart.data import Split, augmentation
from headstart.models.model import Model
from headstart.training.frozen_features import BATCH, Features
from headstart.training.trainer import Settings


class Slow(nn.Module):
    """Takes its time over each batch, and says so."""

    def __init__(self, seconds: float):
        super().__init__()
        self.seconds = seconds

    def forward(self, images):
        if len(images) > 4:  # not the first pictures, which are only tried
            print("batch", flush=True)
            time.sleep(self.seconds)
        return images.mean((2, 3))


def settings(**options) -> Settings:
    return Settings(**dict(
        epochs=1, batch_size=32, seed=0, device=torch.device("cpu"), precision="fp32", image_size=32,
        normalisation="data", mean=(0.5,) * 3, std=(0.25,) * 3,
    ) | options)  # fmt: skip


def prepared(model: Model, augment=augmentation.none, **options) -> Features:
    return Features(model, settings(**options), augment, lambda *_: None)


def noise(count: int, seed: int = 0) -> Split:
    random = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (count, 32, 32, 3), dtype=torch.uint8, generator=random)
    return Split(images, torch.arange(count) % 10, torch.arange(count))


def source(seconds: float) -> Features:
    torch.manual_seed(0)
    layers = nn.Sequential()
    layers.backbone, layers.classifier = Slow(seconds), nn.Linear(3, 10)
    return prepared(Model(layers, "classifier", freeze="backbone"))


def child(seconds: float) -> None:
    """Wait for a line, then get the features of 3 batches in 2 mirror images and print their sum."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    features = source(seconds)
    print("ready", flush=True)
    sys.stdin.readline()
    picked = torch.arange(3 * BATCH)
    rows = features.table(noise(3 * BATCH), (0, 1)).rows(picked, picked % 2)
    print("sum", rows.double().sum().item(), flush=True)
