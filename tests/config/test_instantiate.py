"""A configuration calls what it may with arguments that it takes, and nothing else."""

import math
import sys

import pytest
from omegaconf import OmegaConf

from headstart.config.instantiate import check_node, make
from headstart.config.schema import PARTIAL, PASSED
from headstart.errors import UserError

ATTACKS = [
    "os.system",
    "torch.load",
    "torch.hub.load",
    "torch.optim.adam.torch.load",
    "headstart.data.augmentation.torch.load",
    "headstart.data.sources.Path",
    "headstart.training.schedules.math.exp",
    "timm.create_model",
    "builtins.eval",
    "headstart.cli.main.main",
    "sklearn.utils.os.system",
    "headstart.store.files.write_atomically",
    "sklearn.datasets.fetch_file",  # writes what a URL has to any file
    "sklearn.tree.export_graphviz",  # writes any file, given a fitted tree,
    "sklearn.tree.DecisionTreeClassifier.fit",  # which a method could make
    "sklearn.datasets.load_files",
    "torch.optim.Adam.step",
    "headstart.models.builders.cnn.__wrapped__",
]
NESTED = [lambda node: {"estimator": node}, lambda node: {"weights": [{"deep": node}]}]


@pytest.mark.parametrize("target", ATTACKS)
def test_a_configuration_cannot_call_what_it_should_not(target):
    node = {"_target_": target, "_partial_": True}
    inside = [{"_target_": "headstart.models.builders.cnn"} | nest(node) for nest in NESTED]
    for attack in (node, OmegaConf.create(node), *inside):
        with pytest.raises(UserError, match="_target_"):
            make(attack)


def test_the_name_that_was_given_is_the_one_that_is_refused():
    with pytest.raises(UserError, match=r"'torch\.optim\.adam\.torch\.load' may not be called.*WHITELIST"):
        make({"_target_": "torch.optim.adam.torch.load"})


def test_every_classifier_of_scikit_learn_may_be_named():
    from sklearn.utils import all_estimators

    for _, found in all_estimators(type_filter="classifier"):
        make({"_target_": f"{found.__module__}.{found.__name__}", "_partial_": True})


def test_keys_that_a_target_does_not_take_are_named():
    with pytest.raises(UserError, match="nonsense"):
        make(OmegaConf.create({"_target_": "headstart.training.schedules.constant", "nonsense": 1}))


def test_a_name_that_does_not_exist_is_named():
    with pytest.raises(UserError, match=r"sklearn\.svm\.LinearSVM"):
        make({"_target_": "sklearn.svm.LinearSVM"})


def test_a_node_inside_a_configuration_may_refer_to_what_is_around_it():
    cfg = OmegaConf.create(
        {"rate": 0.5, "node": {"_target_": "headstart.training.schedules.cosine", "warmup": "${rate}"}}
    )
    assert make(cfg.node, progress=0.25) == 0.5


def test_what_the_target_itself_refuses_comes_as_it_is():
    with pytest.raises(UserError, match=r"^data\.train_size=15 is no multiple of 10"):
        make({"_target_": "headstart.data.sources.digits", "train_size": 15})


# ---- a node against the signature of its target


def check(group: str, target: str, **arguments) -> None:
    """Check a node as it is checked under that key of a run's configuration."""
    partial = group in PARTIAL
    node = {"_target_": target} | ({"_partial_": True} if partial else {}) | arguments
    check_node(group, node, partial=partial, passed=PASSED.get(group, frozenset()))


def refused(group: str, target: str, **arguments) -> str:
    with pytest.raises(UserError) as caught:
        check(group, target, **arguments)
    return str(caught.value)


AUGMENTATION, SOURCES = "headstart.data.augmentation", "headstart.data.sources"
BUILDERS, SCHEDULES = "headstart.models.builders", "headstart.training.schedules"
SKLEARN = "headstart.models.estimators.sklearn_model"
PIXELS, SIDE = "a whole number from 0 to 512", "a whole number from 1 to 4096"
COUNT, FINITE = "a whole number from 1 to 1000000", "a finite number"
SIZE = f"{COUNT}, a number above 0 below 1 or null"
FOLDS, SHARE, ABOVE = "a whole number from 2 to 100 or null", "a number from 0 below 1", "a number above 0"
SEED = "a whole number from 0 to 4294967295"

# by the key and its target: the values that are refused, and what is expected in their place
WRONG = [
    ("augmentation.padding", f"{AUGMENTATION}.crop_flip", [-1, 513, 1.0, "big", None, True], PIXELS),
    ("augmentation.padding", f"{AUGMENTATION}.mixup", [-1, "big"], f"{PIXELS} or null"),
    ("augmentation.size", f"{AUGMENTATION}.cutout", [0, -8, 8.0, "8", None], SIDE),
    ("augmentation.alpha", f"{AUGMENTATION}.mixup", [0, -1, "low", None, True], ABOVE),
    ("augmentation.alpha", f"{AUGMENTATION}.cutmix", [0, -1], ABOVE),
    ("augmentation.alpha", f"{AUGMENTATION}.cutmix", [math.nan, math.inf], FINITE),
    ("augmentation.operations", f"{AUGMENTATION}.randaugment", [0, -1, 1.0, True, 101], "a whole number from 1 to 100"),
    ("augmentation.magnitude", f"{AUGMENTATION}.randaugment", [-1, 31, 9.0, None], "a whole number from 0 below 31"),
    ("schedule.warmup", f"{SCHEDULES}.cosine", [1, 2, -1, "0.1", None, True], SHARE),
    ("schedule.warmup", f"{SCHEDULES}.onecycle", [1, 2, -1, "0.1", None], SHARE),
    ("schedule.warmup", f"{SCHEDULES}.cosine", [math.nan, math.inf], FINITE),
    ("schedule.warmup", f"{SCHEDULES}.onecycle", [math.nan, math.inf], FINITE),
    ("schedule.start", f"{SCHEDULES}.onecycle", [-0.1, 1.5, "0.1", None], "a number from 0 to 1"),
    ("schedule.end", f"{SCHEDULES}.onecycle", [-0.1, 1.5, "0.1", None], "a number from 0 to 1"),
    ("data.train_size", f"{SOURCES}.digits", [0, -10, "all", [100], True, 50.0], f"{COUNT} or null"),
    ("data.train_size", f"{SOURCES}.cifar10", [[100], 0.5], f"{COUNT} or null"),
    ("data.train_size", f"{SOURCES}.digits", [math.nan], FINITE),
    ("data.validation_size", f"{SOURCES}.digits", [0, -1, 1.5, 1.0, True, "half"], SIZE),
    ("data.validation_size", f"{SOURCES}.cifar100", [[100]], SIZE),
    (
        "data.folds",
        f"{SOURCES}.digits",
        [0, 1, -1, 2.5, 3.0, "3", True, [3]],
        "a whole number from 2 to 1000000 or null",
    ),
    ("data.fold", f"{SOURCES}.folder", [-1, 0.5, "0", None, True], "a whole number from 0 below 1000000"),
    ("data.test_size", f"{SOURCES}.folder", [0, 1.5, [100]], f"{COUNT}, a number above 0 below 1 or null"),
    ("data.classes", f"{SOURCES}.digits", ["abc", 3, [1.5], [True]], "a list or null"),
    ("data.split_seed", f"{SOURCES}.digits", [-1, 2**32, 1.0, "0", None], SEED),
    ("data.size", f"{SOURCES}.folder", [0, -1, 4097, 64.0, "64", None, True], SIDE),
    ("data.validation_size", f"{SOURCES}.folder", [0, 1.5, "half"], f"{COUNT}, a number above 0 below 1, auto or null"),
    ("data.class_weights", f"{SOURCES}.folder", [1, "yes", True], "balanced or null"),
    ("data.duplicates", f"{SOURCES}.folder", [1, "yes", True], "drop, refuse, keep or null"),
    ("model.stem", f"{BUILDERS}.timm_model", ["tiny", None], "imagenet or cifar"),
    ("model.stem", f"{BUILDERS}.torchvision_model", ["tiny", None], "imagenet or cifar"),
    ("model.name", f"{BUILDERS}.timm_model", [None, 18], "text"),
    ("model.freeze", f"{BUILDERS}.cnn", ["all", None, True], "none, backbone, backbone_then_none or backbone_until:N"),
    ("model.unfreeze_epoch", f"{BUILDERS}.cnn", [1, 0, 2.5, "2", True], "a whole number from 2 or null"),
    ("model.backbone_lr_factor", f"{BUILDERS}.cnn", [0, -1, "low", None, True], ABOVE),
    ("model.backbone_lr_factor", f"{BUILDERS}.timm_with_head", [math.nan, math.inf], FINITE),
    ("model.keep_classifier", f"{BUILDERS}.fan", [1, "yes", None], "true or false"),
    ("model.weights", f"{BUILDERS}.resnet9", [3, True, ["a"]], "text or null"),
    ("model.image_size", f"{BUILDERS}.resnet9", [7, 4097, 32.0, "32"], "a whole number from 8 to 4096"),
    ("model.estimator", SKLEARN, ["LogisticRegression", None, {}, {"C": 1}], "a mapping with _target_"),
    ("model.scale", SKLEARN, ["yes", 1, None], "true or false"),
    ("model.cv", SKLEARN, [1, 101, 2.5, True, "5"], FOLDS),
]


@pytest.mark.parametrize(
    ("key", "target", "value", "expected"),
    [
        pytest.param(key, target, value, expected, id=f"{key}-{value!r}-{target.rpartition('.')[2]}")
        for key, target, values, expected in WRONG
        for value in values
    ],
)
def test_values_that_no_target_of_ours_takes_are_refused_by_their_key(key, target, value, expected):
    group, _, name = key.partition(".")
    said = refused(group, target, **{name: value})
    assert said.startswith(f"{key}=") and said.endswith(f": expected {expected}")


RIGHT = [
    ("augmentation", f"{AUGMENTATION}.crop_flip", dict(padding=0)),
    ("augmentation", f"{AUGMENTATION}.cutmix", dict(alpha=1, padding=None)),
    ("augmentation", f"{AUGMENTATION}.randaugment", dict(magnitude=30, operations=1)),
    ("schedule", f"{SCHEDULES}.onecycle", dict(warmup=0, start=1, end=0)),
    ("data", f"{SOURCES}.digits", dict(classes=["7", 2], train_size=50, validation_size=40, split_seed=2**32 - 1)),
    ("data", f"{SOURCES}.digits", dict(classes=None, train_size=None, validation_size=0.5)),
    ("data", f"{SOURCES}.cifar10", dict(root="x", validation_size=None, folds=2, fold=1)),
    ("data", f"{SOURCES}.folder", dict(root="x", size=1, validation_size=None, test_size=20)),
    ("model", f"{BUILDERS}.cnn", dict(freeze="backbone_then_none", unfreeze_epoch=2, backbone_lr_factor=1)),
    ("model", f"{BUILDERS}.timm_model", dict(batch_norm="fixed")),
    ("model", SKLEARN, dict(cv=2, features="resnet18", C=3, search={"params": {}})),
    ("optimizer", "torch.optim.Adam", dict(lr=1, betas=[0.9, 0.999], fused=None)),
    ("optimizer", "torch.optim.SGD", dict(lr=1e-3, momentum=0, nesterov=True)),
    ("optimizer", "timm.optim.Lamb", dict(betas=[0.9, 0.99])),
]


@pytest.mark.parametrize(("group", "target", "arguments"), RIGHT)
def test_values_that_a_target_takes_pass(group, target, arguments):
    check(group, target, **arguments)


@pytest.mark.parametrize(
    ("group", "target", "arguments", "said"),
    [
        ("optimizer", "torch.optim.Adam", dict(fused="xxx"), "optimizer.fused=xxx: expected true, false or null"),
        ("optimizer", "torch.optim.Adam", dict(betas=[0.9]), "optimizer.betas=[0.9]: expected a list of 2 values"),
        ("optimizer", "torch.optim.Adam", dict(weight_decay="much"), "optimizer.weight_decay=much: expected a number"),
        ("optimizer", "torch.optim.Adam", dict(amsgrad=1), "optimizer.amsgrad=1: expected true or false"),
        (
            "pruner",
            "optuna.pruners.PercentilePruner",
            dict(percentile="abc"),
            "pruner.percentile=abc: expected a number",
        ),
    ],
)
def test_the_annotations_of_libraries_are_read_too(group, target, arguments, said):
    assert refused(group, target, **arguments) == said


@pytest.mark.parametrize(
    ("group", "target", "name", "said"),
    [
        ("model", f"{BUILDERS}.cnn", "weigths", "; did you mean model.weights?"),
        ("optimizer", "torch.optim.Adam", "weight_decai", "; did you mean optimizer.weight_decay?"),
        ("augmentation", f"{AUGMENTATION}.crop_flip", "alpha", ", which has padding; where a file brings it, ~augm"),
        ("augmentation", f"{AUGMENTATION}.none", "nonsense", ", which has none; "),
        ("schedule", f"{SCHEDULES}.constant", "warmup", ", which has none; where a file brings it, ~schedule.warmup"),
    ],
)
def test_an_argument_that_there_is_none_of_is_answered_by_those_that_there_are(group, target, name, said):
    assert f"{group}.{name}=... is no setting of {target}{said}" in refused(group, target, **{name: 1})


@pytest.mark.parametrize(
    ("group", "target", "name"),
    [
        ("optimizer", "torch.optim.Adam", "params"),
        ("schedule", f"{SCHEDULES}.cosine", "progress"),
        ("augmentation", f"{AUGMENTATION}.crop_flip", "images"),
        ("augmentation", f"{AUGMENTATION}.crop_flip", "generator"),
        ("model", f"{BUILDERS}.cnn", "classes"),
        ("model", SKLEARN, "class_names"),
    ],
)
def test_what_a_run_gives_itself_is_no_setting(group, target, name):
    said = refused(group, target, **{name: [1]})
    assert said.startswith(f"{group}.{name}=... is no setting of {target}")
    assert f" {name}," not in said.partition("which has")[2]


def test_a_target_that_takes_any_others_takes_them():
    check("model", SKLEARN, C=0.5, max_iter=10)


@pytest.mark.parametrize(
    ("estimator", "said"),
    [
        (dict(_target_="sklearn.linear_model.LogisticRegression", CC=1), "did you mean model.estimator.C?"),
        (dict(_target_="sklearn.linear_model.LogisticRegression", C=math.inf), "model.estimator.C=inf: expected a fin"),
        (dict(_target_="sklearn.linear_model.LogisticRegression", _partial_=True), "model.estimator._partial_=true is"),
        (dict(_target_="sklearn.linear_model.LogisticRegression", _args_=[1]), "model.estimator._args_ is Hydra's own"),
        (dict(_target_="os.system", command="true"), "_target_='os.system' may not be called"),
        (
            dict(
                _target_="sklearn.calibration.CalibratedClassifierCV",
                estimator=dict(_target_="sklearn.naive_bayes.GaussianNB", nonsense=1),
            ),
            "model.estimator.estimator.nonsense=... is no setting of sklearn.naive_bayes.GaussianNB",
        ),
        (
            dict(
                _target_="sklearn.pipeline.Pipeline",
                steps=[["scale", dict(_target_="sklearn.preprocessing.StandardScaler", nonsense=1)]],
            ),
            "model.estimator.steps[0][1].nonsense=... is no setting of sklearn.preprocessing.StandardScaler",
        ),
        (
            dict(_target_="sklearn.pipeline.Pipeline", steps=[], memory=dict(a=[dict(_target_="os.system")])),
            "_target_='os.system' may not be called",
        ),
    ],
)
def test_nodes_inside_a_node_are_checked_under_their_own_key(estimator, said):
    assert said in refused("model", SKLEARN, estimator=estimator)


@pytest.mark.parametrize("word", ["_args_", "_convert_", "_recursive_"])
def test_what_hydra_reads_itself_is_refused(word):
    said = refused("optimizer", "torch.optim.Adam", **{word: []})
    assert said == f"optimizer.{word} is Hydra's own; leave it out"


@pytest.mark.parametrize(
    ("group", "target", "partial"),
    [
        ("optimizer", "torch.optim.Adam", False),
        ("optimizer", "torch.optim.Adam", None),
        ("optimizer", "torch.optim.Adam", 1),
        ("data", f"{SOURCES}.digits", True),
        ("model", f"{BUILDERS}.cnn", "yes"),
    ],
)
def test_what_is_called_later_stays_so_and_nothing_else_is(group, target, partial):
    assert f"{group}._partial_=" in refused(group, target, _partial_=partial)


def test_what_is_called_later_says_so():
    with pytest.raises(UserError, match=r"^schedule\._partial_=null is Hydra's own; leave it as its file has it$"):
        check_node("schedule", {"_target_": f"{SCHEDULES}.constant"}, partial=True)


@pytest.mark.parametrize(
    "value", [math.nan, -math.inf, [0.9, math.inf], [1, [2, [math.nan]]], {"a": [{"b": math.inf}]}]
)
@pytest.mark.parametrize(
    ("group", "target", "name"),
    [("optimizer", "torch.optim.Adam", "betas"), ("model", SKLEARN, "C"), ("data", f"{SOURCES}.digits", "train_size")],
)
def test_no_number_is_infinite_wherever_it_stands(group, target, name, value):
    said = refused(group, target, **{name: value})
    assert said.startswith(f"{group}.{name}") and said.endswith("expected a finite number")


@pytest.mark.parametrize("node", [{}, {"C": 1}, {"_target_": None}, {"_target_": 5}])
def test_a_node_without_a_target_is_none(node):
    with pytest.raises(UserError, match=r"^budget\.pruner=.*: expected a mapping with _target_$"):
        check_node("budget.pruner", node)


@pytest.mark.parametrize("target", ["unheard_of.Thing", "unheard_of.thing", "os.system", "sklearn.datasets.fetch_file"])
def test_a_target_that_may_not_be_called_is_not_even_imported(target, tmp_path, monkeypatch):
    (tmp_path / "unheard_of.py").write_text("class Thing: ...")
    monkeypatch.syspath_prepend(tmp_path)
    assert "may not be called from a configuration" in refused("data", target)
    assert "may not be called from a configuration" in refused("model", SKLEARN, estimator={"_target_": target})
    assert "unheard_of" not in sys.modules


def test_a_name_that_does_not_exist_is_left_to_its_making():
    check("pruner", "optuna.pruners.PercentielPruner", percentile="abc")
    with pytest.raises(UserError, match="PercentielPruner"):
        make({"_target_": "optuna.pruners.PercentielPruner"})
