"""hydra.sweeper, read once."""

import pytest

from headstart.errors import UserError
from headstart.sweep.settings import read_settings


def settings(config, **changes):
    return read_settings(dict(config.hydra.sweeper) | changes, config)


def test_settings_are_plain_values_with_interpolations_resolved(composed):
    found = settings(composed("n_trials=7", "confirm_seeds=2", "lr_low=1e-4", "seed=3"))
    assert (found.n_trials, found.confirm_seeds, found.n_jobs) == (7, 2, 1)
    assert found.params == {"lr": "tag(log, interval(0.0001, 0.1))"}
    assert (type(found.sampler), found.sampler["seed"], found.first_points) == (dict, 3, "decades")
    assert found.pruner["_target_"] == "optuna.pruners.PercentilePruner"
    assert (found.arms, found.source, found.source_overrides) == (None, None, [])


def test_without_a_pruner_there_is_none_and_a_source_has_overrides(composed):
    config = composed("budget.pruner=null", 'hydra.sweeper.source={overrides: ["epochs=1"]}')
    found = settings(config)
    assert (found.pruner, found.source, found.source_overrides) == (None, {"overrides": ["epochs=1"]}, ["epochs=1"])


def test_what_an_arm_interpolates_is_resolved_in_the_arm_and_not_before(composed):
    config = composed('hydra.sweeper.arms={a: ["batch_size=${nowhere.yet}"]}')
    assert settings(config).arms == {"a": ["batch_size=${nowhere.yet}"]}


@pytest.mark.parametrize(("search", "is_grid"), [("decades", True), ("tpe", False), ("qmc", False)])
def test_only_the_grid_sampler_is_a_grid(composed, search, is_grid):
    assert settings(composed(f"search={search}")).is_grid == is_grid


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (dict(objective="test_accuracy"), "objective=test_accuracy: the test split never chooses"),
        (dict(objective="val_loss"), "arms are compared by val_accuracy"),
        (dict(direction="minimize"), "maximised"),
        (dict(custom_search_space="a.b"), "write params or first_points per arm"),
        (dict(max_failure_rate=0.5), "max_failure_rate=0.5 is the stock sweeper's"),
        (dict(n_trials=0), r"hydra\.sweeper\.n_trials=0 is too small; give a whole number from 1"),
        (dict(n_jobs=-1), "n_jobs=-1 is too small"),
        (dict(confirm_seeds=-1), "confirm_seeds=-1 is too small; give a whole number from 0"),
        (dict(max_consecutive_failures=0), "max_consecutive_failures=0 is too small"),
        (dict(params=[1]), r"params=\[1\]: expected a mapping from key to range"),
        (dict(params="abc"), "params=abc: expected"),
        (dict(pruner="abc"), "pruner=abc: expected null, or a mapping"),
        (dict(source=[1]), r"source=\[1\]: expected null, or \{overrides"),
        (dict(source={"overrides": 3}), "source=.*: expected null, or"),
        (dict(source={"override": []}), "source=.*: expected null, or"),
        (dict(sampler="abc"), "sampler=abc: expected one that search=tpe"),
        (dict(sampler={}), "sampler=.*: expected one that search=tpe"),
        (dict(n_jobs=3), "n_jobs=3 needs a launcher whose jobs are processes .* use jobs=3"),
    ],
)
def test_what_cannot_work_is_refused_with_what_does(composed, changes, told):
    with pytest.raises(UserError, match=told):
        settings(composed(), **changes)


def test_the_stock_direction_may_be_spelled_as_an_enumeration(composed):
    assert settings(composed(), direction="Direction.maximize").objective == "val_accuracy"


def test_several_jobs_are_taken_with_a_launcher_of_processes(composed):
    assert settings(composed("hydra/launcher=joblib"), n_jobs=3).n_jobs == 3


def test_a_password_in_the_storages_url_is_refused_without_being_shown(composed):
    with pytest.raises(UserError, match="HEADSTART_STORAGE") as error:
        settings(composed("hydra.sweeper.storage=postgresql://me:secret@host/db"))
    assert "secret" not in str(error.value)
