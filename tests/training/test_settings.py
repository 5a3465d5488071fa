"""Both trainers can do what a run asks of them, and both watchers what training tells them."""

import inspect
from dataclasses import FrozenInstanceError, fields

import pytest

from headstart.training.estimator_trainer import EstimatorTrainer
from headstart.training.progress_bar import Bar, Lines
from headstart.training.settings import Trainer, Watcher
from headstart.training.trainer import NetworkTrainer
from training.helpers_training import settings


@pytest.mark.parametrize(
    ("protocol", "made"),
    [(Trainer, NetworkTrainer), (Trainer, EstimatorTrainer), (Watcher, Lines), (Watcher, Bar)],
)
def test_a_class_has_all_members_of_its_protocol_with_the_same_parameters(protocol, made):
    methods = {name: value for name, value in vars(protocol).items() if inspect.isfunction(value) and name[0] != "_"}
    for name, method in methods.items():
        assert list(inspect.signature(getattr(made, name)).parameters) == list(inspect.signature(method).parameters)
    values = set(protocol.__annotations__)
    assert values <= ({field.name for field in fields(made)} if values else set())


def test_settings_cannot_change_while_a_run_goes_on():
    with pytest.raises(FrozenInstanceError):
        settings().seed = 1
