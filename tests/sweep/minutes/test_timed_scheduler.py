"""The scheduler of a study that fits a time: what it corrects, when, and that everybody reads the same."""

import dataclasses
from pathlib import Path

import pytest

from headstart.store import read_json, write_json
from headstart.sweep.minutes.timed_scheduler import TimedScheduler
from headstart.timing import ArmTime, Frame, Pace, Size, TimePlan, read_time_plan, time_plan
from sweep.helpers_sweep import EPOCHS, finish, open_scheduler, work

PACE = Pace((1.0,) * EPOCHS, 0.0, 0.1, 0.0)
RUN = EPOCHS + 0.3  # seconds of one, timed
MINUTES = 3.0


class Clock:
    """A clock that stands still but for what runs take."""

    now = 1000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time_plan.time, "time", clock.time)
    return clock


def opened(place: Path, trials=6, seeds=4, typed=(), plan=True, **changes) -> TimedScheduler:
    """A scheduler of two arms whose study was planned with so many trials and seeds."""
    folder = place / "s"
    folder.mkdir(exist_ok=True)
    if plan:
        frame = Frame({arm: ArmTime(PACE) for arm in "ab"}, EPOCHS, {}, before=0.0, after=10.0)
        frame = dataclasses.replace(frame, **{k: v for k, v in changes.items() if k == "fixed"})
        TimePlan(MINUTES, Size(EPOCHS, trials, seeds), frame, since=1000.0).write(folder)
        write_json(folder / "study.json", dict(n_trials=trials, confirm_seeds=seeds, looks=[seeds]))
    scheduler = open_scheduler(place, n_trials=trials, looks=[seeds], confirm="best")
    fields = {f.name: getattr(scheduler, f.name) for f in dataclasses.fields(scheduler)}
    return TimedScheduler(**fields, typed=typed)


def go(scheduler: TimedScheduler, clock: Clock, slower: float, limit=10_000) -> dict[tuple[str, str], int]:
    """Do what is handed out, each run `slower` times as long as was timed; how many runs of each kind every arm had."""
    done: dict[tuple[str, str], int] = {}
    for _ in range(limit):
        if (claim := scheduler.claim()) is None:
            break
        clock.now += slower * (RUN + 0.1 * (claim.kind == "confirm"))
        finish(scheduler, claim)
        scheduler.tell(claim)
        claim.release()
        done[claim.kind, claim.arm] = done.get((claim.kind, claim.arm), 0) + 1
    return done


@pytest.mark.parametrize("slower", [0.5, 1.0, 1.4, 2.0])
def test_the_number_of_runs_follows_the_clock_and_the_time_is_kept(slower, tmp_path, clock):
    scheduler = opened(tmp_path)
    done = go(scheduler, clock, slower)
    assert done["search", "a"] == done["search", "b"] >= 5
    assert done["confirm", "a"] == done["confirm", "b"] >= 3
    taken = clock.now - 1000 + 10
    assert taken <= 60 * MINUTES * 1.05 or (done["search", "a"], done["confirm", "a"]) == (5, 3)
    assert taken >= 60 * MINUTES * 0.85
    study = read_json(tmp_path / "s" / "study.json")
    expected = (done["search", "a"], done["confirm", "a"], [done["confirm", "a"]])
    assert (study["n_trials"], study["confirm_seeds"], study["looks"]) == expected
    assert study["minutes_taken"] == pytest.approx((clock.now - 1000) / 60, abs=0.01)


def test_slower_runs_are_fewer_and_never_under_the_fewest(tmp_path, clock):
    found = []
    for number, slower in enumerate((0.5, 1.0, 2.0, 9.0)):
        (place := tmp_path / str(number)).mkdir()
        clock.now = 1000.0
        done = go(opened(place), clock, slower)
        found.append((done["search", "a"], done["confirm", "a"]))
    assert found == sorted(found, reverse=True) and found[0] > found[1] > found[2]
    assert found[-1] == (5, 3)


def test_what_was_typed_is_left_alone(tmp_path, clock):
    typed = {"n_trials": 6}
    scheduler = opened(tmp_path, typed=tuple(typed), fixed=typed)
    done = go(scheduler, clock, 0.5)
    assert done["search", "a"] == 6 and done["confirm", "a"] > 4
    (place := tmp_path / "other").mkdir()
    clock.now, typed = 1000.0, {"confirm_seeds": 4}
    done = go(opened(place, typed=tuple(typed), fixed=typed), clock, 0.5)
    assert done["search", "a"] > 6 and done["confirm", "a"] == 4


def test_seeds_that_are_typed_later_leave_the_looks_that_there_were(tmp_path, clock):
    scheduler = opened(tmp_path, typed=("confirm_seeds",), fixed={"confirm_seeds": 6})
    scheduler.state.looks = [4, 6]  # as the first four seeds were looked at before
    write_json(tmp_path / "s/study.json", read_json(tmp_path / "s/study.json") | dict(looks=[4, 6], planned_seeds=4))
    go(scheduler, clock, 0.5)
    study = read_json(tmp_path / "s" / "study.json")
    assert scheduler.state.looks == study["looks"] == [4, 6] and study["planned_seeds"] == 4


def test_the_first_confirmation_begins_after_the_number_of_seeds_was_written_down(tmp_path, clock):
    scheduler = opened(tmp_path)
    while (claim := scheduler.claim()).kind == "search":
        assert not read_time_plan(tmp_path / "s").seeds_fixed
        clock.now += RUN
        finish(scheduler, claim)
        scheduler.tell(claim)
        claim.release()
    plan = read_time_plan(tmp_path / "s")
    assert plan.seeds_fixed
    claim.release()
    go(scheduler, clock, 100)  # as the confirmations may take any time
    assert read_time_plan(tmp_path / "s") == plan


@pytest.mark.parametrize("after", [3, 13, 37])
def test_who_goes_on_does_what_was_decided(after, tmp_path, clock):
    """Left before anything was corrected, before the seeds are fixed, and behind: arms end equal, by one plan."""
    first = opened(tmp_path)
    done = go(first, clock, 1.2, limit=after)
    before = read_time_plan(tmp_path / "s")
    assert before.seeds_fixed == any(kind == "confirm" for kind, _ in done) == (after == 37)
    again = opened(tmp_path, trials=6, seeds=4, plan=False)  # as the command says, whatever was decided since
    more = go(again, clock, 1.2 if not before.seeds_fixed else 50)
    totals = {key: done.get(key, 0) + more.get(key, 0) for key in {*done, *more}}
    plan = read_time_plan(tmp_path / "s")
    assert more and more.keys() <= {("confirm", "a"), ("confirm", "b")} if after == 37 else more
    assert totals["search", "a"] == totals["search", "b"] == plan.size.trials
    assert totals["confirm", "a"] == totals["confirm", "b"] == plan.size.seeds
    if before.seeds_fixed:
        assert plan == before
    assert work(opened(tmp_path, plan=False)) == []


def test_several_processes_do_as_many_runs_as_one(tmp_path, clock):
    schedulers = [opened(tmp_path), opened(tmp_path, plan=False)]
    done: dict[tuple[str, str], int] = {}
    while any(found := [go(scheduler, clock, 1.0, limit=1) for scheduler in schedulers]):
        for key, count in (item for own in found for item in own.items()):
            done[key] = done.get(key, 0) + count
    size = read_time_plan(tmp_path / "s").size
    assert done == {
        (kind, arm): n for kind, n in (("search", size.trials), ("confirm", size.seeds)) for arm in ("a", "b")
    }


def test_a_trial_that_ended_in_its_first_epoch_counts_as_that(tmp_path, clock):
    scheduler = opened(tmp_path)
    claim = scheduler.claim()
    finish(scheduler, claim)
    scheduler.tell(claim)
    claim.release()
    clock.now += 2 * RUN
    assert scheduler._frame(read_time_plan(tmp_path / "s")).factor == pytest.approx(2)


def test_trials_change_only_between_rounds_so_that_arms_stay_equal(tmp_path, clock):
    scheduler = opened(tmp_path)
    for runs, even in ((9, False), (1, True), (1, False), (1, True)):
        go(scheduler, clock, 1.0, limit=runs)
        assert scheduler._ended_a_round(read_time_plan(tmp_path / "s")) == even


def test_who_types_more_trials_later_gets_them(tmp_path, clock):
    go(opened(tmp_path, trials=5, fixed={"n_trials": 5}), clock, 1.0)
    more = go(opened(tmp_path, trials=7, typed=("n_trials",), plan=False), clock, 1.0)
    assert (more["search", "a"], more["search", "b"]) == (2, 2)
