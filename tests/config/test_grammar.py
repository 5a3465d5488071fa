"""Overrides are written as Hydra reads them."""

import pytest
from omegaconf import OmegaConf

from config.helpers_config import composed
from headstart.config.grammar import differences, key_of, override_value, top_key_of

PATHS = ["50%20", "a#b", "a?b=1&c", "it's", " größe ", "a\\b", "a\\", 'a\\\\"b', "me:x@y", "a{0}", "x" * 200]
VALUES = [None, True, 1, 1e-05, 0.1, "a b", "x,y", "null", "[1]", "a=b", 'say "hi"', [1, "a"], {"k": [None]}]


@pytest.mark.parametrize("value", VALUES + PATHS)
def test_override_values_read_back_as_they_were(value):
    cfg = composed(f"+data.extra={override_value(value)}")
    assert OmegaConf.to_container(cfg)["data"]["extra"] == value


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("lr=1e-3", "lr"),
        ("+data.train_size=500", "data.train_size"),
        ("++a.b=c=d", "a.b"),
        ("~model.search", "model.search"),
        ("search@hydra.sweeper=tpe", "search"),
    ],
)
def test_the_key_of_an_override_is_what_it_sets(override, key):
    assert key_of(override) == key
    assert top_key_of(override) == key.partition(".")[0]


def test_differences_change_add_and_remove():
    old = {"lr": 0.1, "model": {"weights": None, "freeze": "none"}, "seed": 0}
    new = {"lr": 0.1, "model": {"weights": "imagenet", "cv": 5}, "seed": 0.0}
    assert differences(old, new) == ["~model.freeze", "model.weights=imagenet", "+model.cv=5", "seed=0.0"]


def test_differences_lead_from_one_configuration_to_the_other():
    here, there = composed(), composed("model.freeze=backbone", "data.classes=[0,1]", "+data.note='a, b'", "lr=1")
    words = differences(OmegaConf.to_container(here), OmegaConf.to_container(there))
    assert composed(*words) == there
