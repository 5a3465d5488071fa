"""scikit-learn's classifiers as models and arms, held against scikit-learn used by hand on the same arrays."""

import csv
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import TINY, configured
from hydra.core.global_hydra import GlobalHydra
from sklearn.cluster import KMeans
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

import headstart as package
from headstart.cli import main as cli
from headstart.errors import UserError
from headstart.models.estimators import sklearn_model
from headstart.sweep.storage import close_storages
from headstart.training import trial_context as current

LOGISTIC = "model=logistic_regression"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """What is done by hand computes as a run with threads=1 does."""
    with threadpool_limits(1):
        yield


def test_trees_have_no_count_of_parameters(run, capsys):
    from headstart.cli.run_summary import print_run

    result, folder = run("model=decision_tree")
    assert result["parameters"] is None
    print_run(result, folder)
    shown = capsys.readouterr().out
    assert "parameters" not in shown and "epoch" not in shown and "images/s" not in shown


def test_the_hash_ignores_what_has_no_effect_and_the_search_space():
    plain = configured(LOGISTIC).config_hash()
    for idle in ("lr=0.5", "epochs=9", "schedule=cosine", "precision=fp32", "model.search=null", "patience=3"):
        assert configured(LOGISTIC, idle).config_hash() == plain, idle
    for change in ("model.C=1", "seed=1", "model.scale=false", "model.cv=3", "image_size=16", "data.train_size=50"):
        assert configured(LOGISTIC, change).config_hash() != plain, change


# ---- mistakes


def make(estimator=None, **options):
    return sklearn_model(
        estimator=estimator or LogisticRegression(), classes=2, class_names=("a", "b"), image_size=8, **options
    )


MISTAKES = [
    (dict(estimator=StandardScaler()), "StandardScaler, which is no classifier"),
    (dict(estimator=KMeans()), "KMeans, which is no classifier or regressor"),
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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model=sklearn"], "model.estimator._target_ is not given"),
        (["model=sklearn", "model.estimator._target_=sklearn.linear_model.Lasoo"], "Lasoo"),
        (["model=sklearn", "model.estimator._target_=sklearn.multiclass.OneVsRestClassifier"], "missing"),
        (["model=sklearn", "model.estimator._target_=os.system"], "may not be called"),
        ([LOGISTIC, "+model.nonsense=1"], "no parameter of LogisticRegression"),
        (
            [LOGISTIC, "+model.estimator.nonsense=1"],
            "model.estimator.nonsense=... is no setting of sklearn.linear_model",
        ),
        ([LOGISTIC, "model.cv=1"], "model.cv=1: expected a whole number from 2 to 100 or null"),
        ([LOGISTIC, "model.scale=yes"], "model.scale=yes: expected true or false"),
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
    monkeypatch.setattr("headstart.cli.interrupts.signal.signal", lambda *_: None)
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
            close_storages()
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
    assert any("logistic_regression: every seed gave the same model" in str(caveat) for caveat in study.caveats)
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
    assert "4 to 5 trials an arm" in text
    assert "arm tree has 4 different settings, so 4 trials, not 9" in text
    assert "arm linear has 5 different settings, so 5 trials, not 9" in text
    assert searched("linear", "model.alpha") == [1e5, 1e4, 1e3, 1e2, 1e1]
    assert searched("tree", "model.min_samples_leaf") == [1, 1, 5, 5]
    criteria = [r["params_model.criterion"] for r in rows() if r["arm"] == "tree"]
    assert criteria == ["gini", "entropy"] * 2


def test_a_list_of_values_narrows_the_models_own_search_instead_of_making_arms(typed):
    code, text = typed("-m", *TINY, LOGISTIC, "model.C=0.5,0.05", "search=decades", "dry_run=true", "name=s")
    assert code == 0, text
    assert "1 arm (logistic_regression)" in text
    assert "2 trials an arm of one fit each" in text
    assert "every arm has 2 different settings, so 2 trials, not 29" in text


def test_an_arm_with_fewer_settings_than_trials_is_named_in_the_plan(typed):
    words = ["-m", *TINY, LOGISTIC, "model.C=0.5,0.05", "n_trials=3", "dry_run=true", "name=s"]
    code, text = typed(*words)
    assert code == 0, text
    assert "every arm has 2 different settings, so 2 trials, not 3" in text
    assert not Path("outputs/s").exists()
