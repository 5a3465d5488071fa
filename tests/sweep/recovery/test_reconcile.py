"""Two truths, the storage's and the folders': compared run by run; what cannot be trusted runs again and is said."""

import random
import shutil

import pytest
from store.helpers_store import epoch_row, mutated

from headstart.store import append_epoch, read_record, write_json, write_record
from headstart.sweep.pruners import Halving
from headstart.sweep.trial import number_of
from sweep.helpers_sweep import accuracy, finish, open_scheduler, table, work


@pytest.fixture
def ended(tmp_path):
    """A study of two arms with six trials and two confirmations each, undisturbed."""
    work(open_scheduler(tmp_path, confirm_seeds=2))
    return tmp_path


def again(place, **changes):
    """What the study says when it is begun again, and what it runs then."""
    scheduler = open_scheduler(place, confirm_seeds=2, looks_back=True, **changes)
    return scheduler.disagreements, work(scheduler), table(scheduler)


def test_of_an_undisturbed_study_nothing_is_said_or_run(ended):
    before = table(open_scheduler(ended, confirm_seeds=2))
    assert again(ended) == ([], [], before)


@pytest.mark.parametrize("kind", ["empty", "half", "flip", "text", "gone"])
@pytest.mark.parametrize(
    ("place", "runs"), [("a/search/003", ("search", "a", 3, None)), ("b/confirm/002/seed-1", ("confirm", "b", 2, 1))]
)
def test_a_run_with_a_damaged_result_runs_again_and_nothing_else(ended, kind, place, runs):
    before = table(open_scheduler(ended, confirm_seeds=2))
    path = ended / "s" / place / "result.json"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    content = dict(empty=b"", half=bytes(data[: len(data) // 2]), flip=bytes(data), text=b'{"state": "COMPLETE"}')
    path.unlink() if kind == "gone" else path.write_bytes(content[kind])
    said, run, now = again(ended)
    assert run == [runs] and now == before
    if kind != "gone" or "search" in place:  # a confirmation without a result is one that has not run
        assert len(said) == 1 and place in said[0] and said[0].endswith("runs again")
    assert again(ended) == ([], [], before)


def test_no_damage_to_any_result_is_taken_for_good(ended):
    rng, before = random.Random(5), table(open_scheduler(ended, confirm_seeds=2))
    paths = sorted(ended.glob("s/*/search/*/result.json"))
    for _ in range(15):
        path = rng.choice(paths)
        whole = read_record(path)
        path.write_bytes(mutated(path.read_bytes(), rng))
        harmless = read_record(path) == whole
        said, run, now = again(ended)
        assert now == before and len(said) == len(run) == (0 if harmless else 1)


def test_a_result_of_before_with_other_digits_than_the_storage_runs_again(ended):
    folder = ended / "s/a/search/002"
    record = read_record(folder / "result.json")[0]
    write_json(folder / "run.json", read_record(folder / "run.json")[0])
    write_json(folder / "result.json", record | dict(val_accuracy=99.0))
    said, run, now = again(ended)
    assert "val_accuracy is 99.0, and the storage says" in said[0] and run == [("search", "a", 2, None)]
    assert now["a"][2][3] == record["val_accuracy"]


def test_what_a_run_vouches_for_the_storage_is_told_again(ended):
    """As where the storage was put back from a copy, or a bit of it has turned."""
    folder = ended / "s/a/search/002"
    record = read_record(folder / "result.json")[0]
    for epoch in (1, 2, 3):
        append_epoch(folder, epoch_row(epoch, val_accuracy=accuracy(record["params"], epoch) + 1))
    write_record(folder / "result.json", record, ("epochs.csv",))
    scheduler = open_scheduler(ended, confirm_seeds=2, looks_back=True)
    assert "epoch 1" in scheduler.disagreements[0] and "told again what its files say" in scheduler.disagreements[0]
    claim = scheduler.claim()
    assert (claim.number, claim.params) == (2, record["params"])  # its job returns what is there
    assert read_record(folder / "result.json")[0] == record
    curve = {row: accuracy(record["params"], row) + 1 for row in (1, 2, 3)}
    assert scheduler.state.find("a", 2).intermediate_values == curve


@pytest.mark.parametrize(("from_", "to"), [("a/search/001", "a/search/004"), ("a/confirm/002/seed-1", None)])
def test_a_run_in_the_folder_of_another_is_none(ended, from_, to):
    to = to or from_.replace("seed-1", "seed-2")
    before = table(open_scheduler(ended, confirm_seeds=2))
    shutil.copy(ended / "s" / from_ / "result.json", ended / "s" / to / "result.json")
    said, run, now = again(ended)
    assert len(said) == len(run) == 1 and to in said[0] and "it holds the result of" in said[0] and now == before


def test_a_run_that_the_storage_does_not_know_is_not_taken_over(ended):
    shutil.copytree(ended / "s/a/search/005", ended / "s/a/search/006")
    said, run, _ = again(ended)
    assert "a/search/006: the storage knows no such trial" in said[0] and run == []
    assert not (ended / "s/a/search/006/result.json").exists()


def test_failed_trials_stay_failed_and_those_that_wait_wait(tmp_path):
    scheduler = open_scheduler(tmp_path, arms=("a",))
    finish(scheduler, claim := scheduler.claim(), state="FAILED", reason="broke", value=None)
    claim.release()
    assert open_scheduler(tmp_path, arms=("a",), looks_back=True).disagreements == []
    (claim.run_dir / "result.json").write_text("")
    (line,) = open_scheduler(tmp_path, arms=("a",), looks_back=True).disagreements
    assert "search/000: unreadable result.json" in line and line.endswith("it runs again")


def test_paused_trials_are_looked_at_too(tmp_path):
    halving = dict(pruner=Halving(3), arms=("a",))
    del halving["pruner"]
    work(scheduler := open_scheduler(tmp_path, **halving))
    path = scheduler.state.run_dir("a", 1) / "result.json"
    write_record(path, read_record(path)[0] | dict(state="PRUNED", reason="paused after epoch 1"))
    (line,) = open_scheduler(tmp_path, looks_back=True, **halving).disagreements
    assert "it is PRUNED, and the storage says COMPLETE" in line


def test_the_source_run_is_made_again_where_its_weights_are_not_what_it_left(tmp_path):
    work(scheduler := open_scheduler(tmp_path, source=True, n_trials=1))
    source = scheduler.state.source_dir
    record = read_record(source / "result.json")[0]
    write_record(source / "result.json", record | dict(best_sha256="0" * 64))
    said, run, _ = again(tmp_path, source=True, n_trials=1)
    assert "source: best.safetensors is not what the run left; it runs again" in said[0]
    assert run[0][0] == "source" and number_of(scheduler.state.trials("a")[0]) == 0
