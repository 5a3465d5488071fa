"""A trial queued again keeps its number, its parameters and what it reported."""

from optuna.trial import TrialState

from headstart.sweep.recovery.requeue import requeue
from sweep.helpers_sweep import open_scheduler, work


def test_a_trial_queued_again_takes_the_place_of_the_old_one(tmp_path):
    work(scheduler := open_scheduler(tmp_path, arms=("a",), n_trials=3))
    old = scheduler.state.trials("a")[1]
    requeue(scheduler.state.studies["a"], old)
    new = scheduler.state.trials("a")[1]
    assert new.state == TrialState.WAITING and new.user_attrs["number"] == 1
    assert new.system_attrs["fixed_params"] == old.params and new.intermediate_values == old.intermediate_values
    assert work(scheduler) == [("search", "a", 1, None)] and len(scheduler.state.trials("a")) == 5  # first points


def test_what_it_reported_may_be_replaced(tmp_path):
    work(scheduler := open_scheduler(tmp_path, arms=("a",), n_trials=1))
    requeue(scheduler.state.studies["a"], scheduler.state.trials("a")[0], {1: 10.0})
    assert scheduler.state.trials("a")[0].intermediate_values == {1: 10.0}
