"""A configuration calls what it may, and nothing else."""

import pytest
from omegaconf import OmegaConf

from headstart.config.instantiate import make
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
    with pytest.raises(UserError, match=r"^schedule\.warmup=2 is no share"):
        make({"_target_": "headstart.training.schedules.cosine", "warmup": 2}, progress=0.5)
