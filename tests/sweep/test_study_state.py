"""A study as it stands on disk and in its storage."""

import pytest

from headstart.errors import UserError
from headstart.sweep.storage import open_storage
from headstart.sweep.trial import number_of
from sweep.helpers_sweep import finish, open_scheduler, table, work


def test_only_complete_trials_are_selected(tmp_path):
    scheduler = open_scheduler(tmp_path, arms=["a"], n_trials=4, confirm_seeds=1)
    for ending in (
        dict(value=50.0),
        dict(value=99.0, state="CHANCE"),
        dict(value=98.0, state="PRUNED", reason="pruned"),
        dict(value=97.0, state="DIVERGED", reason="loss"),
    ):
        claim = scheduler.claim()
        finish(scheduler, claim, **ending)
        scheduler.tell(claim)
        claim.release()
    assert [s for _, s, _, _ in table(scheduler)["a"]] == ["COMPLETE", "CHANCE", "PRUNED", "DIVERGED"]
    assert number_of(scheduler.state.best("a")) == 0
    assert [t.user_attrs.get("reason") for t in scheduler.state.trials("a")][:4] == [
        None,
        "chance",
        "pruner",
        "diverged",
    ]


def test_trials_of_another_folders_study_are_not_taken_over(tmp_path):
    work(open_scheduler(tmp_path))
    with pytest.raises(UserError, match="another by name="):
        open_scheduler(tmp_path, folder=tmp_path / "elsewhere")


def test_runs_whose_storage_was_deleted_are_not_taken_for_those_of_a_new_one(tmp_path):
    scheduler = open_scheduler(tmp_path, arms=["a"])
    claim = scheduler.claim()
    finish(scheduler, claim)
    claim.release()
    open_scheduler(tmp_path, arms=["a", "b"])
    open_storage.cache_clear()
    (tmp_path / "study.log").unlink()
    with pytest.raises(UserError, match=r"s/a holds runs that the storage .* knows nothing of(.|\n)*name=\.\.\."):
        open_scheduler(tmp_path, arms=["a", "b"])
