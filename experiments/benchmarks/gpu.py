"""What one GPU gives: ResNet18 against its bf16 peak, 8 small CNNs side by side, and seconds to 94 % on CIFAR-10.

python experiments/benchmarks/gpu.py [--minutes 9] [--rounds 3] [--goal 94]

- ResNet18 at 32 px, the training loop of a run: images/s times the floating-point operations of an image (torch counts
  the forward pass; a training step takes three times that), as a share of what a large product of bf16 matrices
  reaches in the same minute, with compile=off and on.
- A study of 8 learning rates of the small CNN, the whole command: one trial after the other against jobs=8, in turns.
- One run of the recipe of experiments/fast_baseline.yaml: seconds of training until an epoch's validation accuracy
  reaches the goal, and the test accuracy at its end.

Parts for which no time is left are not begun, and said so. On a machine without a GPU all of it runs on the CPU, small:
then the figures say only that the code works. Writes outputs/benchmarks/gpu.csv.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode
from training_loop import our_trainer, pictures, save, train_only

import headstart
from headstart.sweep.workers import PROGRAM
from headstart.training import devices

ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_GPU else "cpu")
IMAGES, BATCH, SIDE = (25_600, 512, 8192) if ON_GPU else (260, 64, 512)
STUDY = dict(images=10_000, epochs=10) if ON_GPU else dict(images=200, epochs=1)
RATES = "1e-4,2e-4,5e-4,1e-3,2e-3,5e-3,1e-2,2e-2"


def peak() -> float:
    """TFLOP/s of a product of large bf16 matrices, the best of some."""
    a, b = (torch.randn(SIDE, SIDE, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    best = 0.0
    for _ in range(20 if ON_GPU else 3):
        wait()
        begin = time.perf_counter()
        a @ b
        wait()
        best = max(best, 2 * SIDE**3 / (time.perf_counter() - begin) / 1e12)
    return best


def wait() -> None:
    """Until the GPU has done what it was told."""
    if ON_GPU:
        torch.cuda.synchronize()


def resnet18(rounds: int) -> list[dict[str, Any]]:
    """Rows: images/s, TFLOP/s and the share of the peak, compile=off and on in turns."""
    data, runs = pictures(IMAGES), {}
    with tempfile.TemporaryDirectory() as folder:
        for compiled in (False, True) if ON_GPU else (False,):
            run = our_trainer("resnet18", data, DEVICE, "bf16", Path(folder, str(compiled)))
            run = train_only(replace(run, settings=replace(run.settings, batch_size=BATCH, compile=compiled)))
            run.one_epoch(1)
            runs[compiled] = run
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            run.network.eval()(torch.zeros(1, 3, 32, 32, device=DEVICE))
        rows = []
        for number in range(1, rounds + 1):
            reachable = peak()
            for compiled, run in runs.items():
                speed = run.one_epoch(number + 1)["images_per_second"]
                reached = 3 * counter.get_total_flops() * speed / 1e12
                row = dict(part="resnet18", round=number, compile=compiled, images_per_second=speed)
                rows.append(row | dict(tflops=reached, peak_tflops=reachable, value=reached / reachable))
    return rows


def study(jobs: int, folder: Path) -> float:
    """Seconds of the whole command that trains 8 small CNNs."""
    words = ["-m", "name=study", "model=cnn", f"lr={RATES}", "n_trials=8", "search=random", "budget.pruner=null"]
    words += ["confirm_seeds=0", f"data.train_size={STUDY['images']}", f"epochs={STUDY['epochs']}", f"jobs={jobs}"]
    begin = time.perf_counter()
    done = subprocess.run([*PROGRAM, *words], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    return time.perf_counter() - begin


def side_by_side(number: int) -> list[dict[str, Any]]:
    """A row: one after the other against jobs=8."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as eight:
        alone, together = study(1, Path(one)), study(8, Path(eight))
    row = dict(part="8 small CNNs", round=number, seconds_one_after_another=alone, seconds_together=together)
    return [row | dict(value=alone / together)]


def fast_baseline(goal: float) -> list[dict[str, Any]]:
    """A row: seconds of training until the goal, NaN where it was not reached, and the run's test accuracy."""
    words = ["model=airbench", "optimizer=muon", "schedule=onecycle", "schedule.warmup=0.1", "augmentation.padding=2"]
    words += ["lr=0.2", "batch_size=512", "label_smoothing=0.2", "hydra.run.dir=run"]
    words += ["epochs=11"] if ON_GPU else ["epochs=1", "data.train_size=1000"]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([*PROGRAM, *words], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr[-2000:])
        tables = headstart.load(Path(folder) / "run")
        reached = tables.epochs[tables.epochs["val_accuracy"] >= goal]
        test = float(tables.trials["test_accuracy"].iloc[0])
    row = dict(part="fast_baseline", round=1, test_accuracy=test)
    return [row | dict(value=float(reached["seconds_total"].min()) if len(reached) else float("nan"))]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=9.0, help="after which nothing more is begun")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--goal", type=float, default=94.0, help="percent of the validation images")
    options = parser.parse_args()
    if not os.environ.get("HEADSTART_DATA"):
        sys.exit("set HEADSTART_DATA to the folder that holds cifar-10-batches-py")
    devices.keep_memory()
    end = time.monotonic() + 60 * options.minutes
    parts = [lambda: resnet18(options.rounds), lambda: fast_baseline(options.goal)]
    parts += [lambda number=number: side_by_side(number) for number in range(1, options.rounds + 1)]
    rows, left = [], 0
    for part in parts:
        if time.monotonic() > end:
            left += 1
            continue
        rows += part()
        print(
            ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in rows[-1].items()), flush=True
        )
    table = pd.DataFrame(rows)
    units = {"resnet18": "of the peak", "8 small CNNs": "times as fast together", "fast_baseline": "s to the goal"}
    for (part, compiled), own in table.groupby(["part", table["compile"].fillna(False)], dropna=False):
        best = own.value.min() if part == "fast_baseline" else own.value.max()
        how = " compiled" if compiled else ""
        print(f"{part}{how}: median {own.value.median():.3g} {units[part]}, best {best:.3g}, {len(own)} rounds")
    where = devices.device_name(DEVICE)
    print(f"{where}, torch {torch.__version__}{f'; {left} parts were not begun, time was up' if left else ''}")
    save(table.assign(device=where, torch=torch.__version__), "gpu")


if __name__ == "__main__":
    main()
