"""What a further worker of a sweep costs: memory, and seconds until its first trial begins; forked against commands.

python experiments/benchmarks/workers.py [--rounds 5] [WORD ...]

One study of the small CNN for each figure, with `jobs=1` and `jobs=2`; by turns with workers that are forked, as they
are on Linux, and with workers that are commands of their own, as elsewhere. Memory: that of all processes, pages that
they share counted once (PSS), when each of them is in its second epoch or later. A worker's time runs from the plan's
last line, when workers begin, to the claim of its first trial, and to that trial's first training step. Further words
are the study's: overrides such as model=resnet18. With HEADSTART_DATA the pictures are CIFAR-10's, else the digits.
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
from training_loop import processor, save

COMMANDS = "from headstart.sweep import workers; workers.can_fork = lambda: False; "
PROGRAM = "from headstart.cli.main import main; main()"
WAYS = {"forked": PROGRAM, "commands": COMMANDS + PROGRAM}
GOALS = "goals: 150 MB, 0.3 s until the claim, 1.3 times"


def measure(way: str, jobs: int, words: list[str]) -> dict[str, float]:
    """Megabytes of a study's processes and seconds until its worker's first trial, of a study that is then stopped."""
    data = ["data.train_size=10000"] if os.environ.get("HEADSTART_DATA") else ["data=digits"]
    command = [sys.executable, "-c", WAYS[way], "-m", "name=s", "model=cnn", *data, "epochs=1000", "n_trials=9"]
    command += ["confirm_seeds=0", "threads=1", "budget.pruner=null", f"jobs={jobs}", *words]
    with tempfile.TemporaryDirectory() as folder:
        sweep = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
        begin = after_the_plan(sweep)
        runs = wait_for_runs(sweep, Path(folder), jobs)
        found = dict(way=way, jobs=jobs, megabytes=sum(map(proportional_set_size, family(sweep.pid))))
        if jobs == 2:
            last = max(runs, key=lambda run: (run / ".owner").stat().st_mtime)
            found |= dict(claim_seconds=(last / ".owner").stat().st_mtime - begin)
            found |= dict(training_seconds=max((run / "run.json").stat().st_mtime for run in runs) - begin)
        sweep.terminate()
        sweep.communicate()
    return found


def after_the_plan(sweep: subprocess.Popen) -> float:
    """The time at which the plan's last line came: right then the workers begin."""
    for line in sweep.stderr:
        if line.startswith("  device "):
            return time.time()
    sys.exit("the study ended before it began")


def wait_for_runs(sweep: subprocess.Popen, folder: Path, count: int) -> list[Path]:
    """The folders of so many runs, once each of them has trained an epoch or more."""
    while True:
        tables = [path for path in folder.rglob("epochs.csv") if path.read_text().count("\n") > 1]
        if len(tables) == count:
            return [path.parent for path in tables]
        if sweep.poll() is not None:
            sys.exit("the study ended before its memory was measured")
        time.sleep(0.2)


def family(pid: int) -> list[int]:
    """A process and all below it."""
    below = [int(p) for path in Path(f"/proc/{pid}/task").glob("*/children") for p in path.read_text().split()]
    return [pid, *(grandchild for child in below for grandchild in family(child))]


def proportional_set_size(pid: int) -> float:
    """Megabytes of a process, a page that n processes share counted as 1 / n."""
    return int(re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1]) / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("words", nargs="*", help="overrides of the study")
    options = parser.parse_args()
    rows = []
    for number in range(1, options.rounds + 1):
        for way in WAYS:
            for jobs in (1, 2) if way == "forked" else (2,):  # one job is the same either way
                rows.append(dict(round=number) | measure(way, jobs, options.words))
                print(
                    " ".join(
                        f"{key} {value:.2f}" if isinstance(value, float) else f"{value}"
                        for key, value in rows[-1].items()
                    ),
                    flush=True,
                )
    table = pd.DataFrame(rows)
    one = table[table.jobs == 1].megabytes.median()
    for way in WAYS:
        two = table[(table.way == way) & (table.jobs == 2)].median(numeric_only=True)
        print(
            f"{way}: two {two.megabytes:.0f} MB, one {one:.0f} MB: {two.megabytes / one:.2f} times, a further worker "
            f"{two.megabytes - one:.0f} MB; claims after {two.claim_seconds:.2f} s, trains after "
            f"{two.training_seconds:.2f} s"
        )
    print(f"{GOALS}; {processor()}, torch {torch.__version__}, {' '.join(options.words)}")
    save(table.assign(torch=torch.__version__), "workers")


if __name__ == "__main__":
    main()
