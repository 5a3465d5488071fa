"""The whole machine on the small CNN: our one-thread workers, a trial each, against one tutorial loop on all cores.

python experiments/benchmarks/whole_machine.py [--images 10000] [--epochs 1] [--rounds 5]

Ours: as many processes as there are cores, with the defaults that `headstart jobs=<cores>` gives each. Theirs: the
loop of PyTorch's CIFAR-10 tutorial with the same network, batch size and optimizer, all cores, a DataLoader with 2
workers, fp32. Both train as many epochs in all, in turns; a round's time runs from the start of training to the last
process's end, after an epoch to warm up.
Also printed: memory of one `headstart` that trains and of one a core, pages that they share counted once (PSS).
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
from torch.utils.data import DataLoader
from training_loop import (
    BATCH,
    Tutorial,
    network,
    our_trainer,
    pictures,
    plain,
    processor,
    save,
    train_only,
    tutorial_epoch,
)

from headstart.training import devices

CORES = len(os.sched_getaffinity(0))


def worker(side: str, images: int, epochs: int) -> None:
    """Warm up, say so, and train when told to; the life of a child process."""
    device = torch.device("cpu")
    data = pictures(images)
    with tempfile.TemporaryDirectory() as folder:
        if side == "ours":
            devices.set_threads(1, jobs=1)
            devices.keep_memory()
            precision = devices.resolve_precision("auto", device)
            run = train_only(our_trainer("cnn", data, device, precision, Path(folder)))
            numbers = iter(range(1, epochs + 2))

            def train() -> None:
                run.one_epoch(next(numbers))
        else:
            torch.set_num_threads(CORES)
            model = plain(network("cnn"))
            optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
            loader = DataLoader(Tutorial(data.train), batch_size=BATCH, shuffle=True, num_workers=2)

            def train() -> None:
                tutorial_epoch(model, loader, optimizer, device)

        train()
        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range(epochs):
            train()
        print("done", flush=True)


def together(side: str, processes: int, images: int, epochs: int) -> float:
    """Seconds that so many processes take for `epochs` epochs each."""
    command = [sys.executable, __file__, "--worker", side, "--images", str(images), "--epochs", str(epochs)]
    environment = os.environ | ({"OMP_NUM_THREADS": "1"} if side == "ours" else {})
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    children = [subprocess.Popen(command, **pipes) for _ in range(processes)]
    for child in children:
        if child.stdout.readline() != "ready\n":
            sys.exit(f"a worker of {side} failed")
    begin = time.perf_counter()
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    ends = [child.stdout.readline() for child in children]
    taken = time.perf_counter() - begin
    if any(child.wait() for child in children) or set(ends) != {"done\n"}:
        sys.exit(f"a worker of {side} failed")
    return taken


def memory(processes: int, images: int) -> float:
    """Megabytes of so many runs of the small CNN, each in its second epoch or later."""
    data = [f"data.train_size={images}"] if os.environ.get("HEADSTART_DATA") else ["data=digits"]
    command = [sys.executable, "-c", "from headstart.cli.main import main; main()", "model=cnn", "lr=1e-3", *data]
    with tempfile.TemporaryDirectory() as folder:
        tables = [Path(folder, str(number), "epochs.csv") for number in range(processes)]
        runs = [
            subprocess.Popen(
                [*command, "epochs=1000", "threads=1", f"hydra.run.dir={table.parent}"],
                stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
            for table in tables
        ]  # fmt: skip
        while not all(table.exists() and table.read_text().count("\n") > 1 for table in tables):
            time.sleep(0.5)
            if any(run.poll() is not None for run in runs):
                sys.exit("a run whose memory was to be measured ended")
        found = sum(proportional_set_size(run.pid) for run in runs)
        for run in runs:
            run.terminate()
            run.wait()
    return found


def proportional_set_size(pid: int) -> float:
    """Megabytes of a process, a page that n processes share counted as 1 / n."""
    return int(re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1]) / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=1, help="of each of our workers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", choices=("ours", "tutorial"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.images, options.epochs)
        return
    alone, all_cores = memory(1, options.images), memory(CORES, options.images)
    rows = []
    for number in range(1, options.rounds + 1):
        ours = together("ours", CORES, options.images, options.epochs)
        theirs = together("tutorial", 1, options.images, options.epochs * CORES)
        rows.append(dict(round=number, seconds_ours=ours, seconds_tutorial=theirs, ratio=theirs / ours))
        print("round {round}: ours {seconds_ours:.2f} s, tutorial {seconds_tutorial:.2f} s".format(**rows[-1]))
    table = pd.DataFrame(rows)
    print(f"ours median {table.ratio.median():.2f} times as fast, best {table.ratio.max():.2f}; goal 3")
    print(f"memory: one worker {alone:.0f} MB, {CORES} workers {all_cores:.0f} MB, {all_cores / alone:.2f} times")
    print(f"{options.images} images, {CORES} cores, {processor()}, torch {torch.__version__}")
    save(table.assign(cores=CORES, pss_mb_one=alone, pss_mb_all=all_cores, torch=torch.__version__), "whole_machine")


if __name__ == "__main__":
    main()
