"""The typed top level: values that no run can have are refused by name, and what a key has an effect on."""

from typing import Any

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from config.helpers_config import composed
from headstart.config.schema import (
    ANNOTATIONS,
    DESCRIBING,
    EPOCHS_ONLY,
    KEYS,
    RUN_GROUPS,
    TORCH_ONLY,
    Config,
    check_complete,
    check_values,
    keys_without_effect,
    without_hydra,
)
from headstart.errors import UserError
from headstart.typed import refusal

COUNT = "a whole number from 1 to 1000000"
IMPOSSIBLE = [
    ("lr=-1", "lr=-1.*: expected a number above 0"),
    ("lr=0", "lr=0.*: expected a number above 0"),
    ("lr=nan", "lr=.*: expected a number above 0"),
    ("lr=inf", "lr=.*: expected a number above 0"),
    ("lr_high=inf", "lr_high=.*: expected a number above 0"),
    ("epochs=0", f"epochs=0: expected {COUNT}"),
    ("epochs=1000001", f"epochs=1000001: expected {COUNT}"),
    ("batch_size=0", f"batch_size=0: expected {COUNT}"),
    ("n_trials=0", f"n_trials=0: expected {COUNT}"),
    ("patience=0", f"patience=0: expected {COUNT} or null"),
    ("seed=-1", "seed=-1: expected a whole number from 0 to 4294967295"),
    ("split_seed=4294967296", "split_seed=4294967296: expected .* to 4294967295"),
    ("confirm_seeds=-1", "confirm_seeds=-1: expected a whole number from 0 to 10000"),
    ("image_size=7", "image_size=7: expected a whole number from 8 to 4096 or null"),
    ("label_smoothing=1", "label_smoothing=1.*: expected a number from 0 below 1"),
    ("label_smoothing=nan", "label_smoothing=.*: expected a number from 0 below 1"),
    ("clip_grad_norm=0", "clip_grad_norm=0.*: expected a number above 0 or null"),
    ("clip_grad_norm=inf", "clip_grad_norm=.*: expected a number above 0 or null"),
    ("threads=0", "threads=0: expected a whole number from 1 to 1024 or null"),
    ("threads=1025", "threads=1025: expected .* to 1024 or null"),
    ("jobs=0", "jobs=0: expected a whole number from 1 to 1024"),
    ("device=tpu", "device=tpu: expected auto, cpu, cuda, cuda:0, cuda:1, ... or mps"),
    ("device=cuda:x", "device=cuda:x: expected auto, cpu"),
    ("lr_low=1", r"lr_low=1\.0 is not below lr_high=0\.1; the search needs a range"),
    ("seed=4294967291", "seed=4294967291 is too large; give a whole number from 0 to 4294967280"),
    ("model._target_=5", "model=.*: expected a mapping with _target_, as the files in conf/model"),
    ("~optimizer._target_", "optimizer=.*: expected a mapping with _target_, as the files in conf/optimizer"),
]


@pytest.mark.parametrize(("override", "said"), IMPOSSIBLE)
def test_impossible_values_are_refused_by_name(override, said):
    cfg = composed(override)
    for given in (cfg, OmegaConf.to_object(cfg)):
        with pytest.raises(UserError, match=f"^{said}"):
            check_values(given)


def test_every_annotation_has_its_default_and_the_groups_have_none():
    values = composed()
    for key, annotation in ANNOTATIONS.items():
        assert annotation is Any or refusal(key, values[key], annotation) is None, key
    assert set(RUN_GROUPS) <= {key for key, annotation in ANNOTATIONS.items() if annotation is Any}


def test_seeds_end_where_the_last_confirmation_still_has_one():
    check_values(composed("seed=4294967290", "confirm_seeds=5"))
    check_values(composed("seed=4294967295", "confirm_seeds=5", "phase=confirm"))
    check_values(composed("seed=4294967280", "confirm_seeds=auto"))
    for seed, seeds in ((4294967291, "5"), (4294967281, "auto")):
        with pytest.raises(UserError, match=f"seed={seed} is too large"):
            check_values(composed(f"seed={seed}", f"confirm_seeds={seeds}"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lr", "fast"),
        ("epochs", 1.5),
        ("seed", "one"),
        ("tf32", "maybe"),
        ("deterministic", "no"),
        ("deterministic", -1),
        ("precision", "fp8"),
        ("compile", "always"),
        ("keep", "worst"),
    ],
)
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
