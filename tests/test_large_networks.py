"""The write-ups' large networks learn on CIFAR-10: slow, for they take seconds a step on one core."""

import os
from pathlib import Path

import pytest
import torch
from options import build

from headstart.augmentation import crop_flip
from headstart.data import Dataset, Split, cifar10
from headstart.training import Settings, Trainer, constant

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
@pytest.mark.parametrize(
    "name, batch_size, lr, freezing",
    [
        ("fan", 64, 1e-3, {}),
        ("vgg16_finetune", 32, 1e-4, dict(freeze="none", unfreeze_epoch=None)),
        ("vgg16_finetune", 32, 1e-4, dict(freeze="backbone_then_none", unfreeze_epoch=2)),
    ],
    ids=["fan", "vgg16", "vgg16, first epoch frozen"],
)
def test_the_large_networks_learn_on_cifar10_from_random_weights(tmp_path, name, batch_size, lr, freezing):
    torch.set_num_threads(1)
    data = cifar10(str(ROOT), train_size=160, download=False)
    few = Split(data.val.images[:50], data.val.labels[:50], data.val.indices[:50])
    settings = Settings(
        epochs=4, batch_size=batch_size, seed=0, device=torch.device("cpu"), precision="bf16", image_size=32,
        normalisation="data", mean=data.mean, std=data.std,
    )  # fmt: skip
    losses = Losses()
    Trainer(
        model=build(name, **freezing), settings=settings, run_dir=tmp_path, watcher=losses, identity="", lr=lr,
        data=Dataset(data.name, data.classes, data.train, few, "", data.mean, data.std, data.load_test),
        optimizer_factory=torch.optim.Adam, schedule=constant, augment=crop_flip,
    ).run()  # fmt: skip
    assert len(losses) == 4
    assert losses[-1] < 0.9 * losses[0]
