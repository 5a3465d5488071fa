"""Sweeps killed with real signals, at random moments, in real processes: the rerun ends as an undisturbed study."""

import csv
import os
import random
import signal
import time
from pathlib import Path

import optuna
import pytest
import ready
from conftest import ROOT

from headstart import store

TOY, REAL = "toy", ready.COMMAND
COMMON = ["-m", "name=s", "data=digits", "model=cnn", "threads=1", "search=qmc", "budget.pruner=null"]
TOY_WORDS = [*COMMON, "epochs=4", "n_trials=7", "confirm_seeds=2"]
REAL_WORDS = [
    *COMMON,
    "data.train_size=100",
    "epochs=3",
    "batch_size=32",
    "augmentation=none",
    "n_trials=3",
    "confirm_seeds=1",
]
pytestmark = pytest.mark.timeout(5400)  # the slow ones take their time
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def start(folder: Path, program: str, *words: str, seconds: float = 0.03) -> ready.Process:
    environment = {"TOY_SECONDS": str(seconds), "PYTHONPATH": str(ROOT / "tests")}
    folder.mkdir(exist_ok=True)
    with open(folder / "output", "ab") as out:
        return ready.start(*words, folder=folder, environment=environment, program=program, stdout=out, stderr=out)


def finish(folder: Path, program: str, *words: str) -> None:
    code = start(folder, program, *words, seconds=0).wait(300)
    assert code == 0, (folder / "output").read_text()[-3000:]


def begun(folder: Path) -> int:
    return len(list(folder.glob("outputs/s/*/*/*/.owner"))) + len(list(folder.glob("outputs/s/*/confirm/*/*/.owner")))


def wait_for(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def table(folder: Path, *left_out: str) -> list[dict[str, str]]:
    """trials.csv without what depends on the clock."""
    left = {"git_commit", *left_out}
    with open(folder / "outputs/s/tables/trials.csv") as file:
        return [
            {k: v for k, v in row.items() if k not in left and "seconds" not in k and "per_second" not in k}
            for row in csv.DictReader(file)
        ]


def kill_at_random(
    folder: Path, program: str, words: list[str], rounds: int, dice: random.Random, spread: float
) -> int:
    """Start the sweep and kill it, `rounds` times at most; returns how often it was killed before it was done."""
    kills = 0
    for _ in range(rounds):
        before = begun(folder)
        process = start(folder, program, *words)
        wait_for(lambda p=process, n=before: p.poll() is not None or begun(folder) > n or dice.random() < 0.002)
        time.sleep(dice.random() * spread)
        if process.poll() is not None:
            break
        process.send_signal(dice.choice(SIGNALS))
        process.wait(30)
        kills += 1
    return kills


def check_nothing_lost_or_doubled(folder: Path, trials: int) -> None:
    study = optuna.load_study(study_name="s/cnn", storage=f"sqlite:///{folder}/outputs/s/study.db")
    assert [t.number for t in study.trials if t.state.is_finished()] == list(range(trials))
    assert all(t.state.name == "COMPLETE" for t in study.trials if t.state.is_finished())
    assert not list(folder.rglob("result.failed-*"))


@pytest.mark.parametrize("rounds", [4, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_at_random_moments_a_sweep_ends_as_an_undisturbed_one(tmp_path, undisturbed, rounds):
    dice, kills = random.Random(rounds), 0
    for repetition in range(max(1, rounds // 4)):
        folder = tmp_path / str(repetition)
        kills += kill_at_random(folder, TOY, TOY_WORDS, 4, dice, spread=0.4)
        finish(folder, TOY, *TOY_WORDS)
        assert table(folder) == undisturbed
        check_nothing_lost_or_doubled(folder, 7)
    assert kills >= rounds // 2


@pytest.mark.parametrize("rounds", [1, pytest.param(25, marks=pytest.mark.slow)])
def test_killed_real_training_ends_as_undisturbed_training(tmp_path, rounds):
    dice = random.Random(rounds)
    kill_at_random(tmp_path / "killed", REAL, REAL_WORDS, rounds, dice, spread=2)
    for folder in (tmp_path / "killed", tmp_path / "whole"):
        finish(folder, REAL, *REAL_WORDS)
    assert table(tmp_path / "killed") == table(tmp_path / "whole")
    check_nothing_lost_or_doubled(tmp_path / "killed", 3)


def run_together(folder: Path, count: int, *words: str) -> None:
    processes = [start(folder, TOY, *TOY_WORDS, *words) for _ in range(count)]
    assert [p.wait(300) for p in processes] == [0] * count, (folder / "output").read_text()[-3000:]


@pytest.mark.parametrize("rounds", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_three_processes_share_a_study_and_run_every_number_once(tmp_path, undisturbed, rounds):
    for repetition in range(rounds):
        folder = tmp_path / str(repetition)
        run_together(folder, 3)
        assert table(folder) == undisturbed
        check_nothing_lost_or_doubled(folder, 7)
        logs = [p for p in folder.glob("outputs/s/cnn/search/*/epochs.csv")]
        assert all(len(store.read_epochs(p.parent).rows) == 4 for p in logs)


def children(pid: int) -> list[int]:
    """Processes below `pid`, all generations."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == pid:
            found += [int(entry.parent.name), *children(int(entry.parent.name))]
    return found


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize("end", [signal.SIGKILL, *(pytest.param(s, marks=pytest.mark.slow) for s in SIGNALS[1:])])
def test_with_the_sweeper_its_workers_end_and_the_study_can_be_finished(tmp_path, undisturbed, end):
    process = start(tmp_path, TOY, *TOY_WORDS, "jobs=2", seconds=30)
    wait_for(lambda: begun(tmp_path) >= 2)
    workers = children(process.pid)
    assert workers
    process.send_signal(end)
    process.wait(30)
    wait_for(lambda: all(map(is_gone, workers)), 15)
    finish(tmp_path, TOY, *TOY_WORDS, "jobs=2")
    assert table(tmp_path) == undisturbed


def test_a_killed_workers_trial_is_run_again_and_its_end_is_told(tmp_path, undisturbed):
    process = start(tmp_path, TOY, *TOY_WORDS, "jobs=2", seconds=0.5)
    wait_for(lambda: begun(tmp_path) >= 2)
    (worker,) = children(process.pid)
    os.kill(worker, signal.SIGKILL)
    assert process.wait(200) == 0
    told = [line for line in (tmp_path / "output").read_text().splitlines() if "worker" in line]
    assert told == ["a worker ended with exit code -9; its log: outputs/s/worker-1.log"]
    assert table(tmp_path) == undisturbed
    check_nothing_lost_or_doubled(tmp_path, 7)


LOKY = ["hydra/launcher=joblib", "hydra.sweeper.n_jobs=2", "hydra.launcher.n_jobs=2"]
SUBMITIT = ["hydra/launcher=submitit_local", "hydra.sweeper.n_jobs=2", "hydra.launcher.timeout_min=5"]


def job_of(sweeper: int) -> int | None:
    """A process other than the sweeper that is at work on a run of the study."""
    for pid in children(sweeper):
        try:
            if any(
                os.readlink(f).endswith("/.lock") and "/search/" in os.readlink(f)
                for f in Path(f"/proc/{pid}/fd").iterdir()
            ):
                return pid
        except OSError:
            pass
    return None


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [LOKY, SUBMITIT], ids=["joblib", "submitit"])
@pytest.mark.parametrize("victim", ["job", "sweeper", "nobody"])
def test_jobs_in_processes_of_their_own_are_lost_and_found(tmp_path, undisturbed, launcher, victim):
    process = start(tmp_path, TOY, *TOY_WORDS, *launcher, seconds=0.3)
    if victim != "nobody":
        wait_for(lambda: job_of(process.pid) is not None)
        time.sleep(0.5)
        left = children(process.pid)
        os.kill(job_of(process.pid) if victim == "job" else process.pid, signal.SIGKILL)
    process.wait(200)
    finish(tmp_path, TOY, *TOY_WORDS)
    assert table(tmp_path) == undisturbed
    check_nothing_lost_or_doubled(tmp_path, 7)
    if victim == "sweeper":
        for pid in left:
            if not is_gone(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_job_that_takes_its_pool_with_it_fails_alone(tmp_path, undisturbed, monkeypatch):
    monkeypatch.setenv("TOY_DIES", "cnn:1:search")
    start(tmp_path, TOY, *TOY_WORDS, *LOKY, seconds=0.3).wait(300)
    found = {r["number"]: r["state"] for r in table(tmp_path) if r["phase"] == "search"}
    assert found == {str(n): "FAILED" if n == 1 else "COMPLETE" for n in range(7)}


# ---- as many seeds as it takes

AUTO = ["-m", "name=s", "data=digits", "threads=1", "search=qmc", "budget.pruner=null", "epochs=2", "n_trials=3"]
AUTO += ["data.train_size=100"]
AUTO += ["confirm_seeds=auto", "confirm_seeds_max=7"]
PAIR = 'a: ["model=cnn"], b: ["model=cnn"]'
ONE, BOTH = f"hydra.sweeper.arms={{{PAIR}}}", f'hydra.sweeper.arms={{{PAIR}, c: ["model=cnn", "lr=1e-1"]}}'


def confirmed(folder: Path) -> list[tuple[str, str, str]]:
    """Arm, seed and accuracy of every confirmation; equal arms whose pair no seed decides get all there may be."""
    return [(r["arm"], r["seed"], r["test_accuracy"]) for r in table(folder) if r["phase"] == "confirm"]


@pytest.fixture(scope="module")
def as_many_as_it_takes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("auto")
    finish(folder, TOY, *AUTO, BOTH)
    found = confirmed(folder)
    assert {arm: sum(r[0] == arm for r in found) for arm in "abc"} == {"a": 7, "b": 7, "c": 5}
    return found


def test_killed_at_random_moments_a_study_asks_for_the_same_seeds(tmp_path, as_many_as_it_takes):
    kill_at_random(tmp_path, TOY, [*AUTO, BOTH, "jobs=2"], 3, random.Random(5), spread=1.5)
    finish(tmp_path, TOY, *AUTO, BOTH, "jobs=2")
    assert confirmed(tmp_path) == as_many_as_it_takes


def test_a_raised_limit_and_an_added_arm_ask_for_the_same_seeds_as_one_go(tmp_path, as_many_as_it_takes):
    finish(tmp_path, TOY, *AUTO, ONE, "confirm_seeds_max=6")
    finish(tmp_path, TOY, *AUTO, BOTH)
    assert confirmed(tmp_path) == as_many_as_it_takes
