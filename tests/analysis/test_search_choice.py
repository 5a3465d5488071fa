"""The choice of a search, read from its tables as the sweep had it."""

import pandas as pd
import pytest

from analysis.helpers_analysis import SPACE, confirm, describe_study, row_of, run, search
from headstart.analysis.comparison import compare
from headstart.statistics import choice_of
from headstart.store import read_run, write_json

RATES, VALUES = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5], [60.0, 80.0, 84.0, 70.0, 30.0]


def repeated(root, arm, scores, rates=(8e-4, 1e-3, 2e-3)):
    for seed, (score, lr) in enumerate(zip(scores, rates, strict=True), 1):
        own = dict(arm=arm, phase="confirm", number=2, search_trials=5, seed=seed, lr=lr, params={"lr": lr})
        run(root, f"{arm}/confirm/after-005/seed-{seed}", val_accuracy=83.0, test_accuracy=score, **own)


@pytest.fixture
def study(tmp_path):
    describe_study(tmp_path, "a", "b", confirm_seeds=3)
    for arm, scores in (("a", (91.0, 92.0, 92.5)), ("b", (80.0, 80.5, 82.0))):
        search(tmp_path, arm, VALUES, RATES)
        repeated(tmp_path, arm, scores)
    return tmp_path


def test_the_smoothed_best_and_the_luck_are_those_of_the_sweep(study):
    row = row_of(compare(study).arms, arm="a")
    own = choice_of(SPACE, [{"lr": lr} for lr in RATES], VALUES, pictures=None, seed=0, arm="a")
    assert row["smoothed_lr"] == own.best["lr"] and row["smoothed_best"] == f"lr={own.best['lr']}"
    assert row["luck_std"] == pytest.approx(own.luck**0.5)
    assert (row["confirmed_lr_low"], row["confirmed_lr_high"], row["overtuning"]) == (8e-4, 2e-3, 1.0)


def test_the_luck_of_both_searches_is_in_the_interval_of_their_difference(study):
    found = compare(study)
    pair = found.pairs.iloc[0]
    alone = pair["seeds_ci_high"] - pair["seeds_ci_low"]
    assert pair["holds_for"] == "new seeds, new test pictures and repeated searches" and "luck" not in pair["verdict"]
    spread = (found.arms["luck_std"] ** 2).sum()
    assert spread > 0 and pair["ci_high"] - pair["ci_low"] != pytest.approx(alone)


def test_confirmations_of_an_earlier_choice_do_not_count(study):
    run(study, "a/search/005", arm="a", phase="search", number=5, lr=3e-3, params={"lr": 3e-3}, val_accuracy=85.0)
    found = compare(study)
    assert row_of(found.arms, arm="a")["seeds"] == 0
    assert row_of(found.ledger, arm="a")["test_reads_earlier_choice"] == 3


def test_with_confirm_best_the_luck_is_not_included(tmp_path):
    describe_study(tmp_path, "a")
    search(tmp_path, "a", VALUES, RATES)
    confirm(tmp_path, "a", [91.0] * 5)
    row = compare(tmp_path).arms.iloc[0]
    assert row["luck_std"] is pd.NA and row["smoothed_lr"] is pd.NA and row["overtuning"] == 0


@pytest.mark.parametrize("space", [3, {"lr": 3}, {"lr": {"low": None, "high": 1e-1}}, {"other": {"low": 1, "high": 2}}])
def test_a_space_that_is_damaged_leaves_the_luck_unknown(study, space):
    describe_study(study, "a", "b", confirm_seeds=3, spaces={"a": space, "b": SPACE})
    found = compare(study)
    assert row_of(found.arms, arm="a")["luck_std"] is pd.NA
    assert "luck of the search not included" in found.pairs["verdict"][0]


@pytest.mark.parametrize(
    ("params", "study_json"),
    [
        ({"lr": "abc"}, {}),
        ({"lr": 0}, {}),
        ({"lr": 1e999}, {}),
        ({}, {"seed": 2**40}),
        ({}, {"spaces": {"a": {"lr": SPACE["lr"] | {"low": -(10**400)}}, "b": SPACE}}),
        ({}, {"spaces": {"a": {"lr": SPACE["lr"] | {"step": "x"}}, "b": SPACE}}),
    ],
    ids=str,
)
def test_a_record_that_is_damaged_leaves_the_luck_unknown_too(study, params, study_json):
    describe_study(study, "a", "b", **dict(confirm_seeds=3) | study_json)
    place = study / "a/search/001"
    if params:
        write_json(place / "result.json", read_run(place) | dict(params=params))
    assert row_of(compare(study).arms, arm="a")["luck_std"] is pd.NA


def test_confirmations_made_before_a_failed_trial_was_tried_again_do_not_count(study):
    place = study / "a/search/001"
    write_json(place / "result.json", read_run(place) | dict(state="FAILED"))
    assert row_of(compare(study).arms, arm="a")["seeds"] == 0  # they are of a choice after all the trials
