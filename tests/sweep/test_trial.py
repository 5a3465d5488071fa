"""A trial as its job sees it: reports, pruning, and what is told of it."""

import pytest
from optuna.pruners import NopPruner, PercentilePruner, SuccessiveHalvingPruner
from optuna.trial import TrialState

from headstart.store import read_run
from headstart.sweep.trial import Reporter, number_of
from sweep.helpers_sweep import EPOCHS, accuracy, finish, open_scheduler, table, work

PRUNERS = [
    SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
    PercentilePruner(12.5, n_startup_trials=5, n_warmup_steps=2),  # the default
]
by_pruner = pytest.mark.parametrize("pruner", PRUNERS, ids=lambda pruner: type(pruner).__name__)


@by_pruner
def test_first_points_are_never_pruned_and_bad_draws_are(pruner, tmp_path):
    scheduler = open_scheduler(tmp_path, arms=["a"], n_trials=20, pruner=pruner)
    work(scheduler)
    states = [s for _, s, _, _ in table(scheduler)["a"]]
    assert states[:5] == ["COMPLETE"] * 5
    assert "PRUNED" in states[5:]
    pruned = next(t for t in scheduler.state.trials("a") if t.state == TrialState.PRUNED)
    assert pruned.user_attrs["reason"] == "pruner"
    assert read_run(scheduler.state.run_dir("a", number_of(pruned)))["epochs_run"] < EPOCHS
    assert pruned.value == pruned.intermediate_values[pruned.last_step]  # TPE learns from it


@by_pruner
def test_a_decision_to_prune_that_a_kill_cut_off_is_taken_again(pruner, tmp_path):
    settings = dict(arms=["a"], n_trials=20, pruner=pruner)
    whole = open_scheduler(tmp_path / "whole", **settings)
    work(whole)
    scheduler = open_scheduler(tmp_path / "cut", **settings)
    while (claim := scheduler.claim()) is not None:
        # Killed after each report: successive halving has left its mark on the trial, the decision is lost.
        for epoch in range(1, EPOCHS + 1):
            reporter = Reporter("s/a", scheduler.state.url, claim.number, pruner, reports=True)
            reporter.report(accuracy(claim.params, epoch), epoch)
            claim.release()
            claim = scheduler.claim()
            if Reporter("s/a", scheduler.state.url, claim.number, pruner, reports=True).report(
                accuracy(claim.params, epoch), epoch
            ):
                break
        finish(scheduler, claim)
        scheduler.tell(claim)
        claim.release()
    assert table(scheduler) == table(whole)


def test_a_step_that_is_stored_is_not_stored_again(tmp_path):
    scheduler = open_scheduler(tmp_path, arms=["a"], n_trials=1)
    scheduler.claim()
    for value in (10.0, 20.0):  # warnings are errors here, and Optuna warns of a second report
        Reporter("s/a", scheduler.state.url, 0, NopPruner(), reports=True).report(value, 1)
    assert scheduler.state.find("a", 0).intermediate_values == {1: 10.0}
