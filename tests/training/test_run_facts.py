"""The static columns of a run: what its configuration tells, and what is in use."""

import re
import subprocess
from types import SimpleNamespace

import pytest
import torch
from conftest import configured

from headstart.training import Lines, prepare_run, run_facts, trial_context
from headstart.training.run_facts import git_commit, planned_facts


def test_the_configuration_alone_tells_whose_row_it_is():
    facts = planned_facts(configured("name=study", "arm=big", "lr=0.1", "schedule=cosine", "model.weights=imagenet"))
    expected = dict(study="study", arm="big", phase="run", model="cnn", weights="imagenet", stem=None, lr=0.1)
    expected |= dict(augmentation="none", optimizer="adam", schedule="cosine", batch_size=32, epochs=2, seed=0)
    assert {key: facts[key] for key in expected} == expected
    assert planned_facts(configured("model=resnet18_cifar"))["arm"] == "resnet18_cifar"


def test_a_trial_of_a_study_adds_its_number_and_point(monkeypatch):
    trial = SimpleNamespace(facts=dict(number=3, params={"lr": 0.1}))
    monkeypatch.setattr(trial_context, "trial", trial)
    facts = planned_facts(configured())
    assert (facts["number"], facts["params"]) == (3, {"lr": 0.1})
    assert trial.facts == dict(number=3, params={"lr": 0.1})  # the trial's own are left alone


NAMED = [
    (["model=resnet18"], "resnet18"),
    (["model=timm", "model.name=convnext_atto"], "convnext_atto"),
    (["model=torchvision", "model.name=alexnet"], "alexnet_torchvision"),
    (["model=sklearn", "model.estimator._target_=sklearn.svm.LinearSVC"], "sklearn.svm.LinearSVC"),
]


@pytest.mark.parametrize(("overrides", "name"), NAMED)
def test_a_model_is_called_by_its_file_or_by_what_that_leaves_open(overrides, name):
    assert planned_facts(configured(*overrides))["model"] == name


def test_what_has_no_effect_on_the_model_is_no_fact_of_the_run():
    facts = planned_facts(configured("model=logistic_regression", "lr=0.5"))
    assert [facts[key] for key in ("lr", "epochs", "batch_size", "optimizer", "schedule", "augmentation")] == [None] * 6
    assert facts["seed"] == 0


def test_what_is_in_use_completes_the_row(tmp_path):
    threads = torch.get_num_threads()
    trainer = prepare_run(configured("lr=0.002", "precision=fp32"), tmp_path, Lines(1))
    facts = run_facts.run_facts(configured("lr=0.002", "precision=fp32"), trainer)
    torch.set_num_threads(threads)
    assert (facts["data"], facts["train_size"], len(facts["classes"])) == ("digits", 100, 10)
    assert (facts["threads"], facts["precision"], facts["config_hash"]) == (1, "fp32", trainer.identity)
    assert facts["command"].startswith("headstart data=digits augmentation=none") and "lr=0.002" in facts["command"]
    assert facts["data_sha256"] == trainer.data.sha256
    assert [facts[name] for name in ("train_images", "val_images", "test_images")] == [100, 287, 360]
    assert not {"copies_dropped", "copies_kept", "look_alikes"} & set(facts)  # nobody looked


def test_the_commit_is_that_of_the_checkout():
    root = run_facts.Path(run_facts.__file__).parents[3]
    if not (root / ".git").exists():
        assert git_commit() is None
        return
    head = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert re.fullmatch(rf"{head.stdout.strip()}(-dirty)?", git_commit())


def test_fixed_batch_norm_is_a_column_and_what_was_before_it_is_empty():
    plain, fixed = (configured("model=resnet18", *words) for words in ([], ["model.batch_norm=fixed"]))
    assert planned_facts(plain)["batch_norm"] is None and planned_facts(fixed)["batch_norm"] == "fixed"


def test_a_run_that_was_tested_says_what_an_answer_takes(run):
    result, _ = run("model.width=4")
    assert 0 < result["latency_seconds"] <= result["latency_p95_seconds"] and result["answers_per_second"] > 0
    assert result["processor"] and result["weights_bytes"] >= 4 * result["parameters"] and result["multiply_adds"] > 0
    untested, _ = run("model.width=4", reads_test=False)
    assert "latency_seconds" not in untested
    assert all(untested[key] == result[key] for key in ("multiply_adds", "weights_bytes"))


def test_an_estimator_says_it_too_where_there_is_something_to_say(run):
    result, _ = run("model=decision_tree")
    assert result["latency_seconds"] > 0 and result["multiply_adds"] is None and result["weights_bytes"] is None


def test_what_cannot_be_measured_is_a_warning_and_no_failed_run(run, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("no clock here")

    monkeypatch.setattr(run_facts, "time_answers", fail)
    monkeypatch.setattr(run_facts, "multiply_adds", fail)
    result, _ = run("model.width=4")
    assert result["state"] == "COMPLETE" and result["test_accuracy"] > 0 and "latency_seconds" not in result
    assert "how long an answer takes is not known: no clock here" in caplog.text


def test_the_network_of_a_run_is_timed_as_it_stands_and_changes_nothing(run):
    first, one = run("model.width=4", "epochs=1")
    second, other = run("model.width=4", "epochs=1", reads_test=False)
    assert first["best_sha256"] == second["best_sha256"]
    assert (one / "best.safetensors").read_bytes() == (other / "best.safetensors").read_bytes()
