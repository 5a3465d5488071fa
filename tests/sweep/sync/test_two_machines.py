"""Whole sweeps in folders of their own that share a PostgreSQL server and a store, killed while they put runs there."""

import random
import re
import signal
import time
from pathlib import Path

import pytest

from headstart.cli.report import write_tables
from headstart.errors import UserError
from headstart.store import fetch_study, find_runs
from sweep.postgres import needs_server
from sweep.sync.s3 import needs_s3, s3_server
from sweep.test_kills import TOY, TOY_WORDS, finish, start, table, wait_for

pytestmark = [needs_server, pytest.mark.slow, pytest.mark.timeout(1800)]
TRIALS, SEEDS = 7, 2


@pytest.fixture(scope="module")
def s3():
    found = s3_server()
    found.start()
    yield found
    found.stop()


@pytest.fixture(params=["file", pytest.param("s3", marks=needs_s3)])
def store(request, tmp_path, monkeypatch, database) -> str:
    """URL of an empty store, which the commands that a test starts may use."""
    if request.param == "file":
        return f"file://{tmp_path}/store"
    s3 = request.getfixturevalue("s3")
    for key, value in s3.environment.items():
        monkeypatch.setenv(key, value)
    bucket = f"b{abs(hash(request.node.nodeid)) % 10**9}"
    s3.make_bucket(bucket)
    return f"s3://{bucket}/studies"


def words(store: str) -> list[str]:
    return [*TOY_WORDS, f"hydra.sweeper.sync={store}", "hydra.sweeper.lease_seconds=2"]


def rows_by_report(folder: Path, store: str) -> list[dict[str, str]]:
    """The rows of a report on what the store has alone, in a folder that did not exist."""
    assert fetch_study(folder / "outputs/s", f"{store}/s") == []
    write_tables([folder / "outputs/s"])
    return table(folder)


def test_a_study_of_two_folders_is_whole_in_both_and_in_a_third_that_only_reports(tmp_path, store, undisturbed):
    here, there = tmp_path / "here", tmp_path / "there"
    both = [start(here, TOY, *words(store), "jobs=2", seconds=0.2), start(there, TOY, *words(store), seconds=0.2)]
    assert [process.wait(300) for process in both] == [0, 0], (here / "output").read_text()[-3000:]
    assert table(here) == table(there) == rows_by_report(tmp_path / "report", store) == undisturbed
    runs = [run for run in find_runs(here / "outputs/s") if run.parts[-2] != "store"]
    assert len(runs) == TRIALS + SEEDS
    for text in (path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()):
        assert "hunter2" not in text


def trained(folder: Path) -> int:
    return len(list(folder.glob("outputs/s/cnn/*/*/result.json")))


def test_of_two_machines_one_is_lost_after_a_few_runs_and_the_other_has_all_that_it_had_put(
    tmp_path, store, undisturbed
):
    here, there = tmp_path / "here", tmp_path / "there"
    lost = start(there, TOY, *words(store), seconds=0.3)
    wait_for(lambda: trained(there) >= 3, 300)
    lost.kill()
    lost.wait()
    finish(here, TOY, *words(store))
    if lacking := re.findall(r"(\d+) of 9 runs lie in other folders", (here / "output").read_text()):
        assert lacking == ["1"]  # the one that was on its way
        finish(there, TOY, *words(store))
        finish(here, TOY, *words(store))
    assert table(here) == undisturbed


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_random_while_runs_are_put_nothing_half_is_believed_and_nothing_lost(
    tmp_path, store, undisturbed, seed
):
    dice, folders = random.Random(seed), [tmp_path / "0", tmp_path / "1"]
    for _ in range(4):
        before = [trained(folder) for folder in folders]
        running = [start(folder, TOY, *words(store), seconds=0.1) for folder in folders]
        for process, folder, count in zip(running, folders, before, strict=True):
            wait_for(lambda p=process, f=folder, n=count: p.poll() is not None or trained(f) > n, 300)
            time.sleep(0.1 * dice.random())  # in which it is put
            process.send_signal(signal.SIGKILL)
            process.wait(60)
    for folder in [*folders, folders[0]]:
        finish(folder, TOY, *words(store))
    assert table(folders[0]) == rows_by_report(tmp_path / "report", store) == undisturbed


@needs_s3
def test_a_store_that_goes_and_comes_back_ends_no_study_and_gets_all(tmp_path, database, monkeypatch, undisturbed):
    s3 = s3_server()
    s3.start()
    try:
        for key, value in s3.environment.items():
            monkeypatch.setenv(key, value)
        unknown = start(tmp_path / "here", TOY, *words("s3://nowhere/studies"))
        assert unknown.wait(300) == 1
        said = (tmp_path / "here/output").read_text()
        assert "s3://nowhere/studies/s cannot be used (FileNotFoundError: The specified bucket does not exist)" in said
        assert "Traceback" not in said and trained(tmp_path / "here") == 0
        s3.make_bucket("bucket")
        running = start(tmp_path / "here", TOY, *words("s3://bucket/studies"), seconds=0.3)
        wait_for(lambda: trained(tmp_path / "here") >= 2, 300)
        s3.stop()
        assert running.wait(600) == 1
        said = (tmp_path / "here/output").read_text()
        assert "s3://bucket/studies/s cannot be used (EndpointConnectionError" in said and "Traceback" not in said
        assert table(tmp_path / "here") == undisturbed
        s3.start()
        s3.make_bucket("bucket")  # and empty: what it had is lost, too
        finish(tmp_path / "here", TOY, *words("s3://bucket/studies"))
        assert rows_by_report(tmp_path / "report", "s3://bucket/studies") == undisturbed
    finally:
        s3.stop()


@needs_s3
def test_a_key_that_may_not_is_a_sentence_before_anything_trains(tmp_path, database, monkeypatch):
    s3 = s3_server()
    s3.start()
    try:
        s3.make_bucket("bucket")
        for key, value in (s3.environment | dict(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")).items():
            monkeypatch.setenv(key, value)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        assert start(tmp_path, TOY, *words("s3://bucket/studies")).wait(300) == 1
        said = (tmp_path / "output").read_text()
        assert "s3://bucket/studies/s cannot be used (" in said and "Traceback" not in said
        with pytest.raises(UserError, match="cannot be used"):
            fetch_study(tmp_path / "report", "s3://bucket/studies/s")
    finally:
        s3.stop()
