"""The fit of scikit-learn's classifiers, held against scikit-learn used by hand on the same arrays."""

import dataclasses
import importlib
import logging
import shlex
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from conftest import ROOT, configured, untimed
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file
from scipy.linalg import LinAlgWarning
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import threadpool_limits

import headstart as package
from headstart.analysis.collate import collate
from headstart.config.groups import options
from headstart.data import Dataset, Split
from headstart.data import sources as data
from headstart.data.dataset import balanced
from headstart.errors import UserError
from headstart.store import read_run, sha256_of
from headstart.training import Lines, prepare, prepare_run, train_run
from headstart.training.estimator_trainer import EstimatorTrainer

LOGISTIC = "model=logistic_regression"
QUICK = {"random_forest": ["model.n_estimators=5"], "gradient_boosting": ["model.max_iter=1", "model.max_bins=8"]}
NETWORKS_ONLY = ("augmentation", "optimizer", "schedule", "lr", "batch_size", "epochs", "precision", "epochs_run")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """What is done by hand computes as a run with threads=1 does."""
    with threadpool_limits(1):
        yield


def model_files() -> list[str]:
    """conf/model/*.yaml that name an estimator."""
    nodes = {name: OmegaConf.load(ROOT / f"conf/model/{name}.yaml") for name in options("model")}
    return sorted(name for name, node in nodes.items() if "estimator" in node and name != "sklearn")


def by_hand(split: Split) -> np.ndarray:
    """Pixels in 0..1, float32 [N, 3072]."""
    return split.images.numpy().reshape(len(split.labels), -1).astype(np.float32) / np.float32(255)


def estimator_of(name: str, *overrides: str):
    """The estimator that a model file describes, made without headstart."""
    node = configured(f"model={name}", *overrides).values.model
    module, _, found = node["estimator"].pop("_target_").rpartition(".")
    ours = {"_target_", "estimator", "scale", "features", "weights", "cv", "search"}
    given = node["estimator"] | {key: value for key, value in node.items() if key not in ours}
    made = getattr(importlib.import_module(module), found)(**given)
    return made.set_params(random_state=0) if "random_state" in made.get_params() else made


def trained(*overrides: str, folder: Path) -> EstimatorTrainer:
    trainer = prepare_run(configured(*overrides), folder, Lines(1))
    trainer.run()
    return trainer


# ---- the same as scikit-learn


@pytest.mark.parametrize("classes", [list(range(10)), [3, 8]])
def test_errors_of_linear_are_those_of_ridge_regression_on_one_hot_targets(classes, run):
    result, folder = run("model=linear", f"data.classes={classes}".replace(" ", ""))
    digits, ridge = data.digits(train_size=100, classes=classes), Ridge(alpha=100)
    scaler = StandardScaler().fit(by_hand(digits.train).astype(float))
    ridge.fit(scaler.transform(by_hand(digits.train)), np.eye(len(classes))[digits.train.labels])
    for part, split in (("val", digits.val), ("test", digits.test())):
        outputs, targets = ridge.predict(scaler.transform(by_hand(split))), np.eye(len(classes))[split.labels]
        assert result[f"{part}_mse"] == pytest.approx(((outputs - targets) ** 2).mean(), rel=1e-3)
        assert result[f"{part}_mae"] == pytest.approx(abs(outputs - targets).mean(), rel=1e-3)
        rest = ((outputs - targets) ** 2).sum(0) / ((targets - targets.mean(0)) ** 2).sum(0)
        assert result[f"{part}_r2"] == pytest.approx((1 - rest).mean(), rel=1e-3)
    row = collate(folder).trials.iloc[0]
    assert row["val_mse"] == result["val_mse"] and row["test_r2"] == result["test_r2"]


def test_any_regressor_learns_one_hot_targets_and_a_classifier_has_no_such_errors(run):
    target = "model.estimator._target_=sklearn.linear_model"
    result, _ = run("model=sklearn", f"{target}.Ridge", "+model.alpha=100")
    linear, _ = run("model=linear")
    for name in ("val_mse", "val_mae", "val_r2", "test_mse", "test_mae", "test_r2"):
        assert result[name] == pytest.approx(linear[name], rel=1e-3), name
    assert (result["parameters"], result["val_accuracy"]) == (linear["parameters"], linear["val_accuracy"])
    assert "fitted" not in result["reason"] and result["model"] == "sklearn.linear_model.Ridge"
    other, _ = run(LOGISTIC)
    assert not {name for name in other if name.endswith(("_mse", "_mae", "_r2"))}
    searched, _ = run("model=linear", reads_test=False)
    assert "val_mse" in searched and "test_mse" not in searched


def test_a_regressor_of_one_target_is_refused_in_scikit_learns_words(run):
    with pytest.raises(UserError, match="SVR cannot be fitted: y should be a 1d array"):
        run("model=sklearn", "model.estimator._target_=sklearn.svm.SVR")


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
    sums = stored["val_probabilities"].sum(1, keepdims=True)  # 1 but for the last digit of float32
    assert result["val_loss"] == pytest.approx(log_loss(stored["val_labels"], stored["val_probabilities"] / sums))
    assert result["state"] == "COMPLETE" and result["test_reads"] == 1


BALANCED = ["data.class_weights=balanced", "data.classes=[0,1,2]"]


def sizes(monkeypatch) -> Dataset:
    """Digits 0 to 2, of which 1 and 2 lost most of their training pictures, as whoever asks for them gets them."""
    whole = data.digits(classes=[0, 1, 2])
    left = torch.cat([torch.nonzero(whole.train.labels == k).flatten()[:n] for k, n in enumerate((100, 20, 10))])
    train = whole.train.choose(left.sort().values)
    found = dataclasses.replace(whole, train=train, class_weights=balanced(train.labels.numpy(), 3))
    monkeypatch.setattr(prepare, "_dataset", lambda *_: found)
    return found


@pytest.mark.parametrize(
    ("target", "how"),
    [
        ("sklearn.linear_model.LogisticRegression", "class_weight"),
        ("sklearn.naive_bayes.GaussianNB", "sample_weight"),
        ("sklearn.linear_model.LinearRegression", "sample_weight"),
    ],
)
def test_class_weights_reach_scikit_learn_by_its_own_way(target, how, run, monkeypatch):
    few = sizes(monkeypatch)
    _, folder = run("model=sklearn", f"model.estimator._target_={target}", *BALANCED)
    module, _, name = target.rpartition(".")
    estimator = getattr(importlib.import_module(module), name)()
    scaler = StandardScaler().fit(by_hand(few.train))
    labels = few.train.labels.numpy()
    weights = compute_sample_weight("balanced", labels)
    if how == "class_weight":
        estimator.set_params(class_weight="balanced", random_state=0)
    targets = np.eye(3)[labels] if name == "LinearRegression" else labels
    given = {} if how == "class_weight" else {"sample_weight": weights}
    estimator.fit(scaler.transform(by_hand(few.train)), targets, **given)
    inputs = scaler.transform(by_hand(few.val))
    known = (
        softmax(estimator.predict(inputs), axis=1) if name == "LinearRegression" else estimator.predict_proba(inputs)
    )
    np.testing.assert_allclose(np.load(folder / "predictions.npz")["val_probabilities"], known, rtol=1e-5, atol=1e-12)


def test_an_estimator_that_takes_no_weights_is_refused_by_name_and_so_are_two_ways_at_once(run):
    with pytest.raises(UserError, match="KNeighborsClassifier takes no weights of classes or pictures; leave it out"):
        run("model=sklearn", "model.estimator._target_=sklearn.neighbors.KNeighborsClassifier", BALANCED[0])
    with pytest.raises(UserError, match=r"model\.class_weight and data\.class_weights are both given"):
        run("model=logistic_regression", "+model.class_weight=balanced", BALANCED[0])


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


def network_by_hand(weights: Path, split: Split, mean: float, std: float) -> np.ndarray:
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
    used = dict(freeze="backbone", weights=str(weights), weights_sha256=sha256_of(weights), precision="fp32")
    used |= dict(parameters=size + 10 * width + 10, parameters_trainable=10 * width + 10)
    assert used.items() <= result.items()
    assert result["normalisation"].endswith(", standard_scaler")
    assert result["seconds_features"] > 0
    again, _ = run(*FEATURES, f"model.weights={weights}")
    assert (again["seconds_features"] == 0) == kept
    assert untimed(again) | dict(seconds_features=0) == untimed(result) | dict(seconds_features=0)
    assert "precision=fp32" in result["command"]


def test_the_seed_makes_the_random_weights_of_a_network_that_is_given_none(run, caplog):
    with caplog.at_level(logging.INFO):
        (first, _), (other, _) = run(*FEATURES), run(*FEATURES, "seed=1")
    assert first["val_loss"] != other["val_loss"]
    assert "the frozen features are random" in caplog.text


# ---- what a run records


def test_columns_that_do_not_apply_are_empty_and_the_others_say_what_was_used(run, tmp_path):
    run(LOGISTIC, "lr=0.5", "optimizer=sgd")
    (row,) = collate(tmp_path).trials.to_dict("records")
    assert [name for name in NETWORKS_ONLY if row[name] is not None and row[name] == row[name]] == []
    used = dict(model="logistic_regression", train_size=100, parameters=30730, device="cpu", threads=1, image_size=32)
    assert used.items() <= row.items()
    assert row["normalisation"] == "standard_scaler" and row["sklearn_version"] and row["seconds_train"] > 0
    assert collate(tmp_path).epochs.empty


@pytest.mark.parametrize("keep", ["best", "none"])
def test_no_file_of_the_estimator_is_kept(keep, run):
    result, folder = run("model=decision_tree", f"keep={keep}")
    left = {p.name for p in folder.iterdir() if not p.name.startswith("data-")} - {".lock"}
    assert left == {"run.json", "result.json"} | (set() if keep == "none" else {"predictions.npz"})
    assert "best_sha256" not in result


def test_the_command_of_a_row_does_the_same_run_again_and_names_nothing_idle(run):
    used = ["model=random_forest", "model.n_estimators=3", "model.cv=2", "seed=4"]
    first, _ = run(*used, "lr=0.5", "augmentation=mixup")
    assert "lr=" not in first["command"] and "augmentation" not in first["command"]
    assert set(used) <= set(first["command"].split())
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


def test_the_seed_is_the_estimators_random_state(run):
    forest = ["model=random_forest", "model.n_estimators=3"]
    (first, _), (again, _), (other, _) = run(*forest), run(*forest), run(*forest, "seed=1")
    assert untimed(first) == untimed(again)
    assert first["val_loss"] != other["val_loss"]


def test_a_forest_does_not_depend_on_the_number_of_threads(run):
    thirds = "model.min_samples_leaf=3"  # their sum depends on the order
    words = ["model=random_forest", "model.n_estimators=60", thirds]
    (_, one), (result, two) = run(*words, "threads=1"), run(*words, "threads=2")
    assert (one / "predictions.npz").read_bytes() == (two / "predictions.npz").read_bytes()
    assert result["threads"] == 2


def test_a_fit_that_does_not_converge_says_so_in_its_row_and_in_the_log(run, caplog, tmp_path):
    result, _ = run(LOGISTIC, "model.max_iter=2", "model.cv=2")
    assert (result["state"], result["reason"]) == ("COMPLETE", "did not converge in 2 iterations")
    assert "StandardScaler and LogisticRegression: did not converge in 2 iterations" in caplog.text
    assert "cross-validation: did not converge in 2 iterations in some of the folds" in caplog.text
    assert list(collate(tmp_path).trials["reason"]) == ["did not converge in 2 iterations"]
    caveats = package.load(tmp_path).caveats
    assert any("1 single run did not converge in 2 iterations" in str(caveat) for caveat in caveats)


def test_a_constant_answer_is_chance(run):
    result, _ = run("model=sklearn", "model.estimator._target_=sklearn.dummy.DummyClassifier")
    assert result["state"] == "CHANCE"
    assert result["model"] == "sklearn.dummy.DummyClassifier"


def test_warnings_that_do_not_bear_on_the_result_are_passed_on(tmp_path):
    trainer = trained("model=decision_tree", folder=tmp_path)
    with pytest.warns(FutureWarning, match="renamed"), trainer._held_to_threads(1) as complaints:
        for category, text in ((FutureWarning, "renamed"), (LinAlgWarning, "singular"), (LinAlgWarning, "singular")):
            warnings.warn(text, category, stacklevel=1)
    assert complaints == ["the matrix is ill-conditioned"] * 2


def test_a_tree_has_no_count_of_parameters(tmp_path):
    facts = trained("model=decision_tree", folder=tmp_path).facts()
    assert [facts[name] for name in ("parameters", "parameters_trainable", "parameters_with_statistics")] == [None] * 3


def test_an_interrupted_fit_starts_again(run, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(EstimatorTrainer, "predict", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run("model=decision_tree")
    folder = next(iter(Path.cwd().glob("run-*")))
    assert read_run(folder)["state"] == "INTERRUPTED"
    result = train_run(configured("model=decision_tree"), folder, reads_test=True, watcher=Lines(1))
    assert untimed(result) == untimed(run("model=decision_tree")[0])


def test_more_folds_than_images_of_a_class_are_refused(run):
    with pytest.raises(UserError, match=r"model\.cv=11 needs as many images of each class; one has 10"):
        run(LOGISTIC, "model.cv=11")
