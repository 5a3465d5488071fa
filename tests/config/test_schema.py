"""The typed top level: values that no run can have are refused by name, and what a key has an effect on."""

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from config.helpers_config import composed
from headstart.config.schema import (
    DESCRIBING,
    EPOCHS_ONLY,
    KEYS,
    TORCH_ONLY,
    Config,
    check_complete,
    check_values,
    keys_without_effect,
    without_hydra,
)
from headstart.errors import UserError

IMPOSSIBLE = [
    (["lr=-1"], "lr=-1"),
    (["lr=0"], "lr=0"),
    (["lr=nan"], "lr=nan"),
    (["epochs=0"], "epochs=0"),
    (["batch_size=0"], "batch_size=0"),
    (["seed=-1"], "seed=-1"),
    (["precision=fp8"], "precision=fp8"),
    (["device=tpu"], "device=tpu"),
    (["lr_low=1"], "lr_low"),
    (["patience=0"], "patience=0"),
    (["model.freeze=backbone_then_none", "model.unfreeze_epoch=11"], "unfreeze_epoch=11"),
    (["label_smoothing=1"], "label_smoothing"),
    (["clip_grad_norm=0"], "clip_grad_norm"),
    (["threads=0"], "threads=0"),
    (["threads=1025"], "threads=1025.* to 1024"),
    (["seed=4294967291"], "seed=4294967291.* to 4294967290"),
    (["split_seed=4294967296"], "split_seed=.* 4294967295"),
]


@pytest.mark.parametrize(("overrides", "words"), IMPOSSIBLE)
def test_impossible_values_are_refused_by_name(overrides, words):
    cfg = composed(*overrides)
    for given in (cfg, OmegaConf.to_object(cfg)):
        with pytest.raises(UserError, match=words):
            check_values(given)


def test_seeds_end_where_the_last_confirmation_still_has_one():
    check_values(composed("seed=4294967290", "confirm_seeds=5"))
    check_values(composed("seed=4294967295", "confirm_seeds=5", "phase=confirm"))


@pytest.mark.parametrize(("key", "value"), [("lr", "fast"), ("epochs", 1.5), ("seed", "one"), ("tf32", "maybe")])
def test_the_types_of_keys_are_held_wherever_a_value_comes_from(key, value):
    with pytest.raises(OmegaConfBaseException, match=str(value)):
        composed()[key] = value


def test_what_is_still_to_be_given_is_named():
    check_complete(composed())
    with pytest.raises(UserError, match=r"model\.name is not given; add model\.name=\.\.\."):
        check_complete(composed("model=timm"))


def test_without_hydra_the_configuration_stays_typed_and_the_given_one_as_it_was():
    full = composed(hydra=True)
    own = without_hydra(full)
    own.seed = 3
    assert OmegaConf.get_type(own) is Config and set(own) == set(KEYS)
    assert "hydra" in full and full.seed == 0


@pytest.mark.parametrize(
    ("model", "idle"),
    [
        (["model=cnn"], set()),
        (["model=logistic_regression"], EPOCHS_ONLY | TORCH_ONLY),
        (["model=logistic_regression", "model.features=resnet18"], EPOCHS_ONLY),
    ],
)
def test_an_estimator_is_fitted_in_one_go_but_the_network_before_it_computes_by_torch(model, idle):
    assert keys_without_effect(composed(*model)) == idle


def test_keys_are_named_as_they_are_in_the_schema():
    assert {*EPOCHS_ONLY, *TORCH_ONLY, *DESCRIBING - {"experiments"}} <= set(KEYS)
