"""What a scheduler hands out: equal budgets, nothing twice, nothing lost."""

import itertools
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from headstart.errors import UserError
from headstart.store import append_epoch, read_run
from headstart.sweep.arms import Arm
from headstart.sweep.scheduler import WAIT
from headstart.sweep.trial import OWNER
from sweep.helpers_sweep import (
    DECADES,
    LR,
    accuracy,
    finish,
    open_scheduler,
    qmc_sampler,
    random_sampler,
    table,
    tpe_sampler,
    work,
)


def test_arms_get_equal_budgets_in_turn(tmp_path):
    done = work(open_scheduler(tmp_path, n_trials=4))
    assert done == [("search", arm, number, None) for number in range(4) for arm in "ab"]


def test_a_study_that_is_complete_hands_out_nothing(tmp_path):
    work(open_scheduler(tmp_path))
    assert work(open_scheduler(tmp_path)) == []


def test_below_the_number_of_first_points_the_first_of_them_run_and_the_rest_when_the_total_is_raised(tmp_path):
    work(open_scheduler(tmp_path, n_trials=2))
    scheduler = open_scheduler(tmp_path, n_trials=7)
    assert [(a, n) for _, a, n, _ in work(scheduler)] == [(a, n) for n in range(2, 7) for a in "ab"]
    assert [p["lr"] for _, _, p, _ in table(scheduler)["a"]][:5] == [p["lr"] for p in DECADES]


@pytest.mark.parametrize("sampler", [random_sampler, qmc_sampler, tpe_sampler])
def test_a_raised_total_runs_the_difference_and_gives_what_one_go_gives(tmp_path, sampler):
    work(open_scheduler(tmp_path / "two", n_trials=12, make_sampler=sampler))
    raised = open_scheduler(tmp_path / "two", n_trials=15, make_sampler=sampler)
    assert len(work(raised)) == 2 * 3
    once = open_scheduler(tmp_path / "one", n_trials=15, make_sampler=sampler)
    work(once)
    assert table(raised) == table(once)


@pytest.mark.parametrize("sampler", [random_sampler, qmc_sampler, tpe_sampler])
@pytest.mark.parametrize("cut", ["before suggesting", "in mid-trial", "result told to nobody"])
def test_a_study_interrupted_anywhere_ends_as_an_undisturbed_one(tmp_path, sampler, cut, monkeypatch):
    space = LR | {"model.width": FloatDistribution(0, 1)}
    settings = dict(points=[DECADES[0] | {"model.width": 0.5}], space=space, n_trials=6, make_sampler=sampler)
    whole = open_scheduler(tmp_path / "whole", **settings)
    work(whole)
    for _ in range(12):
        scheduler = open_scheduler(tmp_path / "cut", **settings)
        work(scheduler, limit=1)
        if cut == "before suggesting":
            with monkeypatch.context() as patch:
                patch.setattr("headstart.sweep.scheduler.sampler_for", lambda *_: 1 / 0)
                if scheduler.state.started("b") < 6:
                    with pytest.raises(ZeroDivisionError):
                        scheduler.claim()
        elif (claim := scheduler.claim()) is not None:
            if cut == "result told to nobody":
                finish(scheduler, claim, told=False)
            claim.release()  # as the kernel does when the process dies
    scheduler = open_scheduler(tmp_path / "cut", **settings)
    work(scheduler)
    assert table(scheduler) == table(whole)


# ---- finite spaces

TWO_RATES = {"lr": CategoricalDistribution([1e-3, 1e-2])}
FINITE = TWO_RATES | {"model.depth": IntDistribution(1, 3)}
SAMPLERS = [random_sampler, qmc_sampler, tpe_sampler]


def tried(scheduler) -> list[tuple]:
    return [tuple(params.values()) for _, _, params, _ in table(scheduler)["a"]]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_finite_space_is_tried_once_through_and_no_further(tmp_path, sampler):
    settings = dict(space=FINITE, points=[{"lr": 1e-2, "model.depth": 2}, {"lr": 1e-2}], make_sampler=sampler)
    first = open_scheduler(tmp_path / "two", arms=["a"], n_trials=3, **settings)
    work(first)
    assert len(set(tried(first))) == 3
    raised = open_scheduler(tmp_path / "two", arms=["a"], n_trials=99, confirm_seeds=1, **settings)
    done = work(raised)
    assert [kind for kind, *_ in done] == ["search"] * 3 + ["confirm"]  # the search is over
    assert sorted(tried(raised)) == sorted(itertools.product([1e-3, 1e-2], [1, 2, 3]))
    once = open_scheduler(tmp_path / "one", arms=["a"], n_trials=99, **settings)
    work(once)
    assert table(raised) == table(once)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_kill_between_two_draws_repeats_no_setting(tmp_path, sampler, monkeypatch):
    settings = dict(arms=["a"], space=FINITE, points=[], n_trials=6, make_sampler=sampler)
    whole = open_scheduler(tmp_path / "whole", **settings)
    work(whole)
    suggest = optuna.Trial._suggest

    def killed(trial, key, distribution):
        if key == "model.depth":
            raise KeyboardInterrupt
        return suggest(trial, key, distribution)

    for _ in range(6):
        scheduler = open_scheduler(tmp_path / "cut", **settings)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(optuna.Trial, "_suggest", killed)
            scheduler.claim()
        work(scheduler, limit=1)
    assert table(scheduler) == table(whole)


def test_every_arm_ends_where_its_own_settings_end(tmp_path):
    arms = [Arm("few", [], TWO_RATES), Arm("none", [], {}), Arm("many", [], LR)]
    scheduler = open_scheduler(tmp_path, arms=arms, n_trials=4)
    counts = Counter(arm for _, arm, _, _ in work(scheduler))
    assert counts == {"few": 2, "none": 1, "many": 4}
    assert [scheduler.state.trials_of(arm.name) for arm in arms] == [2, 1, 4]


def test_a_failed_trial_of_a_finite_space_is_tried_again_with_its_own_setting(tmp_path):
    settings = dict(arms=["a"], space=TWO_RATES, points=[], n_trials=9)
    work(open_scheduler(tmp_path, **settings), state="FAILED", reason="broken", val_accuracy=None)
    again = open_scheduler(tmp_path, retry_failed=True, **settings)
    assert len(work(again)) == 2
    assert sorted(tried(again)) == [(1e-3,), (1e-2,)]


def test_a_dead_trial_that_left_a_result_is_told_and_not_run_again(tmp_path):
    scheduler = open_scheduler(tmp_path, arms=["a"], n_trials=2)
    claim = scheduler.claim()
    finish(scheduler, claim, told=False)
    claim.release()
    assert [n for _, _, n, _ in work(open_scheduler(tmp_path, arms=["a"], n_trials=2))] == [1]
    assert table(scheduler)["a"][0][3] == pytest.approx(accuracy(claim.params))


def test_a_dead_trial_with_a_damaged_result_runs_again(tmp_path):
    scheduler = open_scheduler(tmp_path, arms=["a"], n_trials=1)
    claim = scheduler.claim()
    finish(scheduler, claim, told=False)
    claim.release()
    (claim.run_dir / "result.json").write_bytes(b'{"state": "COMP')
    assert work(scheduler) == [("search", "a", 0, None)]


def test_what_a_living_process_works_on_is_left_to_it(tmp_path):
    scheduler, other = (open_scheduler(tmp_path, arms=["a"], n_trials=1) for _ in "ab")
    claim = scheduler.claim()
    assert other.claim() == WAIT
    claim.release()
    assert other.claim().number == 0


def test_confirmations_are_paired_start_after_the_search_and_rise_by_the_difference(tmp_path):
    done = work(open_scheduler(tmp_path, confirm_seeds=2))
    assert done[-4:] == [("confirm", arm, 2, seed) for seed in (1, 2) for arm in "ab"]
    assert work(open_scheduler(tmp_path, confirm_seeds=5)) == [("confirm", a, 2, s) for s in (3, 4, 5) for a in "ab"]


def test_a_raised_budget_that_changes_the_best_is_confirmed_anew_and_the_old_confirmations_stay(tmp_path):
    first = open_scheduler(tmp_path, arms=["a"], n_trials=2, confirm_seeds=1)
    assert work(first)[-1] == ("confirm", "a", 1, 1)
    second = open_scheduler(tmp_path, arms=["a"], n_trials=5, confirm_seeds=1)
    assert work(second)[-1] == ("confirm", "a", 2, 1)
    assert (first.state.confirm_dir("a", 1, 1) / "result.json").exists()


def test_an_arm_without_a_complete_trial_is_not_confirmed(tmp_path):
    assert all(
        k == "search" for k, *_ in work(open_scheduler(tmp_path, confirm_seeds=2), state="CHANCE", reason="chance")
    )


def test_of_a_search_only_the_best_keeps_its_weights_and_confirmations_all(tmp_path):
    scheduler = open_scheduler(tmp_path, arms=["a"], confirm_seeds=2)
    work(scheduler)
    kept = sorted(str(p.relative_to(scheduler.state.folder)) for p in scheduler.state.folder.rglob("best.safetensors"))
    assert kept == [f"a/{w}/best.safetensors" for w in ("confirm/002/seed-1", "confirm/002/seed-2", "search/002")]
    kept_all = open_scheduler(tmp_path / "all", arms=["a"], keep="all")
    work(kept_all)
    assert len(list(kept_all.state.folder.rglob("predictions.npz"))) == 6


def die_before_telling(scheduler):
    """Finish a trial, which leaves its weights, and never tell the scheduler."""
    claim = scheduler.claim()
    finish(scheduler, claim)
    claim.release()


def test_weights_left_by_a_sweeper_that_died_before_deleting_them_go_at_the_next_call(tmp_path):
    scheduler = open_scheduler(tmp_path, arms=["a"], n_trials=3)
    work(scheduler, limit=2)
    die_before_telling(scheduler)
    work(scheduler)
    assert len(list(scheduler.state.folder.rglob("best.safetensors"))) == 1


def test_weights_that_another_process_left_go_with_the_first_trial_that_is_told(tmp_path):
    died = open_scheduler(tmp_path, arms=["a"], n_trials=4)
    work(died, limit=1)
    die_before_telling(died)
    after = open_scheduler(tmp_path, arms=["a"], n_trials=4)
    work(after, limit=1)
    assert [path.parent.name for path in after.state.folder.rglob("best.safetensors")] == ["002"]


def test_failed_trials_count_and_are_given_back_under_their_own_numbers_when_asked(tmp_path):
    settings = dict(arms=["a"], n_trials=3, confirm_seeds=1)
    scheduler = open_scheduler(tmp_path, **settings)
    assert len(work(scheduler, state="FAILED", reason="broken", val_accuracy=None)) == 3
    assert work(open_scheduler(tmp_path, **settings)) == []
    again = open_scheduler(tmp_path, retry_failed=True, **settings)
    assert work(again) == [*(("search", "a", n, None) for n in range(3)), ("confirm", "a", 2, 1)]
    assert [p["lr"] for _, _, p, _ in table(again)["a"]] == [1e-1, 1e-2, 1e-3]
    assert len(list(again.state.folder.glob("a/search/*/result.failed-1.json"))) == 3
    more = open_scheduler(tmp_path, **settings | dict(n_trials=7))
    work(more)
    fresh = open_scheduler(tmp_path / "fresh", **settings | dict(n_trials=7))
    work(fresh)
    assert table(more) == table(fresh)


def test_failed_confirmations_are_given_back_too(tmp_path):
    settings = dict(arms=["a"], n_trials=3, confirm_seeds=1)
    scheduler = open_scheduler(tmp_path, **settings)
    work(scheduler, limit=3)
    assert len(work(scheduler, state="FAILED", reason="broken")) == 1
    assert work(open_scheduler(tmp_path, **settings)) == []
    assert work(open_scheduler(tmp_path, retry_failed=True, **settings)) == [("confirm", "a", 2, 1)]


@pytest.mark.parametrize("kind", ["search", "confirm"])
def test_a_run_whose_process_dies_again_and_again_is_failed_in_the_end(tmp_path, kind):
    scheduler = open_scheduler(tmp_path, arms=["a"], n_trials=1, confirm_seeds=1)
    if kind == "confirm":
        work(scheduler, limit=1)
    states = []
    for _ in range(3):
        claim = scheduler.claim()
        assert claim.kind == kind
        states.append(scheduler.tell(claim, RuntimeError("killed")))
        claim.release()
    assert states[-1] == "FAILED"
    result = read_run(claim.run_dir)
    assert (result["state"], result["arm"], result["phase"]) == ("FAILED", "a", kind)
    assert "died 3 times" in result["reason"]
    assert scheduler.claim() is None


def test_a_run_that_comes_further_each_time_is_not_failed(tmp_path):
    """As one whose jobs are ended by a cluster's time limit."""
    scheduler, states = open_scheduler(tmp_path, arms=["a"], n_trials=1), []
    for loss in range(7):
        claim = scheduler.claim()
        if loss < 5:
            append_epoch(claim.run_dir, dict(epoch=loss + 1, val_accuracy=50.0))
        states.append(scheduler.tell(claim, RuntimeError("out of time")))
        claim.release()
    assert states == ["RUNNING"] * 6 + ["FAILED"]
    assert "died 3 times" in read_run(claim.run_dir)["reason"]


def test_a_job_that_waited_in_a_queue_finds_that_its_run_was_given_away(tmp_path):
    scheduler = open_scheduler(tmp_path, arms=["a"], n_trials=1)
    claim = scheduler.claim()
    assert (claim.run_dir / OWNER).read_text() == scheduler.owner
    claim.release()
    other = open_scheduler(tmp_path, arms=["a"], n_trials=1)
    with other.state.locked():
        other._requeue_dead("a")
    assert not (claim.run_dir / OWNER).exists()
    other.claim()
    assert (claim.run_dir / OWNER).read_text() == other.owner != scheduler.owner


# ---- the source run


def test_the_source_runs_once_before_the_arms(tmp_path):
    done = work(open_scheduler(tmp_path, n_trials=1, source=True))
    assert done == [("source", "source", None, None), ("search", "a", 0, None), ("search", "b", 0, None)]


def test_a_source_that_failed_stops_the_study_until_it_is_asked_to_try_again(tmp_path):
    scheduler = open_scheduler(tmp_path, source=True)
    claim = scheduler.claim()
    finish(scheduler, claim, state="FAILED", reason="no disk")
    claim.release()
    with pytest.raises(UserError, match="no disk"):
        scheduler.claim()
    assert open_scheduler(tmp_path, source=True, retry_failed=True).claim().kind == "source"


def test_a_source_whose_weights_are_gone_stops_the_study(tmp_path):
    scheduler = open_scheduler(tmp_path, n_trials=1, source=True)
    work(scheduler, limit=1)
    (scheduler.state.source_dir / "best.safetensors").unlink()
    with pytest.raises(UserError, match="are gone"):
        scheduler.claim()


# ---- as many seeds as it takes


def wants(*seeds: dict[str, int]):
    """What the tables ask for, one answer after another whenever all that was asked for has ended."""

    def answer(folder: Path, arms: Collection[str]) -> dict[str, int]:
        assert set(arms) == set("ab")
        ended = {arm: len(list((folder / arm / "confirm").glob("*/*/result.json"))) for arm in "ab"}
        return next((wanted for wanted in seeds if any(ended[arm] < n for arm, n in wanted.items())), seeds[-1])

    return answer


SEEDS = wants({"a": 2, "b": 2}, {"a": 4, "b": 2}, {"a": 5, "b": 4})


def test_an_arm_is_confirmed_with_as_many_seeds_as_the_tables_ask_for(tmp_path):
    done = work(open_scheduler(tmp_path, looks=[2, 4, 5], seeds_wanted=SEEDS))
    seeds = [(arm, seed) for kind, arm, _, seed in done if kind == "confirm"]
    assert seeds == [(a, s) for s in (1, 2) for a in "ab"] + [("a", 3), ("a", 4), ("b", 3), ("b", 4), ("a", 5)]


@pytest.mark.parametrize("stopped_after", range(12, 22))
def test_more_seeds_are_the_same_ones_whenever_the_study_is_stopped(tmp_path, stopped_after):
    settings = dict(looks=[2, 4, 5], seeds_wanted=SEEDS)
    whole = [run for run in work(open_scheduler(tmp_path / "whole", **settings)) if run[0] == "confirm"]
    first = work(open_scheduler(tmp_path / "s", **settings), limit=stopped_after)
    rest = work(open_scheduler(tmp_path / "s", **settings))
    assert [run for run in first + rest if run[0] == "confirm"] == whole


def test_nobody_asks_for_more_while_another_process_still_confirms(tmp_path):
    settings = dict(looks=[1, 3], seeds_wanted=wants({"a": 1, "b": 1}, {"a": 3, "b": 3}))
    work(open_scheduler(tmp_path, **settings), limit=13)
    scheduler, other = (open_scheduler(tmp_path, **settings) for _ in "ab")
    last = scheduler.claim()
    assert (last.kind, last.seed) == ("confirm", 1)
    assert other.claim() == WAIT
    finish(scheduler, last)
    last.release()
    assert other.claim().seed == 2


def test_a_failed_trial_that_is_tried_again_asks_for_confirmations_of_the_new_choice(tmp_path):
    settings = dict(arms=["a"], n_trials=4, confirm_seeds=2, confirm="search")
    scheduler = open_scheduler(tmp_path, **settings)
    while (claim := scheduler.claim()).kind == "search":
        failed = dict(state="FAILED", reason="broke") if claim.number == 2 else {}
        finish(scheduler, claim, **failed)
        scheduler.tell(claim)
        claim.release()
    finish(scheduler, claim)
    scheduler.tell(claim)
    claim.release()
    assert claim.run_dir.parent.name == "after-003"
    again = work(open_scheduler(tmp_path, retry_failed=True, **settings))
    assert again == [("search", "a", 2, None), ("confirm", "a", 2, 1), ("confirm", "a", 2, 2)]
