"""What `${name:...}` means in the configuration files."""

import pytest
from sqlalchemy import make_url

from config.helpers_config import composed
from headstart.config import resolvers
from headstart.config.resolvers import decades, first_pruned_epoch, study_name, study_storage


@pytest.mark.parametrize("path", ["s/study.db", "/what?/a%20b#/study.db", "me:x@y/{0} ß/study.db"])
def test_the_url_of_a_file_is_read_back_as_that_file(path, monkeypatch):
    monkeypatch.delenv("HEADSTART_STORAGE", raising=False)
    parsed = make_url(study_storage(path))
    assert (parsed.drivername, parsed.database, dict(parsed.query), parsed.host) == ("sqlite", path, {}, None)


def test_a_study_is_stored_in_its_folder_unless_the_environment_says_where(monkeypatch):
    monkeypatch.delenv("HEADSTART_STORAGE", raising=False)
    assert composed("name=s", hydra=True).hydra.sweeper.storage == "sqlite:///outputs/s/study.db"
    monkeypatch.setenv("HEADSTART_STORAGE", "")  # empty means not set
    assert composed("name=s", hydra=True).hydra.sweeper.storage == "sqlite:///outputs/s/study.db"
    monkeypatch.setenv("HEADSTART_STORAGE", "postgresql://me:a%20b@host/db")
    assert composed(hydra=True).hydra.sweeper.storage == "postgresql://me:a%20b@host/db"


def test_decades_are_the_powers_of_ten_inside_the_range():
    assert decades(1e-5, 1e-1) == [1e-1, 1e-2, 1e-3, 1e-4, 1e-5]
    assert decades(2e-4, 0.5) == [1e-1, 1e-2, 1e-3]
    assert decades(0.2, 0.5) == []


def test_a_search_by_decades_tries_those_of_its_range():
    cfg = composed("search=decades", "lr_low=1e-3", "lr_high=1e-1", hydra=True)
    assert cfg.hydra.sweeper.params.lr == "choice(0.1,0.01,0.001)"


WARMUP = [
    (["epochs=10"], 2),
    (["epochs=30"], 2),
    (["epochs=90"], 6),
    (["epochs=10", "schedule=cosine"], 2),
    (["epochs=10", "schedule=onecycle"], 5),
    (["epochs=30", "schedule=cosine", "schedule.warmup=0.1"], 5),
]


@pytest.mark.parametrize(("overrides", "first"), WARMUP)
def test_nothing_is_pruned_while_the_learning_rate_warms_up(overrides, first):
    assert composed("budget=quick", *overrides).budget.pruner.n_warmup_steps == first


def test_a_share_of_the_epochs_is_not_rounded_up_for_its_last_digit():
    assert first_pruned_epoch(30, 0.1) == 3 + 2  # 0.1 * 30 is 3.0000000000000004 in floating point


def test_a_study_without_a_name_has_the_same_one_in_all_its_processes(monkeypatch):
    monkeypatch.delenv("HEADSTART_SWEEP", raising=False)
    monkeypatch.setattr(resolvers, "_stamp", lambda: "2026-01-01_00-00-00-000000")
    assert study_name("mine") == "mine"
    assert study_name(None) == "sweep-2026-01-01_00-00-00-000000"
    monkeypatch.setattr(resolvers, "_stamp", lambda: "later, in a worker that inherits the environment")
    assert study_name(None) == "sweep-2026-01-01_00-00-00-000000"
    monkeypatch.delenv("HEADSTART_SWEEP")


def test_a_share_validates_unless_there_are_folds_and_what_is_typed_wins():
    for data, share in (("digits", 0.2), ("cifar10", 0.1), ("cifar100", 0.1), ("folder", "auto")):
        assert composed(f"data={data}").data.validation_size == share
        assert composed(f"data={data}", "data.folds=5").data.validation_size is None
    assert composed("data=folder", "data.folds=auto").data.validation_size == "auto"  # which its source decides
    assert composed("data.folds=5", "data.validation_size=0.1").data.validation_size == 0.1
