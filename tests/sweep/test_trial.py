"""A trial as its job sees it: reports, pruning, and what is told of it."""

import math

import pytest
from optuna.pruners import NopPruner, PercentilePruner, SuccessiveHalvingPruner
from optuna.trial import TrialState, create_trial

from headstart.store import read_run, write_json
from headstart.sweep.trial import Reporter, has_ended, number_of, record_failure, state_of, tell
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


@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize(
    ("chance", "others", "value", "pruned"),
    [
        (14.0, [9.0, 10.0, 11.0, 12.0, 13.0], 8.0, False),  # which of them guesses best says nothing
        (None, [9.0, 10.0, 11.0, 12.0, 13.0], 8.0, True),
        (14.0, [9.0, 10.0, 11.0, 50.0, 60.0], 8.0, True),
        (14.0, [20.0, 30.0, 40.0, 50.0, 60.0], 15.0, True),
    ],
)
def test_no_trial_is_pruned_for_guessing_worse_than_others_guess(tmp_path, chance, others, value, pruned, resumed):
    pruner = PercentilePruner(25.0, n_startup_trials=5)
    scheduler = open_scheduler(tmp_path, arms=["a"], points=[], n_trials=20, pruner=pruner)
    claim, study = scheduler.claim(), scheduler.state.studies["a"]
    for number, other in enumerate(others, start=1):
        attrs = dict(number=number) | ({} if chance is None else dict(chance=chance))
        kept = dict(state=TrialState.COMPLETE, value=90.0, user_attrs=attrs)
        study.add_trial(create_trial(**kept, intermediate_values={1: other}))
    for _ in range(1 + resumed):
        reporter = Reporter("s/a", scheduler.state.url, claim.number, pruner, reports=True)
        if chance is not None:
            reporter.guesses_up_to(chance)
        assert (reporter.report(value, 1) == "pruned after epoch 1") == pruned
    assert scheduler.state.find("a", claim.number).user_attrs.get("chance") == chance


def test_nothing_is_pruned_while_a_backbone_stands_still_that_learns_later(tmp_path):
    pruner = PercentilePruner(25.0, n_startup_trials=1)
    scheduler = open_scheduler(tmp_path, arms=["a"], points=[], n_trials=9, pruner=pruner)
    claim, kept = scheduler.claim(), dict(state=TrialState.COMPLETE, value=90.0, user_attrs=dict(number=1))
    scheduler.state.studies["a"].add_trial(create_trial(**kept, intermediate_values=dict.fromkeys(range(1, 6), 80.0)))
    asked = dict(reports=True, frozen=3)
    reporter = Reporter("s/a", scheduler.state.url, claim.number, pruner, **asked)
    assert [reporter.report(50.0, epoch) for epoch in (1, 2, 3)] == [None] * 3
    assert reporter.report(50.0, 4) == "pruned after epoch 4"


def test_what_guessing_is_is_recorded_once_and_not_where_nobody_asks(tmp_path):
    found = []
    for name, pruner in (("none", NopPruner()), ("percentile", PRUNERS[1]), ("later", PRUNERS[1])):
        scheduler = open_scheduler(tmp_path / name, arms=["a"], n_trials=1, pruner=pruner)
        scheduler.claim()
        if name == "later":
            Reporter("s/a", scheduler.state.url, 0, pruner, reports=True).report(10.0, 1)
        Reporter("s/a", scheduler.state.url, 0, pruner, reports=True).guesses_up_to(14.0)
        found.append(scheduler.state.find("a", 0).user_attrs.get("chance"))
    assert found == [None, 14.0, None]


def test_a_step_that_is_stored_is_not_stored_again(tmp_path):
    scheduler = open_scheduler(tmp_path, arms=["a"], n_trials=1)
    scheduler.claim()
    for value in (10.0, 20.0):  # warnings are errors here, and Optuna warns of a second report
        Reporter("s/a", scheduler.state.url, 0, NopPruner(), reports=True).report(value, 1)
    assert scheduler.state.find("a", 0).intermediate_values == {1: 10.0}


# ---- states and results


@pytest.mark.parametrize(
    ("result", "state", "value", "reason"),
    [
        (dict(state="COMPLETE", val_accuracy=50.0), "COMPLETE", 50.0, None),
        (dict(state="CHANCE", val_accuracy=10.0, reason="not above guessing"), "CHANCE", 10.0, "chance"),
        (dict(state="PRUNED", val_accuracy=20.0, reason="pruned after epoch 2"), "PRUNED", 33.0, "pruner"),
        (dict(state="DIVERGED", reason="loss is not finite"), "DIVERGED", 33.0, "diverged"),
        (dict(state="FAILED", reason="no disk"), "FAILED", None, "no disk"),
    ],
)
def test_a_trial_is_told_as_its_result_says(tmp_path, result, state, value, reason):
    scheduler = open_scheduler(tmp_path, arms=["a"])
    claim, storage = scheduler.claim(), scheduler.state.storage
    Reporter("s/a", scheduler.state.url, 0, NopPruner(), reports=True).report(33.0, 1)  # TPE learns from the last one
    assert not tell(storage, scheduler.state.find("a", 0), claim.run_dir)
    write_json(claim.run_dir / "result.json", result)
    for _ in range(2):  # the second time it is told already
        assert tell(storage, scheduler.state.find("a", 0), claim.run_dir)
    trial = scheduler.state.find("a", 0)
    assert (state_of(trial), trial.value, trial.user_attrs.get("reason")) == (state, value, reason)


@pytest.mark.parametrize(("returned", "state"), [(40.0, "COMPLETE"), (math.nan, "DIVERGED"), (math.inf, "DIVERGED")])
def test_without_a_result_a_trial_is_told_by_what_its_job_returned(tmp_path, returned, state):
    scheduler = open_scheduler(tmp_path, arms=["a"])
    claim = scheduler.claim()
    Reporter("s/a", scheduler.state.url, 0, NopPruner(), reports=True).tell(claim.run_dir, returned)
    assert state_of(scheduler.state.find("a", 0)) == state


def test_a_failure_is_recorded_once_and_keeps_what_was_known(tmp_path):
    write_json(tmp_path / "run.json", dict(model="cnn", arm="a"))
    record_failure(tmp_path, "no disk", dict(arm="b", phase="search"))
    assert has_ended(tmp_path)
    record_failure(tmp_path, "another reason", {})
    found = read_run(tmp_path)
    assert [found[k] for k in ("state", "reason", "arm", "phase", "model")] == [
        "FAILED",
        "no disk",
        "a",
        "search",
        "cnn",
    ]


def test_a_damaged_result_is_no_end(tmp_path):
    (tmp_path / "result.json").write_bytes(b'{"state": "COMP')
    assert not has_ended(tmp_path)


def test_a_confirmation_reports_and_tells_nothing(tmp_path):
    scheduler = open_scheduler(tmp_path, arms=["a"])
    claim = scheduler.claim()
    reporter = Reporter("s/a", scheduler.state.url, 0, NopPruner(), reports=False)
    assert reporter.report(1.0, 1) is None
    reporter.tell(claim.run_dir, 50.0)
    reporter.tell_failed(RuntimeError())
    trial = scheduler.state.find("a", 0)
    assert (trial.state, trial.intermediate_values) == (TrialState.RUNNING, {})
    assert reporter.facts == dict(number=0, params=trial.params)
