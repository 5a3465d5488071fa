"""Trials that pause and go on, in real processes that are killed, beside each other, and with real training."""

import random
from pathlib import Path

import pandas as pd
import pytest

from headstart import load
from headstart.analysis.arm_search import search_choice
from sweep.test_kills import REAL, TOY, finish, kill_at_random, table

pytestmark = pytest.mark.timeout(1800)
SHARED = ["-m", "name=s", "data=digits", "model=cnn", "threads=1", "epochs=10", "confirm_seeds=1"]
TOY_WORDS = [*SHARED, "n_trials=11", "halving=3"]
REAL_WORDS = [*SHARED, "halving=3", "data.train_size=100", "batch_size=32", "augmentation=none", "n_trials=6"]
SEARCHES = ["search=tpe", pytest.param("search=qmc", marks=pytest.mark.slow)]


def trained(folder: Path) -> dict[int, tuple[str, int]]:
    """State of each search trial, and how many epochs it came to."""
    return {int(r["number"]): (r["state"], int(r["epochs_run"])) for r in table(folder) if r["phase"] == "search"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """`undisturbed(search)`: the table of a study that nobody disturbed."""
    found = {}

    def of(search: str) -> list[dict[str, str]]:
        if search not in found:
            folder = tmp_path_factory.mktemp("undisturbed")
            finish(folder, TOY, *TOY_WORDS, search)
            found[search] = table(folder)
            assert {epochs for _, epochs in trained(folder).values()} == {1, 2, 10}
        return found[search]

    return of


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_at_random_moments_a_halved_search_ends_as_an_undisturbed_one(tmp_path, undisturbed, search, jobs):
    words = [*TOY_WORDS, search, f"jobs={jobs}"]
    assert kill_at_random(tmp_path, TOY, words, 4, random.Random(jobs), spread=0.6) > 1
    finish(tmp_path, TOY, *words)
    assert table(tmp_path) == undisturbed(search)


@pytest.mark.parametrize("search", SEARCHES)
def test_workers_beside_each_other_make_the_rows_of_one(tmp_path, undisturbed, search):
    finish(tmp_path, TOY, *TOY_WORDS, search, "jobs=2")
    assert table(tmp_path) == undisturbed(search)


def test_a_total_that_is_raised_wakes_trials_and_makes_the_rows_of_one_go(tmp_path):
    raised, once = tmp_path / "raised", tmp_path / "once"
    # Of three trials one goes on, of four two: the second of the first three is woken, however bad the fourth.
    words = [*TOY_WORDS, "search.first_points=[{lr: 1e-3},{lr: 2e-3},{lr: 5e-4},{lr: 1e-5}]", "n_trials=6"]
    finish(raised, TOY, *words, "n_trials=3", "confirm_seeds=0")
    before = trained(raised)
    for folder in (raised, once):
        finish(folder, TOY, *words)
    assert table(raised) == table(once)
    woken = [number for number, was in before.items() if trained(raised)[number] != was]
    assert [before[number] for number in woken] == [("PRUNED", 1)]


def test_confirmations_train_what_the_tables_find_the_search_would_choose(tmp_path, undisturbed):
    finish(tmp_path, TOY, *TOY_WORDS, "search=tpe", "confirm_seeds=3")
    study = load(tmp_path / "outputs/s")
    trials = study.trials
    choice = search_choice("cnn", trials[trials["phase"] == "search"], study.epochs, study.study_file)
    confirmed = trials[trials["phase"] == "confirm"].sort_values("seed")
    assert [choice.repeated(seed)["lr"] for seed in (1, 2, 3)] == confirmed["lr"].tolist()
    assert len(choice.response.values) > (trials["state"] == "COMPLETE").sum() - 3  # paused ones take part
    assert pd.notna(study.arms["lr_tolerance_decades"][0])


@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_real_training_that_pauses_is_killed_and_goes_on_ends_as_training_without_a_pause(tmp_path, rounds):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    kill_at_random(killed, REAL, [*REAL_WORDS, "search=qmc"], rounds, random.Random(rounds), spread=6)
    finish(killed, REAL, *REAL_WORDS, "search=qmc")
    finish(whole, REAL, *REAL_WORDS, "search=qmc", "halving=null", "budget.pruner=null", "confirm_seeds=0")
    never_paused = {row["number"]: row for row in table(whole)}
    ended = [row for row in table(killed) if row["phase"] == "search" and row["state"] != "PRUNED"]
    assert len(ended) < len(never_paused) == 6
    assert ended and all(row == never_paused[row["number"]] for row in ended)
    assert not list(killed.rglob("last.ckpt*"))


def test_real_runs_that_all_guess_are_not_compared_by_luck(tmp_path):
    finish(tmp_path, REAL, *REAL_WORDS, "lr_low=1e-9", "lr_high=1e-7", "epochs=5", "confirm_seeds=0")
    found = trained(tmp_path)
    assert set(found.values()) == {("CHANCE", 5)} and len(found) == 6
