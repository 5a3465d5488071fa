"""What limits the training of a depthwise network on one core, and what freezing its lower stages saves.

python experiments/benchmarks/depthwise.py [--network tf_efficientnet_lite0] [--weights FILE] [--pixels 64] \
    [--images 640] [--rounds 5] [--until 4 6 7]

First the roofline of a training step, by kind of layer: milliseconds, arithmetic (multiply and add are 2),
bytes where every tensor is moved once, and both a second, against what this core reaches in a large matrix product and
a large copy. Then the step with pictures channels last, as headstart trains, and contiguous. Then training in turns,
round by round: the whole network, its lower stages frozen and computed in each step, and read where they are kept. CPU
time throughout, on one thread, in the precision that headstart chooses. Rounds go to outputs/benchmarks/depthwise.csv.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional
from training_loop import MEAN, STD, Silent, pictures, processor, save, train_only

from headstart import models as rooms
from headstart.data import Dataset, augmentation
from headstart.models import builders
from headstart.training import devices
from headstart.training.schedules import constant
from headstart.training.settings import Settings
from headstart.training.trainer import NetworkTrainer

BATCH = 64
CPU = torch.device("cpu")


def model_of(options: argparse.Namespace, freeze: str = "none") -> rooms.Model:
    """The network with a classifier of ten classes."""
    torch.manual_seed(0)
    shape = dict(classes=10, class_names=tuple("0123456789"), image_size=options.pixels)
    given = dict(weights=options.weights, keep_classifier=False, unfreeze_epoch=None, backbone_lr_factor=1)
    return builders.timm_model(name=options.network, stem="imagenet", freeze=freeze, **given, **shape)


def seconds(do: Callable[[], object], rounds: int = 5) -> float:
    """Median CPU seconds, after one time to warm up."""
    taken = []
    do()
    for _ in range(rounds):
        begin = time.process_time()
        do()
        taken.append(time.process_time() - begin)
    return median(taken)


# ------------------------------------------------------------------------------------------------------- the roofline


def peaks() -> tuple[float, float]:
    """GFLOP/s of a matrix product of 2,048 rows in float32, and GB/s, read and written, of a copy of 256 MB."""
    a, b = torch.randn(2, 2048, 2048)
    source, target = torch.ones(2, 2**26)
    return 2 * 2048**3 / seconds(lambda: a @ b) / 1e9, 2 * source.nbytes / seconds(lambda: target.copy_(source)) / 1e9


def trainer_step(network: nn.Module, images: Tensor, labels: Tensor, precision: str) -> Callable[[], None]:
    """One step of training on these normalised pictures."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-5, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with devices.autocast(CPU, precision):
            logits = network(images)
        functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    return step


def kind_of(module: nn.Module) -> str | None:
    """What a layer belongs to, convolutions by their kernels; None for what is not looked at alone."""
    if isinstance(module, nn.BatchNorm2d):  # timm's has its activation inside
        return "normalisation and ReLU6"
    if not isinstance(module, nn.Conv2d):
        return None
    if 1 < module.groups == module.in_channels:
        return "depthwise convolutions"
    return "1x1 convolutions" if module.kernel_size == (1, 1) else "first convolution"


def work_of(module: nn.Module, given: Tensor, output: Tensor) -> tuple[float, float]:
    """Arithmetic of convolutions, and bytes of float32 moved when each pass reads or writes every tensor once."""
    if isinstance(module, nn.BatchNorm2d):
        return 0.0, 4.0 * 5 * given.numel()  # in, out; in and the output's gradient, the input's
    passes = 2 if given.shape[1] == 3 else 3  # pictures need no gradient
    moved = passes * given.numel() + 2 * output.numel() + 3 * module.weight.numel()
    return passes * 2.0 * output.numel() * module.weight[0].numel(), 4.0 * moved


def layer_seconds(module: nn.Module, given: Tensor, rounds: int) -> float:
    """CPU seconds of a layer, forth and back."""
    given = given.detach().requires_grad_(given.shape[1] != 3)
    learning = [tensor for tensor in (given, *module.parameters()) if tensor.requires_grad]
    direction = torch.randn_like(module(given))
    return seconds(lambda: torch.autograd.grad(module(given), learning, direction), rounds)


def roofline(options: argparse.Namespace, images: Tensor, labels: Tensor, precision: str) -> pd.DataFrame:
    """A row for each kind of layer, of one training step in float32; `rest` is what the layers leave of it."""
    network = devices.move_network(model_of(options).network, CPU).train()
    whole = seconds(trainer_step(network, images, labels, precision), options.rounds)
    calls = []
    hooks = [
        module.register_forward_hook(lambda module, given, output: calls.append((module, given[0].clone(), output)))
        for module in network.modules()
        if kind_of(module)
    ]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    rows = []
    for module, given, output in calls:
        rows.append((kind_of(module), layer_seconds(module, given, options.rounds), *work_of(module, given, output)))
    rows.append(("rest", max(0.0, whole - sum(row[1] for row in rows)), 0.0, 0.0))
    table = pd.DataFrame(rows, columns=["kind", "seconds", "flop", "bytes"]).groupby("kind").sum()
    return table.sort_values("seconds", ascending=False)


def show_roofline(table: pd.DataFrame, most: float, fastest: float) -> None:
    """Print it; `bound` is how long the kind would take at the peaks, in percent of what it takes."""
    bound = np.maximum(table.flop / most, table.bytes / fastest) / 1e9 / table.seconds
    shown = pd.DataFrame(
        {"ms": 1e3 * table.seconds, "percent": 100 * table.seconds / table.seconds.sum(), "GFLOP": table.flop / 1e9,
         "MB": table.bytes / 1e6, "GFLOP/s": table.flop / table.seconds / 1e9,
         "GB/s": table.bytes / table.seconds / 1e9, "bound %": 100 * bound}
    )  # fmt: skip
    print(f"peaks: {most:.0f} GFLOP/s, {fastest:.1f} GB/s")
    print(shown.to_string(float_format="%.1f"), flush=True)


def layouts(options: argparse.Namespace, images: Tensor, labels: Tensor, precision: str) -> None:
    """Images a second with pictures of either layout, in turns."""
    steps = {}
    for name, layout in dict(channels_last=torch.channels_last, contiguous=torch.contiguous_format).items():
        network = devices.move_network(model_of(options).network, CPU).train()
        steps[name] = trainer_step(network, images.contiguous(memory_format=layout), labels, precision)
    taken = {name: [] for name in steps}
    for _ in range(options.rounds):
        for name, step in steps.items():
            taken[name].append(seconds(step, 1))
    for name, times in taken.items():
        print(f"{name}: {len(images) / median(times):.0f} images/s of CPU time", flush=True)


# -------------------------------------------------------------------------------------------------- training in turns


def run_of(options: argparse.Namespace, data: Dataset, precision: str, freeze: str, folder: Path) -> NetworkTrainer:
    """A run whose epochs are training steps alone, its lower stages computed and kept by now where they are."""
    settings = Settings(
        epochs=1_000, batch_size=BATCH, seed=0, device=CPU, precision=precision, image_size=options.pixels,
        normalisation="data", mean=MEAN, std=STD,
    )  # fmt: skip
    adam, flip = partial(torch.optim.Adam, fused=True), augmentation.horizontal_flip
    model = model_of(options, freeze)
    run = train_only(NetworkTrainer(model, data, settings, adam, constant, flip, folder, Silent(), "benchmark", 1e-5))
    run.one_epoch(1)
    return run


def in_turns(options: argparse.Namespace, data: Dataset, precision: str) -> pd.DataFrame:
    """CPU seconds of an epoch of training, a row a round, a column a way."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HEADSTART_CACHE"] = folder
        runs = {}
        for way in ["none", *(f"backbone_until:{n}" for n in options.until)]:
            for kept in ("1000", "0") if way != "none" else ("0",):
                os.environ["HEADSTART_CACHE_GB"] = kept
                name = way if way == "none" else f"{way}, {'kept' if kept != '0' else 'computed'}"
                runs[name] = run_of(options, data, precision, way, Path(folder))
        rows = []
        for number in range(options.rounds):
            rows.append({name: seconds_of_epoch(run, number + 2) for name, run in runs.items()})
    return pd.DataFrame(rows)


def seconds_of_epoch(run: NetworkTrainer, epoch: int) -> float:
    """CPU seconds that it takes."""
    begin = time.process_time()
    run.one_epoch(epoch)
    return time.process_time() - begin


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="tf_efficientnet_lite0", help="a name of timm's")
    parser.add_argument("--weights", help="a file; random weights otherwise, which take as long")
    parser.add_argument("--pixels", type=int, default=64)
    parser.add_argument("--images", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--until", type=int, nargs="+", default=[4, 6, 7])
    options = parser.parse_args()
    devices.set_threads(1, jobs=1)
    devices.keep_memory()
    precision = devices.resolve_precision("auto", CPU, model_of(options).network)
    images = torch.randn(BATCH, 3, options.pixels, options.pixels).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(BATCH) % 10
    show_roofline(roofline(options, images, labels, precision), *peaks())
    layouts(options, images, labels, precision)
    data = pictures(options.images)
    table = in_turns(options, replace(data, val=data.train.choose(slice(2))), precision)
    for way, taken in table.items():
        ratio = table["none"] / taken
        speed = f"{options.images / taken.median():6.0f} images/s"
        print(f"{way:<28} {speed}, {ratio.median():.2f} times none ({ratio.min():.2f} to {ratio.max():.2f})")
    described = dict(network=options.network, pixels=options.pixels, images=options.images, precision=precision)
    described |= dict(processor=processor(), torch=torch.__version__, timm=timm.__version__)
    print(", ".join(f"{key} {value}" for key, value in described.items()))
    save(table.rename(columns=lambda way: f"seconds {way}").assign(**described), "depthwise")


if __name__ == "__main__":
    main()
