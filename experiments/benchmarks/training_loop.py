"""Is headstart's training loop faster than the DataLoader loop of PyTorch's tutorials, and by how much?

python experiments/benchmarks/training_loop.py [--images 2560] [--rounds 5] [--models cnn resnet18] [--threads 1]

The other side is https://pytorch.org/tutorials/beginner/blitz/cifar10_tutorial.html with the usual crop and flip:
torchvision's dataset of PIL pictures, a DataLoader without workers, fp32, loss and hits read by .item() at every step.
Both sides train the same network on the same pictures with the same batch size and as many steps, one after the other
in each round of one process, so that what else the machine does meets both. Real CIFAR-10 where HEADSTART_DATA is set,
random pixels otherwise. `same`: fp32 on the same device on both sides. `defaults`: what `headstart` does when not told
otherwise, against the tutorial as it stands. One row per round goes to outputs/benchmarks/training_loop.csv.
"""

import argparse
import os
import platform
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import timm
import torch
import torchvision
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms

from headstart import __version__
from headstart.data import Dataset, Split, augmentation
from headstart.data.sources import cifar10
from headstart.models import builders as models
from headstart.models.trimmed_conv import TrimmedConv2d
from headstart.training import devices
from headstart.training.schedules import constant
from headstart.training.settings import Settings
from headstart.training.trainer import NetworkTrainer

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
BATCH = 128
WEIGHTLESS = dict(weights=None, keep_classifier=False, freeze="none", unfreeze_epoch=None, backbone_lr_factor=1)


def pictures(count: int) -> Dataset:
    """CIFAR-10's first `count` training pictures in the order of our split, or random pixels of that shape."""
    if root := os.environ.get("HEADSTART_DATA"):
        return cifar10(root, train_size=count, download=False)
    numbers = np.random.default_rng(0)
    images = torch.from_numpy(numbers.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8))
    split = Split(images, torch.from_numpy(numbers.integers(0, 10, count)), torch.arange(count))
    return Dataset("random pixels", tuple("0123456789"), split, split, "", MEAN, STD, lambda: split)


class Tutorial(torch.utils.data.Dataset):
    """As torchvision.datasets.CIFAR10: an array of pictures, each made a PIL image and transformed when asked for."""

    def __init__(self, split: Split):
        self.images, self.labels = split.images.numpy(), split.labels.tolist()
        self.transform = transforms.Compose(
            [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), transforms.ToTensor(),
             transforms.Normalize(MEAN, STD)]
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int):
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def network(name: str) -> models.Model:
    torch.manual_seed(0)
    shape = dict(classes=10, class_names=tuple("0123456789"), image_size=32)
    if name == "cnn":
        return models.cnn(**shape, **WEIGHTLESS)
    return models.timm_model(name=name, stem="imagenet", **shape, **WEIGHTLESS)


def plain(model: models.Model) -> nn.Module:
    """The network as timm or torch has it: to leave out what only padding sees is part of our side."""
    for module in model.network.modules():
        if type(module) is TrimmedConv2d:
            module.__class__ = nn.Conv2d
    return model.network


def tutorial_epoch(model: nn.Module, loader: DataLoader, optimizer, device: torch.device) -> float:
    """Seconds of one epoch, written as the tutorial writes it."""
    loss_of, running_loss, hits = nn.CrossEntropyLoss(), 0.0, 0
    begin = time.perf_counter()
    model.train()
    for inputs, labels in loader:
        inputs, labels = inputs.to(device), labels.to(device)
        optimizer.zero_grad()
        outputs = model(inputs)
        loss = loss_of(outputs, labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
        hits += (outputs.argmax(1) == labels).sum().item()
    return time.perf_counter() - begin


class Silent:
    """A watcher that shows nothing."""

    def step(self, *_):
        pass

    epoch = features = step


def our_trainer(name: str, data: Dataset, device: torch.device, precision: str, folder: Path) -> NetworkTrainer:
    settings = Settings(
        epochs=1_000, batch_size=BATCH, seed=0, device=device, precision=precision, image_size=32,
        normalisation="data", mean=MEAN, std=STD,
    )  # fmt: skip
    fused = partial(torch.optim.Adam, fused=True)
    augment = partial(augmentation.crop_flip, padding=4)
    return NetworkTrainer(network(name), data, settings, fused, constant, augment, folder, Silent(), "benchmark", 1e-3)


def rounds(name: str, variant: str, data: Dataset, count: int, device: torch.device) -> pd.DataFrame:
    """Both sides in turn, `count` times after one round to warm up; seconds an epoch of training steps alone."""
    precision = "fp32" if variant == "same" else devices.resolve_precision("auto", device)
    with tempfile.TemporaryDirectory() as folder:
        ours = our_trainer(name, data, device, precision, Path(folder))
        theirs = plain(network(name)).to(device)
        optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-3)
        loader = DataLoader(Tutorial(data.train), batch_size=BATCH, shuffle=True)
        rows = []
        for number in range(count + 1):
            row = ours.one_epoch(number + 1)
            rows.append((row["seconds_train"], tutorial_epoch(theirs, loader, optimizer, device)))
    table = pd.DataFrame(rows[1:], columns=["seconds_ours", "seconds_tutorial"])
    table["ratio"] = table.seconds_tutorial / table.seconds_ours
    described = dict(
        model=name, variant=variant, data=data.name, images=len(data.train.labels), batch_size=BATCH,
        precision_ours=precision, precision_tutorial="fp32", device=devices.device_name(device),
        threads=torch.get_num_threads(), processor=processor(), headstart=__version__, torch=torch.__version__,
        torchvision=torchvision.__version__, timm=timm.__version__, python=platform.python_version(),
    )  # fmt: skip
    return table.assign(round=range(1, count + 1), **described)


def save(table: pd.DataFrame, name: str) -> None:
    """Write `table` to outputs/benchmarks/<name>.csv and print where it is."""
    target = Path("outputs/benchmarks") / f"{name}.csv"
    target.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(target, index=False)
    print(target)


def train_only(run: NetworkTrainer) -> NetworkTrainer:
    """A run whose epochs are training steps alone: validation answers at once, and nothing."""
    run.predict = lambda split: (torch.full((len(split.labels), 10), 0.1), 0.0)
    return run


def processor() -> str:
    """The processor's name where Linux tells it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2_560)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=["cnn", "resnet18"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    devices.set_threads(options.threads, jobs=1)
    devices.keep_memory()  # on both sides, they share a process
    device, data, tables = devices.resolve_device(options.device), pictures(options.images), []
    for name in options.models:
        for variant in ("same", "defaults"):
            table = rounds(name, variant, data, options.rounds, device)
            tables.append(table)
            first = table.iloc[0]
            print(
                f"{name:<9} {variant:<9} {first.precision_ours} against fp32: median {table.ratio.median():.2f} times "
                f"as fast, best {table.ratio.max():.2f}, worst {table.ratio.min():.2f}; ours "
                f"{first.images / table.seconds_ours.median():,.0f} images/s, "
                f"tutorial {first.images / table.seconds_tutorial.median():,.0f}",
                flush=True,
            )
    print(
        f"{first.data}, {first.images} images, {first.device}, {first.threads} threads, {first.processor}, "
        f"torch {first.torch}, torchvision {first.torchvision}, timm {first.timm}, Python {first.python}"
    )
    save(pd.concat(tables), "training_loop")


if __name__ == "__main__":
    main()
