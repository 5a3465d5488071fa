"""Arms, pairs and ledger against numbers worked out by hand and by scipy; an unfair study never gets a winner."""

import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from pandas.testing import assert_frame_equal
from store.helpers_store import epoch_row

from headstart.analysis import collate as tables
from headstart.analysis.arms_table import arms
from headstart.analysis.caveats import caveats, verdicts
from headstart.analysis.columns import ARMS, LEDGER, PAIRS, TABLES, dictionary_markdown
from headstart.analysis.comparison import compare, ledger, write_comparison
from headstart.analysis.csv_tables import read_table
from headstart.analysis.pairs_table import pairs
from headstart.store import append_epoch, lock_run, read_json, read_run, write_json

LRS = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5]
VALS = [None, 80.0, 84.0, 70.0, 30.0]  # the first one DIVERGED; within 1 point of 84: 0.25 + 1 / 14 decades
A, B = [90.0, 91.0, 92.0, 93.0, 94.0], [88.0, 89.5, 90.0, 91.5, 92.0]  # differences 2, 1.5, 2, 1.5, 2
SPACE = {"lr": {"low": 1e-5, "high": 1e-1, "log": True, "step": None}}
FACTS = dict(
    study="s", model="cnn", data="digits", train_size=50, lr=1e-3, epochs=4, seed=0, data_sha256="d", device="cpu",
    threads=1, parameters=10, classes=list("abcde"),
)  # fmt: skip
TABLE_COLUMNS = {"arms": ARMS, "pairs": PAIRS, "ledger": LEDGER}


def run(root, place, *, curve=(20.0, 60.0, 71.0, 84.0), pace=1.0, state="COMPLETE", **values):
    """A run's files; `pace`: training seconds per epoch, `state`: None leaves it without a result."""
    folder = root / place
    folder.mkdir(parents=True)
    facts = FACTS | values
    write_json(folder / "run.json", {k: v for k, v in facts.items() if k not in ("test_accuracy", "val_accuracy")})
    curve = () if curve is None else curve
    if state:
        result = dict(state=state, epochs_run=len(curve), seconds_train=pace * len(curve), test_reads=0)
        if "test_accuracy" in values:
            right = round(10 * values["test_accuracy"])  # 1000 test images
            result |= dict(test_reads=1, confusion=[[right, 1000 - right, 0, 0, 0], *[[0] * 5] * 4])
            result |= {f"test_{k}_macro": values["test_accuracy"] - 1 for k in ("precision", "recall", "f1")}
        write_json(folder / "result.json", facts | result)
    for epoch, accuracy in enumerate(curve, 1):
        append_epoch(folder, epoch_row(epoch, val_accuracy=accuracy, seconds_total=pace * epoch))
    return folder


def search(root, arm, vals=VALS, lrs=LRS, states=None, **values):
    for number, (lr, val) in enumerate(zip(lrs, vals, strict=True)):
        state = states[number] if states else "COMPLETE" if val is not None else "DIVERGED"
        own = dict(arm=arm, phase="search", number=number, lr=lr, params={"lr": lr}, val_accuracy=val)
        run(root, f"{arm}/search/{number:03d}", state=state, **(dict(curve=(84.0,)) | own | values))


def confirm(root, arm, scores, number=2, **values):
    for seed, score in enumerate(scores, 1):
        own = dict(arm=arm, phase="confirm", number=number, seed=seed, val_accuracy=84.0)
        scored = {} if score is None else dict(test_accuracy=score)
        state = "COMPLETE" if score is not None else "DIVERGED"
        run(root, f"{arm}/confirm/{number:03d}/seed-{seed}", **(dict(state=state) | own | scored | values))


def describe_study(root, *names, spaces=None, **changed):
    root.mkdir(exist_ok=True)
    spaces = {name: SPACE for name in names} if spaces is None else spaces
    study = dict(
        name="s", command="headstart -m name=s", n_trials=5, confirm_seeds=5, seed=0, arm_order=names, spaces=spaces,
        unpruned=True, sampler="decades", experiment=None, common={}, arms={},
    )  # fmt: skip
    write_json(root / "study.json", study | changed)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Two arms, five trials and five seeds each: b is worse by 1.8 points and half as fast per epoch."""
    root = tmp_path_factory.mktemp("template") / "s"
    describe_study(root, "b", "a")
    for arm, scores, pace in (("a", A, 1.0), ("b", B, 2.0)):
        search(root, arm, pace=pace)
        confirm(root, arm, scores, pace=pace)
    return root


@pytest.fixture
def fair(template, tmp_path):
    """A copy of the template: to be made unfair."""
    return Path(shutil.copytree(template, tmp_path / "s"))


def row_of(frame, **where):
    for name, value in where.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def said(found, *words):
    return [note for note in found.caveats if all(word in note for word in words)]


# ----------------------------------------------------------------------------------------------------------------- arms


def test_an_arm_is_its_search_its_best_trial_and_the_seeds_of_that_trial(fair):
    row = row_of(compare(fair).arms, arm="a")
    assert tuple(row[["tuned", "trials", "diverged", "pruned", "failed", "chance", "open"]]) == (True, 5, 1, 0, 0, 0, 0)
    assert tuple(row[["best_number", "best_lr", "val_accuracy", "lr_low", "lr_high"]]) == (2, 1e-3, 84.0, 1e-5, 1e-1)
    assert tuple(row[["model", "parameters", "data", "train_size", "test_images"]]) == ("cnn", 10, "digits", 50, 1000)
    assert not row["edge"] and row["edge_side"] is pd.NA and row["edge_try_low"] is pd.NA
    low, high = scipy.stats.t.interval(0.95, 4, np.mean(A), scipy.stats.sem(A))
    assert row["seeds"] == 5 and row["test_mean"] == 92.0 and row["test_f1_macro"] == 91.0
    np.testing.assert_allclose(
        [row["test_std"], row["test_ci_low"], row["test_ci_high"]], [np.std(A, ddof=1), low, high]
    )


def test_arms_stand_in_the_order_of_the_study(fair):
    assert compare(fair).arms["arm"].tolist() == ["b", "a"]


def test_of_equal_trials_the_earlier_is_the_best_and_only_complete_ones_count(tmp_path):
    describe_study(tmp_path, "a")
    search(tmp_path, "a", [95.0, 84.0, 84.0, 99.0, 98.0], states=["CHANCE", "COMPLETE", "COMPLETE", "PRUNED", "FAILED"])
    row = compare(tmp_path).arms.iloc[0]
    assert (row["best_number"], row["trials"], row["failed"]) == (1, 4, 1)


def test_confirmations_of_an_earlier_best_trial_count_in_the_ledger_only(fair):
    confirm(fair, "a", [10.0], number=1)
    confirm(fair, "a", [11.0], number=3)
    found = compare(fair)
    row, spent = row_of(found.arms, arm="a"), row_of(found.ledger, arm="a")
    assert (row["test_mean"], row["seeds"], row["confirmations"]) == (92.0, 5, 5)
    assert (spent["confirmations"], spent["test_reads"], spent["test_reads_earlier_choice"]) == (7, 7, 2)
    assert row_of(found.ledger, arm="b")["test_reads_earlier_choice"] == 0
    assert said(found, "had been read 2 times for an earlier choice of a's best trial") and said(found, "read 12 times")
    assert found.pairs["seeds"].tolist() == [5]


def test_a_copied_confirmation_is_no_further_seed(fair):
    run(fair, "copy", arm="a", phase="confirm", number=2, seed=5, test_accuracy=94.0, val_accuracy=84.0)
    row = row_of(compare(fair).arms, arm="a")
    assert (row["seeds"], row["test_mean"]) == (5, 92.0)


def test_a_confirmation_at_chance_stays_in_the_mean(fair):
    run(fair, "a/confirm/002/seed-6", state="CHANCE", arm="a", phase="confirm", number=2, seed=6, test_accuracy=20.0)
    row = row_of(compare(fair).arms, arm="a")
    assert (row["seeds"], row["test_mean"], row["confirmations_lost"]) == (6, 80.0, 0)


# -------------------------------------------------------------------------------------------------- range of the search


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


def test_a_pair_says_how_often_one_arm_untuned_beats_the_other_tuned(tmp_path):
    points = {"first points": [{"lr": lr} for lr in LRS]}
    describe_study(tmp_path, "a", "b", "c", sampler="tpe", arms={"a": points, "b": points})
    search(tmp_path, "a", [*VALS, 85.0], [*LRS, 3e-3])  # the sixth was found, and is the best
    search(tmp_path, "b", [None, 60.0, 75.0, 40.0, 20.0])
    search(tmp_path, "c", [None, 60.0, 90.0, 40.0, 20.0], data_sha256="2" * 64)
    frame = compare(tmp_path).pairs.set_index(["arm_a", "arm_b"])
    assert frame.loc[("a", "b"), ["untuned_a", "untuned_b"]].tolist() == [40.0, 0.0]  # 80 and 84 of five
    assert frame.loc[("a", "c"), ["untuned_a", "untuned_b"]].isna().all()  # other images, and c's points are not known


def test_tolerance_is_unknown_where_trials_were_pruned_at_its_points_or_two_values_are_searched(tmp_path):
    describe_study(tmp_path / "pruned", "a", sampler="qmc")
    states = ["DIVERGED", "COMPLETE", "COMPLETE", "PRUNED", "COMPLETE"]
    search(tmp_path / "pruned", "a", states=states)
    describe_study(tmp_path / "two", "a", spaces={"a": SPACE | {"model.depth": {"low": 1, "high": 3}}})
    search(tmp_path / "two", "a")
    for name in ("pruned", "two"):
        assert compare(tmp_path / name).arms["lr_tolerance_decades"][0] is pd.NA
    assert said(compare(tmp_path / "two"), "model.depth", "not checked")


def test_an_arm_without_a_learning_rate_has_no_edge(tmp_path):
    describe_study(tmp_path, "a", spaces={"a": {}})
    search(tmp_path, "a", [50.0, 60.0], [None, None], lr=None, params={}, curve=None)
    row = compare(tmp_path).arms.iloc[0]
    assert row["edge"] is not pd.NA and not row["edge"]
    assert row[["lr_low", "best_lr", "epochs", "epochs_to_70", "epochs_to_70_censored"]].isna().all()


# ---------------------------------------------------------------------------------------------------- convergence speed


def test_speed_is_the_median_over_seeds_with_the_censored_counted(tmp_path):
    describe_study(tmp_path, "a")
    search(tmp_path, "a")
    curves = [(50, 70, 81), (71, 72, 73), (30, 40, 60, 71), (30, 40, 50, 60, 69.9), (10, 20)]
    for seed, curve in enumerate(curves, 1):
        state = "DIVERGED" if seed == 5 else "COMPLETE"
        own = dict(
            arm="a", phase="confirm", number=2, seed=seed, val_accuracy=84.0, state=state, curve=curve, pace=seed
        )
        run(tmp_path, f"a/confirm/002/seed-{seed}", **own, test_accuracy=90.0)
    row = compare(tmp_path).arms.iloc[0]
    # Reached after 1, 2 and 4 epochs of 5 runs; the one that diverged after 2 epochs counts as never to the end:
    # survival 4/5, 3/5, 2/5 at 1, 2, 4. Dropped at 2 it would be 4/5, 3/5, 3/10; dropped at all, the median were 2.
    assert (row["epochs_to_70"], row["epochs_to_70_censored"]) == (4, 2)
    assert (row["steps_to_70"], row["images_to_70"]) == (40, 2560)
    # Reached after 2, 2 and 12 seconds; without it 20 seconds and, diverged, counted to the end.
    assert row["seconds_to_70"] == 12.0
    assert (row["epochs_to_80"], row["epochs_to_80_censored"]) == (pd.NA, 4)
    assert (row["halfway_accuracy"], row["epochs_to_halfway"], row["epochs_to_halfway_censored"]) == (60.0, 3, 1)
    assert row["final_val_accuracy"] == pytest.approx(np.mean([81, 73, 71, 69.9]))
    # 99 % of 73.725 is 72.99: after 3 and 3 epochs by two of five.
    assert (row["epochs_to_99_of_final"], row["epochs_to_99_of_final_censored"]) == (pd.NA, 3)


def test_a_run_that_diverged_early_never_gets_there(tmp_path):
    describe_study(tmp_path, "a")
    search(tmp_path, "a")
    curves = [(70,), (10, 20, 30, 70), (10, 20), (10, 20), (10, 20, 30, 40, 50)]
    states = ["COMPLETE", "COMPLETE", "DIVERGED", "DIVERGED", "COMPLETE"]
    for seed, (curve, state) in enumerate(zip(curves, states, strict=True)):
        run(tmp_path, f"{seed}", arm="a", phase="confirm", number=2, seed=seed, state=state, curve=curve)
    row = compare(tmp_path).arms.iloc[0]
    # 2 of 5 reach 70; taken as runs cut short at epoch 2, the two would make that 60 % after epoch 4.
    assert (row["epochs_to_70"], row["epochs_to_70_censored"], row["confirmations_lost"]) == (pd.NA, 3, 2)


def test_the_speed_of_a_pair_is_at_the_highest_accuracy_that_both_reach(tmp_path):
    describe_study(tmp_path, "a", "b")
    for arm, curve, pace in (("a", (50, 82, 96), 3.0), ("b", (30, 40, 60, 81), 1.0)):
        search(tmp_path, arm)
        confirm(tmp_path, arm, [90.0, 91.0, 92.0], curve=curve, pace=pace)
    pair = compare(tmp_path).pairs.iloc[0]
    assert tuple(pair[["speedup_threshold", "speedup_epochs"]]) == (80.0, 2.0)
    assert pair["speedup_seconds"] == pytest.approx(4 / 6)


def test_seconds_are_not_compared_between_machines(tmp_path):
    describe_study(tmp_path, "a", "b")
    for arm, threads in (("a", 1), ("b", 2)):
        search(tmp_path, arm)
        confirm(tmp_path, arm, [90.0, 91.0, 92.0], curve=(50, 62), threads=threads)
    found = compare(tmp_path)
    assert tuple(found.pairs.iloc[0][["speedup_threshold", "speedup_epochs", "speedup_seconds"]]) == (60.0, 1.0, pd.NA)
    assert said(found, "Training seconds are not compared")


# ---------------------------------------------------------------------------------------------------------------- pairs


def test_a_fair_pair_gets_a_winner_with_the_paired_interval(fair):
    found = compare(fair)
    pair = found.pairs.iloc[0]
    test = scipy.stats.ttest_rel(B, A)
    interval = test.confidence_interval(0.95)
    assert tuple(pair[["arm_a", "arm_b", "seeds", "winner", "family"]]) == ("b", "a", 5, "a", 1)
    np.testing.assert_allclose(
        pair[["difference", "ci_low", "ci_high", "p", "p_holm", "level"]].astype(float),
        [-1.8, interval.low, interval.high, test.pvalue, test.pvalue, 0.95],
    )
    better = scipy.stats.mannwhitneyu(B, A).statistic / 25
    assert pair["probability_of_improvement"] == pytest.approx(better)
    assert pair["test_sampling"] == pytest.approx(196 * math.sqrt(0.902 * 0.098 / 1000), rel=1e-4)
    assert (pair["speedup_threshold"], pair["speedup_epochs"], pair["speedup_seconds"]) == (80.0, 1.0, 0.5)
    assert pair["verdict"].startswith("a is better than b by 1.80 points") and pair["next"] is pd.NA
    assert found.verdicts == [pair["verdict"] + "."]


def test_p_values_are_corrected_over_all_pairs_of_the_study(fair):
    describe_study(fair, "b", "a", "c")
    search(fair, "c")
    c = [90.5, 90.0, 92.5, 93.5, 93.0]
    confirm(fair, "c", c)
    found = compare(fair).pairs
    raw = {("b", "a"): (B, A), ("b", "c"): (B, c), ("a", "c"): (A, c)}
    p = [scipy.stats.ttest_rel(*raw[pair]).pvalue for pair in zip(found["arm_a"], found["arm_b"], strict=True)]
    order = np.argsort(p)
    expected = np.empty(3)
    expected[order] = np.minimum(np.maximum.accumulate(np.array(p)[order] * [3, 2, 1]), 1)
    np.testing.assert_allclose(found["p"].astype(float), p)
    np.testing.assert_allclose(found["p_holm"].astype(float), expected)
    assert found["family"].tolist() == [3, 3, 3] and "corrected for 3 pairs" in found["verdict"][0]
    (fair / "study.json").unlink()  # refused for want of ranges, the interval is said in the same words
    assert all("95 % interval" in v and "corrected for 3 pairs" in v for v in compare(fair).pairs["verdict"])


def test_only_seeds_that_both_have_are_paired(fair):
    (fair / "b/confirm/002/seed-1/result.json").unlink()
    found = compare(fair)
    pair = found.pairs.iloc[0]
    assert (pair["seeds"], pair["difference"]) == (4, pytest.approx(-1.75))
    assert said(found, "b: 1 of 5 confirmations failed or have not ended") and said(found, "9 of 10 confirmations")


def test_models_that_the_seed_does_not_change_are_judged_by_their_test_images(tmp_path):
    describe_study(tmp_path, "a", "b")
    labels, order = np.zeros(100, dtype=int), np.arange(100)
    for arm, score in (("a", 90.0), ("b", 70.0)):
        search(tmp_path, arm)
        confirm(tmp_path, arm, [score] * 3)
        probabilities = np.stack([np.ones(100), np.where(np.arange(100) < score, 0, 2)], axis=1)
        for folder in (tmp_path / arm / "confirm/002").iterdir():
            np.savez(
                folder / "predictions.npz", test_labels=labels, test_indices=order[::-1] if arm == "a" else order,
                test_probabilities=probabilities[::-1] if arm == "a" else probabilities,
            )  # fmt: skip
    pair = compare(tmp_path).pairs.iloc[0]
    p = scipy.stats.binomtest(20, 20).pvalue
    assert pair["winner"] == "a" and f"McNemar p = {p:.2g}" in pair["verdict"] and pair["p"] is pd.NA
    for file in tmp_path.glob("a/confirm/*/*/predictions.npz"):
        file.write_bytes(b"damaged")
    assert compare(tmp_path).pairs["winner"][0] is pd.NA


# -------------------------------------------------------------------------------------------------- unfair: no winner


def refused(root):
    found = compare(root)
    pair = found.pairs.iloc[0]
    assert pair["winner"] is pd.NA and pair["verdict"].startswith("no winner between b and a"), pair["verdict"]
    assert found.verdicts[0].startswith(pair["verdict"] + ".")
    return found, pair["verdict"], pair["next"]


def result_of(folder, **changed):
    """Change a result, as a run that ended otherwise would have left it."""
    result = {k: v for k, v in read_run(folder).items() if not k.startswith("test_")}
    write_json(folder / "result.json", result | changed)


def test_arms_with_unequal_trials_get_no_winner(fair):
    run(fair, "a/search/005", arm="a", phase="search", number=5, lr=2e-3, val_accuracy=50.0)
    _, sentence, hint = refused(fair)
    assert "budgets differ (5 against 6 trials)" in sentence and hint == "the same command with n_trials=6"


def test_a_failed_trial_is_no_budget_and_can_be_retried(fair):
    result_of(fair / "b/search/004", state="FAILED", val_accuracy=None)
    found, sentence, hint = refused(fair)
    assert "4 against 5 trials" in sentence and hint == "the same command with hydra.sweeper.retry_failed=true"
    assert said(found, "b: 1 of 5 search trials ended FAILED")


def test_an_interrupted_trial_is_finished_by_the_same_command(fair):
    (fair / "b/search/004/result.json").unlink()
    found, sentence, hint = refused(fair)
    assert "4 against 5 trials" in sentence and hint == "the same command again"
    assert said(found, "unfinished: 9 of 10 search trials and 10 of 10 confirmations", "headstart -m name=s")
    assert row_of(found.ledger, arm="b")["interrupted"] == 1


def test_arms_with_other_epochs_get_no_winner(fair):
    for folder in fair.glob("a/*/*/result.json"):
        result_of(folder.parent, epochs=8)
    assert "budgets differ (4 against 8 epochs)" in refused(fair)[1]


@pytest.mark.parametrize(
    ("space", "hint"), [(SPACE["lr"], "search.extend_at_edge=true"), ({"choices": LRS}, "lr_high=1 name=NEW_NAME")]
)
def test_an_arm_at_the_edge_of_its_range_gets_no_winner(fair, space, hint):
    describe_study(fair, "b", "a", spaces={"a": {"lr": space}, "b": {"lr": space}})
    for number in (0, 1):  # two of the best three in the same tenth of the range
        result_of(fair / f"a/search/00{number}", state="COMPLETE", val_accuracy=83.9, lr=0.1 - 0.01 * number)
    _, sentence, found = refused(fair)
    assert "best learning rate of a at the high edge (try 1e-05 to 1)" in sentence
    assert found == f"the same command with {hint}"


def test_an_arm_whose_processes_all_died_before_they_said_anything_is_described(fair):
    for folder in fair.glob("a/search/*"):
        known = {k: v for k, v in read_run(folder).items() if k in ("study", "arm", "phase", "number", "params")}
        for file in folder.iterdir():
            file.unlink()
        write_json(folder / "result.json", known | dict(state="FAILED", reason="its process died 3 times"))
    assert row_of(compare(fair).arms, arm="a")["failed"] == 5


def test_two_seeds_get_no_winner(fair):
    for folder in fair.glob("*/confirm/002/seed-[345]"):
        for file in folder.iterdir():
            file.unlink()
    _, sentence, hint = refused(fair)
    assert "too few seeds (2, at least 3)" in sentence and hint == "the same command with confirm_seeds=5"


def test_after_failed_confirmations_the_next_command_is_one_that_repeats_them(fair):
    for folder in fair.glob("a/confirm/002/seed-[345]"):
        result_of(folder, state="FAILED", test_accuracy=None, test_reads=0)
    _, sentence, hint = refused(fair)
    assert "too few seeds (2, at least 3)" in sentence
    assert hint == "the same command with hydra.sweeper.retry_failed=true"


def test_arms_on_other_amounts_of_data_are_no_pair(fair):
    for folder in fair.glob("a/*/*/result.json"):
        result_of(folder.parent, train_size=500)
    found = compare(fair)
    assert found.pairs.empty and found.verdicts == [] and len(found.arms) == 2
    assert said(found, "only on the same data and train_size: b (digits, 50 images); a (digits, 500 images)")


def test_arms_on_other_images_of_the_same_name_get_no_winner(fair):
    for folder in fair.glob("a/search/*"):
        write_json(folder / "result.json", read_run(folder) | dict(data_sha256="e"))
    assert "not the same images" in refused(fair)[1]


def test_an_arm_of_which_a_confirmation_diverged_gets_no_winner(fair):
    result_of(fair / "a/confirm/002/seed-1", state="DIVERGED", val_accuracy=None)
    found, sentence, _ = refused(fair)
    assert "1 confirmation of a DIVERGED" in sentence and said(found, "a: 1 of 5 confirmations DIVERGED")


def test_an_arm_whose_range_nobody_knows_gets_no_winner(fair):
    describe_study(fair, "b")
    _, sentence, hint = refused(fair)
    assert "the range searched for a is not known" in sentence and hint == "the same command, all arms in it, again"


def test_an_arm_without_a_trial_to_select_gets_no_winner(fair):
    for number in range(5):
        result_of(fair / f"a/search/00{number}", state="CHANCE", val_accuracy=11.0)
    for folder in fair.glob("a/confirm/002/*"):
        for file in folder.iterdir():
            file.unlink()
    found, sentence, hint = refused(fair)
    assert "a has no trial that may be selected (5 CHANCE)" in sentence and hint is pd.NA
    assert said(found, "a: 5 of 5 search trials ended CHANCE") and not said(found, "unfinished")


@pytest.mark.parametrize("content", [None, "{", "[]", '{"spaces": [1], "arm_order": 3, "n_trials": "x"}'])
def test_without_a_readable_study_file_nobody_wins(fair, content):
    (fair / "study.json").unlink()
    if content is not None:
        (fair / "study.json").write_text(content)
    pair = compare(fair).pairs.iloc[0]
    assert pair["winner"] is pd.NA and "is not known" in pair["verdict"] and pair["difference"] == pytest.approx(1.8)


# ---------------------------------------------------------------------------------------------------------- single runs


def test_single_runs_are_described_by_the_best_and_its_repeats(tmp_path):
    for arm, vals in (("cnn", [70.0, 84.0]), ("resnet18", [60.0, 80.0])):
        for lr, val in zip([0.1, 0.01], vals, strict=True):
            for seed in (0, 1, 2):
                command = f"headstart model={arm} lr={lr} seed={seed} threads=1"
                own = dict(study=None, arm=arm, phase="run", number=None, lr=lr, seed=seed, command=command)
                run(tmp_path, f"{arm}-{lr}-{seed}", **own, val_accuracy=val - seed, test_accuracy=val + seed)
    found = compare(tmp_path)
    row, pair = row_of(found.arms, arm="cnn"), found.pairs.iloc[0]
    assert tuple(row[["tuned", "trials", "best_lr", "seeds", "test_mean"]]) == (False, 0, 0.01, 3, 85.0)
    assert row[["edge", "lr_low", "best_number", "study"]].isna().all()
    assert pair["winner"] is pd.NA and pair["seeds"] == 3 and "single runs, no search" in pair["verdict"]
    assert said(found, "described and not judged") and said(found, "read 12 times: 12 by single runs")
    assert row_of(found.ledger, arm="all")["other_runs"] == 12


def test_a_study_is_not_mixed_with_single_runs_or_other_studies(fair):
    outer = fair.parent
    run(outer, "runs/x", study=None, arm="a", phase="run", val_accuracy=99.0, test_accuracy=99.0)
    describe_study(outer / "t", "a", name="t")
    search(outer / "t", "a", study="t")
    found, alone = compare(outer), compare(fair)
    assert found.arms[["study", "arm"]].fillna("-").values.tolist() == [["s", "b"], ["s", "a"], ["t", "a"], ["-", "a"]]
    assert_frame_equal(found.pairs, alone.pairs)
    assert_frame_equal(found.ledger.iloc[:3], alone.ledger)
    assert said(found, "t: The study is unfinished") and said(found, "single runs: ", "described and not judged")


# --------------------------------------------------------------------------------------------------------------- ledger


def test_the_ledger_counts_every_run_and_ends_with_the_sum(fair):
    run(fair, "source", arm="source", phase="source", curve=(50, 60))
    for number, state in enumerate(["PRUNED", "FAILED", "CHANCE", None], 5):
        run(fair, f"a/search/{number:03d}", arm="a", phase="search", number=number, lr=2e-3, state=state)
    (fair / "a/search/006/result.failed-1.json").write_text("{}")
    with lock_run(fair / "a/search/008"):
        found = compare(fair).ledger
    row = row_of(found, arm="a")
    assert list(found["arm"]) == ["a", "b", "source", "all"]
    assert row[list(LEDGER)[2:15]].tolist() == [9, 4, 1, 1, 1, 1, 1, 0, 1, 5, 0, 5, 0]
    assert (row["epochs"], row["images"], row["seconds"]) == (
        41,
        5 * 640 + 9 * 2560,
        41.0,
    )  # the search of the template has one epoch a trial
    assert row_of(found, arm="source")[["trials", "other_runs", "epochs"]].tolist() == [0, 1, 2]
    numbers = found.drop(columns=["study", "arm"])
    assert numbers.iloc[:-1].sum().tolist() == numbers.iloc[-1].tolist()


def test_a_run_that_lost_its_facts_stays_in_the_ledger(fair):
    (fair / "a/search/004/run.json").write_text("{")
    (fair / "a/search/004/result.json").unlink()
    found = compare(fair).ledger
    assert found["arm"].isna().sum() == 1 and found["other_runs"].iloc[-1] == 1


# ------------------------------------------------------------------------------------------------------------ sentences


def test_what_has_to_be_said_beside_a_verdict_is_said(fair):
    found = compare(fair)
    assert said(found, "seeds vary initial weights", "not the search", "luck")
    assert said(found, "read 10 times: 10 by confirmations")
    assert said(found, "±1.84 points (95 %, 1,000 test images)")
    assert said(found, "a: 1 of 5 search trials ended DIVERGED")
    assert not said(found, "unfinished") and not said(found, "earlier choice") and not said(found, "weights of")


def test_the_sampling_error_of_cifar10s_test_split_is_a_percentage_point(fair):
    frame = compare(fair).arms.assign(test_images=10000, test_mean=95.0)
    judged = pairs(frame, tables.trials(fair), read_json(fair / "study.json"))
    assert judged["test_sampling"][0] == pytest.approx(0.43, abs=0.005)


def test_weights_from_a_file_are_not_called_imagenets(fair):
    run(fair, "source", arm="source", phase="source")
    for arm, weights in (("a", "/x/s/source/best.safetensors"), ("b", "mine/model.pth")):
        for folder in fair.glob(f"{arm}/search/*"):
            result_of(folder, weights=weights)
    found = compare(fair)
    assert said(found, "weights of a are our own", "source run", "not ImageNet's")
    assert said(found, "weights of b are a file", "model.pth", "not called ImageNet's")
    for folder in fair.glob("b/search/*"):
        result_of(folder, weights="timm/resnet18.a1_in1k")
    assert not said(compare(fair), "weights of b")


def test_a_reading_of_the_test_split_by_a_search_trial_is_reported(fair):
    result_of(fair / "a/search/001", test_reads=1)
    assert said(compare(fair), "which they never should")


# --------------------------------------------------------------------------------------------------------------- tables


def test_without_runs_every_table_has_its_columns_and_types(tmp_path):
    for study in (False, True):
        if study:
            describe_study(tmp_path, "a", "b")
        found = compare(tmp_path)
        for name, columns in TABLE_COLUMNS.items():
            frame = getattr(found, name)
            assert {n: str(t) for n, t in frame.dtypes.items()} == {n: c.dtype for n, c in columns.items()}
            assert frame.empty
        assert found.verdicts == found.caveats == []
        paths = write_comparison(tmp_path)
        assert [path.name for path in paths] == [f"{name}.csv" for name in ("trials", "epochs", *TABLE_COLUMNS)]
        assert_frame_equal(read_table(paths[2]), found.arms)


@pytest.mark.parametrize("runs", ["none", "trials", "all"])
def test_types_are_the_same_at_every_stage_and_read_back(tmp_path, runs):
    describe_study(tmp_path, "NA", "null", spaces={"NA": SPACE, "null": SPACE})
    for arm, scores in (("NA", A), ("null", B)):
        if runs != "none":
            search(tmp_path, arm, states=["RUNNING"] * 5 if runs == "trials" else None)
        if runs == "all":
            confirm(tmp_path, arm, scores)
    paths, found = write_comparison(tmp_path), compare(tmp_path)
    for path, name in zip(paths[2:], TABLE_COLUMNS, strict=True):
        frame = getattr(found, name)
        assert {n: str(t) for n, t in frame.dtypes.items()} == {n: c.dtype for n, c in TABLE_COLUMNS[name].items()}
        assert_frame_equal(read_table(path), frame)
    if runs == "all":
        assert found.arms["arm"].tolist() == ["NA", "null"] and found.pairs["winner"].tolist() == ["NA"]
        assert found.ledger["arm"].tolist() == ["NA", "null", "all"]


def test_writing_again_changes_no_byte_and_follows_the_runs_on_disk(fair):
    first = [path.read_bytes() for path in write_comparison(fair)]
    assert [path.read_bytes() for path in write_comparison(fair)] == first
    assert not list((fair / "tables").glob("*.tmp"))


def test_the_functions_take_what_the_tables_hold(fair):
    paths, study = write_comparison(fair), read_json(fair / "study.json")
    trials, epochs = map(read_table, paths[:2])
    found = arms(trials, epochs, study)
    judged, spent = pairs(found, trials, study), ledger(trials)
    assert found["halfway_accuracy"].isna().all() and found["test_mean"].tolist() == [90.2, 92.0]
    assert judged["winner"].tolist() == ["a"] and len(verdicts(judged)) == 1
    assert len(caveats(found, judged, spent, trials, study)) > 2


def test_the_dictionary_explains_the_tables():
    text = dictionary_markdown()
    for name, columns in TABLE_COLUMNS.items():
        assert f"## {name}.csv" in text and TABLES[name] is columns
        assert all(column.meaning for column in columns.values())


def test_every_column_that_the_design_promises_is_there():
    promised = """arm trials pruned diverged failed best_lr lr_low lr_high edge lr_tolerance_decades val_accuracy seeds
    test_mean test_std test_ci_low test_ci_high test_precision_macro test_recall_macro test_f1_macro epochs_to_70
    epochs_to_70_censored seconds_to_95 seconds_to_95_censored parameters"""
    assert set(promised.split()) <= set(ARMS)
    promised = """arm_a arm_b seeds difference ci_low ci_high probability_of_improvement p_holm speedup_epochs
    speedup_seconds verdict"""
    assert set(promised.split()) <= set(PAIRS)


def test_torch_hydra_and_optuna_are_not_imported():
    names = {"torch", "hydra", "optuna", "scipy.stats"}
    script = f"import sys, headstart.analysis.comparison; print(sorted({names} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60).stdout
    assert out == "[]\n"


def test_runs_without_an_arm_are_no_reason_to_fail(tmp_path):
    run(tmp_path, "source", arm=None, phase="source", state="COMPLETE", val_accuracy=90.0)
    found = compare(tmp_path)
    assert found.arms.empty and found.trials["phase"].tolist() == ["source"]
