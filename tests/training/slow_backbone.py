"""Features of a backbone that takes its time, for tests that start processes and kill them."""

import logging
import sys
import time

import torch
from torch import nn

from headstart.models import Model
from headstart.training.frozen_features import BATCH, FrozenFeatures
from training.helpers_training import noise, prepared


class Slow(nn.Module):
    """Takes its time over each batch, and says so."""

    def __init__(self, seconds: float):
        super().__init__()
        self.seconds = seconds

    def forward(self, images):
        if len(images) > 4:  # not the first images, which are only tried
            print("batch", flush=True)
            time.sleep(self.seconds)
        return images.mean((2, 3))


def source(seconds: float) -> FrozenFeatures:
    torch.manual_seed(0)
    layers = nn.Sequential()
    layers.backbone, layers.classifier = Slow(seconds), nn.Linear(3, 10)
    return prepared(Model(layers, "classifier", freeze="backbone"))


def child(seconds: float) -> None:
    """Wait for a line, then get the features of 3 batches in 2 flips and print their sum."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    features = source(seconds)
    print("ready", flush=True)
    sys.stdin.readline()
    picked = torch.arange(3 * BATCH)
    rows = features.table(noise(3 * BATCH), (0, 1)).rows(picked, picked % 2)
    print("sum", rows.double().sum().item(), flush=True)
