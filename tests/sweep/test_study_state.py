"""A study as it stands on disk and in its storage."""

import optuna
import pytest

from headstart.errors import UserError
from headstart.store import read_run, write_json
from headstart.sweep.storage import close_storages, copy_in_memory
from headstart.sweep.trial import number_of, trials_behind
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
    close_storages()
    (tmp_path / "study.log").unlink()
    with pytest.raises(UserError, match=r"s/a holds runs that the storage .* knows nothing of(.|\n)*name=\.\.\."):
        open_scheduler(tmp_path, arms=["a", "b"])


def test_of_two_equal_trials_the_earlier_is_best(tmp_path):
    scheduler = open_scheduler(tmp_path, arms=["a"], n_trials=3)
    for value in (50.0, 60.0, 60.0):
        claim = scheduler.claim()
        finish(scheduler, claim, value=value)
        scheduler.tell(claim)
        claim.release()
    assert number_of(scheduler.state.best("a")) == 1


def test_confirmations_are_asked_for_when_an_arms_search_is_over_and_not_by_the_searchs_own_seed(tmp_path):
    scheduler = open_scheduler(tmp_path, arms=["a"], n_trials=3, confirm_seeds=2, seed=10)
    work(scheduler, limit=2)
    assert scheduler.state.confirmations() == []
    work(scheduler, limit=2)
    first, second = scheduler.state.confirmations()
    assert [(c.arm, c.number, c.seed, c.ended) for c in (first, second)] == [("a", 2, 11, True), ("a", 2, 12, False)]
    assert first.run_dir == tmp_path / "s/a/confirm/002/seed-11"
    assert first.params == scheduler.state.best("a").params


def test_a_snapshot_asks_the_storage_once_until_an_arm_is_refreshed(tmp_path, monkeypatch):
    state = open_scheduler(tmp_path).state
    asked, get_trials = [], optuna.Study.get_trials
    monkeypatch.setattr(optuna.Study, "get_trials", lambda *a, **k: asked.append(a) or get_trials(*a, **k))
    state.trials("a"), state.trials("a")
    assert len(asked) == 2
    with state.snapshot():
        state.trials("a"), state.trials("a"), state.started("a"), state.best("a")
        assert len(asked) == 3
        state.refresh("a")
        state.trials("a")
        assert len(asked) == 4
        with state.locked():  # what was seen before decides nothing
            state.trials("a")
        assert len(asked) == 5
    state.trials("a")
    assert len(asked) == 6


def test_a_point_is_queued_once(tmp_path):
    state = open_scheduler(tmp_path, arms=["a"], points=[]).state
    for _ in range(2):
        state.enqueue(state.studies["a"], {"lr": 1e-2})
    assert [t.system_attrs["fixed_params"] for t in state.trials("a")] == [{"lr": 1e-2}]


def test_a_copy_in_memory_holds_what_the_study_holds_and_leaves_it_alone(tmp_path):
    scheduler = open_scheduler(tmp_path, arms=["a"], n_trials=2)
    work(scheduler)
    write_json(tmp_path / "s" / "study.json", {})
    before = table(scheduler)
    close_storages()
    url = copy_in_memory(scheduler.state.url, tmp_path / "s", "s", ["a", "b"])
    copy = open_scheduler(tmp_path, url=url, n_trials=4)
    assert table(copy) == before | {"b": []}
    copy.state.enqueue(copy.state.studies["a"], {"lr": 1e-3})
    close_storages()
    assert table(open_scheduler(tmp_path, arms=["a"])) == before


def test_a_copy_of_runs_that_the_storage_does_not_know_is_refused(tmp_path):
    run_dir = tmp_path / "s" / "a" / "search" / "000"
    run_dir.mkdir(parents=True)
    write_json(run_dir / "result.json", {})
    with pytest.raises(UserError, match="knows nothing of"):
        copy_in_memory(f"sqlite:///{tmp_path}/none.db", tmp_path / "s", "s", ["a"])
    assert not (tmp_path / "none.db").exists()


def repeated(scheduler) -> list[float]:
    """The learning rates of the confirmations that the study asks for, by seed."""
    return [run.params["lr"] for run in scheduler.state.confirmations()]


def test_every_confirmation_repeats_the_choice_of_its_search(tmp_path):
    scheduler = open_scheduler(tmp_path, arms=["a"], n_trials=8, confirm_seeds=6, confirm="search")
    work(scheduler)
    assert len(set(repeated(scheduler))) > 2
    assert [run.run_dir.parent.name for run in scheduler.state.confirmations()] == ["after-008"] * 6
    assert all(run.ended for run in scheduler.state.confirmations())
    assert trials_behind(scheduler.state.confirmations()[0].run_dir) == 8


def test_the_choices_are_the_same_in_every_process_and_after_more_seeds(tmp_path):
    work(open_scheduler(tmp_path, arms=["a"], n_trials=8, confirm_seeds=3, confirm="search"))
    close_storages()
    more = open_scheduler(tmp_path, arms=["a"], n_trials=8, confirm_seeds=5, confirm="search")
    before = [read_run(run.run_dir)["params"] for run in more.state.confirmations()[:3]]
    assert [done[3] for done in work(more)] == [4, 5]
    assert before == [run.params for run in more.state.confirmations()[:3]]


def test_a_raised_budget_repeats_another_choice_and_keeps_the_earlier_confirmations(tmp_path):
    first = open_scheduler(tmp_path, arms=["a"], n_trials=6, confirm_seeds=2, confirm="search")
    work(first)
    old = [run.run_dir for run in first.state.confirmations()]
    work(open_scheduler(tmp_path, arms=["a"], n_trials=8, confirm_seeds=2, confirm="search"))
    assert sorted(path.name for path in (tmp_path / "s/a/confirm").iterdir()) == ["after-006", "after-008"]
    assert all((run_dir / "result.json").exists() for run_dir in old)


def test_with_confirm_best_every_seed_has_the_best_trials_settings(tmp_path):
    scheduler = open_scheduler(tmp_path, arms=["a"], confirm_seeds=3, confirm="best")
    work(scheduler)
    assert repeated(scheduler) == [scheduler.state.best("a").params["lr"]] * 3
    assert trials_behind(scheduler.state.confirmations()[0].run_dir) is None


def test_an_arm_with_nothing_to_search_has_one_choice(tmp_path):
    scheduler = open_scheduler(tmp_path, arms=["a"], space={}, points=[], n_trials=1, confirm_seeds=2, confirm="search")
    work(scheduler)
    assert [run.params for run in scheduler.state.confirmations()] == [{}, {}]
