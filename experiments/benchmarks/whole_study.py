"""A search of 32 learning rates: `arms`, pruned or halved, with a worker a core, against the stock Optuna sweeper.

python experiments/benchmarks/whole_study.py [--rounds 3] [--trials 32] [--epochs 30] [--images 1000]

Whole commands, in turns, each in a fresh folder: the small CNN on CIFAR-10 (HEADSTART_DATA), TPE, another seed in
each round. The stock sweeper trains every trial to its end, one after the other on all cores, with the same
loop as ours. Printed: seconds, epochs trained and the best validation accuracy of each; writes
outputs/benchmarks/whole_study.csv.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
from training_loop import processor, save

import headstart
from headstart.sweep.workers import PROGRAM

CORES = len(os.sched_getaffinity(0))
WORKERS = ["confirm_seeds=0", f"jobs={CORES}", "threads=1"]
SIDES = {
    "arms": WORKERS,
    "halving": [*WORKERS, "halving=3"],
    "stock": ["hydra/sweeper=optuna", "hydra.sweeper.n_jobs=1", "budget.pruner=null", f"threads={CORES}"],
}


def sweep(side: str, common: list[str]) -> tuple[float, int, float]:
    """Seconds of the command, epochs that its trials trained, and the best validation accuracy."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        done = subprocess.run(
            [*PROGRAM, "-m", *common, *SIDES[side]], cwd=folder, capture_output=True, text=True, check=False
        )
        taken = time.perf_counter() - begin
        if done.returncode:
            sys.exit(f"{side}\n{done.stderr[-2000:]}")
        trials = headstart.load(Path(folder) / "outputs/study").trials
    return taken, int(trials.epochs_run.sum()), float(trials.val_accuracy[trials.state == "COMPLETE"].max())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--images", type=int, default=1_000)
    options = parser.parse_args()
    rows = []
    for number in range(1, options.rounds + 1):
        common = [
            "name=study", "model=cnn", f"n_trials={options.trials}", f"epochs={options.epochs}",
            f"data.train_size={options.images}", f"data.validation_size={options.images}", f"seed={number}",
        ]  # fmt: skip
        row: dict[str, float] = dict(round=number)
        for side in SIDES:
            found = sweep(side, common)
            row |= {f"{what}_{side}": value for what, value in zip(("seconds", "epochs", "best"), found, strict=True)}
            print(
                f"round {number}: {side:<7} {found[0]:6.0f} s, {found[1]:4} epochs, best {found[2]:.2f} %", flush=True
            )
        rows.append(row)
    table = pd.DataFrame(rows)
    for side in ("arms", "halving"):
        ratio = table.seconds_stock / table[f"seconds_{side}"]
        share = table[f"epochs_{side}"] / table.epochs_stock
        apart = table[f"best_{side}"] - table.best_stock
        print(
            f"stock / {side}: median {ratio.median():.2f}, best {ratio.max():.2f}; epochs {share.median():.0%}; "
            f"best validation accuracy {apart.mean():+.2f} points on average"
        )
    print(
        f"{options.trials} trials of {options.epochs} epochs, {CORES} cores, {processor()}, torch {torch.__version__}"
    )
    save(table, "whole_study")


if __name__ == "__main__":
    main()
