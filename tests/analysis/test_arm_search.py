"""Range, edge and tolerance of a search, by hand."""

import pandas as pd
import pytest

from analysis.helpers_analysis import LRS, SPACE, VALS, describe_study, row_of, run, said, search
from headstart import load
from headstart.analysis.arm_search import search_choice
from headstart.analysis.comparison import compare


def test_the_edge_is_flagged_with_the_range_to_try_next(tmp_path):
    describe_study(tmp_path, "a", "b")
    search(tmp_path, "a", [90.0, 80.0, 70.0, 60.0, 50.0])
    search(tmp_path, "b", [40.0, 50.0, 60.0, 70.0, 90.0])
    high, low = (row_of(compare(tmp_path).arms, arm=arm) for arm in "ab")
    names = ["edge", "edge_side", "edge_try_low", "edge_try_high"]
    assert high[names].tolist() == [True, "high", 1e-5, 1.0]
    assert low[names].tolist() == [True, "low", pytest.approx(1e-6), 0.1]


def test_a_range_that_the_edge_rule_extended_is_found_in_the_trials(tmp_path):
    describe_study(tmp_path, "a")
    search(tmp_path, "a", [84.0, *VALS[1:], 30.0], [*LRS, 1.0])
    row = compare(tmp_path).arms.iloc[0]
    assert (row["lr_high"], row["edge"]) == (1.0, False)


@pytest.mark.parametrize("space", [{"lr": {"choices": LRS}}, SPACE])
def test_tolerance_is_the_decades_within_a_point_of_the_best(tmp_path, space):
    describe_study(tmp_path, "a", spaces={"a": space})
    search(tmp_path, "a")
    # Down from 84: to 80 within a decade towards 1e-2, to 70 towards 1e-4.
    assert compare(tmp_path).arms["lr_tolerance_decades"][0] == pytest.approx(1 / 4 + 1 / 14)


def test_with_tpe_tolerance_is_measured_against_the_arms_best_wherever_that_lies(tmp_path):
    describe_study(tmp_path, "a", sampler="tpe", arms={"a": {"first points": [{"lr": lr} for lr in LRS]}})
    search(tmp_path, "a", [*VALS, 88.0], [*LRS, 10**-2.5])
    # From 88, half a decade from either neighbour: down to 80 at 1e-2, to 84 at 1e-3.
    assert compare(tmp_path).arms["lr_tolerance_decades"][0] == pytest.approx(0.5 / 8 + 0.5 / 4)


def test_with_tpe_tolerance_comes_from_the_first_points_and_the_best_alone(tmp_path):
    lrs, vals = [*LRS, 1.5e-3, 9e-3], [*VALS, 83.9, 83.8]
    points = {"a": {"first points": [{"lr": lr} for lr in LRS]}}
    describe_study(tmp_path / "tpe", "a", sampler="tpe", arms=points)
    describe_study(tmp_path / "qmc", "a", sampler="qmc", arms=points)
    found = []
    for sampler in ("tpe", "qmc"):
        search(tmp_path / sampler, "a", vals, lrs)
        found.append(compare(tmp_path / sampler).arms["lr_tolerance_decades"][0])
    assert found[0] == pytest.approx(1 / 4 + 1 / 14) and found[1] > 0.9


def test_tolerance_is_unknown_where_trials_were_pruned_at_its_points_or_two_values_are_searched(tmp_path):
    describe_study(tmp_path / "pruned", "a", sampler="qmc")
    states = ["DIVERGED", "COMPLETE", "COMPLETE", "PRUNED", "COMPLETE"]
    search(tmp_path / "pruned", "a", states=states)
    describe_study(tmp_path / "two", "a", spaces={"a": SPACE | {"model.depth": {"low": 1, "high": 3}}})
    search(tmp_path / "two", "a")
    for name in ("pruned", "two"):
        assert compare(tmp_path / name).arms["lr_tolerance_decades"][0] is pd.NA
    assert said(compare(tmp_path / "two"), "model.depth", "not checked")


def test_a_list_of_rates_has_no_edge_but_for_the_decades_of_a_range(tmp_path):
    for sampler, flagged in (("tpe", False), ("qmc", False), ("decades", True)):
        describe_study(tmp_path / sampler, "a", spaces={"a": {"lr": {"choices": LRS}}}, sampler=sampler)
        search(tmp_path / sampler, "a", [90.0, 80.0, 70.0, 60.0, 50.0])
        row = compare(tmp_path / sampler).arms.iloc[0]
        assert (row["edge"], row["lr_low"], row["lr_high"]) == (flagged, 1e-5, 1e-1)


def paused(root, number, lr, curve, reason="paused after epoch 1", **values):
    own = dict(arm="a", phase="search", number=number, lr=lr, params={"lr": lr}, val_accuracy=max(curve))
    run(root, f"a/search/{number:03d}", curve=curve, reason=reason, **(own | values))


def test_paused_trials_count_with_what_they_would_have_at_the_end(tmp_path):
    describe_study(tmp_path, "a", sampler="qmc", confirm_seeds=0)
    paused(tmp_path, 0, 1e-1, (10.0,), "paused after epoch 1, at chance level", state="PRUNED")
    paused(tmp_path, 1, 1e-2, (74.0,), state="PRUNED")
    paused(tmp_path, 2, 1e-3, (76.0, 80.0, 84.0), "")
    paused(tmp_path, 3, 1e-4, (62.0,), state="PRUNED")
    paused(tmp_path, 4, 1e-5, (22.0,), state="PRUNED")
    row = compare(tmp_path).arms.iloc[0]
    # All gain 8: 82 at 1e-2, 70 at 1e-4, 30 at 1e-5; what was at chance is not within.
    assert row["lr_tolerance_decades"] == pytest.approx(1 / 2 + 1 / 14)
    assert (row["val_accuracy"], row["best_lr"], row["pruned"]) == (84.0, 1e-3, 4)


def test_a_choice_is_made_from_the_trials_that_went_on_once(tmp_path):
    describe_study(tmp_path, "a", sampler="qmc", confirm_seeds=0)
    paused(tmp_path, 0, 1e-1, (90.0,), state="PRUNED")
    for number, lr in ((1, 1e-2), (2, 3e-3), (3, 1e-3)):
        paused(tmp_path, number, lr, (70.0, 72.0 + number), "paused after epoch 2", state="PRUNED")
    paused(tmp_path, 4, 4e-4, (80.0, 83.0, 90.0), "")
    study = load(tmp_path)
    found = search_choice("a", study.trials, study.epochs, study.study_file)
    assert found.response.values.tolist() == [80.0, 81.0, 82.0, 90.0]  # 7 more each; the first one left out
    trials = study.trials.assign(state=study.trials["state"].replace("PRUNED", "DIVERGED"))
    assert len(search_choice("a", trials, study.epochs, study.study_file).response.values) == 1


def test_an_arm_without_a_learning_rate_has_no_edge(tmp_path):
    describe_study(tmp_path, "a", spaces={"a": {}})
    search(tmp_path, "a", [50.0, 60.0], [None, None], lr=None, params={}, curve=None)
    row = compare(tmp_path).arms.iloc[0]
    assert row["edge"] is not pd.NA and not row["edge"]
    assert row[["lr_low", "best_lr", "epochs", "epochs_to_70", "epochs_to_70_censored"]].isna().all()


@pytest.mark.parametrize("space", [5, None, [1], {"lr": 5}, {"lr": {"low": 1e-5}}, {"lr": {"choices": ["a"]}}])
def test_a_range_that_is_damaged_is_not_known_and_no_reason_for_a_winner(fair, space):
    describe_study(fair, "b", "a", spaces={"a": space, "b": SPACE})
    found = compare(fair)
    assert row_of(found.arms, arm="a")[["edge", "lr_low", "lr_high"]].isna().all()
    assert found.pairs["winner"][0] is pd.NA and "the range searched for a is not known" in found.pairs["verdict"][0]
