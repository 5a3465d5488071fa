"""A value is the same one on every way into a run: typed, in a study's file, an arm's, searched, as a first point."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from headstart.config import override_value

VALUES = [
    ("clip_grad_norm", None),
    ("clip_grad_norm", 1.0),
    ("optimizer.fused", True),
    ("batch_size", 16),
    ("optimizer.weight_decay", 1e-05),
    ("model.weights", "null"),
    ("model.weights", "1e3"),
    ("model.weights", "true"),
    ("model.weights", "some where/a=b,c's {d}"),
    ("data.classes", [0, 1]),
]
STUDY = ["-m", "name=s", "n_trials=1", "confirm_seeds=0"]
TYPED = ["model=cnn", "lr=1e-3"]


def single(key: str, value: Any) -> list[str]:
    return ["hydra.run.dir=one", f"{key}={override_value(value)}"]


def sweep_of_one(key: str, value: Any) -> list[str]:
    return [*STUDY, f"{key}={override_value(value)}"]


def arm(key: str, value: Any) -> list[str]:
    return [*STUDY, f"hydra.sweeper.arms={override_value({'a': [f'{key}={override_value(value)}']})}"]


def params(key: str, value: Any) -> list[str]:
    return [*STUDY, f"+hydra.sweeper.params={override_value({key: override_value(value)})}"]


def params_of_an_arm(key: str, value: Any) -> list[str]:
    node = {"a": {"overrides": ["model=cnn"], "params": {key: override_value(value)}}}
    return [*STUDY, f"hydra.sweeper.arms={override_value(node)}"]


def first_point(key: str, value: Any) -> list[str]:
    other = 3 if key in ("batch_size", "optimizer.weight_decay") else None
    choices = f"{override_value(value)},{override_value(other)}"
    space = f"+hydra.sweeper.params={override_value({key: choices})}"
    return [*STUDY, space, f"search.first_points={override_value([{key: value}])}"]


def file_of_a_study(key: str, value: Any) -> list[str]:
    node = OmegaConf.create()
    OmegaConf.update(node, key, value)
    return _own_file(OmegaConf.to_container(node))


def file_with_params(key: str, value: Any) -> list[str]:
    return _own_file({"hydra": {"sweeper": {"params": {key: override_value(value)}}}})


def _own_file(content: dict[str, Any]) -> list[str]:
    path = Path("own/experiments/mine.yaml")
    path.parent.mkdir(parents=True)
    path.write_text(f"# @package _global_\n{OmegaConf.to_yaml(OmegaConf.create(content))}")
    return [*STUDY, "--config-dir", "own", "experiments=mine"]


WAYS = [single, sweep_of_one, arm, params, params_of_an_arm, first_point, file_of_a_study, file_with_params]
SEARCHED = (params, params_of_an_arm, first_point, file_with_params)


def of_run(key: str) -> Any:
    """The value in the one run that there is."""
    (path,) = Path().glob("**/.hydra/config.yaml")
    return OmegaConf.select(OmegaConf.load(path), key)


@pytest.fixture(autouse=True)
def no_report(monkeypatch):
    monkeypatch.setattr("headstart.cli.main._report_sweep", lambda: None)


@pytest.fixture(autouse=True)
def weights_that_are_there(tmp_path):
    """A path is refused early where there is nothing."""
    (tmp_path / "some where").mkdir()
    (tmp_path / "some where/a=b,c's {d}").touch()


@pytest.mark.parametrize(("key", "value"), VALUES, ids=str)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_value_is_the_same_on_every_way_in(way: Callable, key, value, sweep):
    words = way(key, value)
    typed = [word for word in TYPED if way not in (params_of_an_arm, arm) or word != "model=cnn"]
    code, text = sweep(*typed, *words, m="")
    if isinstance(value, list) and way in SEARCHED:
        assert code == 1 and "can't be searched" in text.replace("cannot", "can't"), text
        return
    assert code == 0, text
    found = of_run(key)
    assert found == value and (isinstance(value, list) or type(found) is type(value))


@pytest.mark.parametrize(("key", "value"), VALUES, ids=str)
def test_a_resumed_run_has_the_values_that_it_began_with(key, value, sweep):
    assert sweep(*TYPED, *single(key, value), m="")[0] == 0
    Path("one/result.json").unlink()
    assert sweep("resume=one", m="") == (0, "")
    found = of_run(key)
    assert found == value and (isinstance(value, list) or type(found) is type(value))
    assert json.loads(Path("one/result.json").read_text())["state"] == "COMPLETE"
