"""`headstart report DIR --tables` against the script one would write with pandas, on 1,000 runs of 100 epochs.

    python experiments/benchmarks/tables.py [--runs 1000] [--epochs 100] [--rounds 5]

All are whole commands, started as processes of their own, in turns; after a first round that warms the disk's cache
and the bytecode. The plain script reads each run's configuration (YAML), result (JSON) and epochs (CSV, pandas' C
parser), and writes trials.csv, epochs.csv, and arms.csv with mean and deviation. It is run with `yaml.safe_load`, as
it is usually written, and with libyaml's fast loader, which few know. Ours also checks what it reads, and writes the
comparison and the ledger. Printed: medians and best times, and what the scripts' are in units of ours.
"""

import argparse
import json
import math
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

SEEDS = 5
ARMS = ("scratch", "random", "frozen", "pretrained")
GOAL = 3.0

PLAIN = """
import json, sys
from pathlib import Path
import pandas as pd
import yaml

root = Path(sys.argv[1])
loader = getattr(yaml, sys.argv[2])
trials, epochs = [], []
for result in sorted(root.rglob("result.json")):
    folder = result.parent
    config = yaml.load((folder / ".hydra" / "config.yaml").read_text(), Loader=loader)
    row = pd.json_normalize(config, sep=".").iloc[0].to_dict() | json.loads(result.read_text())
    row["run_dir"] = str(folder.relative_to(root))
    trials.append(row)
    frame = pd.read_csv(folder / "epochs.csv")
    for name in ("study", "arm", "phase", "number", "seed", "run_dir"):
        frame[name] = row[name]
    epochs.append(frame)
trials, epochs = pd.DataFrame(trials), pd.concat(epochs, ignore_index=True)
arms = trials[trials["phase"] == "confirm"].groupby("arm")["test_accuracy"].agg(["mean", "std", "count"])
target = root / "plain"
target.mkdir(exist_ok=True)
trials.to_csv(target / "trials.csv", index=False)
epochs.to_csv(target / "epochs.csv", index=False)
arms.to_csv(target / "arms.csv")
"""

CONFIG = """name: {study}
arm: {arm}
phase: {phase}
lr: {lr!r}
epochs: {epochs}
batch_size: 128
seed: {seed}
split_seed: 0
image_size: null
label_smoothing: 0.0
clip_grad_norm: null
patience: null
device: auto
threads: 1
precision: auto
deterministic: false
resume: null
keep: best
n_trials: 29
confirm_seeds: 5
lr_low: 1.0e-05
lr_high: 0.1
jobs: 1
dry_run: false
data:
  _target_: headstart.data.sources.cifar10
  root: ${{oc.env:HEADSTART_DATA,data}}
  classes: null
  train_size: null
  validation_size: 5000
  split_seed: ${{split_seed}}
  download: true
model:
  _target_: headstart.models.builders.timm_model
  name: resnet18
  stem: cifar
  weights: null
  keep_classifier: false
  freeze: none
  unfreeze_epoch: null
  backbone_lr_factor: 1
augmentation:
  _target_: headstart.data.augmentation.crop_flip
  _partial_: true
  padding: 4
optimizer:
  _target_: torch.optim.Adam
  _partial_: true
  lr: ${{lr}}
  weight_decay: 0.0
  fused: true
schedule:
  _target_: headstart.training.schedules.constant
  _partial_: true
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "study"
        write_study(root, arguments.runs, arguments.epochs)
        script = Path(folder) / "plain.py"
        script.write_text(PLAIN)
        ours = [str(Path(sys.executable).with_name("headstart")), "report", str(root), "--tables"]
        plain = [sys.executable, str(script), str(root)]
        commands = {"headstart": ours, "plain script": [*plain, "SafeLoader"]}
        if yaml.__with_libyaml__:
            commands["with libyaml"] = [*plain, "CSafeLoader"]
        seconds = measure(commands, arguments.rounds)
    show(seconds, arguments)


def cpu_seconds() -> float:
    """CPU time of the processes that this one started and that have ended: what a busy machine changes least."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(commands: dict[str, list[str]], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """(wall-clock, CPU) seconds of each command, one round after the other so that a busy machine slows both."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"OMP_NUM_THREADS": "1"}
    for number in range(rounds + 1):
        for name, words in commands.items():
            begin, before = time.perf_counter(), cpu_seconds()
            subprocess.run(words, check=True, capture_output=True, env=environment)
            if number:
                seconds[name].append((time.perf_counter() - begin, cpu_seconds() - before))
    return seconds


def show(seconds: dict[str, list[tuple[float, float]]], arguments: argparse.Namespace) -> None:
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    print(f"{arguments.runs} runs of {arguments.epochs} epochs, {arguments.rounds} rounds, {load}")
    for place, clock in enumerate(("wall-clock", "CPU")):
        ours = [pair[place] for pair in seconds["headstart"]]
        for name, pairs in seconds.items():
            values = [pair[place] for pair in pairs]
            times = statistics.median(values) / statistics.median(ours), min(values) / min(ours)
            print(
                f"{clock:10s} {name:13s} median {statistics.median(values):6.2f} s ({times[0]:.2f} ×)   "
                f"best {min(values):6.2f} s ({times[1]:.2f} ×)"
            )
    print(f"goal: the plain script takes {GOAL:g} times as long or longer")
    target = Path("outputs/benchmarks/tables.csv")
    target.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{r},{name},{wall},{cpu}" for name, pairs in seconds.items() for r, (wall, cpu) in enumerate(pairs, 1)]
    target.write_text("\n".join(["round,command,wall_seconds,cpu_seconds", *rows]) + "\n")
    print(target)


def write_study(root: Path, runs: int, epochs: int) -> None:
    """Leave what a study of that size leaves: search trials at random learning rates, five seeds of the best each."""
    chance = random.Random(0)
    each = runs // len(ARMS)
    for place, arm in enumerate(ARMS):
        for number in range(each - SEEDS):
            lr = 10 ** chance.uniform(-5, -1)
            final = 94 - place - 3 * abs(math.log10(lr) + 3)
            write_run(root, arm, "search", number, 0, lr, final, epochs, chance)
        for seed in range(1, SEEDS + 1):
            write_run(root, arm, "confirm", 0, seed, 1e-3, 94 - place + chance.gauss(0, 0.3), epochs, chance)
    space = {"lr": {"low": 1e-5, "high": 1e-1, "log": True, "step": None}}
    study = dict(
        common={}, arms={arm: {} for arm in ARMS}, name="big", command="headstart -m name=big", n_trials=each - SEEDS,
        confirm_seeds=SEEDS, arm_order=ARMS, spaces=dict.fromkeys(ARMS, space), unpruned=True, sampler="random",
    )  # fmt: skip
    (root / "study.json").write_text(json.dumps(study))


def write_run(
    root: Path,
    arm: str,
    phase: str,
    number: int,
    seed: int,
    lr: float,
    final: float,
    epochs: int,
    chance: random.Random,
) -> None:
    """One finished run: its configuration, its epochs, its facts and its result."""
    from headstart.store import EPOCH_FIELDS

    folder = root / arm / phase / f"{number:03d}" / (f"seed-{seed}" if phase == "confirm" else "")
    (folder / ".hydra").mkdir(parents=True)
    config = CONFIG.format(study="big", arm=arm, phase=phase, lr=lr, epochs=epochs, seed=seed)
    (folder / ".hydra" / "config.yaml").write_text(config)
    lines = [",".join(EPOCH_FIELDS)]
    for epoch in range(1, epochs + 1):
        accuracy = final * (1 - math.exp(-5 * epoch / epochs)) + chance.gauss(0, 0.3)
        numbers = [lr, 2 / epoch, accuracy + 1, 2.1 / epoch, accuracy, chance.uniform(9, 11), 4500 * chance.random()]
        lines.append(f"{epoch},{epoch * 352},{epoch * 45000}," + ",".join(map(repr, [*numbers, 10.0 * epoch])))
    (folder / "epochs.csv").write_text("\n".join(lines) + "\n")
    facts = dict(
        study="big", arm=arm, phase=phase, number=number, model="resnet18", freeze="none", stem="cifar", data="cifar10",
        train_size=45000, image_size=32, augmentation="crop_flip", optimizer="adam", schedule="constant", lr=lr,
        batch_size=128, epochs=epochs, seed=seed, split_seed=0, normalisation="data", device="cpu", threads=1,
        precision="fp32", torch_version="2.15.0", headstart_version="0.1.0", git_commit="0" * 40, config_hash="0" * 64,
        data_sha256="1" * 64, command=f"headstart model=resnet18 lr={lr!r} seed={seed}", params={"lr": lr},
        classes=list("abcdefghij"), parameters=11173962, parameters_trainable=11173962,
        parameters_with_statistics=11183562,
    )  # fmt: skip
    result = facts | dict(
        state="COMPLETE", reason="", epochs_run=epochs, best_epoch=epochs, val_accuracy=final, val_loss=0.3,
        seconds_train=10.0 * epochs, images_per_second=4500.0, test_reads=int(phase == "confirm"),
    )  # fmt: skip
    if phase == "confirm":
        scores = {f"test_{k}": final - 0.3 for k in ("accuracy", "precision_macro", "recall_macro", "f1_macro")}
        result |= scores | {"confusion": [[100 if i == j else 0 for j in range(10)] for i in range(10)]}
    (folder / "run.json").write_text(json.dumps(facts))
    (folder / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
