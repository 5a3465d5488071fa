"""Random SIGKILLs of a small study: its command, one of its workers, or all of them; then the same command to its end.

Wanted of each: exit 0, and the rows of a study that was never disturbed; no trial lost, doubled or left running.
"""

import contextlib
import itertools
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
from commands import begin, finish, run, whole_study
from damage import ARMS, SOURCE
from same import difference, tables

VICTIMS = ("group", "worker", "parent")
SMALL = (
    *("-m", "name=study", "data=digits", "data.train_size=100", "batch_size=50", "threads=1", "precision=fp32"),
    *("augmentation=none", "model.depth=1", "model.width=4", "jobs=2"),
)
STUDIES = {  # searches and confirmations; with rungs, at which trials pause and go on; with a source run before them
    "plain": (*SMALL, "model=cnn", "epochs=2", "n_trials=4", "confirm_seeds=2", "budget.pruner=null"),
    "halving": (*SMALL, "model=cnn", "epochs=9", "n_trials=6", "confirm_seeds=1", "halving=3"),
    "source": (*SMALL, ARMS, SOURCE, "epochs=2", "n_trials=2", "confirm_seeds=1", "budget.pruner=null"),
}
MOST_KILLS = 4  # of one series
KEYS = ("study", "seed")


def attempts(work: Path, seed: int) -> Iterator[tuple[tuple[str, int], Callable[[], dict[str, object]]]]:
    """(study, seed) of every series without end, the studies in turn, and what tries it."""
    seconds: dict[str, float] = {}
    for number, study in ((number, study) for number in itertools.count(seed) for study in STUDIES):

        def attempt(study: str = study, number: int = number) -> dict[str, object]:
            if study not in seconds:
                seconds[study] = whole_study(work / study, STUDIES[study])
            return try_series(work / study, work / "killed", study, number, seconds[study])

        yield (study, number), attempt


def is_wanted(row: dict[str, str]) -> bool:
    """Whether a series ended as it has to."""
    return row["same"] == "True" and row["lost"] == "0" and row["tracebacks"] == "0"


def try_series(whole: Path, folder: Path, study: str, seed: int, seconds: float) -> dict[str, object]:
    """Kill a study a few times, each time at random within `seconds`, and then let it end; a row of kills.csv.

    whole: the folder of the same study, undisturbed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = random.Random(f"{seed} {study}")
    killed, began = [], time.monotonic()
    for number in range(rng.randint(1, MOST_KILLS)):
        victim, wait = rng.choice(VICTIMS), rng.uniform(0.2, seconds)
        killed.append(f"{victim} after {wait:.2f} s")
        _kill_once(folder, STUDIES[study], victim, wait, folder / f"killed-{number}.txt")
    last = run(folder, *STUDIES[study])
    differs = difference(tables(whole / "outputs/study"), tables(folder / "outputs/study")) if last.code == 0 else ""
    return dict(
        kills=len(killed),
        what="; ".join(killed),
        exit=last.code,
        same=last.code == 0 and not differs,
        difference=differs,
        lost=_lost(whole, folder),
        tracebacks=last.text.count("Traceback"),
        last_line=(last.text.strip().splitlines() or [""])[-1][:200] if last.code else "",
        seconds=round(time.monotonic() - began, 1),
    )


def _kill_once(folder: Path, words: tuple[str, ...], victim: str, wait: float, log: Path) -> None:
    """Begin the study, and kill the victim after `wait` seconds; wait for what is left."""
    began, process = time.monotonic(), begin(folder, list(words), log)
    while time.monotonic() - began < wait and not os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        time.sleep(0.01)
    children = list(_children(process))
    target = {"group": None, "parent": process, "worker": children[0] if children else process}[victim]
    with contextlib.suppress(ProcessLookupError):  # it has ended by itself
        os.kill(target, signal.SIGKILL) if target else os.killpg(process, signal.SIGKILL)
    finish(process, log, began)  # without a worker the sweep goes on
    while any(_is_there(child) for child in children):  # workers end by themselves, soon after their parent
        time.sleep(0.05)


def _children(process: int) -> Iterator[int]:
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        yield from map(int, path.read_text().split())


def _is_there(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _lost(whole: Path, folder: Path) -> int:
    """Rows of trials.csv that the undisturbed study has and this one has not, or has more of."""
    counts = []
    for place in (whole, folder):
        path = place / "outputs/study/tables/trials.csv"
        if not path.exists():
            return -1
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        counts.append(frame[frame["state"] != "RUNNING"].groupby(["arm", "phase", "number", "seed"]).size())
    return int(counts[0].sub(counts[1], fill_value=0).abs().sum())
