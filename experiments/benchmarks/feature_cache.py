"""What keeping a frozen backbone's features saves: recomputing every epoch, a first trial, and every trial after it.

    python experiments/benchmarks/feature_cache.py [--rounds 3] [--network resnet18] [--pixels 64] [--images 500] \\
        [--epochs 10]
    python experiments/benchmarks/feature_cache.py --head --network resnetv2_50 --pixels 224 --images 5000 --rounds 1

Three trials in turn in each round of one process, with the same network, pictures, seed and settings: (a) the backbone
runs in every epoch, (b) with an empty cache, (c) with the cache that b left. Each is timed from the first epoch to the
last, validation and features included, start-up not; the second command takes hours. All three have to end with the
same losses. --head: the dense head of conf/model/resnet50v2_head.yaml on feature maps instead of a linear classifier on
their mean. Real CIFAR-10 where HEADSTART_DATA is set, random pixels otherwise. One row per round goes to
outputs/benchmarks/feature_cache.csv.
"""

import argparse
import os
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from training_loop import save

from headstart import __version__, store
from headstart.config import schema as config
from headstart.data import Dataset, Split, augmentation
from headstart.data.sources import cifar10
from headstart.models import builders as models
from headstart.training import devices
from headstart.training.flips import REAL_IMAGES, needed_flips
from headstart.training.progress_bar import Lines
from headstart.training.schedules import constant
from headstart.training.settings import Settings
from headstart.training.trainer import NetworkTrainer

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
FROZEN = dict(weights=None, keep_classifier=False, freeze="backbone", unfreeze_epoch=None, backbone_lr_factor=1)
AUGMENTATIONS = dict(none=augmentation.none, flip=augmentation.horizontal_flip, flip_hv=augmentation.flip_hv)


def pictures(count: int, held_out: int) -> Dataset:
    """CIFAR-10's first training pictures in the order of our split, or random pixels of that shape."""
    if root := os.environ.get("HEADSTART_DATA"):
        return cifar10(root, train_size=count, validation_size=held_out, download=False)
    numbers = np.random.default_rng(0)
    splits = []
    for size in (count, held_out):
        images = torch.from_numpy(numbers.integers(0, 256, (size, 32, 32, 3), dtype=np.uint8))
        splits.append(Split(images, torch.from_numpy(numbers.integers(0, 10, size)), torch.arange(size)))
    return Dataset("random pixels", tuple("0123456789"), *splits, "", MEAN, STD, lambda: splits[1])


def trial(options: argparse.Namespace, data: Dataset, cache: Path, limit: str) -> tuple[float, list]:
    """Seconds of one trial and the losses and accuracies of its epochs."""
    os.environ.update(HEADSTART_CACHE=str(cache), HEADSTART_CACHE_GB=limit)
    shape = dict(classes=len(data.classes), class_names=data.classes, image_size=options.pixels, name=options.network)
    torch.manual_seed(0)
    model = (
        models.timm_with_head(**shape, **FROZEN)
        if options.head
        else models.timm_model(**shape, stem="imagenet", **FROZEN)
    )
    device = devices.resolve_device(options.device)
    settings = Settings(
        epochs=options.epochs, batch_size=128, seed=0, device=device,
        precision=devices.resolve_precision(options.precision, device), image_size=options.pixels,
        normalisation="data", mean=MEAN, std=STD,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        run = NetworkTrainer(
            model, data, settings, partial(torch.optim.Adam, fused=True), constant, AUGMENTATIONS[options.augmentation],
            Path(folder), Lines(options.epochs), "benchmark", 1e-3,
        )  # fmt: skip
        begin = time.perf_counter()
        run.run()
        seconds = time.perf_counter() - begin
        rows = [[row.train_loss, row.val_loss, row.val_accuracy] for row in store.read_epochs(folder).rows]
    return seconds, rows


def one_round(options: argparse.Namespace, data: Dataset) -> dict[str, float]:
    """Seconds of the three trials."""
    with tempfile.TemporaryDirectory(dir=options.folder) as cache:
        ways = dict(recomputing="0", first="1000", second="1000")
        found = {way: trial(options, data, Path(cache), limit) for way, limit in ways.items()}
    losses = np.array([rows for _, rows in found.values()])
    # Batches of another size may round the last bit of a bf16 feature otherwise.
    if not np.allclose(losses, losses[0], rtol=1e-3):
        raise SystemExit(f"the three trials differ:\n{losses}")
    seconds = {f"seconds_{way}": taken for way, (taken, _) in found.items()}
    return seconds | dict(identical=bool((losses == losses[0]).all()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--network", default="resnet18", help="a name of timm's")
    parser.add_argument("--head", action="store_true")
    parser.add_argument("--pixels", type=int, default=64)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--held-out", type=int, default=100, help="validation images")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--augmentation", choices=AUGMENTATIONS, default="flip")
    parser.add_argument("--precision", choices=config.PRECISIONS, default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--folder", help="where the caches are made, and removed (a temporary folder)")
    options = parser.parse_args()
    threads = devices.set_threads(options.threads, jobs=1)
    data, rounds = pictures(options.images, options.held_out), []
    for number in range(options.rounds):
        rounds.append(one_round(options, data))
        taken = rounds[-1]
        seconds = "recomputing {seconds_recomputing:.2f} s, first {seconds_first:.2f} s, second {seconds_second:.3f} s"
        losses = "identical" if taken["identical"] else "within 1e-3"
        print(f"round {number + 1}: {seconds.format(**taken)}; losses {losses}", flush=True)
    table = pd.DataFrame(rounds)
    for way in ("first", "second"):
        ratio = table.seconds_recomputing / table[f"seconds_{way}"]
        print(f"recomputing / {way}: median {ratio.median():.1f}, best {ratio.max():.1f}, worst {ratio.min():.1f}")
    passes = len(
        needed_flips(
            AUGMENTATIONS[options.augmentation], data.train.pictures(slice(REAL_IMAGES)), data.train.labels, 10
        )
    )
    device = devices.resolve_device(options.device)
    described = dict(
        network=options.network, head=options.head, pixels=options.pixels, images=options.images,
        held_out=options.held_out, epochs=options.epochs, augmentation=options.augmentation, flips=passes,
        data=data.name, precision=devices.resolve_precision(options.precision, device),
        device=devices.device_name(device), threads=threads, torch=torch.__version__, headstart=__version__,
    )  # fmt: skip
    print(", ".join(f"{key} {value}" for key, value in described.items()))
    save(table.assign(round=range(1, options.rounds + 1), **described), "feature_cache")


if __name__ == "__main__":
    main()
