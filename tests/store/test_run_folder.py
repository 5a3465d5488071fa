"""What a run left is found and read, in whatever condition it is."""

import os
import random

import pytest

from headstart.errors import UserError
from headstart.store.epochs import append_epoch, read_epochs
from headstart.store.files import write_json
from headstart.store.run_folder import FINISHED, find_runs, read_facts, read_run, valid_name
from headstart.store.run_lock import lock_run
from store.helpers_store import epoch_row, mutated

FACTS = dict(study="s", arm="cnn", phase="search", number=3, seed=0)


RESULT = FACTS | dict(state="COMPLETE", reason="", val_accuracy=71.5)


@pytest.mark.parametrize("state", FINISHED)
def test_a_finished_run_has_the_state_it_wrote(tmp_path, state):
    write_json(tmp_path / "run.json", FACTS)
    write_json(tmp_path / "result.json", RESULT | dict(state=state))
    assert read_run(tmp_path) == RESULT | dict(state=state)


def test_a_run_without_result_is_running_or_interrupted_by_its_lock(tmp_path):
    write_json(tmp_path / "run.json", FACTS)
    with lock_run(tmp_path):
        assert read_run(tmp_path) == FACTS | dict(state="RUNNING", reason="")
    assert read_run(tmp_path) == FACTS | dict(state="INTERRUPTED", reason="")


def test_a_run_that_left_only_its_folder_says_so(tmp_path):
    assert read_run(tmp_path) == dict(state="INTERRUPTED", reason="no run.json")
    with lock_run(tmp_path):
        assert read_run(tmp_path) == dict(state="RUNNING", reason="")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "unreadable result.json: Expecting property name"),
        ("[1]", "unreadable result.json: not an object"),
        ('{"state": "WON"}', "unreadable result.json: state='WON', expected one of COMPLETE"),
        ('{"state": ["COMPLETE"]}', 'unreadable result.json: state=["COMPLETE"], expected text'),
        ('{"val_accuracy": 99}', "unreadable result.json: state='null', expected"),
        ('{"state": "COMPLETE"}', "unreadable result.json: val_accuracy=null of a COMPLETE run"),
        ('{"state": "COMPLETE", "val_accuracy": NaN}', "unreadable result.json: val_accuracy=NaN"),
        ('{"state": "COMPLETE", "val_accuracy": "99"}', "unreadable result.json: val_accuracy=99"),
        ('{"state": "COMPLETE", "val_accuracy": true}', "unreadable result.json: val_accuracy=true"),
        ('{"state": "COMPLETE", "val_accuracy": 1e3}', "unreadable result.json: val_accuracy=1000.0"),
    ],
)
def test_a_damaged_result_counts_as_none_and_is_named(tmp_path, content, reason):
    write_json(tmp_path / "run.json", FACTS)
    (tmp_path / "result.json").write_text(content)
    run = read_run(tmp_path)
    assert run["state"] == "INTERRUPTED" and run["reason"].startswith(reason)
    assert {key: run[key] for key in FACTS} == FACTS and "val_accuracy" not in run


def test_what_was_recorded_as_a_run_began_is_read_alone(tmp_path):
    assert read_facts(tmp_path) == {}
    write_json(tmp_path / "run.json", dict(precision="fp32"))
    write_json(tmp_path / "result.json", dict(state="COMPLETE"))
    assert read_facts(tmp_path) == dict(precision="fp32")
    (tmp_path / "run.json").write_text("[1")
    assert read_facts(tmp_path) == {}


def test_a_damaged_run_json_leaves_the_result(tmp_path):
    (tmp_path / "run.json").write_bytes(b"\xff\xff")
    write_json(tmp_path / "result.json", RESULT)
    run = read_run(tmp_path)
    assert run["state"] == "COMPLETE" and run["reason"].startswith("unreadable run.json")


@pytest.mark.timeout(20)
def test_pipes_folders_and_broken_links_in_place_of_files_are_survived(tmp_path):
    os.mkfifo(tmp_path / "result.json")
    (tmp_path / "run.json").mkdir()
    (tmp_path / "epochs.csv").symlink_to("nowhere")
    (tmp_path / ".lock").mkdir()
    run = read_run(tmp_path)
    assert run["reason"] == "unreadable result.json: not a regular file; unreadable run.json: not a regular file"
    assert read_epochs(tmp_path).rows == []


def test_300_damaged_runs_are_read_without_an_exception(tmp_path):
    rng = random.Random(1)
    write_json(tmp_path / "run.json", FACTS)
    write_json(tmp_path / "result.json", RESULT)
    for epoch in (1, 2, 3):
        append_epoch(tmp_path, epoch_row(epoch))
    originals = {name: (tmp_path / name).read_bytes() for name in ("run.json", "result.json", "epochs.csv")}
    for _ in range(300):
        for name, data in originals.items():
            (tmp_path / name).write_bytes(mutated(data, rng) if rng.random() < 0.7 else data)
        assert read_run(tmp_path)["state"] in (*FINISHED, "INTERRUPTED")
        assert all(type(row.epoch) is int and row.epoch > 0 for row in read_epochs(tmp_path).rows)
        if rng.random() < 0.3:  # each one waits for the disk
            append_epoch(tmp_path, epoch_row(4))
            assert epoch_row(4) in [row._asdict() for row in read_epochs(tmp_path).rows]


def test_runs_are_found_by_any_of_their_files_sorted_and_without_tables(tmp_path):
    for folder, name in (
        ("b/search/000", ".hydra/config.yaml"),
        ("b/search/001", "run.json"),
        ("a/confirm/004/seed-1", "result.json"),
        ("a/confirm/004/seed-0", "epochs.csv"),
        ("tables", "epochs.csv"),
        ("tables/old", "epochs.csv"),
        ("tables/search/000", "run.json"),  # an arm of that name
        ("b/search/002", "notes.txt"),
        ("b/.trash/003", "run.json"),
    ):
        (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / name).touch()
    (tmp_path / "c").symlink_to(tmp_path / "a")
    assert [run.relative_to(tmp_path).as_posix() for run in find_runs(tmp_path)] == [
        "a/confirm/004/seed-0",
        "a/confirm/004/seed-1",
        "b/search/000",
        "b/search/001",
        "tables/search/000",
    ]
    assert find_runs(tmp_path / "b/search/001") == [tmp_path / "b/search/001"]
    assert len(find_runs(tmp_path, most=2)) == 2


def test_links_that_lead_out_or_in_circles_are_not_followed(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/run.json").touch()
    (tmp_path / "root").mkdir()
    (tmp_path / "root/out").symlink_to(tmp_path / "outside")
    (tmp_path / "root/circle").symlink_to(tmp_path / "root")
    assert find_runs(tmp_path / "root") == []


@pytest.mark.parametrize("name", ["a", "0", "pretraining_5000", "A.b-c_d", "x" * 64, "NA", "null"])
def test_plain_names_are_accepted(name):
    assert valid_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "/etc",
        "a b",
        "a\n",
        "\na",
        "=1+1",
        "-x",
        "_x",
        "x" * 65,
        "é",
        "a\0",
        "<b>",
        "a,b",
        None,
        7,
    ],
)
def test_other_names_are_refused_with_the_rule(name):
    with pytest.raises(UserError, match="cannot be a name: expected 1 to 64 characters"):
        valid_name(name)
