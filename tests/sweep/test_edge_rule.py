"""Ranges that are widened where the best learning rate lies at their edge."""

import pytest
from optuna.distributions import FloatDistribution

from headstart.sweep.arms import Arm
from headstart.sweep.edge_rule import EXTENDING
from headstart.sweep.scheduler import WAIT
from headstart.sweep.study_state import StudyState
from sweep.helpers_sweep import LR, open_scheduler, table, work

NARROW = {"lr": FloatDistribution(1e-5, 1e-3, log=True)}


def test_a_best_at_the_edge_widens_the_range_and_every_arm_pays_the_same(tmp_path):
    arms = [Arm("a", [], NARROW, [{"lr": 1e-4}]), Arm("b", [], LR, [{"lr": 1e-3}])]
    settings = dict(arms=arms, n_trials=8, extend_at_edge=True, confirm_seeds=1)
    scheduler = open_scheduler(tmp_path, **settings)
    done = work(scheduler)
    counts = {a: sum(k == "search" and x == a for k, x, _, _ in done) for a in "ab"}
    extensions = scheduler.state.studies["a"].user_attrs["extensions"]
    assert [(e["side"], e["low"], round(e["high"], 9)) for e in extensions] == [("high", 1e-5, 1e-2)]
    assert counts == {"a": 8 + 4, "b": 8 + 4}
    assert {"lr": extensions[0]["high"]} in [p for _, _, p, _ in table(scheduler)["a"]]
    assert [k for k, *_ in done[-2:]] == ["confirm", "confirm"]  # not before the range is settled
    assert "extensions" not in scheduler.state.studies["b"].user_attrs
    assert work(open_scheduler(tmp_path, **settings)) == []
    assert len(work(open_scheduler(tmp_path, **settings | dict(n_trials=9)))) == 2


@pytest.mark.parametrize("arm", ["a", "b"])
def test_a_kill_while_ranges_are_widened_changes_nothing(tmp_path, arm, monkeypatch):
    low = {"lr": FloatDistribution(1e-2, 1e-1, log=True)}  # the best of both lies at the lower bound
    settings = dict(arms=[Arm(a, [], low, [{"lr": 1e-2}]) for a in "ab"], n_trials=3, extend_at_edge=True)
    undisturbed = open_scheduler(tmp_path / "whole", **settings)
    work(undisturbed)

    scheduler, queue = open_scheduler(tmp_path / "cut", **settings), StudyState.enqueue

    def killed(self, optuna_study, point):
        queue(self, optuna_study, point)
        if optuna_study.study_name == f"s/{arm}":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StudyState, "enqueue", killed)
        with pytest.raises(KeyboardInterrupt):
            work(scheduler)
    again = open_scheduler(tmp_path / "cut", **settings)
    work(again)
    assert table(again) == table(undisturbed)
    assert len(table(again)["a"]) > 3
    assert not (again.state.folder / EXTENDING).exists()


def test_a_range_is_widened_twice_at_most(tmp_path):
    far = {"lr": FloatDistribution(1e-9, 1e-8, log=True)}
    scheduler = open_scheduler(tmp_path, arms=[Arm("a", [], far, [{"lr": 1e-8}])], n_trials=4, extend_at_edge=True)
    work(scheduler)
    assert len(scheduler.state.studies["a"].user_attrs["extensions"]) == 2


def test_without_the_rule_nothing_is_widened(tmp_path):
    scheduler = open_scheduler(tmp_path, arms=[Arm("a", [], NARROW, [])])
    assert len(work(scheduler)) == 6


def test_no_confirmation_starts_while_a_running_trial_may_still_widen_the_range(tmp_path):
    scheduler, other = (open_scheduler(tmp_path, n_trials=2, extend_at_edge=True, confirm_seeds=1) for _ in "ab")
    work(scheduler, limit=3)
    claim = other.claim()
    assert scheduler.claim() == WAIT
    claim.release()
