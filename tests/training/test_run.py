"""One run from configuration to record: what it leaves, what it reads, and that a second one is the same."""

import errno
import os
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import configured, untimed

from headstart import store
from headstart.data import Dataset
from headstart.errors import OutsideFault, UserError
from headstart.training import Lines, prepare_run, trial_context
from headstart.training import run as training_run
from headstart.training.trainer import NetworkTrainer


@pytest.fixture
def readings(monkeypatch):
    """A list that grows by one whenever a test split is read."""
    counted, read = [], Dataset.test

    def counting(self):
        counted.append(self.name)
        return read(self)

    monkeypatch.setattr(Dataset, "test", counting)
    return counted


def test_same_seed_same_row_and_another_seed_another(run):
    (first, one), (second, two), (third, _) = run(), run(), run("seed=1")
    assert untimed(first) == untimed(second)
    for name in ("best.safetensors", "predictions.npz"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    assert third["best_sha256"] != first["best_sha256"]
    assert third["data_sha256"] == first["data_sha256"]


def test_the_command_of_a_row_does_the_same_run_again(run):
    first, _ = run("lr=0.002", "schedule=cosine", "label_smoothing=0.1", "data.classes=[1,3]")
    words = shlex.split(first["command"])
    assert words[0] == "headstart"
    second, _ = run(*words[1:])
    assert untimed(second) == untimed(first)


def test_the_test_split_is_read_once_at_the_end_of_a_run_that_may(run, readings):
    result, folder = run()
    assert readings == ["digits"]
    assert result["test_reads"] == 1
    stored = np.load(folder / "predictions.npz")
    assert stored["test_labels"].shape == (360,)
    assert result["test_accuracy"] == pytest.approx(
        100 * np.mean(stored["test_probabilities"].argmax(1) == stored["test_labels"])
    )
    assert np.array(result["confusion"]).sum() == 360


def test_the_wrongest_test_images_are_kept_small_so_that_a_report_needs_no_data(run):
    from headstart.data.sources import digits

    stored = np.load(run()[1] / "predictions.npz")
    shown = stored["thumbnail_indices"]
    assert np.array_equal(stored["thumbnails"], digits(split_seed=0).test().images.numpy()[shown])
    wrong = stored["test_probabilities"].argmax(1) != stored["test_labels"]
    surest = np.where(wrong, stored["test_probabilities"].max(1), 0).argmax()
    assert surest in shown and wrong[surest]


def test_the_test_split_is_not_read_by_a_run_that_may_not(run, readings):
    result, folder = run(reads_test=False)
    assert readings == []
    assert result["test_reads"] == 0
    assert not [key for key in result if key.startswith("test_") and key not in ("test_reads", "test_images")]
    assert not [key for key in np.load(folder / "predictions.npz") if key.startswith("test_")]


def test_the_best_weights_reproduce_the_stored_predictions(run):
    _, folder = run("epochs=3", "lr=0.003")
    again = configured(f"model.weights={folder}/best.safetensors", "model.keep_classifier=true")
    trainer = prepare_run(again, folder / "again", Lines(1))
    stored = np.load(folder / "predictions.npz")
    for part, split in (("val", trainer.data.val), ("test", trainer.data.test())):
        probabilities, _ = trainer.predict(split)
        assert np.array_equal(probabilities.numpy(), stored[f"{part}_probabilities"])
        assert np.array_equal(split.indices.numpy(), stored[f"{part}_indices"])


@pytest.mark.parametrize("keep", ["best", "all", "none"])
def test_keep_decides_what_stays_of_weights_and_predictions(keep, run):
    result, folder = run(f"keep={keep}")
    left = {p.name for p in folder.iterdir()} - {".lock"}
    always = {"run.json", "result.json", "epochs.csv"}
    assert {path.rpartition(".")[2] for path in left if path.startswith("data-")} == {"json", "png"}
    left = {path for path in left if not path.startswith("data-")}
    assert left == always | (set() if keep == "none" else {"best.safetensors", "predictions.npz"})
    assert result.get("best_sha256") == (None if keep == "none" else store.sha256_of(folder / "best.safetensors"))


def test_a_loss_that_is_not_a_number_ends_as_diverged(run, readings):
    result, folder = run("lr=1e9", "optimizer=sgd")
    assert result["state"] == "DIVERGED"
    assert "epoch 1" in result["reason"]
    assert readings == []
    assert store.read_run(folder)["state"] == "DIVERGED"


def test_a_network_that_only_guesses_ends_as_chance(run):
    result, _ = run("lr=1e-9", "epochs=1")
    assert result["state"] == "CHANCE"
    assert result["test_reads"] == 1


def test_a_finished_run_is_returned_as_it_is(run):
    _, folder = run()
    store.write_record(folder / "result.json", store.read_record(folder / "result.json")[0] | dict(seed=7))
    again = training_run.train_run(configured(), folder, reads_test=True, watcher=Lines(1))
    assert again["seed"] == 7


def test_a_run_that_fails_before_it_trains_is_a_row_of_its_arm(run):
    with pytest.raises(UserError, match="batch_size=500 is larger"):
        run("batch_size=500", "arm=large", "name=study")
    failed = store.read_run(next(iter(Path.cwd().glob("run-*"))))
    found = [failed[key] for key in ("state", "study", "arm", "phase", "model", "batch_size", "seed")]
    assert found == ["FAILED", "study", "large", "run", "cnn", 500, 0]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UserError("the mistake\nthe advice"), "the mistake"),
        (OSError("the context:\nthe cause"), "the context: the cause"),
    ],
)
def test_the_reason_is_the_line_that_says_what_is_wrong(error, reason, run, monkeypatch):
    def fail(self):
        raise error

    monkeypatch.setattr(NetworkTrainer, "run", fail)
    with pytest.raises(type(error)):
        run()
    assert store.read_run(next(iter(Path.cwd().glob("run-*"))))["reason"] == reason


def test_a_failed_run_says_why_and_runs_again(run, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(NetworkTrainer, "run", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run()
    folder = next(iter(Path.cwd().glob("run-*")))
    failed = store.read_run(folder)
    assert (failed["state"], failed["reason"], failed["lr"]) == ("FAILED", "division by zero", 1e-3)
    assert run(folder=folder)[0]["state"] == "COMPLETE"
    assert (folder / "result.failed-1.json").exists()


@pytest.mark.parametrize("fault", [errno.EIO, errno.EMFILE, errno.ENOSPC, errno.EROFS])
def test_what_the_disk_or_the_system_fails_is_no_result_of_a_run_in_a_study(fault, run, monkeypatch):
    def failing(descriptor):
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(trial_context, "study_folder", Path.cwd())
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", failing)
        with pytest.raises(OutsideFault):
            run()
    folder = next(iter(Path.cwd().glob("run-*")))
    assert not (folder / "result.json").exists()
    assert run(folder=folder)[0]["state"] == "COMPLETE"


@pytest.mark.parametrize("content", ["[1]", "{", "[" * 5000 + "]" * 5000], ids=lambda text: text[:5])
def test_a_run_whose_record_is_damaged_fails_for_its_own_reason(content, run, monkeypatch):
    monkeypatch.setattr(NetworkTrainer, "run", lambda self: (folder / "run.json").write_text(content) and 1 / 0)
    folder = Path.cwd() / "run-0"
    with pytest.raises(ZeroDivisionError):
        run()
    found = store.read_json(folder / "result.json")
    assert (found["state"], found["reason"], found["model"]) == ("FAILED", "division by zero", "cnn")


def test_a_reading_of_the_test_split_counts_though_the_run_came_to_nothing_after_it(run, readings, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(training_run, "_keep_best", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run()
    folder = next(iter(Path.cwd().glob("run-*")))
    assert (store.read_run(folder)["state"], store.read_run(folder)["test_reads"]) == ("FAILED", 1)
    result, _ = run(folder=folder)
    assert (result["state"], result["test_reads"], len(readings)) == ("COMPLETE", 2, 2)


def test_a_source_run_keeps_its_weights_whatever_the_others_keep(run):
    assert (run("keep=none", "phase=source", reads_test=False)[1] / "best.safetensors").exists()


def test_a_run_leaves_a_record_of_its_data_once(run, monkeypatch):
    from headstart.store import read_data_record, record_path
    from headstart.training import run as module

    result, folder = run("model=decision_tree", reads_test=False)
    path = record_path(folder, result["data_sha256"])
    record = read_data_record(path)
    assert record.name == "digits" and record.total("train") == 100 and record.total("test") == 360
    assert record.total("val") == result["val_images"] and path.with_suffix(".png").exists()
    assert result["test_reads"] == 0
    monkeypatch.setattr(module, "describe_data", None)  # is not asked for again
    (folder / "result.json").unlink()
    run("model=decision_tree", folder=folder)


def test_test_pictures_are_answered_under_corruptions_when_asked_in_the_one_reading(run, readings, monkeypatch):
    from headstart.data import CORRUPTIONS, STRENGTHS, Split, corrupt

    plain, _ = run("model.width=4")
    assert not [key for key in plain if "corrupted" in key]
    monkeypatch.setattr(training_run, "WORSE_AT_A_TIME", 100)
    result, folder = run("model.width=4", "corruptions=true")
    assert readings == ["digits"] * 2 and result["test_reads"] == 1
    assert result["test_accuracy"] == plain["test_accuracy"] and result["best_sha256"] == plain["best_sha256"]
    words = ["model.width=4", f"model.weights={folder}/best.safetensors", "model.keep_classifier=true"]
    trainer = prepare_run(configured(*words), folder / "again", Lines(1))
    test = trainer.data.test()
    noisy = np.stack([corrupt(picture, "noise", 5, seed) for seed, picture in enumerate(test.images.numpy())])
    probabilities, _ = trainer.predict(Split(torch.from_numpy(noisy), test.labels, torch.arange(len(noisy))))
    right = 100 * (probabilities.argmax(1) == test.labels).double().mean()
    found = result["corrupted"]
    assert found["noise"][4] == pytest.approx(float(right)) and tuple(found) == CORRUPTIONS
    assert all(len(own) == len(STRENGTHS) for own in found.values())
    assert result["test_jpeg_mean"] == pytest.approx(np.mean(found["jpeg"]))
    assert result["test_corrupted_mean"] == pytest.approx(np.mean(list(found.values())))


def test_a_regressors_errors_are_those_of_the_pictures_as_they_are(run):
    (plain, _), (asked, _) = run("model=linear"), run("model=linear", "corruptions=true")
    assert asked["test_mse"] == plain["test_mse"] and asked["test_corrupted_mean"] > 0
