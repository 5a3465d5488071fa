"""The write-ups' large networks learn on CIFAR-10: slow, for they take seconds a step on one core."""

import os
from pathlib import Path

import pytest
import torch

from headstart.data import Dataset
from headstart.data.augmentation import none
from headstart.data.sources import cifar10
from headstart.training.schedules import constant
from headstart.training.settings import Settings
from headstart.training.trainer import NetworkTrainer
from models.helpers_models import build

ROOT = Path(os.environ.get("HEADSTART_DATA", "nowhere"))
needs_cifar10 = pytest.mark.skipif(
    not (ROOT / "cifar-10-batches-py").is_dir(), reason="needs CIFAR-10 in the folder named by HEADSTART_DATA"
)


class Losses(list):
    """Watches a run and keeps the training loss of each epoch."""

    def step(self, *_: object) -> None:
        pass

    def features(self, *_: object) -> None:
        pass

    def epoch(self, row: dict) -> None:
        self.append(row["train_loss"])


@pytest.mark.slow
@needs_cifar10
@pytest.mark.parametrize("name, lr", [("fan", 1e-3), ("vgg16_finetune", 1e-4)])
def test_the_large_networks_learn_thirty_pictures_of_cifar10_by_heart(tmp_path, name, lr):
    torch.set_num_threads(1)
    data = cifar10(str(ROOT), train_size=30, download=False)
    often, few = data.train.choose(torch.arange(30).repeat(6)), data.val.choose(slice(50))
    seen = dict(image_size=32, normalisation="data", mean=data.mean, std=data.std)
    settings = Settings(epochs=3, batch_size=15, seed=0, device=torch.device("cpu"), precision="bf16", **seen)
    losses = Losses()
    small = Dataset(data.name, data.classes, often, few, "", data.mean, data.std, data.load_test)
    used = dict(model=build(name, freeze="none", unfreeze_epoch=None), data=small, settings=settings)
    learning = dict(lr=lr, optimizer_factory=torch.optim.Adam, schedule=constant, augment=none)
    NetworkTrainer(**used, **learning, run_dir=tmp_path, watcher=losses, identity="").run()
    assert len(losses) == 3
    assert losses[2] < 0.9 * losses[0], losses  # guessing would stay at 2.3
