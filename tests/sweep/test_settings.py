"""hydra.sweeper, read once."""

import re

import pytest

from headstart.errors import UserError
from headstart.sweep.settings import read_settings


def settings(config, **changes):
    return read_settings(dict(config.hydra.sweeper) | changes, config)


PRUNER = {"_target_": "optuna.pruners.PercentilePruner"}
SAMPLER = {"_target_": "optuna.samplers.RandomSampler"}


def test_settings_are_plain_values_with_interpolations_resolved(composed):
    found = settings(composed("n_trials=7", "confirm_seeds=2", "lr_low=1e-4", "seed=3"))
    assert (found.n_trials, found.confirm_seeds, found.n_jobs) == (7, 2, 1)
    assert found.params == {"lr": "tag(log, interval(0.0001, 0.1))"}
    assert (type(found.sampler), found.sampler["seed"], found.first_points) == (dict, 3, "decades")
    assert found.pruner["_target_"] == "optuna.pruners.PercentilePruner"
    assert (found.arms, found.source, found.source_overrides) == (None, None, [])


def test_halving_takes_the_place_of_the_pruner_and_says_so_where_one_was_typed(composed):
    found = settings(composed("halving=3")).pruner
    assert found == {"_target_": "headstart.sweep.pruners.halving", "factor": 3}
    with pytest.raises(
        UserError, match=r"^halving=3 takes the place of budget\.pruner; leave it or budget\.pruner=null out"
    ):
        settings(composed("halving=3", "budget.pruner=null"))


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
        (dict(n_trials=0), r"^n_trials=0: expected a whole number from 1 to 1000000$"),
        (dict(n_trials=1.5), r"^n_trials=1\.5: expected a whole number"),
        (dict(n_jobs=-1), r"^hydra\.sweeper\.n_jobs=-1: expected a whole number from 1 to 1024$"),
        (dict(confirm_seeds=-1), r"^confirm_seeds=-1: expected a whole number from 0 to 10000 or auto$"),
        (
            dict(max_consecutive_failures=0),
            r"^hydra\.sweeper\.max_consecutive_failures=0: expected a whole number from 1",
        ),
        (dict(retry_failed="yes"), r"^hydra\.sweeper\.retry_failed=yes: expected true or false$"),
        (dict(retry_failed=1), r"^hydra\.sweeper\.retry_failed=1: expected true or false$"),
        (dict(lease_seconds=0.5), r"^hydra\.sweeper\.lease_seconds=0\.5: expected a number from 1 to 86400$"),
        (dict(elsewhere="joins"), r"^hydra\.sweeper\.elsewhere=joins: expected join, rerun or null$"),
        (dict(extend_at_edge=0), r"^search\.extend_at_edge=0: expected true or false$"),
        (dict(extend_at_edge="maybe"), r"^search\.extend_at_edge=maybe: expected true or false$"),
        (dict(params=[1]), r"^hydra\.sweeper\.params=\[1\]: expected a mapping or null, such as \{lr: "),
        (dict(params="abc"), r"^hydra\.sweeper\.params=abc: expected a mapping"),
        (dict(arms=[1]), r"^hydra\.sweeper\.arms=\[1\]: expected a mapping or null, such as \{cnn: "),
        (
            dict(arms={"cnn": [{"model": "cnn"}]}),
            r"^hydra\.sweeper\.arms=.*: expected a mapping or null, such as \{cnn: ",
        ),
        (dict(arms={"cnn": "model=cnn"}), r"^hydra\.sweeper\.arms=.*: expected a mapping or null, such as \{cnn: "),
        (
            dict(first_points="half"),
            r"^search\.first_points=half: expected decades, a list or null, such as \[\{lr: 1e-3",
        ),
        (dict(first_points=[1e-3]), r"^search\.first_points=\[0\.001\]: expected decades, a list or null"),
        (dict(first_points={"lr": 1e-3}), r"^search\.first_points=.*: expected decades, a list or null"),
        (dict(source=[1]), r"^hydra\.sweeper\.source=\[1\]: expected a mapping or null, such as \{overrides"),
        (dict(source={"overrides": 3}), r"^hydra\.sweeper\.source=.*: expected a mapping or null"),
        (dict(source={"overrides": [1]}), r"^hydra\.sweeper\.source=.*: expected a mapping or null"),
        (dict(source={"override": []}), r"^hydra\.sweeper\.source=.*: expected a mapping or null"),
        (dict(pruner="abc"), r"^budget\.pruner=abc: expected a mapping or null, such as \{_target_: optuna\.pruners"),
        (dict(pruner=PRUNER | {"percentile": "abc"}), r"^budget\.pruner\.percentile=abc: expected a number$"),
        (
            dict(pruner=PRUNER | {"percent": 5}),
            r"^budget\.pruner\.percent=.* did you mean budget\.pruner\.percentile\?$",
        ),
        (dict(pruner=PRUNER | {"_partial_": True}), r"^budget\.pruner\._partial_=true is Hydra's own"),
        (dict(pruner={"_target_": "os.system"}), r"_target_='os\.system' may not be called"),
        (dict(pruner={}), r"budget\.pruner=.*_target_"),
        (dict(sampler="abc"), r"^hydra\.sweeper\.sampler=abc: expected a mapping, such as what search=tpe"),
        (dict(sampler=None), r"^hydra\.sweeper\.sampler=null: expected a mapping, such as what search=tpe"),
        (dict(sampler={}), r"hydra\.sweeper\.sampler=.*_target_"),
        (dict(sampler=SAMPLER | {"nonsense": 1}), r"^hydra\.sweeper\.sampler\.nonsense=\.\.\. is no setting of optuna"),
        (dict(sampler=SAMPLER | {"seed": 5}), r"^hydra\.sweeper\.sampler\.seed=5 has no effect here; give seed="),
        (
            dict(pruner=PRUNER | {"percentile": float("inf")}),
            r"^budget\.pruner\.percentile=inf: expected a finite number$",
        ),
        (dict(n_jobs=3), "n_jobs=3 needs a launcher whose jobs are processes .* use jobs=3"),
    ],
)
def test_what_cannot_work_is_refused_with_what_does(composed, changes, told):
    with pytest.raises(UserError, match=told):
        settings(composed(), **changes)


def test_a_key_is_named_as_it_was_typed(composed):
    for typed, called in (("n_trials=0", "n_trials"), ("hydra.sweeper.n_trials=0", "hydra.sweeper.n_trials")):
        with pytest.raises(UserError, match=f"^{called}=0: expected"):
            settings(composed(typed))
    for typed in ("search.first_points=half", "hydra.sweeper.first_points=half"):
        with pytest.raises(UserError, match=f"^{typed}: expected decades, a list or null"):
            settings(composed(typed))


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (
            "hydra.sweeper.storage=null",
            "hydra.sweeper.storage=null: expected a URL, such as sqlite:///study.db; left out",
        ),
        ("hydra.sweeper.storage=''", "hydra.sweeper.storage=: expected a URL"),
        (
            "hydra.sweeper.study_name=mine",
            "hydra.sweeper.study_name=mine has no effect here; a study is called by name=",
        ),
        ("hydra.sweeper.sampler.seed=5", "hydra.sweeper.sampler.seed=5 has no effect here; give seed=..."),
        (
            "hydra.sweeper.sampler.n_ei_candidates=-1",
            "hydra.sweeper.sampler.n_ei_candidates=-1: expected a whole number from 0",
        ),
        ("hydra.sweeper.sampler.multivariate=-1", "hydra.sweeper.sampler.multivariate=-1: expected true or false"),
        ("hydra.sweep.subdir=x", "hydra.sweep.subdir=x has no effect on a sweep"),
        ("hydra.sweeper.storage=nonsense", "hydra.sweeper.storage=nonsense: "),
        ("budget.pruner.percentile=abc", "budget.pruner.percentile=abc: expected a number"),
        ("+budget.pruner.nonsense=1", "budget.pruner.nonsense=... is no setting of optuna.pruners.PercentilePruner"),
    ],
)
def test_what_is_typed_without_an_effect_or_a_meaning_is_refused(composed, typed, told):
    with pytest.raises(UserError, match=f"^{re.escape(told)}"):
        settings(composed(typed))


def test_the_samplers_seed_is_the_studys(composed):
    assert settings(composed("seed=3")).sampler["seed"] == 3
    assert settings(composed("seed=3", "hydra.sweeper.sampler.seed=3")).sampler["seed"] == 3
    assert settings(composed("hydra.sweeper.sampler.seed=null")).sampler["seed"] is None


def test_an_empty_variable_means_that_the_study_is_stored_in_its_folder(composed, monkeypatch):
    monkeypatch.setenv("HEADSTART_STORAGE", "")
    config = composed("name=s")
    settings(config)
    assert config.hydra.sweeper.storage == "sqlite:///outputs/s/study.db"


def test_the_stock_direction_may_be_spelled_as_an_enumeration(composed):
    assert settings(composed(), direction="Direction.maximize").objective == "val_accuracy"


def test_several_jobs_are_taken_with_a_launcher_of_processes(composed):
    assert settings(composed("hydra/launcher=joblib"), n_jobs=3).n_jobs == 3


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:secret@host:port/db",
        "postgresql+psycopg://me:secret",
        "postgresql+psycopg://me:secret/db",
        "postgresql+psycopg://me:at@secret@host/db",
        "postgresql+psycopg://me:secret@[::1/db",
        "postgresql+psycopg:me:secret@host/db",
        "me:secret@host/db",
    ],
)
def test_a_mistyped_url_is_refused_without_its_password(composed, monkeypatch, url):
    monkeypatch.setenv("HEADSTART_STORAGE", url)
    with pytest.raises(UserError, match=r"^hydra.sweeper.storage=.*\*\*\*") as error:
        settings(composed())
    assert "secret" not in str(error.value)


def test_a_password_in_the_storages_url_is_refused_without_being_shown(composed):
    with pytest.raises(UserError, match="HEADSTART_STORAGE") as error:
        settings(composed("hydra.sweeper.storage=postgresql://me:secret@host/db"))
    assert "secret" not in str(error.value)


OF_A_SERVER = ["hydra.sweeper.lease_seconds=5", "hydra.sweeper.elsewhere=join", "hydra.sweeper.sync=file:///store"]


@pytest.mark.parametrize("word", OF_A_SERVER)
def test_what_needs_a_server_is_refused_without_one(composed, monkeypatch, word):
    with pytest.raises(UserError, match=r"needs a PostgreSQL server .*HEADSTART_STORAGE=postgresql"):
        settings(composed(word))
    monkeypatch.setenv("HEADSTART_STORAGE", "postgresql+psycopg://me:secret@host/db")
    assert settings(composed(word, "minutes=null"))
    if "lease" not in word:
        with pytest.raises(
            UserError, match=f"^minutes=3 fits a study to one machine; give {re.escape(word)} without it"
        ):
            settings(composed(word, "minutes=3"))


def test_who_syncs_joins_and_no_file_gets_a_stores_password(composed, monkeypatch):
    monkeypatch.setenv("HEADSTART_STORAGE", "postgresql+psycopg://me:secret@host/db")
    assert settings(composed("hydra.sweeper.sync=file:///store")).elsewhere == "join"
    assert settings(composed("hydra.sweeper.sync=file:///store", "hydra.sweeper.elsewhere=rerun")).elsewhere == "rerun"
    with pytest.raises(UserError, match=r"^hydra\.sweeper\.sync=s3://\.\.\.: a URL with a password") as error:
        settings(composed("hydra.sweeper.sync=s3://key:hunter2@bucket/studies"))
    assert "hunter2" not in str(error.value)


def test_leases_last_a_minute_and_other_folders_are_strangers_by_default(composed):
    found = settings(composed())
    assert (found.lease_seconds, found.elsewhere, found.sync) == (60.0, None, None)
