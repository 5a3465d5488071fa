"""The status line of a sweep."""

import optuna
import pytest

from headstart.sweep import progress
from headstart.training import progress_bar as console
from sweep.helpers_sweep import finish, open_scheduler


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
