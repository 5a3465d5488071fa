"""What has to be equal behind a verdict: over an arm's runs, and between both arms of a pair."""

import pandas as pd
import pytest

from analysis.helpers_analysis import result_of, row_of, said
from headstart.analysis.comparison import compare
from headstart.store import read_json, read_run, write_json


def test_a_fair_study_has_no_disagreement(fair):
    assert compare(fair).arms["disagreement"].isna().all()


@pytest.mark.parametrize("column", ["data_sha256", "weights_sha256", "epochs", "batch_size", "val_size"])
@pytest.mark.parametrize("run", ["confirm/002/seed-2", "search/003"])
def test_runs_that_differ_in_what_must_be_equal_forbid_a_winner(fair, column, run):
    same, other = (7, 8) if column.endswith(("size", "epochs")) else ("7" * 64, "8" * 64)
    for folder in [*(fair / "a").glob("search/*"), *(fair / "a").glob("confirm/*/*")]:
        write_json(folder / "result.json", read_run(folder) | {column: same})
    write_json(fair / "a" / run / "result.json", read_run(fair / "a" / run) | {column: other})
    found = compare(fair)
    assert f"the runs of a differ in {column}" in row_of(found.arms, arm="a")["disagreement"]
    assert found.pairs["winner"].isna().all() and f"the runs of a differ in {column}" in found.pairs["verdict"][0]


def test_images_that_are_not_known_are_not_the_same(fair):
    for folder in [*fair.glob("*/search/*"), *fair.glob("*/confirm/*/*")]:
        for name in ("run.json", "result.json"):
            known = {k: v for k, v in read_run(folder).items() if k != "data_sha256"}
            write_json(folder / name, known)
    assert "or not known to be" in compare(fair).pairs["verdict"][0]


def test_a_confirmation_that_failed_forbids_a_winner_as_one_that_diverged_does(fair):
    result_of(fair / "a/confirm/002/seed-2", state="FAILED", reason="disk")
    found = compare(fair)
    assert found.pairs["winner"].isna().all() and "1 confirmation of a failed" in found.pairs["verdict"][0]


def test_no_winner_while_planned_confirmations_are_open(fair):
    write_json(fair / "study.json", read_json(fair / "study.json") | dict(confirm_seeds=7))
    found = compare(fair)
    assert found.pairs["winner"].isna().all() and "2 of 7 confirmations of" in found.pairs["verdict"][0]


def test_machines_that_differ_are_said(fair):
    result_of(fair / "a/search/003", device="cuda (H100)")
    assert said(compare(fair), "not all made alike", "device")


@pytest.mark.parametrize("value", [-0.5, 100.5, 1e300])
def test_an_accuracy_that_is_none_counts_as_missing_and_forbids_a_winner(fair, value):
    place = fair / "a/confirm/002/seed-2"
    write_json(place / "result.json", read_run(place) | dict(test_accuracy=value))
    found = compare(fair)
    row = row_of(found.trials, arm="a", phase="confirm", seed=2)
    assert row["test_accuracy"] is pd.NA and row["reason"].startswith("unreadable result.json: test_accuracy=")
    pair = found.pairs.iloc[0]
    assert pair["winner"] is pd.NA and "1 confirmation of a failed or still running" in pair["verdict"]


def test_what_an_arm_searches_may_differ_with_all_that_follows_from_it(fair):
    for number, path in enumerate(sorted(fair.glob("a/search/*/result.json"))):
        record = read_json(path)
        params = record["params"] | {"data.train_size": 50 + number % 2}
        write_json(path, record | dict(params=params, train_size=50 + number % 2, data_sha256=f"d{number % 2}"))
    assert row_of(compare(fair).arms, arm="a")["disagreement"] is pd.NA


FOLDED = dict(data_sha256=["d0", "d1", "d2", "d0", "d1"], train_size=[50, 51, 51, 50, 51])


def folded(root, **by_seed):
    """The study with confirmations on three folds; by_seed: further values of each."""
    for folder in [*root.glob("*/search/*"), *root.glob("*/confirm/*/*")]:
        place = int(folder.name.removeprefix("seed-")) - 1 if "confirm" in folder.parts else 0
        own = {column: values[place] for column, values in (FOLDED | by_seed).items()}
        write_json(folder / "result.json", read_run(folder) | own | dict(folds=3, fold=place % 3))


def test_runs_on_different_folds_have_different_pictures_and_those_on_the_same_fold_have_not(fair):
    folded(fair)
    found = compare(fair)
    assert found.arms["disagreement"].isna().all() and found.pairs["winner"][0] == "a"
    assert "other training pictures of these folds" in found.pairs["verdict"][0]
    assert found.arms["folds"].tolist() == [3, 3]
    folded(fair, data_sha256=["d0", "d1", "d2", "d0", "d2"])
    assert "differ in data_sha256 (d1 and d2)" in row_of(compare(fair).arms, arm="a")["disagreement"]


def test_folds_that_were_used_unequally_and_what_they_leave_open_is_said(fair):
    folded(fair)
    found = compare(fair)
    assert said(found, "b, a: what two folds leave to train on overlaps; for wholly new images")
    assert said(found, "a: its 5 confirmations do not use all 3 folds equally often.")
    assert not said(found, "gave the same model")


def test_a_model_that_no_seed_changes_differs_between_folds_alone(fair):
    folded(fair, val_loss=[0.1, 0.2, 0.3, 0.1, 0.2])
    assert said(compare(fair), "a: seeds with the same fold gave the same model")
    folded(fair, val_loss=[0.1, 0.2, 0.3, 0.1, 0.25])
    assert not said(compare(fair), "gave the same model")
