"""Trials that are paused after some epochs: the best go on, the others wait, in whatever order they are trained."""

import contextlib
import math
import random
import shutil
import zlib

import optuna
import pytest
from omegaconf import OmegaConf
from optuna.distributions import FloatDistribution
from optuna.pruners import NopPruner, PercentilePruner
from optuna.trial import TrialState

from headstart.errors import UserError
from headstart.store import is_alive, write_json
from headstart.sweep.arms import Arm
from headstart.sweep.pruners import Halving, halving, make_pruner
from headstart.sweep.scheduler import WAIT, Claim, Scheduler
from headstart.sweep.trial import Reporter, number_of, state_of
from sweep.helpers_sweep import DECADES, LR, open_scheduler, qmc_sampler, random_sampler, tpe_sampler

RUNGS = (1, 2, 10)
EPOCHS = RUNGS[-1]
SAMPLERS = [random_sampler, qmc_sampler, tpe_sampler]


def curve(params: dict[str, float]) -> list[float]:
    """Validation accuracies by epoch, which cross: a small rate starts late, and every epoch has noise."""
    rate = math.log10(params["lr"])
    noise = [zlib.crc32(repr((params["lr"], epoch)).encode()) % 300 / 100 for epoch in range(EPOCHS)]
    return [90 - 6 * abs(rate + 3) - (4 - rate) / (epoch + 1) + noise[epoch] for epoch in range(EPOCHS)]


GUESSING = 14.0


def slow(params: dict[str, float]) -> list[float]:
    """Validation accuracies by epoch of a network that guesses for an epoch, with a small rate for more of them."""
    late = 1 + (params["lr"] < 1e-3)
    known = curve(params)
    return [10 + known[epoch] % 3 if epoch < late else 20 + known[epoch] / 2 for epoch in range(EPOCHS)]


def opened(place, sampler=random_sampler, points=DECADES, arms="a", **changes) -> Scheduler:
    arms = [Arm(name, [], LR, [dict(point) for point in points], rungs=RUNGS) for name in arms]
    settings = dict(n_trials=12, pruner=Halving(3.0), make_sampler=sampler)
    return open_scheduler(place, arms=arms, **settings | changes)


class Killed(Exception):
    pass


def train(scheduler: Scheduler, claim: Claim, killed: str = "", curves=curve) -> int:
    """What a job does, from its checkpoint, which its folder holds, on; returns how many epochs it trained."""
    reporter = Reporter(
        f"s/{claim.arm}", scheduler.state.url, claim.number, scheduler.state.pruner, reports=claim.kind == "search"
    )
    if curves is slow:
        reporter.guesses_up_to(GUESSING)
    checkpoint, values = claim.run_dir / "last.ckpt", curves(claim.params)
    start = int(checkpoint.read_text()) if checkpoint.exists() else 0
    state, reason = "COMPLETE", ""
    for epoch in range(max(start, 1), EPOCHS + 1):
        if killed == "in an epoch" and epoch > start + 1:
            raise Killed
        checkpoint.write_text(str(epoch))
        reason = reporter.report(values[epoch - 1], epoch)
        if reason and epoch < EPOCHS:
            state = "PRUNED"
            break
    if killed == "before its result":
        raise Killed
    facts = dict(state=state, reason=reason or "", val_accuracy=max(values[:epoch]), epochs_run=epoch)
    write_json(claim.run_dir / "run.json", dict(arm=claim.arm, number=claim.number, params=claim.params))
    write_json(claim.run_dir / "result.json", facts)
    if state == "COMPLETE":
        checkpoint.unlink()
    if killed == "before it is told":
        raise Killed
    if claim.kind == "search":
        reporter.tell(claim.run_dir, facts["val_accuracy"])
    return epoch - start


def work(scheduler: Scheduler, limit: int = 10_000, curves=curve) -> int:
    """Run what is handed out, as one sweeper would; returns how many epochs were trained."""
    spent = 0
    while limit and (claim := scheduler.claim()) is not None:
        assert claim != WAIT
        spent += train(scheduler, claim, curves=curves)
        scheduler.tell(claim)
        claim.release()
        limit -= 1
    return spent


def rows(scheduler: Scheduler) -> dict[str, list[tuple]]:
    """What becomes a row of each trial: number, state, parameters, epochs reported."""
    return {
        arm.name: [
            (number_of(t), state_of(t), t.params, t.intermediate_values) for t in scheduler.state.trials(arm.name)
        ]
        for arm in scheduler.state.arms
    }


def reached(scheduler: Scheduler, arm: str = "a") -> list[int]:
    return [trial.last_step for trial in scheduler.state.trials(arm)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """`undisturbed(sampler, n)`: the rows of a study that nobody disturbed."""
    found = {}

    def of(sampler, n_trials, arms="a"):
        if (sampler, n_trials, arms) not in found:
            scheduler = opened(tmp_path_factory.mktemp("whole"), sampler, n_trials=n_trials, arms=arms)
            work(scheduler)
            found[sampler, n_trials, arms] = rows(scheduler)
        return found[sampler, n_trials, arms]

    return of


def test_all_trials_are_compared_and_the_best_go_on_first_points_too(tmp_path):
    scheduler = opened(tmp_path)
    spent = work(scheduler)
    ended = reached(scheduler)
    assert set(ended) == {1, 2, EPOCHS} and ended[0] == ended[4] == 1  # of the rates tried first
    assert spent == sum(ended) <= 0.5 * 12 * EPOCHS
    firsts = [curve(t.params)[0] for t in scheduler.state.trials("a")]
    assert min(v for v, e in zip(firsts, ended, strict=True) if e > 1) > sorted(firsts)[3]
    assert [state_of(t) for t in scheduler.state.trials("a")] == [
        "COMPLETE" if epochs == EPOCHS else "PRUNED" for epochs in ended
    ]
    assert scheduler.claim() is None and work(opened(tmp_path)) == 0
    assert not list(scheduler.state.folder.rglob("last.ckpt"))  # the search is over


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("first", [3, 5, 7, 11])
def test_a_raised_total_wakes_who_was_paused_for_good_and_gives_what_one_go_gives(
    tmp_path, sampler, first, undisturbed
):
    work(opened(tmp_path, sampler, n_trials=first))
    raised = opened(tmp_path, sampler, n_trials=14)
    before = dict(enumerate(reached(raised)[:first]))
    work(raised)
    assert rows(raised) == undisturbed(sampler, 14)
    woken = [n for n, epochs in before.items() if reached(raised)[n] > epochs]
    assert woken or first != 3


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("killed", ["in an epoch", "before its result", "before it is told", "when claimed"])
def test_a_kill_at_any_moment_changes_no_row(tmp_path, sampler, killed, undisturbed):
    for _ in range(40):
        scheduler = opened(tmp_path, sampler, n_trials=9)
        work(scheduler, limit=1)
        if (claim := scheduler.claim()) is None:
            break
        if killed != "when claimed":
            with contextlib.suppress(Killed):
                train(scheduler, claim, killed)
        claim.release()  # as the kernel does
    assert claim is None
    assert rows(scheduler) == undisturbed(sampler, 9)
    results = [scheduler.state.run_dir("a", number) / "result.json" for number in range(9)]
    assert all(path.exists() for path in results)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("seed", range(4))
def test_workers_that_end_in_any_order_give_the_rows_of_one(tmp_path, sampler, seed, undisturbed):
    dice, running = random.Random(seed), []
    workers = [opened(tmp_path, sampler, n_trials=13, arms="ab") for _ in range(1 + seed)]
    while True:
        idle = [w for w in workers if w not in [worker for worker, _ in running]]
        claims = [(worker, worker.claim()) for worker in idle]
        running += [(worker, claim) for worker, claim in claims if isinstance(claim, Claim)]
        if not running:
            assert all(claim is None for _, claim in claims)
            break
        worker, claim = running.pop(dice.randrange(len(running)))
        train(worker, claim)
        worker.tell(claim)
        claim.release()
    assert rows(workers[0]) == undisturbed(sampler, 13, "ab")


def test_four_are_drawn_beside_each_other_and_the_next_when_these_stand_still(tmp_path):
    scheduler = opened(tmp_path, tpe_sampler)
    while scheduler.state.started("a") < 5 or scheduler.state.going_on(scheduler.state.arms[0]):
        work(scheduler, limit=1)
    workers = [opened(tmp_path, tpe_sampler) for _ in range(5)]
    claims = [worker.claim() for worker in workers]
    assert [claim.number for claim in claims[:4]] == [5, 6, 7, 8] and claims[4] == WAIT
    assert len({claim.params["lr"] for claim in claims[:4]}) == 4
    for claim in claims[:4]:
        claim.release()


def test_a_draw_sees_trials_as_they_were_when_the_search_stood_still(tmp_path):
    points = [{"lr": lr} for lr in (1e-3, 2e-3, 5e-4, 1e-5)]  # of three one goes on, of four two
    work(opened(tmp_path, points=points, n_trials=3))
    before = opened(tmp_path, points=points, n_trials=3).state.trials("a")[:3]
    scheduler = opened(tmp_path, points=points, n_trials=9)
    work(scheduler)
    trials = scheduler.state.trials("a")
    seen = Halving(3.0).seen_by(3, 3, before, RUNGS)
    later = Halving(3.0).seen_by(4, 3, trials, RUNGS)  # whatever was trained since
    assert [(t.state, t.value, t.intermediate_values) for t in later[:3]] == [
        (t.state, t.value, t.intermediate_values) for t in seen
    ]
    assert (later[3].state.name, later[3].params) == ("RUNNING", trials[3].params) and len(later) == 4
    woken = [t for t, view in zip(trials, seen, strict=False) if t.last_step != view.last_step]
    assert woken  # one of them went on since
    for trial, view in zip(trials, seen, strict=False):
        best = max(value for epoch, value in trial.intermediate_values.items() if epoch <= view.last_step)
        assert view.value == best
    waiting = optuna.trial.create_trial(state=TrialState.WAITING)  # its number is 0, as one that a kill left behind
    assert Halving(3.0).seen_by(3, 3, [waiting, *trials[1:3]], RUNGS) is None


def test_no_worker_waits_while_the_best_are_trained_from_the_last_comparison_to_the_end(tmp_path):
    scheduler = opened(tmp_path, tpe_sampler)
    best = scheduler.claim()
    while best.number not in [number_of(t) for t in scheduler.state.trials("a") if t.last_step == RUNGS[-2]]:
        train(scheduler, best)
        scheduler.tell(best)
        best.release()
        best = scheduler.claim()
    other = opened(tmp_path, tpe_sampler)
    while other.state.started("a") < 9 or other.state.going_on(other.state.arms[0]):
        work(other, limit=1)  # the next cohort is drawn, and trained, while the best of before is on its way
    seen = Halving(3.0).seen_by(9, 5, other.state.trials("a"), RUNGS)
    train(scheduler, best)
    scheduler.tell(best)
    best.release()
    later = Halving(3.0).seen_by(9, 5, scheduler.state.trials("a"), RUNGS)
    assert [(t.state, t.value) for t in later] == [(t.state, t.value) for t in seen]
    assert scheduler.state.find("a", best.number).last_step == EPOCHS
    assert (later[best.number].state.name, later[best.number].last_step) == ("COMPLETE", RUNGS[-2])


def test_confirmations_come_when_nothing_goes_on_any_more_and_repeat_a_choice_of_who_went_on(tmp_path):
    scheduler = opened(tmp_path, n_trials=12, looks=[3], confirm="search")
    while (claim := scheduler.claim()).kind == "search":
        train(scheduler, claim)
        scheduler.tell(claim)
        claim.release()
    assert not scheduler.state.going_on(scheduler.state.arms[0])
    assert claim.run_dir.parent.name == "after-012"
    went_on = [epochs for epochs in reached(scheduler) if epochs > 1]
    assert len(scheduler.state.choice("a").response.values) == len(went_on) > went_on.count(EPOCHS)
    assert 1e-4 < claim.params["lr"] < 1e-2
    claim.release()


def test_a_checkpoint_stays_as_long_as_its_trial_may_go_on(tmp_path):
    scheduler = opened(tmp_path)
    while (claim := scheduler.claim()) is not None:
        kept = {int(path.parent.name) for path in scheduler.state.folder.rglob("last.ckpt")}
        if scheduler.state.find("a", claim.number).last_step:  # it goes on
            assert claim.number in kept
        assert len(kept) <= 4 + 2  # a third of twelve, and those further on
        train(scheduler, claim)
        scheduler.tell(claim)
        claim.release()
    assert not list(scheduler.state.folder.rglob("last.ckpt"))
    keeping = opened(tmp_path / "all", keep="all")
    work(keeping)
    assert len(list(keeping.state.folder.rglob("last.ckpt"))) == sum(e < EPOCHS for e in reached(keeping))


def test_a_trial_that_diverged_or_failed_is_no_better_than_any(tmp_path):
    scheduler = opened(tmp_path, points=DECADES[:3], n_trials=6)
    while (claim := scheduler.claim()) is not None:
        if claim.number in (0, 2):
            state = "DIVERGED" if claim.number else "FAILED"
            write_json(claim.run_dir / "result.json", dict(state=state, reason="broke", val_accuracy=None))
        else:
            train(scheduler, claim)
        scheduler.tell(claim)
        claim.release()
    states = [state_of(t) for t in scheduler.state.trials("a")]
    assert (states[0], states[2]) == ("FAILED", "DIVERGED") and "COMPLETE" in states
    again = opened(tmp_path, points=DECADES[:3], n_trials=6, retry_failed=True)
    work(again)
    assert reached(again)[0] >= 1 and state_of(again.state.find("a", 0)) in ("PRUNED", "COMPLETE")


def test_a_failed_trial_that_is_tried_again_keeps_what_it_reported(tmp_path):
    scheduler = opened(tmp_path, n_trials=5)
    while (claim := scheduler.claim()) is not None:
        if reached(scheduler)[claim.number] == 2:  # it goes on to the end, and breaks there
            write_json(claim.run_dir / "result.json", dict(state="FAILED", reason="broke", val_accuracy=None))
        else:
            train(scheduler, claim)
        scheduler.tell(claim)
        claim.release()
    assert "FAILED" in [state_of(t) for t in scheduler.state.trials("a")]
    again = opened(tmp_path, n_trials=5, retry_failed=True)
    work(again)
    whole = opened(tmp_path / "whole", n_trials=5)
    work(whole)
    assert rows(again)["a"][2] == rows(whole)["a"][2] and rows(whole)["a"][2][1] == "COMPLETE"


def test_while_trials_guess_none_is_left_behind_whatever_their_order(tmp_path):
    alone = opened(tmp_path / "alone")
    spent = work(alone, curves=slow)
    late = [slow(t.params)[1] < GUESSING for t in alone.state.trials("a")]
    assert min(reached(alone)) == 2 and set(map(bool, late)) == {True, False}  # after one epoch luck alone had chosen
    assert spent < 0.6 * 12 * EPOCHS
    assert all(trial.user_attrs["chance"] == GUESSING for trial in alone.state.trials("a"))
    for seed in range(3):
        dice, workers = random.Random(seed), [opened(tmp_path / str(seed)) for _ in range(3)]
        while claims := [c for c in map(Scheduler.claim, workers) if isinstance(c, Claim)]:
            for claim in dice.sample(claims, len(claims)):
                train(workers[0], claim, curves=slow)
                workers[0].tell(claim)
                claim.release()
        assert rows(workers[0]) == rows(alone)


def test_one_that_guesses_is_not_left_behind_while_it_may_go_on_with_others_that_do(tmp_path):
    scheduler = opened(tmp_path, n_trials=9)
    work(scheduler, limit=9, curves=slow)
    trials = [t for t in scheduler.state.trials("a") if t.last_step]
    assert len(trials) > 3
    assert Halving(3.0).left_behind(trials, RUNGS, 9) == set()
    for trial in trials:
        trial.user_attrs["chance"] = 0.0
    assert Halving(3.0).left_behind(trials, RUNGS, 9) != set()


def test_one_that_is_still_trained_may_make_way_for_those_behind_it(tmp_path):
    points = [{"lr": 10.0**-power} for power in range(1, 6)]
    scheduler = opened(tmp_path, points=points, n_trials=6)
    values = {1e-1: 30, 1e-2: 10, 1e-3: 20, 1e-4: 50, 1e-5: 60}
    claims = [opened(tmp_path, points=points, n_trials=6).claim() for _ in range(5)]
    for claim in claims[:1] + claims[2:]:
        train(scheduler, claim, curves=lambda params: [values[params["lr"]]] * EPOCHS)
        scheduler.tell(claim)
        claim.release()
    trials = scheduler.state.trials("a")
    assert Halving(3.0).left_behind(trials, RUNGS, 6) == set()  # of the first three the first may be the best
    train(scheduler, claims[1], curves=lambda params: [values[params["lr"]]] * EPOCHS)
    scheduler.tell(claims[1])
    claims[1].release()
    assert 0 in {number_of(t) for t in scheduler.state.going_on(scheduler.state.arms[0])}
    assert Halving(3.0).left_behind(scheduler.state.trials("a"), RUNGS, 6) == {1, 2}


def test_a_trial_that_is_queued_again_still_counts_as_one_that_guessed(tmp_path):
    points = [{"lr": lr} for lr in (1e-1, 1e-2, 1e-3)]
    values = {1e-1: [11] + [40] * 9, 1e-2: [12] + [30] * 9, 1e-3: [10] + [20] * 9}

    def trains(scheduler, claim):
        reporter = Reporter("s/a", scheduler.state.url, claim.number, scheduler.state.pruner, reports=True)
        reporter.guesses_up_to(GUESSING)
        train(scheduler, claim, curves=lambda params: values[params["lr"]])
        scheduler.tell(claim)
        claim.release()

    scheduler = opened(tmp_path, points=points, n_trials=3)
    while (claim := scheduler.claim()) is not None:
        trains(scheduler, claim)
    assert reached(scheduler) == [EPOCHS, 2, 2]
    shutil.rmtree(scheduler.state.run_dir("a", 0))
    again = opened(tmp_path, points=points, n_trials=3, looks_back=True)
    while (claim := again.claim()) is not None:
        assert claim.number == 0
        trains(again, claim)
    assert reached(again) == [EPOCHS, 2, 2]


def test_who_was_paused_is_not_taken_while_its_process_is_alive_and_nothing_is_confirmed_before_it_ended(tmp_path):
    settings = dict(points=[{"lr": lr} for lr in (1e-3, 1e-5, 1e-4, 2e-3)], n_trials=4, looks=[1])
    scheduler, other = opened(tmp_path, **settings), opened(tmp_path, **settings)
    while (claim := scheduler.claim()).number != 3:
        train(scheduler, claim)
        claim.release()
    assert scheduler.state.best("a") is not None
    train(scheduler, claim)  # it paused, and is among the best two of four
    assert is_alive(claim.run_dir) and other.claim() == WAIT
    claim.release()
    again = other.claim()
    assert (again.kind, again.number) == ("search", 3)
    again.release()


def test_arms_without_epochs_of_their_own_are_trained_to_the_end(tmp_path):
    scheduler = open_scheduler(tmp_path, arms=["a"], points=[], pruner=Halving(3.0), n_trials=4)
    work(scheduler)
    assert reached(scheduler) == [EPOCHS] * 4


def test_a_finite_space_is_halved_too_and_never_drawn_twice(tmp_path):
    space = {"lr": FloatDistribution(0.001, 0.007, step=0.001)}
    for sampler in SAMPLERS:
        arm = Arm("a", [], space, [], rungs=RUNGS)
        scheduler = open_scheduler(
            tmp_path / sampler.__name__, arms=[arm], pruner=Halving(3.0), n_trials=50, make_sampler=sampler
        )
        work(scheduler)
        assert sorted(round(t.params["lr"], 3) for t in scheduler.state.trials("a")) == [i / 1000 for i in range(1, 8)]
        assert EPOCHS in reached(scheduler) and 1 in reached(scheduler)


# ---- from the configuration


def test_halving_is_configured_by_its_factor():
    assert make_pruner(dict(_target_="headstart.sweep.pruners.halving")).factor == halving().factor == 3
    assert make_pruner(dict(_target_="headstart.sweep.pruners.halving", factor=4.0)).factor == 4


def test_no_pruner_means_none_and_no_median_pruner():
    assert isinstance(make_pruner(None), NopPruner)
    node = dict(_target_="optuna.pruners.PercentilePruner", percentile=25.0)
    for given in (node, OmegaConf.create(node)):
        assert isinstance(make_pruner(given), PercentilePruner)


@pytest.mark.parametrize(
    ("node", "told"),
    [
        (dict(_target_="os.system", command="true"), r"os\.system"),
        (
            dict(_target_="optuna.pruners.PercentilePruner", percentile=200),
            r"^budget\.pruner: Percentile must be between",
        ),
        (dict(_target_="optuna.pruners.PercentilePruner", nonsense=1), r"nonsense"),
        (
            dict(_target_="optuna.samplers.RandomSampler"),
            r"^budget\.pruner is a RandomSampler; expected one of optuna\.pruners, or null$",
        ),
    ],
)
def test_only_optunas_pruners_are_made_and_their_own_complaints_are_passed_on(node, told):
    with pytest.raises(UserError, match=told):
        make_pruner(node)
