"""What a study can be in a given time: more with more time, never longer, what was typed untouched."""

import dataclasses

import pytest

from headstart.timing import ArmTime, Frame, Pace, Size, TooShortError, fit, refit, seconds_for, seeds_in, slower_by
from headstart.timing.estimate import SECONDS_A_RUN
from headstart.timing.fitting import FEWEST_SEEDS, FEWEST_TRIALS

MINUTES = [1.5, 2, 3, 4, 5, 7, 10, 15, 20, 30, 45, 60, 90, 120, 240, 1000]


def pace(seconds: float, epochs: int = 10, **parts: float) -> Pace:
    return Pace((seconds,) * epochs, **dict(prepare=0.0, test=0.1, prepare_test=0.0) | parts)


def frame(*seconds: float, epochs: int = 10, **changes) -> Frame:
    arms = {f"arm{number}": ArmTime(pace(each, epochs)) for number, each in enumerate(seconds or (0.3, 0.5))}
    return Frame(**dict(arms=arms, epochs=epochs, fixed={}) | changes)


FRAMES = {
    "plain": frame(),
    "pruned": frame(prunes=True),
    "halves where it buys": frame(may_halve=True, prunes=True),
    "halves anyway": frame(halving=3.0),
    "two jobs": frame(jobs=2),
    "slow start": frame(before=20.0, after=10.0, factor=1.7),
    "twenty epochs of three arms": frame(0.05, 0.2, 0.1, epochs=20, prunes=True, may_halve=True),
    "epochs typed": frame(fixed={"epochs": 4}),
    "trials typed": frame(fixed={"n_trials": 7}),
    "seeds typed": frame(fixed={"confirm_seeds": 2}),
    "three folds": frame(folds=3),
    "five folds of two jobs": frame(folds=5, jobs=2, may_halve=True, prunes=True),
    "one fit each": frame(epochs=1, fixed={"epochs": 1}),
}


def sizes(of: Frame) -> list[tuple[float, Size]]:
    found = []
    for minutes in MINUTES:
        try:
            found.append((60 * minutes, fit(of, 60 * minutes)))
        except TooShortError:
            assert not found, "what fitted fits no more"
    assert found
    return found


@pytest.mark.parametrize("of", FRAMES.values(), ids=FRAMES)
def test_a_plan_never_takes_longer_than_its_time(of):
    assert all(seconds_for(of, size) <= seconds for seconds, size in sizes(of))


@pytest.mark.parametrize("of", FRAMES.values(), ids=FRAMES)
def test_more_time_never_buys_less(of):
    """But that trials which halving ended early are fewer once the time is enough to bring them to their end."""
    for (_, few), (_, more) in zip(sizes(of), sizes(of)[1:], strict=False):
        assert few.epochs <= more.epochs and (few.halved or not more.halved)
        if few.halved == more.halved:
            assert few.trials <= more.trials and few.seeds <= more.seeds


@pytest.mark.parametrize("of", FRAMES.values(), ids=FRAMES)
def test_a_plan_is_between_the_smallest_that_says_anything_and_the_most_that_is_asked_for(of):
    for _, size in sizes(of):
        assert size.epochs == of.fixed.get("epochs", size.epochs)
        assert min(3, of.epochs) <= size.epochs <= of.epochs
        assert FEWEST_TRIALS <= size.trials <= 59
        assert size.seeds == of.fixed.get("confirm_seeds", max(size.seeds, FEWEST_SEEDS)) <= 15


@pytest.mark.parametrize("of", FRAMES.values(), ids=FRAMES)
def test_the_time_is_used_until_there_is_no_more_to_buy(of):
    """A step of the ladder more would be too long; a step is small beside a study of ten minutes."""
    for seconds, size in sizes(of):
        if (
            seconds >= 300
            and (size.trials, size.seeds) != (59, 15)
            and not {"n_trials", "confirm_seeds"} & set(of.fixed)
        ):
            assert seconds_for(of, size) > 0.85 * seconds, size


def test_what_was_typed_stays_on_every_step():
    typed = {"epochs": 4, "n_trials": 7, "confirm_seeds": 2}
    for key, value in typed.items():
        for _, size in sizes(frame(fixed={key: value})):
            assert dict(epochs=size.epochs, n_trials=size.trials, confirm_seeds=size.seeds)[key] == value


def test_too_little_time_says_what_the_smallest_plan_needs():
    of = frame(1.0, 2.0)
    with pytest.raises(TooShortError) as error:
        fit(of, 30)
    assert error.value.smallest == Size(3, 5, 3)
    assert error.value.seconds == pytest.approx(seconds_for(of, Size(3, 5, 3)))
    assert fit(of, error.value.seconds) == Size(3, 5, 3)  # and that is enough


def test_with_halving_less_time_is_enough():
    of = frame(1.0, 2.0, epochs=20, may_halve=True)
    with pytest.raises(TooShortError) as error:
        fit(of, 30)
    assert error.value.smallest.halved and fit(of, error.value.seconds).halved


def test_halving_is_chosen_where_trials_would_be_few_and_never_where_they_are_enough():
    of = frame(1.0, 2.0, may_halve=True, prunes=True)
    assert fit(of, 4 * 60).halved and not fit(of, 15 * 60).halved
    whole = fit(dataclasses.replace(of, may_halve=False), 4 * 60)
    assert (fit(of, 4 * 60).epochs, fit(of, 4 * 60).trials) > (whole.epochs, whole.trials)
    assert not fit(dataclasses.replace(of, may_halve=False), 4 * 60).halved


def test_the_sum_is_that_of_all_parts():
    of = frame(1.0, 2.0, before=20, after=10, factor=2.0)
    runs = 5 * (30 + 2 * SECONDS_A_RUN) + 3 * (30 + 2 * SECONDS_A_RUN + 0.2)
    assert seconds_for(of, Size(10, 5, 3)) == pytest.approx(30 + 2 * runs)
    waiting = 20 + SECONDS_A_RUN + 0.1  # half of the longest run, twice
    assert seconds_for(dataclasses.replace(of, jobs=2), Size(10, 5, 3)) == pytest.approx(30 + runs + waiting)
    once = ArmTime(pace(1.0, prepare=7.0, prepare_test=3.0))
    more = seconds_for(frame(arms={"a": once}), Size(10, 5, 3)) - seconds_for(frame(1.0), Size(10, 5, 3))
    assert more == pytest.approx(10)


def test_an_arm_with_few_settings_or_epochs_of_its_own_takes_as_long_as_it_does():
    few = ArmTime(pace(1.0), settings=1)
    assert seconds_for(frame(arms={"a": few}), Size(10, 5, 3)) == pytest.approx(10.3 + 3 * 10.4)
    own = ArmTime(pace(1.0, epochs=4), own_epochs=True)
    assert seconds_for(frame(arms={"a": own}), Size(10, 5, 3)) == pytest.approx(5 * 4.3 + 3 * 4.4)


def test_frozen_epochs_come_first():
    arm = ArmTime(Pace((1.0, 1.0, 5.0, 5.0), 0.0, 0.0, 0.0))
    three, five = (seconds_for(frame(arms={"a": arm}), Size(epochs, 1, 0)) for epochs in (3, 5))
    assert (three, five) == (pytest.approx(7.3), pytest.approx(17.3))


# ---- corrected


def test_how_much_longer_runs_take_is_found_from_the_epochs_that_were_trained():
    of, trained = frame(1.0, 2.0), {"arm0": [10, 4], "arm1": [10]}
    timed = 14 + 20 + 3 * SECONDS_A_RUN
    assert slower_by(of, Size(10, 5, 3), trained, 1.5 * timed) == pytest.approx(1.5)
    assert slower_by(dataclasses.replace(of, jobs=2), Size(10, 5, 3), trained, timed) == pytest.approx(2)
    assert slower_by(of, Size(10, 5, 3), {}, 12.0) == 1


@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_features_that_one_process_computes_make_no_machine_seem_slow_and_leave_seeds_what_is_left(jobs):
    of = Frame({"a": ArmTime(pace(0.5, prepare=100.0, prepare_test=60.0))}, epochs=10, fixed={}, jobs=jobs)
    size, run = Size(10, 12, 3), 5 + SECONDS_A_RUN
    assert slower_by(of, size, {"a": [10] * 8}, 100 + 8 * run / jobs) == pytest.approx(1)
    waiting = (jobs - 1) / 2 * (run + 0.1)
    left = 60 + (6.1 * (run + 0.1) + waiting) / jobs
    assert seeds_in(of, size, left, unfinished=0) == 6


def test_on_a_slower_machine_fewer_trials_follow_and_on_a_faster_one_more_but_none_that_began_are_taken_back():
    of, seconds = frame(1.0, 2.0), 15 * 60
    planned = fit(of, seconds)
    again = {
        factor: refit(dataclasses.replace(of, factor=factor), planned, seconds, begun=6) for factor in (0.5, 1, 2, 9)
    }
    assert again[1] == planned
    assert again[0.5].trials > planned.trials > again[2].trials >= again[9].trials == 6
    assert {size.epochs for size in again.values()} == {10}
    assert again[9].seeds == FEWEST_SEEDS


def test_halving_stays_as_it_began():
    of = frame(1.0, 2.0, epochs=20, may_halve=True, prunes=True)
    began = fit(of, 5 * 60)
    assert began.halved and refit(dataclasses.replace(of, factor=0.2), began, 300, begun=5).halved
    whole = Size(20, 14, 5)
    assert not refit(dataclasses.replace(of, factor=4), whole, 300, begun=5).halved


def test_seeds_are_as_many_as_fit_behind_the_search():
    of, size = frame(1.0, 2.0), Size(10, 8, 4)
    each = 30 + 2 * (SECONDS_A_RUN + 0.1)
    assert seeds_in(of, size, 6.1 * each, unfinished=0) == 6
    assert seeds_in(of, size, 6.8 * each, unfinished=0) == 7  # nearly
    assert seeds_in(of, size, 6.1 * each, unfinished=each) == 5
    assert seeds_in(dataclasses.replace(of, factor=2.0), size, 8.1 * each, unfinished=0) == 4
    assert seeds_in(of, size, -1e6, unfinished=0) == FEWEST_SEEDS
    assert seeds_in(of, size, 1e6, unfinished=0) == 15
    assert seeds_in(frame(most_seeds=6), size, 1e6, unfinished=0) == 6
    assert seeds_in(frame(fixed={"confirm_seeds": 2}), size, 1e6, unfinished=0) == 2


def test_halving_is_not_chosen_where_it_buys_nothing():
    """Of two epochs there is none after which trials could be compared."""
    assert not fit(frame(1.0, 2.0, epochs=2, may_halve=True, prunes=True, least_epochs=1), 2 * 60).halved


@pytest.mark.parametrize(
    ("folds", "most", "seeds"),
    [(1, 15, {3, 4, 15}), (3, 15, {3, 9, 15}), (4, 15, {4, 8, 12}), (5, 15, {5, 10, 15}), (20, 15, {3, 4, 15})],
)
def test_all_folds_are_used_equally_often_where_there_can_be_so_many_seeds(folds, most, seeds):
    of = frame(folds=folds, most_seeds=most)
    found = {size.seeds for _, size in sizes(of)} | {seeds_in(of, fit(of, 6000), s, 0.0) for s in range(0, 2000, 50)}
    assert found >= seeds and (folds > most or not any(count % folds for count in found))
    assert seeds_in(frame(folds=folds, fixed={"confirm_seeds": 7}), fit(of, 6000), 60.0, 0.0) == 7  # typed
