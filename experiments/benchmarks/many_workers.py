"""How many workers can share a study before they wait for each other? Ours against Optuna's `study.optimize`.

    HEADSTART_STORAGE=postgresql+psycopg://... python experiments/benchmarks/many_workers.py --workers 64
    python experiments/benchmarks/many_workers.py --workers 16          # sqlite, in a temporary folder

Both sides run an empty task over the same database, random search, in turns: so many processes, begun together. Ours
claim and tell under the study's lock, with a lease a run on a server. Printed are trials a second, and what a trial
takes of a worker's time: waiting for the lock, holding it, and the rest. A trial that holds the lock for h seconds lets
T/h workers train for T seconds each without waiting; what that makes of 1,000 is computed from it. A server needs four
connections a worker (max_connections).
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import optuna
import pandas as pd
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState
from training_loop import processor, save

from headstart.sweep.arms import Arm
from headstart.sweep.leases import has_server
from headstart.sweep.scheduler import WAIT, Scheduler
from headstart.sweep.storage import close_storages, without_password
from headstart.sweep.study_state import StudyState

SPACE = {"lr": FloatDistribution(1e-5, 1e-1, log=True)}
MINUTES = (1, 5, 20)  # that a trial trains, for what is computed


def scheduler(folder: Path, url: str, name: str, trials: int) -> Scheduler:
    """A worker's scheduler of a study of one arm that nobody trains."""
    state = StudyState(
        name=name, folder=folder / name, url=url, arms=[Arm("a", [], SPACE, [])], n_trials=trials, looks=[0],
        confirm="best", seed=0, pruner=optuna.pruners.NopPruner(),
    )  # fmt: skip
    return Scheduler(state, optuna.samplers.RandomSampler)


def ours(folder: Path, url: str, name: str, trials: int, workers: int, begin: Callable[[], None]) -> list[dict]:
    """Run trials until none is left; what each took."""
    own, taken, spent = scheduler(folder, url, name, trials), [], dict(waiting=0.0, holding=0.0)
    own.state.claims.lock = timed(own.state.claims.lock, spent)
    begin()
    while True:
        spent.update(waiting=0.0, holding=0.0)
        began = time.perf_counter()
        claim = own.claim()
        if claim is None:
            return taken
        if claim == WAIT:
            time.sleep(0.05)
            continue
        with claim.hold.acting():
            trial = own.state.find("a", claim.number)
            own.state.storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [50.0])
        own.tell(claim)
        claim.release()
        taken.append(dict(spent, seconds=time.perf_counter() - began, end=time.time()))


def timed(lock: Callable, spent: dict[str, float]) -> Callable:
    """The same lock, which counts how long it was waited for and held."""

    @contextmanager
    def locked() -> Iterator[None]:
        began = time.perf_counter()
        with lock():
            had = time.perf_counter()
            try:
                yield
            finally:
                spent["waiting"] += had - began
                spent["holding"] += time.perf_counter() - had

    return locked


def theirs(folder: Path, url: str, name: str, trials: int, workers: int, begin: Callable[[], None]) -> list[dict]:
    """`study.optimize` of a worker's share of the trials."""
    taken, last = [], 0.0

    def ended(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        nonlocal last
        taken.append(dict(seconds=time.perf_counter() - last, end=time.time()))
        last = time.perf_counter()

    study = optuna.create_study(
        study_name=name, storage=url, load_if_exists=True, sampler=optuna.samplers.RandomSampler()
    )
    begin()
    last = time.perf_counter()
    share = trials // workers
    study.optimize(lambda trial: trial.suggest_float("lr", 1e-5, 1e-1, log=True), n_trials=share, callbacks=[ended])
    return taken


def side(work: Callable, folder: Path, url: str, trials: int, workers: int) -> pd.DataFrame:
    """A row for every trial of so many workers that began together."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    if work is ours:
        scheduler(folder, url, name, trials)  # tables and study are there when the workers come
    else:
        optuna.create_study(study_name=name, storage=url)
    close_storages()  # no connection is shared with a fork
    context = multiprocessing.get_context("fork")
    gate, results = context.Barrier(workers + 1), context.Queue()
    call = partial(_live, work, folder, url, name, trials, workers, gate, results)
    processes = [context.Process(target=call) for _ in range(workers)]
    for process in processes:
        process.start()
    gate.wait()
    began = time.time()
    rows = [row for _ in processes for row in results.get()]
    for process in processes:
        process.join()
    return pd.DataFrame(rows).assign(side=work.__name__, began=began)


def _live(work, folder, url, name, trials, workers, gate, results) -> None:
    results.put(work(folder, url, name, trials, workers, gate.wait))


def said(table: pd.DataFrame, workers: int) -> str:
    """A line on one side's round."""
    rate = len(table) / (table["end"].max() - table["began"].iloc[0])
    line = f"{table['side'].iloc[0]:<7} {rate:7.1f} trials a second, {1000 * table['seconds'].mean():7.1f} ms a trial"
    if "holding" in table:
        parts = (1000 * table[name].mean() for name in ("waiting", "holding"))
        line += ", of these {:.1f} waiting for the lock and {:.1f} holding it".format(*parts)
    return line


def bend(table: pd.DataFrame) -> Iterator[str]:
    """What the measured constants make of 1,000 workers."""
    holding, alone = table["holding"].median(), (table["seconds"] - table["waiting"]).median()
    yield f"the lock is held for {1000 * holding:.1f} ms a trial (median): at most {1 / holding:.1f} trials a second"
    for minutes in MINUTES:
        most, needed = 60 * minutes / holding, 1000 / (60 * minutes)
        queue = max(0.0, 1000 * holding - 60 * minutes - alone)  # a closed queue, saturated
        lost = (alone + queue) / (alone + queue + 60 * minutes)
        yield (
            f"trials of {minutes} min: workers wait from some {most:,.0f} on; 1,000 need {needed:.1f} trials a second "
            f"and lose {100 * lost:.2g} % of their time"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--trials", type=int, default=20, help="a worker")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    trials, found = options.trials * options.workers, []
    with tempfile.TemporaryDirectory() as place:
        url = os.environ.get("HEADSTART_STORAGE") or f"sqlite:///{place}/study.db"
        kept = "leases in the server" if has_server(url) else "locks of files"
        print(f"{options.workers} workers, {trials} trials, {without_password(url).partition(':')[0]}, {kept}")
        for number in range(options.rounds):
            for work in (ours, theirs):
                found.append(side(work, Path(place), url, trials, options.workers).assign(round=number + 1))
                if len(found[-1]) != trials:
                    sys.exit(f"{work.__name__}: {len(found[-1])} of {trials} trials")
                print(f"round {number + 1}  {said(found[-1], options.workers)}", flush=True)
    table = pd.concat(found, ignore_index=True)
    print("\n".join(bend(table[table["side"] == "ours"])))
    print(f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    save(table.assign(workers=options.workers, storage=url.partition(":")[0]), "many_workers")


if __name__ == "__main__":
    main()
