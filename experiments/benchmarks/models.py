"""What is each option of the config group `model`, and what does it cost?

python experiments/benchmarks/models.py [--options cnn resnet18] [--seconds 3]

Each network as a run of 10 classes builds it, from random weights, at its own picture size (32 px where it leaves that
to the data): parameters in all, those that learn in the first epoch, those with batch norm's moving statistics; shapes
of a picture, of what the classifier is given and of the logits; and seconds per 1,000 pictures of the forward pass in
eval mode on one thread, in float32 and under bfloat16 autocast, the fastest of several batches. Prints a table and
writes outputs/benchmarks/models.csv.
"""

import argparse
import os
import time
from contextlib import nullcontext
from importlib.resources import files
from pathlib import Path

import pandas as pd
import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from headstart import models
from headstart.config import groups, make
from headstart.training import devices

CLASSES = tuple("0123456789")
EXAMPLES = {"timm": ["model.name=mobilenetv3_small_100"], "torchvision": ["model.name=mobilenet_v3_small"]}
SMALL_BATCH, LARGE_BATCH = 16, 64  # pictures at a time, for those above 64 px and for the others


def options() -> list[str]:
    """The options that are networks; scikit-learn's classifiers have no forward pass."""
    folder = files("headstart.conf") / "model"
    return [
        name
        for name in groups.options("model")
        if _target(folder / f"{name}.yaml").startswith("headstart.models.builders.")
    ]


def _target(file: Path) -> str:
    node = OmegaConf.load(file)
    return node.get("_target_") or _target(file.with_name(f"{node.defaults[0]}.yaml"))


def built(option: str) -> tuple[models.Model, int]:
    """The network of an option as training starts with it, and its picture size in pixels."""
    words = [f"model={option}", "model.weights=null", *EXAMPLES.get(option, [])]
    with initialize_config_module("headstart.conf"):
        node = compose("config", words).model
    size = node.get("image_size") or 32
    torch.manual_seed(0)
    model = make(node, classes=10, class_names=CLASSES, image_size=size)
    devices.move_network(model.network, torch.device("cpu"))
    models.set_trainable(model, 1)
    return model, size


def seconds_per_1000(network: torch.nn.Module, images: torch.Tensor, limit: float, bfloat16: bool) -> float:
    """Fastest forward pass of these pictures within `limit` seconds, and at least three of them, per 1,000 pictures."""
    taken, begin = [], time.perf_counter()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16) if bfloat16 else nullcontext():
        while len(taken) < 3 or time.perf_counter() - begin < limit:
            start = time.perf_counter()
            network(images)
            taken.append(time.perf_counter() - start)
    return min(taken) / len(images) * 1000


def row(option: str, limit: float) -> dict:
    """One row of the table."""
    model, size = built(option)
    counted = models.count_parameters(model.network)
    network = model.network.eval()
    images = torch.randn(SMALL_BATCH if size > 64 else LARGE_BATCH, 3, size, size)
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        features, logits = models.backbone_features(model, images), network(images)
    return dict(
        option=option, **counted, input_shape=shape(images), features_shape=shape(features), output_shape=shape(logits),
        seconds_per_1000_fp32=round(seconds_per_1000(network, images, limit, False), 3),
        seconds_per_1000_bf16=round(seconds_per_1000(network, images, limit, True), 3),
    )  # fmt: skip


def shape(batch: torch.Tensor) -> str:
    """The shape of one picture's part, such as `3 x 32 x 32`."""
    return " x ".join(map(str, batch.shape[1:]))


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--options", nargs="+", default=options(), help="default: all networks")
    parser.add_argument("--seconds", type=float, default=3.0, help="to measure each forward pass for")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    frame = pd.DataFrame([row(option, arguments.seconds) for option in arguments.options])
    folder = Path("outputs/benchmarks")
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "models.csv", index=False)
    shown = frame.rename(columns={"parameters_trainable": "trainable", "parameters_with_statistics": "with statistics"})
    print(shown.to_string(index=False, formatters={c: "{:,}".format for c in shown.select_dtypes("integer")}))
    print(f"one thread, torch {torch.__version__}, {os.cpu_count()} cores; {folder / 'models.csv'}")


if __name__ == "__main__":
    main()
