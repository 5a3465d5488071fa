"""arms.csv against numbers worked out by hand and by scipy."""

import numpy as np
import pandas as pd
import pytest
import scipy.special
import scipy.stats

from analysis.helpers_analysis import IMAGES, A, describe_study, row_of, run, search
from headstart.analysis.comparison import compare
from headstart.store import append_epoch, read_epochs, read_run, write_json


def test_an_arm_is_its_search_its_best_trial_and_the_seeds_of_that_trial(fair):
    row = row_of(compare(fair).arms, arm="a")
    assert tuple(row[["tuned", "trials", "diverged", "pruned", "failed", "chance", "open"]]) == (True, 5, 1, 0, 0, 0, 0)
    assert tuple(row[["best_number", "best_lr", "val_accuracy", "lr_low", "lr_high"]]) == (2, 1e-3, 84.0, 1e-5, 1e-1)
    assert tuple(row[["model", "parameters", "data", "train_size", "test_images"]]) == ("cnn", 10, "digits", 50, IMAGES)
    assert not row["edge"] and row["edge_side"] is pd.NA and row["edge_try_low"] is pd.NA
    _, high = scipy.stats.t.interval(0.95, 4, np.mean(A), scipy.stats.sem(A))
    assert row["seeds"] == 5 and row["test_mean"] == 92.0 and row["test_f1_macro"] == 91.0
    odds = scipy.special.logit(0.92) + np.array([-1, 1]) * (high - 92) / (92 * 0.08)  # so that none leaves 0 to 100
    assert row["test_std"] == pytest.approx(np.std(A, ddof=1))
    bounds = 100 * scipy.special.expit(odds)
    np.testing.assert_allclose([row["test_ci_low"], row["test_ci_high"]], bounds)
    np.testing.assert_allclose([row["test_seeds_ci_low"], row["test_seeds_ci_high"]], bounds)


def test_arms_stand_in_the_order_of_the_study(fair):
    assert compare(fair).arms["arm"].tolist() == ["b", "a"]


def test_of_equal_trials_the_earlier_is_the_best_and_only_complete_ones_count(tmp_path):
    describe_study(tmp_path, "a")
    search(tmp_path, "a", [95.0, 84.0, 84.0, 99.0, 98.0], states=["CHANCE", "COMPLETE", "COMPLETE", "PRUNED", "FAILED"])
    row = compare(tmp_path).arms.iloc[0]
    assert (row["best_number"], row["trials"], row["failed"]) == (1, 4, 1)


def test_a_copied_confirmation_is_no_further_seed(fair):
    run(fair, "copy", arm="a", phase="confirm", number=2, seed=5, test_accuracy=94.0, val_accuracy=84.0)
    row = row_of(compare(fair).arms, arm="a")
    assert (row["seeds"], row["test_mean"]) == (5, 92.0)


def test_a_confirmation_at_chance_stays_in_the_mean(fair):
    run(fair, "a/confirm/002/seed-6", state="CHANCE", arm="a", phase="confirm", number=2, seed=6, test_accuracy=20.0)
    row = row_of(compare(fair).arms, arm="a")
    assert (row["seeds"], row["test_mean"], row["confirmations_lost"]) == (6, 80.0, 0)


def test_an_arm_whose_processes_all_died_before_they_said_anything_is_described(fair):
    for folder in fair.glob("a/search/*"):
        known = {k: v for k, v in read_run(folder).items() if k in ("study", "arm", "phase", "number", "params")}
        for file in folder.iterdir():
            file.unlink()
        write_json(folder / "result.json", known | dict(state="FAILED", reason="its process died 3 times"))
    assert row_of(compare(fair).arms, arm="a")["failed"] == 5


def test_training_accuracy_stands_beside_that_on_the_test_split(fair):
    for number, folder in enumerate(sorted((fair / "a/confirm").glob("*/*"))):
        epochs = [epoch._asdict() for epoch in read_epochs(folder).rows]
        (folder / "epochs.csv").unlink()
        for epoch in epochs:
            append_epoch(folder, epoch | dict(train_accuracy=50.0 + 10 * number + epoch["epoch"]))
    assert row_of(compare(fair).arms, arm="a")["train_mean"] == pytest.approx(50 + 20 + 4)


def test_means_over_folds_weigh_each_fold_alike(fair):
    values = dict(val_accuracy=[90.0, 80.0, 70.0, 60.0, 58.0], val_mse=[0.1, 0.2, 0.3, 0.5, 0.4], test_r2=[1.0] * 5)
    for folds, expected, on_the_searchs_fold in ((3, (75 + 69 + 70) / 3, 75.0), (None, 71.6, 71.6)):
        for folder in fair.glob("*/search/*"):
            write_json(folder / "result.json", read_run(folder) | dict(folds=folds, fold=folds and 0))
        for folder in fair.glob("*/confirm/*/*"):
            place = int(folder.name.removeprefix("seed-")) - 1
            own = {column: numbers[place] for column, numbers in values.items()}
            own |= dict(folds=folds, fold=folds and place % folds)
            write_json(folder / "result.json", read_run(folder) | own)
        row = row_of(compare(fair).arms, arm="a")
        assert (row["val_accuracy"], row["val_mean"]) == (84.0, pytest.approx(expected))
        assert row["overtuning"] == pytest.approx(84 - on_the_searchs_fold)
        assert row["val_mse"] == pytest.approx(0.3) and row["test_r2"] == 1.0 and row["test_mae"] is pd.NA
