"""Whole sweeps whose processes share a PostgreSQL server and nothing else, killed and stopped."""

import random
import shutil
import signal
import time
from pathlib import Path

import optuna
import psycopg
import pytest

from headstart.sweep.storage import open_storage
from sweep.postgres import needs_server
from sweep.test_kills import TOY, TOY_WORDS, finish, start, table, wait_for

pytestmark = [needs_server, pytest.mark.slow, pytest.mark.timeout(1800)]
JOIN = ["hydra.sweeper.elsewhere=join", "hydra.sweeper.lease_seconds=2"]
TRIALS, SEEDS = 7, 2


def begun(url: str) -> set[str]:
    """Runs that were ever claimed, as arm/run."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        if connection.execute("SELECT to_regclass('headstart_leases')").fetchone() == (None,):
            return set()
        return {f"{study}/{run}" for study, run in connection.execute("SELECT study, run FROM headstart_leases")}


def trained(folder: Path) -> int:
    return len(list(folder.glob("outputs/s/cnn/*/*/epochs.csv")))


def check_nothing_lost_or_doubled(url: str, *folders: Path) -> None:
    study = optuna.load_study(study_name="s/cnn", storage=open_storage(url))
    assert [(t.number, t.state.name) for t in study.trials] == [(n, "COMPLETE") for n in range(TRIALS)]
    results = [p.parent.relative_to(f).as_posix() for f in folders for p in f.glob("outputs/s/cnn/**/result.json")]
    results = [run for run in results if "/." not in run]
    assert len(results) == len(set(results)) == TRIALS + SEEDS


def merged(folder: Path, *others: Path) -> list[dict[str, str]]:
    """The rows of the study once the folders of the others are copied to the first, and it was asked again."""
    for other in others:
        hidden = shutil.ignore_patterns(".study", ".lock")
        shutil.copytree(other / "outputs/s", folder / "outputs/s", dirs_exist_ok=True, ignore=hidden)
    finish(folder, TOY, *TOY_WORDS, *JOIN)
    return table(folder)


def test_of_two_machines_one_dies_and_the_other_ends_the_study(tmp_path, database, undisturbed):
    here, there = tmp_path / "here", tmp_path / "there"
    lost = start(there, TOY, *TOY_WORDS, *JOIN, seconds=0.3)
    wait_for(lambda: trained(there) >= 2, 300)
    lost.kill()
    lost.wait()
    finish(here, TOY, *TOY_WORDS, *JOIN)
    said = (here / "output").read_text()
    assert "of 9 runs lie in other folders of the study and are not in this report" in said
    assert f":{there}/outputs/s (" in said and "rsync -a --exclude='/.*' " in said
    finish(there, TOY, *TOY_WORDS, *JOIN)  # puts aside what it had begun
    check_nothing_lost_or_doubled(database, here, there)
    assert merged(here, there) == undisturbed
    assert "other folders" not in (here / "output").read_text()[len(said) :]


def test_a_stopped_machine_that_goes_on_again_writes_nothing_more(tmp_path, database, undisturbed):
    here, there = tmp_path / "here", tmp_path / "there"
    stopped = start(there, TOY, *TOY_WORDS, *JOIN, seconds=1)
    wait_for(lambda: trained(there) >= 1, 300)
    stopped.send_signal(signal.SIGSTOP)
    try:
        working = start(here, TOY, *TOY_WORDS, *JOIN, seconds=0.1)
        wait_for(lambda: (here / "outputs/s/cnn/search/000/result.json").exists(), 300)
    finally:
        stopped.send_signal(signal.SIGCONT)
    assert [stopped.wait(200), working.wait(200)] == [0, 0], (there / "output").read_text()[-3000:]
    assert (
        "was handed to another process, as nothing was heard of this one for 2 seconds"
        in (there / "output").read_text()
    )
    check_nothing_lost_or_doubled(database, here, there)
    assert merged(here, there) == undisturbed


@pytest.mark.parametrize("seed", range(3))
def test_machines_that_are_killed_and_stopped_at_random_lose_and_double_nothing(tmp_path, database, undisturbed, seed):
    dice = random.Random(seed)
    folders = [tmp_path / str(n) for n in range(3)]
    for _ in range(4):
        running = [start(folder, TOY, *TOY_WORDS, *JOIN, seconds=0.3) for folder in folders]
        time.sleep(4 + 6 * dice.random())
        for process in running:
            end = dice.choice(["kill", "stop", "term"])
            if end == "stop":
                process.send_signal(signal.SIGSTOP)
                time.sleep(3)
                process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGKILL if end == "kill" else signal.SIGTERM)
        for process in running:
            process.wait(60)
    for folder in folders:
        finish(folder, TOY, *TOY_WORDS, *JOIN)
    check_nothing_lost_or_doubled(database, *folders)
    assert merged(*folders) == undisturbed
