"""Does a trial cost as much in a study's last hundred as in its first, and what does the report of them all take?

    python experiments/benchmarks/growth.py [--trials 1001] [--search tpe] [--bare]

One sweep of an empty task, every trial durable: wall-clock and CPU time of a trial, and the memory of the sweeping
process, by hundreds of trials; then `headstart report --tables` over the folder. Random search tells what a trial costs
by itself, TPE what Optuna's sampler adds. With --bare Hydra composes no jobs, which costs the same whatever came before
and makes up most of a trial's time: what is left is the study's own. CPU time is what to compare on a machine that
others use too. `tables.py --runs 10000` takes the time of a large report.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna
import pandas as pd
from training_loop import processor, save

from headstart.sweep.workers import PROGRAM

TASK = "from headstart.cli import job, main; job.run_job = lambda cfg: 50.0; main.main()"
BARE = """
from optuna.trial import TrialState
from headstart.cli import main
from headstart.sweep import launch

def ended(self, claim):
    state = self.scheduler.state
    trial = state.find(claim.arm, claim.number)
    state.storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [50.0 + claim.number % 97 / 97])

launch.ClaimRunner._launch = ended
main.main()
"""
HUNDRED = 100


def sweep(folder: Path, task: str, search: str, trials: int) -> pd.DataFrame:
    """A row for every trial: when it ended, and the megabytes and CPU seconds that the process had taken by then."""
    words = [
        "-m",
        "name=study",
        "data=digits",
        "model=cnn",
        f"search={search}",
        "budget.pruner=null",
        "confirm_seeds=0",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with (folder / "log").open("w") as log:
        child = subprocess.Popen(
            [sys.executable, "-c", task, *words, f"n_trials={trials}"],
            cwd=folder, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
        seen = [_seen(child.pid)]
        while child.poll() is None:
            seen.append(_seen(child.pid))
            time.sleep(0.1)
    if child.returncode:
        sys.exit((folder / "log").read_text()[-2000:])
    storage = f"sqlite:///{folder / 'outputs/study/study.db'}"
    (name,) = optuna.get_all_study_names(storage)
    found = optuna.load_study(study_name=name, storage=storage).trials
    ends = sorted(trial.datetime_complete.astimezone().timestamp() for trial in found if trial.datetime_complete)
    seen = pd.DataFrame([one for one in seen if one], columns=["end", "megabytes", "cpu"])
    return pd.merge_asof(pd.DataFrame({"end": ends}), seen, on="end", direction="nearest")


def _seen(pid: int) -> tuple[float, float, float] | None:
    """The time, and the megabytes and CPU seconds of a process; None of one that has just ended."""
    try:
        rss = int(re.search(r"^VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)[1]) / 1024
        ticks = sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
    except (OSError, TypeError):
        return None
    return time.time(), rss, ticks / os.sysconf("SC_CLK_TCK")


def report(folder: Path) -> float:
    """Seconds of the whole command."""
    begin = time.perf_counter()
    subprocess.run([*PROGRAM, "report", str(folder / "outputs/study"), "--tables"], check=True, capture_output=True)
    return time.perf_counter() - begin


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1_001)
    parser.add_argument("--search", default="tpe", help="tpe, random, qmc")
    parser.add_argument("--bare", action="store_true", help="without Hydra's jobs, and without the report of them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        table = sweep(Path(name), BARE if options.bare else TASK, options.search, options.trials)
        seconds = float("nan") if options.bare else report(Path(name))
    hundreds = table[::HUNDRED]  # the first trial, and those a hundred later
    if len(hundreds) < 3:
        sys.exit(f"--trials {options.trials}: give 201 or more, to have two hundreds to compare")
    by_hundred = pd.DataFrame(
        {
            "ms_a_trial": 1000 * hundreds["end"].diff() / HUNDRED,
            "cpu_ms_a_trial": 1000 * hundreds["cpu"].diff() / HUNDRED,
            "megabytes": hundreds["megabytes"],
        }
    ).dropna()
    print(by_hundred.round(1).to_string())
    first, last = by_hundred.iloc[0], by_hundred.iloc[-1]
    cpu, wall = (last[name] / first[name] for name in ("cpu_ms_a_trial", "ms_a_trial"))
    print(
        f"{options.search}: last hundred / first {cpu:.2f} by CPU time, {wall:.2f} by wall clock, goal 1.2 at most; "
        f"memory {last.megabytes - first.megabytes:+.0f} MB, goal below 50"
        + ("" if options.bare else f"; report of {len(table):,} runs {seconds:.1f} s, goal 15 for 10,000")
    )
    print(f"{len(table)} trials, {processor()}")
    save(table.assign(search=options.search, bare=options.bare, report_seconds=seconds), "growth")


if __name__ == "__main__":
    main()
