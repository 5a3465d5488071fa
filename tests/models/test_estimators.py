"""scikit-learn's classifiers as models and arms, held against scikit-learn used by hand on the same arrays."""

import csv
import importlib
import logging
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from conftest import ROOT, TINY, untimed
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

import headstart as package
from headstart.analysis import collate as tables
from headstart.cli import main as cli
from headstart.config import schema as config
from headstart.data import sources as data
from headstart.errors import UserError
from headstart.models import estimators as classical
from headstart.store import run_folder as records
from headstart.sweep.storage import open_storage
from headstart.training import estimator_trainer as fitting
from headstart.training import run as job
from headstart.training import trial_context as current
from headstart.training.progress_bar import Lines

LOGISTIC = "model=logistic_regression"
QUICK = {"random_forest": ["model.n_estimators=5"], "gradient_boosting": ["model.max_iter=1", "model.max_bins=8"]}
NETWORKS_ONLY = ("augmentation", "optimizer", "schedule", "lr", "batch_size", "epochs", "precision", "epochs_run")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """What is done by hand computes as a run with threads=1 does."""
    with threadpool_limits(1):
        yield


def composed(*overrides: str):
    with initialize_config_module("headstart.conf"):
        full = compose("config", [*TINY, *overrides], return_hydra_config=True)
    return config.without_hydra(full), dict(full.hydra.runtime.choices)


def model_files() -> list[str]:
    """conf/model/*.yaml that name an estimator."""
    nodes = {name: OmegaConf.load(ROOT / f"conf/model/{name}.yaml") for name in config.options("model")}
    return sorted(name for name, node in nodes.items() if "estimator" in node and name != "sklearn")


def by_hand(split: data.Split) -> np.ndarray:
    """Pixels in 0..1, float32 [N, 3072]."""
    return split.images.numpy().reshape(len(split.labels), -1).astype(np.float32) / np.float32(255)


def estimator_of(name: str, *overrides: str):
    """The estimator that a model file describes, made without headstart."""
    node = OmegaConf.to_container(composed(f"model={name}", *overrides)[0].model)
    module, _, found = node["estimator"].pop("_target_").rpartition(".")
    ours = {"_target_", "estimator", "scale", "features", "weights", "cv", "search"}
    options = node["estimator"] | {key: value for key, value in node.items() if key not in ours}
    made = getattr(importlib.import_module(module), found)(**options)
    return made.set_params(random_state=0) if "random_state" in made.get_params() else made


def trained(*overrides: str, folder: Path) -> fitting.Trainer:
    trainer = job.prepare_run(composed(*overrides)[0], folder, Lines(1))
    trainer.run()
    return trainer


# ---- the same as scikit-learn


@pytest.mark.parametrize("name", model_files())
def test_a_run_is_what_scikit_learn_gives_by_hand(name, run):
    result, folder = run(f"model={name}", *QUICK.get(name, []))
    digits = data.digits(train_size=100)
    estimator = estimator_of(name, *QUICK.get(name, []))
    scaler = StandardScaler().fit(by_hand(digits.train))
    estimator.fit(scaler.transform(by_hand(digits.train)), digits.train.labels.numpy())
    stored = np.load(folder / "predictions.npz")
    for part, split in (("val", digits.val), ("test", digits.test())):
        inputs, labels = scaler.transform(by_hand(split)), split.labels.numpy()
        assert result[f"{part}_accuracy"] == pytest.approx(100 * estimator.score(inputs, labels), abs=1e-9)
        assert np.array_equal(stored[f"{part}_labels"], labels)
        assert np.array_equal(stored[f"{part}_probabilities"].argmax(1), estimator.predict(inputs))
        if hasattr(estimator, "predict_proba"):
            assert np.array_equal(stored[f"{part}_probabilities"], estimator.predict_proba(inputs))
    shares = stored["val_probabilities"] / stored["val_probabilities"].sum(
        1, keepdims=True
    )  # of float32 to the last digit
    assert result["val_loss"] == pytest.approx(log_loss(stored["val_labels"], shares))
    assert result["state"] == "COMPLETE" and result["test_reads"] == 1


def test_an_estimator_without_probabilities_gets_the_softmax_of_its_outputs(run, caplog):
    with caplog.at_level(logging.INFO):
        _, folder = run("model=linear")
    digits = data.digits(train_size=100)
    scaler = StandardScaler().fit(by_hand(digits.train))
    ridge = RidgeClassifier(alpha=100).fit(scaler.transform(by_hand(digits.train)), digits.train.labels.numpy())
    outputs = np.exp(ridge.decision_function(scaler.transform(by_hand(digits.val))).astype(float))
    stored = np.load(folder / "predictions.npz")["val_probabilities"]
    np.testing.assert_allclose(stored, outputs / outputs.sum(1, keepdims=True), rtol=1e-4)
    assert "RidgeClassifier has no probabilities: the softmax of its outputs stands in" in caplog.text


@pytest.mark.parametrize("name", ["linear", "logistic_regression"])
def test_two_classes_work_and_the_likelier_one_is_the_predicted_one(name, run):
    result, folder = run(f"model={name}", "data.classes=[3,8]")
    two = data.digits(classes=["3", "8"], train_size=100)
    scaler = StandardScaler().fit(by_hand(two.train))
    estimator = estimator_of(name).fit(scaler.transform(by_hand(two.train)), two.train.labels.numpy())
    stored = np.load(folder / "predictions.npz")["test_probabilities"]
    assert stored.shape == (len(two.test().labels), 2)
    assert np.array_equal(stored.argmax(1), estimator.predict(scaler.transform(by_hand(two.test()))))
    assert result["parameters"] == 3072 + 1


def test_the_scaler_sees_the_training_part_alone(tmp_path):
    pipeline = trained(LOGISTIC, folder=tmp_path).model.pipeline
    train = by_hand(data.digits(train_size=100).train)
    assert pipeline[0].n_samples_seen_ == 100
    np.testing.assert_allclose(pipeline[0].mean_, train.mean(0, dtype=float), rtol=1e-6)


def test_without_scale_the_estimator_sees_the_pixels(run):
    result, folder = run("model=decision_tree", "model.scale=false")
    digits = data.digits(train_size=100)
    tree = DecisionTreeClassifier(min_samples_leaf=16, random_state=0)
    tree.fit(by_hand(digits.train), digits.train.labels.numpy())
    stored = np.load(folder / "predictions.npz")["test_probabilities"]
    assert np.array_equal(stored, tree.predict_proba(by_hand(digits.test())))
    assert result["normalisation"] is None


def test_cross_validation_uses_the_training_part_alone_with_a_scaler_per_fold(run):
    result, _ = run(LOGISTIC, "model.cv=4", "split_seed=3")
    train = data.digits(train_size=100, split_seed=3).train
    inputs, labels, scores = by_hand(train), train.labels.numpy(), []
    for fit, left_out in StratifiedKFold(4, shuffle=True, random_state=3).split(inputs, labels):
        scaler = StandardScaler().fit(inputs[fit])
        estimator = LogisticRegression(C=0.01, max_iter=1000).fit(scaler.transform(inputs[fit]), labels[fit])
        scores.append(100 * estimator.score(scaler.transform(inputs[left_out]), labels[left_out]))
    assert result["cv_folds"] == 4
    assert result["cv_accuracy_mean"] == pytest.approx(np.mean(scores))
    assert result["cv_accuracy_std"] == pytest.approx(np.std(scores, ddof=1))


def test_images_are_resized_as_a_network_would_see_them(tmp_path):
    trainer = trained("model=decision_tree", "image_size=16", folder=tmp_path)
    assert trainer.model.estimator.n_features_in_ == 16 * 16 * 3
    assert trainer.facts()["image_size"] == 16


# ---- features of a frozen network

FEATURES = [LOGISTIC, "model.features=test_resnet", "precision=fp32"]


def network_by_hand(weights: Path, split: data.Split, mean: float, std: float) -> np.ndarray:
    """What timm's own code gives the classifier of the network whose tensors are in `weights`."""
    network = timm.create_model("test_resnet", num_classes=10)
    network.load_state_dict(load_file(weights))
    pictures = (split.images.permute(0, 3, 1, 2).float() / 255 - mean) / std
    with torch.inference_mode():
        network.eval()
        return network.forward_head(network.forward_features(pictures), pre_logits=True).numpy()


@pytest.fixture
def weights(tmp_path) -> Path:
    """A file of random weights that expects pictures normalised by mean 0.25 and standard deviation 0.5."""
    torch.manual_seed(7)
    path = tmp_path / "network.safetensors"
    described = dict(input_mean="0.25,0.25,0.25", input_std="0.5,0.5,0.5")
    save_file(timm.create_model("test_resnet", num_classes=10).state_dict(), path, described)
    return path


@pytest.mark.parametrize("kept", [True, False])
def test_features_are_what_the_network_gives_its_classifier(kept, run, weights, monkeypatch, tmp_path):
    if not kept:
        monkeypatch.setenv("HEADSTART_CACHE_GB", "0")
    result, folder = run(*FEATURES, f"model.weights={weights}")
    digits = data.digits(train_size=100)
    inputs = {p: network_by_hand(weights, s, 0.25, 0.5) for p, s in (("train", digits.train), ("test", digits.test()))}
    scaler = StandardScaler().fit(inputs["train"])
    estimator = LogisticRegression(C=0.01, max_iter=1000).fit(scaler.transform(inputs["train"]), digits.train.labels)
    expected = estimator.predict_proba(scaler.transform(inputs["test"]))
    np.testing.assert_allclose(np.load(folder / "predictions.npz")["test_probabilities"], expected, atol=1e-4)
    backbone = timm.create_model("test_resnet", num_classes=0)
    size = sum(p.numel() for p in backbone.parameters())
    width = backbone.num_features
    used = dict(freeze="backbone", weights=str(weights), weights_sha256=records.sha256_of(weights), precision="fp32")
    used |= dict(parameters=size + 10 * width + 10, parameters_trainable=10 * width + 10)
    assert used.items() <= result.items()
    assert result["normalisation"].endswith(", standard_scaler")
    assert result["seconds_features"] > 0
    again, _ = run(*FEATURES, f"model.weights={weights}")
    assert (again["seconds_features"] == 0) == kept
    assert {k: v for k, v in untimed(again).items() if k != "seconds_features"} == {
        k: v for k, v in untimed(result).items() if k != "seconds_features"
    }
    assert "precision=fp32" in result["command"]


def test_the_seed_makes_the_random_weights_of_a_network_that_is_given_none(run, caplog):
    with caplog.at_level(logging.INFO):
        (first, _), (other, _) = run(*FEATURES), run(*FEATURES, "seed=1")
    assert first["val_loss"] != other["val_loss"]
    assert "the frozen features are random" in caplog.text


# ---- what a run records


def test_columns_that_do_not_apply_are_empty_and_the_others_say_what_was_used(run, tmp_path):
    run(LOGISTIC, "lr=0.5", "optimizer=sgd")
    (row,) = tables.trials(tmp_path).to_dict("records")
    assert [name for name in NETWORKS_ONLY if row[name] is not None and row[name] == row[name]] == []
    used = dict(model="logistic_regression", train_size=100, parameters=30730, device="cpu", threads=1, image_size=32)
    assert used.items() <= row.items()
    assert row["normalisation"] == "standard_scaler" and row["sklearn_version"] and row["seconds_train"] > 0
    assert tables.epochs(tmp_path).empty


def test_trees_have_no_count_of_parameters(run, capsys):
    from headstart.cli.run_summary import print_run

    result, folder = run("model=decision_tree")
    assert result["parameters"] is None
    print_run(result, folder)
    shown = capsys.readouterr().out
    assert "parameters" not in shown and "epoch" not in shown and "images/s" not in shown


@pytest.mark.parametrize("keep", ["best", "none"])
def test_no_file_of_the_estimator_is_kept(keep, run):
    result, folder = run("model=decision_tree", f"keep={keep}")
    left = {p.name for p in folder.iterdir()} - {".lock"}
    assert left == {"run.json", "result.json"} | (set() if keep == "none" else {"predictions.npz"})
    assert "best_sha256" not in result


def test_the_command_of_a_row_does_the_same_run_again_and_names_nothing_idle(run):
    first, _ = run(
        "model=random_forest", "model.n_estimators=3", "model.cv=2", "lr=0.5", "seed=4", "augmentation=mixup"
    )
    assert "lr=" not in first["command"] and "augmentation" not in first["command"]
    assert {"model=random_forest", "model.n_estimators=3", "model.cv=2", "seed=4"} <= set(first["command"].split())
    words = shlex.split(first["command"])
    second, _ = run(*words[1:])
    assert untimed(second) == untimed(first)


def test_keys_without_effect_are_named_once_and_refused_by_nothing(run, caplog):
    with caplog.at_level(logging.INFO):
        run(LOGISTIC, "lr=0.5", "optimizer=sgd", "augmentation=mixup", "precision=fp32")
    said = [r.message for r in caplog.records if "without effect" in r.message]
    assert said == [
        "without effect on model=logistic_regression, which is fitted in one go: augmentation, batch_size, epochs, lr, "
        "optimizer, precision"
    ]


def test_the_hash_ignores_what_has_no_effect_and_the_search_space():
    plain = config.config_hash(composed(LOGISTIC)[0])
    for idle in ("lr=0.5", "epochs=9", "schedule=cosine", "precision=fp32", "model.search=null", "patience=3"):
        assert config.config_hash(composed(LOGISTIC, idle)[0]) == plain, idle
    for change in ("model.C=1", "seed=1", "model.scale=false", "model.cv=3", "image_size=16", "data.train_size=50"):
        assert config.config_hash(composed(LOGISTIC, change)[0]) != plain, change


def test_the_seed_is_the_estimators_random_state(run):
    forest = ["model=random_forest", "model.n_estimators=3"]
    (first, _), (again, _), (other, _) = run(*forest), run(*forest), run(*forest, "seed=1")
    assert untimed(first) == untimed(again)
    assert first["val_loss"] != other["val_loss"]


def test_a_forest_does_not_depend_on_the_number_of_threads(run):
    words = [
        "model=random_forest",
        "model.n_estimators=60",
        "model.min_samples_leaf=3",
    ]  # thirds: their sum depends on the order
    (_, one), (result, two) = run(*words, "threads=1"), run(*words, "threads=2")
    assert (one / "predictions.npz").read_bytes() == (two / "predictions.npz").read_bytes()
    assert result["threads"] == 2


def test_a_fit_that_does_not_converge_says_so_in_its_row_and_in_the_log(run, caplog, tmp_path):
    result, _ = run(LOGISTIC, "model.max_iter=2", "model.cv=2")
    assert (result["state"], result["reason"]) == ("COMPLETE", "did not converge in 2 iterations")
    assert "StandardScaler and LogisticRegression: did not converge in 2 iterations" in caplog.text
    assert "cross-validation: did not converge in 2 iterations in some of the folds" in caplog.text
    assert list(tables.trials(tmp_path)["reason"]) == ["did not converge in 2 iterations"]
    caveats = package.load(tmp_path).caveats
    assert any("1 single run did not converge in 2 iterations" in c for c in caveats)


def test_a_constant_answer_is_chance(run):
    result, _ = run("model=sklearn", "model.estimator._target_=sklearn.dummy.DummyClassifier")
    assert result["state"] == "CHANCE"
    assert result["model"] == "sklearn.dummy.DummyClassifier"


def test_an_interrupted_fit_starts_again(run, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(fitting.Trainer, "predict", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run("model=decision_tree")
    folder = next(iter(Path.cwd().glob("run-*")))
    assert records.read_run(folder)["state"] == "INTERRUPTED"
    cfg, choices = composed("model=decision_tree")
    result = job.train_run(cfg, choices, folder, reads_test=True, watcher=Lines(1))
    assert untimed(result) == untimed(run("model=decision_tree")[0])


# ---- mistakes


def make(estimator=None, **options):
    return classical.classical(
        estimator=estimator or LogisticRegression(), classes=2, class_names=("a", "b"), image_size=8, **options
    )


MISTAKES = [
    (dict(estimator=StandardScaler()), "StandardScaler, which is no classifier"),
    (dict(estimator=LinearRegression()), "LinearRegression, which is no classifier"),
    (dict(estimator="LogisticRegression"), "str, which is no classifier"),
    (dict(max_iters=1), "Did you mean model.max_iter?"),
    (dict(C=-1), "'C' parameter of LogisticRegression must be a float"),
    (dict(C="strong"), "'C' parameter of LogisticRegression must be a float"),
    (dict(estimator=LogisticRegression(C=5), C=1), "model.C and model.estimator.C are both given"),
    (dict(random_state=3), "set by seed="),
    (dict(estimator=LogisticRegression(random_state=3)), "set by seed="),
    (dict(estimator=LogisticRegression(n_jobs=3)), "set by threads="),
    (dict(weights="imagenet"), "model.features=resnet18"),
    (dict(features="resnt18"), "model.features=resnt18 is not a network of timm; did you mean resnet18"),
    (dict(features="test_resnet", weights="nofile.pth"), "nofile.pth"),
    (dict(scale="yes"), "neither true nor false"),
    (dict(cv=1), "from 2"),
    (dict(cv=2.5), "from 2"),
]


@pytest.mark.parametrize("options, said", MISTAKES, ids=[m[1] for m in MISTAKES])
def test_a_mistake_in_the_configuration_is_explained(options, said):
    with pytest.raises(UserError) as caught:
        make(**options)
    assert said in str(caught.value)
    assert str(caught.value).count("\n") < 3


def test_other_estimators_are_taken():
    assert make(LinearSVC()).name == "StandardScaler and LinearSVC"
    assert make(DummyClassifier(), scale=False).name == "DummyClassifier"


def test_more_folds_than_images_of_a_class_are_refused(run):
    with pytest.raises(UserError, match=r"model\.cv=11 needs as many images of each class; one has 10"):
        run(LOGISTIC, "model.cv=11")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model=sklearn"], "model.estimator._target_ is not given"),
        (["model=sklearn", "model.estimator._target_=sklearn.linear_model.Lasoo"], "Lasoo"),
        (["model=sklearn", "model.estimator._target_=sklearn.multiclass.OneVsRestClassifier"], "missing"),
        (["model=sklearn", "model.estimator._target_=os.system"], "may not be called"),
        ([LOGISTIC, "+model.nonsense=1"], "no parameter of LogisticRegression"),
    ],
)
def test_a_mistake_that_is_typed_leaves_nothing(words, said, typed, tmp_path):
    code, text = typed(*TINY, *words)
    assert code == 1
    assert said in text and "Traceback" not in text
    assert list(tmp_path.iterdir()) == []


# ---- sweeps


@pytest.fixture
def typed(tmp_path, monkeypatch, capfd):
    """`typed(*words)` gives the words to the command in this process, in tmp_path; returns (exit code, text)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr("headstart.cli.main.signal.signal", lambda *_: None)
    threads = torch.get_num_threads()

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["headstart", *words])
        monkeypatch.delenv("HEADSTART_SWEEP", raising=False)
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        finally:
            GlobalHydra.instance().clear()
            current.trial = None
            open_storage.cache_clear()
            os.environ.pop("HEADSTART_SWEEP", None)
        text = capfd.readouterr()
        return code, text.out + text.err

    yield run
    torch.set_num_threads(threads)


def rows() -> list[dict[str, str]]:
    with open("outputs/s/tables/trials.csv") as file:
        return list(csv.DictReader(file))


def searched(arm: str, key: str) -> list[float]:
    own = [r for r in rows() if r["arm"] == arm and r["phase"] == "search"]
    return [float(r[f"params_{key}"]) for r in sorted(own, key=lambda r: int(r["number"]))]


def test_networks_and_estimators_are_arms_of_one_study_with_equal_budgets(typed):
    words = ["-m", *TINY, "model=cnn,logistic_regression", "n_trials=3", "confirm_seeds=2", "name=s", "lr_low=1e-3"]
    code, text = typed(*words)
    assert code == 0, text
    assert searched("cnn", "lr") == [1e-1, 1e-2, 1e-3]
    assert searched("logistic_regression", "model.C") == [1, 1e-1, 1e-2]
    found = {(r["arm"], r["phase"]) for r in rows()}
    assert ("logistic_regression", "confirm") in found
    assert {r["params_lr"] for r in rows() if r["arm"] == "logistic_regression"} == {""}
    study = package.load("outputs/s")
    assert list(study.arms["trials"]) == [3, 3]
    assert any("logistic_regression: every seed gave the same model" in c for c in study.caveats)
    assert "model.C=" in text and "budgets differ" not in text
    with pytest.raises(UserError, match="no file is kept"):
        study.model("logistic_regression")
    before = {p: p.read_bytes() for p in Path("outputs/s").rglob("result.json")}
    assert typed(*words)[0] == 0
    assert {p: p.read_bytes() for p in Path("outputs/s").rglob("result.json")} == before


def test_a_grid_takes_the_first_points_of_an_estimators_range_and_every_point_of_a_list(typed):
    arms = (
        '{linear: ["model=linear"], tree: {overrides: ["model=decision_tree"], params: '
        '{model.min_samples_leaf: "choice(1,5)", +model.criterion: "choice(gini,entropy)"}}}'
    )
    words = ["search=decades", "n_trials=9", "confirm_seeds=0", "name=s"]
    code, text = typed("-m", *TINY, *words, f"hydra.sweeper.arms={arms}")
    assert code == 0, text
    assert "the grid has 5 points: that many trials an arm, not 9" in text
    assert "arm tree has only 4 different settings to try: some of its trials repeat" in text
    assert searched("linear", "model.alpha") == [1e5, 1e4, 1e3, 1e2, 1e1]
    assert searched("tree", "model.min_samples_leaf")[:4] == [1, 1, 5, 5]
    criteria = [r["params_+model.criterion"] for r in rows() if r["arm"] == "tree"]
    assert len(criteria) == 5 and criteria[:4] == ["gini", "entropy"] * 2


def test_a_list_of_values_narrows_the_models_own_search_instead_of_making_arms(typed):
    code, text = typed("-m", *TINY, LOGISTIC, "model.C=0.5,0.05", "search=decades", "dry_run=true", "name=s")
    assert code == 0, text
    assert "1 arm (logistic_regression)" in text
    assert "2 trials an arm of one fit each" in text
    assert "the grid has 2 points" in text


def test_an_arm_with_fewer_settings_than_trials_is_named_in_the_plan(typed):
    words = ["-m", *TINY, LOGISTIC, "model.C=0.5,0.05", "n_trials=3", "dry_run=true", "name=s"]
    code, text = typed(*words)
    assert code == 0, text
    assert "arm logistic_regression has only 2 different settings to try: some of its trials repeat" in text
    assert not Path("outputs/s").exists()
