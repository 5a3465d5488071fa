"""Which networks does bf16 make faster on this processor, and which slower?

python experiments/benchmarks/precision.py [--networks tf_efficientnet_lite0 resnet18] [--pixels 64] [--rounds 5]

Training steps of timm's networks, from random weights, on one thread, in fp32 and in bf16 autocast, in turns: images a
second of CPU time, and beside them what `precision=auto` takes, which is a rule of the network and not this timing.
Rounds go to outputs/benchmarks/precision.csv.
"""

import argparse
import copy

import pandas as pd
import timm
import torch
from depthwise import CPU, seconds, trainer_step
from training_loop import processor, save

from headstart.training import devices

NETWORKS = (
    "tf_efficientnet_lite0", "mobilenetv3_small_100", "convnext_atto", "resnext50_32x4d", "resnet18", "resnet50",
    "vit_tiny_patch16_224",
)  # fmt: skip
BATCH = 64


def built(name: str, pixels: int) -> torch.nn.Module:
    """The network with ten classes, as a run trains it on the CPU."""
    sized = {"img_size": pixels} if name.startswith("vit") else {}
    return devices.move_network(timm.create_model(name, num_classes=10, **sized), CPU).train()


def in_turns(name: str, pixels: int, rounds: int) -> pd.DataFrame:
    """A row a round: images a second of CPU time in either precision."""
    torch.manual_seed(0)
    images = torch.randn(BATCH, 3, pixels, pixels).contiguous(memory_format=torch.channels_last)
    network, labels = built(name, pixels), torch.arange(BATCH) % 10
    steps = {chosen: trainer_step(copy.deepcopy(network), images, labels, chosen) for chosen in ("fp32", "bf16")}
    for step in steps.values():
        step()
    table = pd.DataFrame([{chosen: BATCH / seconds(step, 1) for chosen, step in steps.items()} for _ in range(rounds)])
    return table.assign(network=name, pixels=pixels, auto=devices.resolve_precision("auto", CPU, network))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="names of timm's")
    parser.add_argument("--pixels", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    devices.set_threads(1, jobs=1)
    devices.keep_memory()
    tables = []
    for name in options.networks:
        table = in_turns(name, options.pixels, options.rounds)
        tables.append(table)
        ratio = table.bf16 / table.fp32
        print(
            f"{name:<24} fp32 {table.fp32.median():6.1f} images/s, bf16 {table.bf16.median():6.1f}: "
            f"{ratio.median():.2f} times ({ratio.min():.2f} to {ratio.max():.2f}); auto {table.auto[0]}",
            flush=True,
        )
    described = dict(processor=processor(), torch=torch.__version__, timm=timm.__version__)
    print(", ".join(f"{key} {value}" for key, value in described.items()))
    save(pd.concat(tables).assign(**described), "precision")


if __name__ == "__main__":
    main()
