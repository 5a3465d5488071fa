"""Where does the time of a training epoch go? Shares of convolution, data, optimizer and the rest; the top operators.

python experiments/benchmarks/operators.py [--models cnn resnet18] [--images 2560] [--top 8]

One epoch of training steps, no evaluation, under torch's profiler, after one to warm up; on one thread, in the
precision that `headstart` chooses. Writes outputs/benchmarks/operators.csv.
"""

import argparse
import tempfile
from pathlib import Path

import pandas as pd
import torch
from torch.profiler import ProfilerActivity, profile
from training_loop import our_trainer, pictures, save, train_only

from headstart.training import devices

KINDS = {  # by what an operator's name holds, the first that fits
    "optimizer": ("adam", "sgd", "zero_grad"),
    "convolution": ("convolution", "conv2d"),
    "pooling": ("pool",),
    "normalisation": ("batch_norm",),
    "dense": ("addmm", "aten::mm"),
    "activation": ("clamp_min", "threshold"),
    "data": ("index", "addcmul", "randint", "randperm"),
    "copies and casts": ("copy_", "_to_copy", "fill_", "zero_"),
}


def kind(name: str) -> str:
    """What an operator belongs to; an index or a copy counts by its name, whoever called it."""
    return next((k for k, parts in KINDS.items() if any(part in name.lower() for part in parts)), "rest")


def epoch(name: str, images: int, precision: str) -> pd.DataFrame:
    """Each operator of one epoch with its own milliseconds, what it calls not included."""
    data, device = pictures(images), torch.device("cpu")
    with tempfile.TemporaryDirectory() as folder:
        run = train_only(our_trainer(name, data, device, precision, Path(folder)))
        run.one_epoch(1)
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            run.one_epoch(2)
    rows = [(event.key, event.self_cpu_time_total / 1000, event.count) for event in seen.key_averages()]
    table = pd.DataFrame(rows, columns=["operator", "milliseconds", "calls"]).sort_values("milliseconds")[::-1]
    share = 100 * table.milliseconds / table.milliseconds.sum()
    return table.assign(model=name, precision=precision, kind=table.operator.map(kind), percent=share)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["cnn", "resnet18"])
    parser.add_argument("--images", type=int, default=2_560)
    parser.add_argument("--top", type=int, default=8)
    options = parser.parse_args()
    devices.set_threads(1, jobs=1)
    devices.keep_memory()
    precision = devices.resolve_precision("auto", torch.device("cpu"))
    tables = [epoch(name, options.images, precision) for name in options.models]
    for name, table in zip(options.models, tables, strict=True):
        print(f"\n{name}, {precision}, one thread")
        kinds = table.groupby("kind").percent.sum().sort_values(ascending=False)
        print(", ".join(f"{k} {share:.1f} %" for k, share in kinds.items()))
        print(table.head(options.top)[["operator", "percent", "calls"]].to_string(index=False, float_format="%.1f"))
    save(pd.concat(tables), "operators")


if __name__ == "__main__":
    main()
