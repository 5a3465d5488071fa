"""What a sweeper costs per trial: `arms` against the stock hydra-optuna-sweeper, on a task that does nothing.

    python experiments/benchmarks/sweep_overhead.py [--trials 200] [--rounds 3]

Both run headstart's configuration with a task that returns a number, random search and an sqlite storage, in turns,
each in a fresh process and folder. The time of a sweep of one trial, which is start-up, is taken off. Wall-clock time
holds what the disk costs; CPU time is what to compare on a machine that others use too.
"""

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

TASK = "from headstart.cli import job, main; job.run_job = lambda cfg: 50.0; main.main()"
COMMON = ["-m", "name=study", "data=digits", "search=random", "budget.pruner=null"]
SWEEPERS = {"arms": ["confirm_seeds=0"], "stock": ["hydra/sweeper=optuna", "hydra.sweeper.n_jobs=1"]}


def seconds(sweeper: str, trials: int) -> tuple[float, float]:
    """Wall-clock and CPU seconds of one sweep."""
    words = [sys.executable, "-c", TASK, *COMMON, *SWEEPERS[sweeper], f"n_trials={trials}"]
    with tempfile.TemporaryDirectory() as folder:
        begin, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        taken, now = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
        found = len(list(Path(folder).glob("outputs/study/**/.hydra")))
    if done.returncode or found != trials:
        sys.exit(f"{sweeper}: {found} of {trials} trials\n{done.stderr[-2000:]}")
    return taken, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime


def each_trial(sweeper: str, trials: int) -> tuple[float, float]:
    """Wall-clock and CPU milliseconds a trial, without start-up."""
    many, one = seconds(sweeper, trials), seconds(sweeper, 1)
    wall, cpu = (1000 * (m - o) / (trials - 1) for m, o in zip(many, one, strict=True))
    return wall, cpu


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    packages = ", ".join(f"{p} {version(p)}" for p in ("headstart", "hydra-core", "hydra-optuna-sweeper", "optuna"))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, {packages}, {arguments.trials} trials")
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in SWEEPERS}
    for number in range(arguments.rounds):
        for name in SWEEPERS:
            found[name].append(each_trial(name, arguments.trials))
            wall, cpu = found[name][-1]
            print(f"round {number + 1}  {name:<6} {wall:7.1f} ms, {cpu:7.1f} ms of CPU a trial", flush=True)
    for place, what in enumerate(("wall clock", "CPU")):
        for how, choose in (("median", statistics.median), ("best", min)):
            ours, stock = (choose([t[place] for t in found[name]]) for name in SWEEPERS)
            print(f"{what:<10} {how:<6}  arms {ours:7.1f} ms, stock {stock:7.1f} ms, ratio {ours / stock:.2f}")
    target = Path("outputs/benchmarks/sweep_overhead.csv")
    target.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{r + 1},{name},{wall},{cpu}" for name, pairs in found.items() for r, (wall, cpu) in enumerate(pairs)]
    target.write_text("\n".join(["round,sweeper,wall_ms_per_trial,cpu_ms_per_trial", *rows]) + "\n")
    print(target)


if __name__ == "__main__":
    main()
