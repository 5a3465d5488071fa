"""The status line of a sweep."""

import optuna
import pytest

from headstart.store import PAUSED
from headstart.sweep import progress
from headstart.sweep.arms import Arm
from headstart.sweep.pruners import Halving
from headstart.timing import Pace
from headstart.training import progress_bar as console
from sweep.helpers_sweep import LR, finish, open_scheduler, work


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until a test moves it: `clock[0] += 5`."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_the_time_left_goes_by_what_each_arm_took_and_confirmations_by_its_whole_runs(tmp_path, clock):
    scheduler = open_scheduler(tmp_path, arms=("small", "large"), n_trials=2, confirm_seeds=2)
    status = progress.SweepStatus(scheduler.state, jobs=2, quiet=False)
    seconds = {("small", 0): 10, ("large", 0): 600, ("small", 1): 2, ("large", 1): 120}

    def run():
        claim = scheduler.claim()
        status.begin(claim)
        clock[0] += seconds.get((claim.arm, claim.number), 60) if claim.kind == "search" else 30
        finish(scheduler, claim)
        claim.release()
        status.end(claim, "COMPLETE")
        return status.line()

    assert "about" not in status.line()
    assert "about 00:00:35;" in run()  # 10 s for each of 7 runs, on two workers
    run(), run()
    assert "about 00:10:10;" in run()  # 2 x 10 s and 2 x 600 s, not their mean with the short trials
    assert "about 00:10:15;" in run()  # small took 30 s: once more; large still 2 x 600 s
    run(), run()
    assert "about" not in run() and "8/8 runs done" in status.line()


def test_more_than_a_day_stays_in_hours():
    assert [console.clock(s) for s in (0, 528.9, 31 * 3600)] == ["00:00:00", "00:08:48", "31:00:00"]


def test_a_status_line_asks_the_storage_once_an_arm(tmp_path, monkeypatch):
    scheduler = open_scheduler(tmp_path, arms=("a", "b", "c"), confirm_seeds=5)
    status = progress.SweepStatus(scheduler.state, jobs=1, quiet=False)
    asked, get_trials = [], optuna.Study.get_trials
    monkeypatch.setattr(optuna.Study, "get_trials", lambda *a, **k: asked.append(a) or get_trials(*a, **k))
    status.line()
    assert len(asked) == 3
    status.line()
    assert len(asked) == 6  # and anew for the next


def test_the_plan_says_how_much_will_run_and_where(tmp_path, planned, capsys):
    plan = planned("experiments=optimizer", "n_trials=2", "confirm_seeds=1", "epochs=3", "threads=1", "device=cpu")
    state = open_scheduler(tmp_path, n_trials=2, confirm_seeds=1).state
    progress.SweepStatus(state, jobs=2, quiet=False).print_plan(plan)
    assert capsys.readouterr().err.splitlines() == [
        plan.question(),
        "study s: 2 arms (a, b)",
        "  2 trials an arm of up to 3 epochs, then each arm's best with 1 seed; 0 of 6 runs exist",
        f"  device cpu, precision auto, 2 jobs with 1 thread; writes {tmp_path}/s",
    ]
    progress.SweepStatus(state, jobs=2, quiet=True).print_plan(plan)
    assert capsys.readouterr().err == ""
    state = open_scheduler(tmp_path / "auto", n_trials=2, looks=[5, 7, 9], confirm="search").state
    progress.SweepStatus(state, jobs=2, quiet=False).print_plan(plan)
    what = "each arm's choice, repeated with 5 to 9 seeds, more while a pair of arms is undecided"
    assert f"then {what}; 0 of 14 to 22 runs exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "length"),
    [
        (["model=logistic_regression"], "of one fit each,"),
        (['hydra.sweeper.arms={a: ["epochs=2"], b: ["epochs=5"]}'], "of 2 to 5 epochs,"),
        (["epochs=1"], "of up to 1 epoch,"),
    ],
)
def test_the_plan_says_how_long_a_trial_is(tmp_path, planned, capsys, words, length):
    progress.SweepStatus(open_scheduler(tmp_path).state, jobs=1, quiet=False).print_plan(planned(*words))
    assert length in capsys.readouterr().err


def test_arms_with_failed_trials_are_named_with_the_last_reason_and_log(tmp_path):
    scheduler = open_scheduler(tmp_path, n_trials=2)
    work(scheduler, limit=1)
    work(scheduler, limit=1, state="FAILED", reason="no disk")
    assert progress.failed_arms(scheduler.state) == [
        f"arm b: 1 trial failed, the last with: no disk ({tmp_path}/s/b/search/000/log)"
    ]
    work(scheduler, state="FAILED", reason="no memory")
    assert [line.partition(" (")[0] for line in progress.failed_arms(scheduler.state)] == [
        "arm a: 1 trial failed, the last with: no memory",
        "arm b: 2 trials failed, the last with: no memory",
    ]


def test_where_the_line_cannot_be_redrawn_it_is_printed_now_and_then(tmp_path, clock, capsys):
    status = progress.SweepStatus(open_scheduler(tmp_path).state, jobs=1, quiet=False)
    status.show()
    clock[0] += progress.SECONDS_BETWEEN_LINES + 1
    status.show(), status.show()
    assert capsys.readouterr().err.splitlines() == ["0/12 runs done, 0 pruned, 0 failed, 12 left; best: none yet"]


def test_a_plan_says_what_each_arm_will_take_and_whose_time_nobody_knows(tmp_path, capsys):
    scheduler = open_scheduler(tmp_path, arms=("small", "large", "forest"), n_trials=2, confirm_seeds=2)
    work(scheduler, 1)  # small's first trial
    status = progress.SweepStatus(scheduler.state, jobs=2, quiet=False)
    paces = {"small": 10.0, "large": 100.0}
    known = {f"arm {name}": Pace((seconds,), prepare=0, test=0, prepare_test=0) for name, seconds in paces.items()}
    status.print_time({**known, "arm forest": None})
    text = capsys.readouterr().err
    assert "small 00:00:30, large 00:06:41; not counted: forest" in text
    assert "about 00:03:36 by a few steps timed now" in text  # two at a time
    status.print_time({})
    assert capsys.readouterr().err == ""
    status.print_time({"source": Pace((600.0,), 0, 0, 0), "arm small": Pace((10.0,), 0, 0, 0)})
    assert "  about 00:10:15 by a few steps" in capsys.readouterr().err  # the source first, and nothing beside it


def test_a_plan_counts_the_epochs_that_pausing_leaves_and_names_a_pruners_as_unknown(tmp_path, capsys):
    pace = {"arm a": Pace((10.0,) * 10, prepare=0, test=0, prepare_test=0)}
    said = {}
    for name, pruner in (("paused", Halving(factor=3)), ("pruned", optuna.pruners.MedianPruner())):
        arms = [Arm("a", [], LR, [], rungs=(1, 2, 10))]
        state = open_scheduler(tmp_path / name, arms=arms, n_trials=12, confirm_seeds=0, pruner=pruner).state
        progress.SweepStatus(state, jobs=1, quiet=False).print_time(pace)
        said[name] = capsys.readouterr().err
    assert said["pruned"] == "  about 00:20:03 by a few steps timed now, less what the pruner stops\n"
    assert said["paused"] == "  about 00:07:05 by a few steps timed now\n"


def test_trials_that_wait_for_others_are_paused_and_not_pruned(tmp_path):
    state = open_scheduler(tmp_path).state
    reason = {"reason": f"{PAUSED} after epoch 1"}
    waiting = dict(state=optuna.trial.TrialState.WAITING, intermediate_values={1: 50.0}, user_attrs=reason)
    state.studies["a"].add_trial(optuna.trial.create_trial(**waiting))
    assert " runs done, 1 paused, 0 pruned, 0 failed, " in progress.SweepStatus(state, jobs=1, quiet=False).line()


def test_a_paused_trial_that_is_to_go_on_is_left_and_not_done(tmp_path):
    pruner, arm = Halving(factor=3), Arm("a", [], LR, [], rungs=(1, 2, 10))
    state = open_scheduler(tmp_path, arms=[arm], n_trials=3, confirm_seeds=0, pruner=pruner).state
    for number, accuracy in enumerate((60.0, 50.0, 40.0)):
        reason = {"number": number, "reason": f"{PAUSED} after epoch 1"}
        waiting = dict(state=optuna.trial.TrialState.WAITING, intermediate_values={1: accuracy}, user_attrs=reason)
        state.studies["a"].add_trial(optuna.trial.create_trial(**waiting))
    assert [t.user_attrs["number"] for t in state.going_on(arm)] == [0]
    assert (
        "2/3 runs done, 3 paused, 0 pruned, 0 failed, 1 left" in progress.SweepStatus(state, jobs=1, quiet=False).line()
    )
