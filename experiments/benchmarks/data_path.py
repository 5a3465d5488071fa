"""Augmented and normalised images a second, data alone: our batches against torchvision's DataLoader.

    python experiments/benchmarks/data_path.py [--images 10000] [--rounds 5] [--threads 1]

Both sides crop (padding 4), flip and normalise the same CIFAR-10 pictures to float32 batches of 128, in turns. The
other side is a DataLoader of PIL pictures with torchvision's transforms, with 0 and with 2 workers: the ratio is to the
better of both in each round. Ours runs on one thread; a worker is a process, so that 2 of them may use one core more.
Real CIFAR-10 where HEADSTART_DATA is set, random pixels otherwise. Rows go to outputs/benchmarks/data_path.csv.
"""

import argparse
import time

import pandas as pd
import torch
import torchvision
from torch.utils.data import DataLoader
from training_loop import BATCH, MEAN, STD, Tutorial, pictures, processor, save

from headstart.data import Split, augmentation, normalise
from headstart.training import devices

GOAL = 10.0


def ours(split: Split) -> float:
    """Seconds for one pass over the split, as headstart.training.trainer makes its batches."""
    stream = torch.Generator().manual_seed(0)
    begin = time.perf_counter()
    order = torch.randperm(len(split.labels), generator=stream)
    for start in range(0, len(order), BATCH):
        picked = order[start : start + BATCH]
        images, _ = augmentation.crop_flip(split.pictures(picked), split.labels[picked], classes=10, generator=stream)
        normalise(images, MEAN, STD)
    return time.perf_counter() - begin


def theirs(split: Split, workers: int) -> float:
    """Seconds for one pass of the tutorial's DataLoader, its workers started and warm."""
    loader = DataLoader(
        Tutorial(split), batch_size=BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )
    for _ in range(2 if workers else 1):  # the first pass starts the workers
        begin = time.perf_counter()
        for _ in loader:
            pass
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    devices.set_threads(options.threads, jobs=1)
    split = pictures(options.images).train
    ours(split)
    rows = [
        dict(
            round=number,
            seconds_ours=ours(split),
            seconds_0_workers=theirs(split, 0),
            seconds_2_workers=theirs(split, 2),
        )
        for number in range(1, options.rounds + 1)
    ]
    table = pd.DataFrame(rows)
    table["ratio"] = table[["seconds_0_workers", "seconds_2_workers"]].min(axis=1) / table.seconds_ours
    rate = {name: len(split.labels) / table[f"seconds_{name}"].median() for name in ("ours", "0_workers", "2_workers")}
    print(
        f"ours {rate['ours']:,.0f} images/s; DataLoader {rate['0_workers']:,.0f} with 0 workers, "
        f"{rate['2_workers']:,.0f} with 2\nmedian {table.ratio.median():.1f} times the better of them, best "
        f"{table.ratio.max():.1f}, worst {table.ratio.min():.1f}; goal {GOAL:g}\n"
        f"{processor()}, {options.threads} threads, torch {torch.__version__}, torchvision {torchvision.__version__}"
    )
    save(table.assign(processor=processor(), threads=options.threads, torch=torch.__version__), "data_path")


if __name__ == "__main__":
    main()
