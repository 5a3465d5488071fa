"""Runs in every condition become rows of trials.csv and epochs.csv, with the same types and the same text."""

import csv
import os
import random
import shutil
import subprocess
import sys
import time

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from store.helpers_store import epoch_row, mutated

from headstart.analysis.collate import collate
from headstart.analysis.columns import EPOCHS, THRESHOLDS, TRIALS
from headstart.analysis.csv_tables import read_table, write_table
from headstart.errors import UserError
from headstart.store import EPOCH_FIELDS, append_epoch, lock_run, write_json

FACTS = dict(study="s", arm="cnn", phase="search", number=0, lr=0.1, seed=0, model="cnn")
RESULT = dict(state="COMPLETE", reason="", val_accuracy=71.5, epochs_run=3, seconds_train=30.0)
AWKWARD = ["NA", "null", "nan", "None", "NaN", "N/A", "#N/A", "-", "1", "1e5", "True", "007"]
AWKWARD += ["=1+1", "@SUM(A1)", "-2+3", "+1", "'", "\\", "<script>alert(1)</script>"]
AWKWARD += ["a,b", 'say "x"', "two\nlines", "cr\rhere", " spaced ", "Größe 模型 🦊", "\ufeffx"]


def add_run(root, place, *, accuracies=(), **changed):
    """Leave the files of a run that has ended; None in `changed` leaves a key out."""
    folder = root / place
    folder.mkdir(parents=True)
    values = {key: value for key, value in (FACTS | RESULT | changed).items() if value is not None}
    write_json(folder / "run.json", {key: value for key, value in values.items() if key not in RESULT})
    if "state" in values:
        write_json(folder / "result.json", values)
    for epoch, accuracy in enumerate(accuracies, 1):
        append_epoch(folder, epoch_row(epoch, val_accuracy=accuracy, seconds_total=10.0 * epoch))
    return folder


def dtypes(frame):
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


def only(frame):
    assert len(frame) == 1
    return frame.iloc[0]


@pytest.mark.parametrize("runs", [0, 1, 30])
def test_columns_keep_names_order_and_types_with_any_number_of_runs(tmp_path, runs):
    for number in range(runs):
        add_run(tmp_path, f"cnn/search/{number:03d}", number=number, accuracies=[50])
    for table, columns, frame in (
        ("trials", TRIALS, collate(tmp_path).trials),
        ("epochs", EPOCHS, collate(tmp_path).epochs),
    ):
        expected = {name: column.dtype for name, column in columns.items()}
        assert dtypes(frame) == expected and list(frame) == list(expected) and len(frame) == runs
        collate(tmp_path).write(tmp_path / "tables")
        assert_frame_equal(read_table(tmp_path / "tables" / f"{table}.csv"), frame)


def test_a_value_of_every_column_reaches_the_table_with_all_its_digits(tmp_path):
    computed = {"state", "reason", "run_dir", "steps", "images", "train_accuracy", *(n for n in TRIALS if "_to_" in n)}
    computed |= {name for name in TRIALS if name.startswith("reached_")}
    samples = {"Int64": 2**53 - 1, "Float64": 0.1 + 0.2, "string": "x", "boolean": True}
    given = {name: samples[column.dtype] for name, column in TRIALS.items() if name not in computed}
    add_run(tmp_path, "a", **given)
    path = collate(tmp_path).write(tmp_path / "tables")[0]
    for frame in (collate(tmp_path).trials, read_table(path)):
        assert {name: only(frame)[name] for name in given} == given


@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_texts_survive_the_round_trip_exactly(tmp_path, text):
    add_run(tmp_path, "a", arm=text, reason=text, state="FAILED", accuracies=[1.0], params={"model.name": text})
    trials_path, epochs_path = collate(tmp_path).write(tmp_path / "tables")
    for frame in (collate(tmp_path).trials, read_table(trials_path)):
        assert (only(frame)["arm"], only(frame)["reason"]) == (text, text)
    assert only(read_table(epochs_path))["arm"] == text
    with open(trials_path, encoding="utf-8", newline="") as file:  # an independent reader agrees
        assert next(csv.DictReader(file))["arm"] == text
    frame = pd.read_csv(trials_path, dtype="string", keep_default_na=False, na_values=[""])
    assert only(frame)["arm"] == text


def test_all_awkward_arms_together_stay_apart(tmp_path):
    for place, text in enumerate(AWKWARD):
        add_run(tmp_path, str(place), arm=text)
    assert sorted(read_table(collate(tmp_path).write(tmp_path / "tables")[0])["arm"]) == sorted(AWKWARD)


def test_text_that_utf8_cannot_hold_is_replaced_not_fatal(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/run.json").write_text('{"arm": "x\\ud800y\\u0000z"}')
    frame = collate(tmp_path).trials
    assert only(frame)["arm"] is pd.NA and "unreadable run.json: arm=x?y" in only(frame)["reason"]
    assert_frame_equal(read_table(collate(tmp_path).write(tmp_path / "tables")[0]), frame)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("seed", "three", "three"),
        ("seed", 1.5, "1.5"),
        ("seed", True, "true"),
        ("seed", [1], "[1]"),
        ("seed", 10**30, str(10**30)),
        ("lr", "0.1", "0.1"),
        ("lr", {"a": 1}, '{"a": 1}'),
        ("lr", 10**400, "1" + "0" * 39),
        ("params", [1], "[1]"),
        ("params", {"lr": [1]}, '{"lr": [1]}'),
        ("arm", 5, "5"),
        ("weights", ["x", 1], '["x", 1]'),
        ("test_accuracy", 999, "999"),
        ("confusion", [[1], "x"], '[[1], "x"]'),
        ("classes", "cat", "cat"),
    ],
)
def test_a_value_of_the_wrong_type_costs_its_run_and_is_named(tmp_path, name, value, shown):
    folder = add_run(tmp_path, "a")
    write_json(folder / "result.json", FACTS | RESULT | {name: value})
    row = only(collate(tmp_path).trials)
    assert row["reason"].startswith(f"unreadable result.json: {name}={shown}, expected ")
    assert row["state"] == "INTERRUPTED" and row["val_accuracy"] is pd.NA
    assert row["arm"] == "cnn" and (name not in FACTS or row[name] == FACTS[name])


def test_whole_floats_are_counts(tmp_path):
    add_run(tmp_path, "a", seed=3.0, lr=1)
    assert only(collate(tmp_path).trials)["seed"] == 3


def test_swept_values_get_columns_sorted_by_name_and_typed_by_content(tmp_path):
    add_run(tmp_path, "a", params={"lr": 1e-05, "depth": 3, "model.C": 1, "nesterov": True, "optimizer": "adam"})
    add_run(tmp_path, "b", params={"lr": 0.1, "model.C": 0.5, "optimizer": "sgd"}, seed=1)
    add_run(tmp_path, "c", seed=2)
    frame = collate(tmp_path).trials
    added = ["params_depth", "params_lr", "params_model.C", "params_nesterov", "params_optimizer"]
    assert list(frame)[len(TRIALS) :] == added
    assert [dtypes(frame)[name] for name in added] == ["Int64", "Float64", "Float64", "boolean", "string"]
    assert frame["params_lr"].tolist() == [1e-05, 0.1, pd.NA]
    assert_frame_equal(read_table(collate(tmp_path).write(tmp_path / "tables")[0]), frame)


def test_speed_is_the_first_epoch_at_or_above_each_threshold_and_empty_when_never_reached(tmp_path):
    add_run(tmp_path, "a", accuracies=[60, 70, 69, 89.99, 93.5, 92])
    row = only(collate(tmp_path).trials)
    assert [row[f"epochs_to_{t}"] for t in THRESHOLDS] == [2, 4, 5, 5, pd.NA]
    assert [row[f"seconds_to_{t}"] for t in THRESHOLDS] == [20.0, 40.0, 50.0, 50.0, pd.NA]


def test_speed_comes_from_the_epochs_and_not_from_what_the_result_claims(tmp_path):
    add_run(tmp_path, "a", accuracies=[60], epochs_to_70=1)
    assert only(collate(tmp_path).trials)["epochs_to_70"] is pd.NA


def test_an_interrupted_run_shows_what_it_has_cost_so_far(tmp_path):
    add_run(tmp_path, "a", state=None, epochs_run=None, seconds_train=None, accuracies=[60, 72])
    row = only(collate(tmp_path).trials)
    assert (row["state"], row["epochs_run"], row["seconds_train"], row["images"]) == ("INTERRUPTED", 2, 20.0, 1280)
    assert row["epochs_to_70"] == 2 and row["val_accuracy"] is pd.NA


def test_rows_are_sorted_with_missing_values_last(tmp_path):
    searched = [("b", "search", 2, 0), ("b", "search", 10, 0), ("a", "search", 0, 0)]
    others = [("b", "confirm", 2, 1), ("b", "confirm", 2, 0), (None, None, None, None), ("b", "search", None, 0)]
    for place, (arm, phase, number, seed) in enumerate(searched + others):
        add_run(tmp_path, f"{9 - place}", arm=arm, phase=phase, number=number, seed=seed)
    assert collate(tmp_path).trials["run_dir"].tolist() == ["7", "5", "6", "9", "8", "3", "4"]


def test_epochs_are_the_long_form_in_the_order_of_trials(tmp_path):
    add_run(tmp_path, "z", arm="a", accuracies=[1.0, 2.0])
    add_run(tmp_path, "y", arm="b", accuracies=[])
    add_run(tmp_path, "x", arm="c", accuracies=[3.0])
    frame = collate(tmp_path).epochs
    found = frame[["arm", "run_dir", "epoch", "val_accuracy"]].values.tolist()
    assert found == [["a", "z", 1, 1.0], ["a", "z", 2, 2.0], ["c", "x", 1, 3.0]]


def test_a_moved_folder_gives_the_same_tables(tmp_path):
    add_run(tmp_path / "here", "cnn/search/000", accuracies=[50])
    first = [path.read_bytes() for path in collate(tmp_path / "here").write(tmp_path / "here" / "tables")]
    (tmp_path / "here").rename(tmp_path / "there")
    assert [path.read_bytes() for path in collate(tmp_path / "there").write(tmp_path / "there" / "tables")] == first
    assert b"cnn/search/000" in first[0] and os.fsencode(tmp_path) not in first[0]


def test_a_single_run_can_be_collated_by_itself(tmp_path):
    add_run(tmp_path, "a", accuracies=[50])
    assert only(collate(tmp_path / "a").trials)["run_dir"] == "."


def test_collating_again_changes_no_byte_and_counts_no_table_as_run(tmp_path):
    add_run(tmp_path, "a", accuracies=[50])
    first = [path.read_bytes() for path in collate(tmp_path).write(tmp_path / "tables")]
    assert [path.read_bytes() for path in collate(tmp_path).write(tmp_path / "tables")] == first
    assert sorted(os.listdir(tmp_path / "tables")) == ["epochs.csv", "trials.csv"]


def test_a_running_run_has_a_row(tmp_path):
    folder = add_run(tmp_path, "a", state=None)
    with lock_run(folder):
        assert only(collate(tmp_path).trials)["state"] == "RUNNING"


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere is not a folder"):
        collate(tmp_path / "nowhere")


def test_300_damaged_runs_all_keep_their_rows(tmp_path):
    rng = random.Random(0)
    add_run(tmp_path, "000", accuracies=[50, 75], params={"lr": 0.1})
    for number in range(1, 300):
        folder = tmp_path / f"{number:03d}"
        shutil.copytree(tmp_path / "000", folder)
        for name in ("run.json", "result.json", "epochs.csv"):
            if rng.random() < 0.6:
                (folder / name).write_bytes(mutated((folder / name).read_bytes(), rng))
    paths = collate(tmp_path).write(tmp_path / "tables")
    for frame, path in zip((collate(tmp_path).trials, collate(tmp_path).epochs), paths, strict=True):
        assert_frame_equal(read_table(path), frame)
    frame = read_table(paths[0])
    assert sorted(frame["run_dir"]) == [f"{number:03d}" for number in range(300)]
    assert set(frame["state"]) <= {"COMPLETE", "INTERRUPTED"} and (frame["state"] == "COMPLETE").sum() > 100
    assert frame.loc[frame["state"] != "COMPLETE", "reason"].notna().all()


@pytest.mark.parametrize(
    ("old", "new"), [("", ""), ("1.5", "nan"), ("1.5", "-inf"), ("\n2,", "\n0_2,"), ("\n", "\r\n"), ("\n2,", "\n,2,")]
)
def test_epochs_that_are_copied_are_those_that_would_be_written(tmp_path, old, new):
    folder = add_run(tmp_path, 'a,"b"', arm='a,"b"')
    for epoch in (1, 2, 3):
        append_epoch(folder, epoch_row(epoch, lr=1e-7 / 3, train_loss=1.5))
    file = folder / "epochs.csv"
    file.write_bytes(file.read_bytes().replace(old.encode(), new.encode()) if old else file.read_bytes())
    collated = collate(tmp_path)
    copied, written = collated.write(tmp_path / "tables")[1], write_table(tmp_path / "epochs.csv", collated.epochs)
    assert copied.read_bytes() == written.read_bytes() and len(collated.epochs) >= 2


def test_neither_torch_nor_hydra_is_imported():
    script = (
        "import sys, headstart.analysis.collate; print(sorted({'torch', 'hydra', 'optuna', 'yaml'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60).stdout
    assert out == "[]\n"


def test_a_study_of_a_thousand_runs_is_collated_in_seconds(tmp_path):
    run = add_run(tmp_path, "first", accuracies=[], params={"lr": 0.1})
    lines = [f"{e},{352 * e},{45000 * e}" + f",{e / 7!r}" * 8 for e in range(1, 101)]
    text = "\n".join([",".join(EPOCH_FIELDS), *lines]) + "\n"
    for number in range(1000):
        folder = tmp_path / f"arm/search/{number:03d}"
        folder.mkdir(parents=True)
        for name in ("run.json", "result.json"):
            (folder / name).write_bytes((run / name).read_bytes())
        (folder / "epochs.csv").write_text(text)
    begin = time.process_time()
    paths = collate(tmp_path).write(tmp_path / "tables")
    seconds = time.process_time() - begin
    assert [len(path.read_bytes().splitlines()) for path in paths] == [1002, 100_001]
    assert seconds < 8, f"{seconds:.1f} s; it takes about 1.2 s on one core"


def test_the_training_accuracy_of_a_run_is_that_of_its_best_epoch(tmp_path):
    folder = add_run(tmp_path, "cnn/search/000", best_epoch=2)
    for epoch, accuracy in enumerate((40.0, 60.0, 80.0), 1):
        append_epoch(folder, epoch_row(epoch, train_accuracy=accuracy))
    add_run(tmp_path, "cnn/search/001", number=1, best_epoch=9, accuracies=[50])  # no such epoch
    add_run(tmp_path, "tree/search/000", arm="tree")  # no epochs
    assert collate(tmp_path).trials["train_accuracy"].tolist() == [60.0, pd.NA, pd.NA]


@pytest.mark.parametrize(
    ("changed", "accuracies", "said"),
    [
        (dict(state="COMPLETE"), (60, 80), "yes"),
        (dict(state="COMPLETE"), (60, 70), "never"),
        (dict(state="PRUNED", reason="pruner"), (60,), "never"),
        (dict(state="PRUNED", reason="paused after 2 epochs"), (60,), "not yet"),
        (dict(state=None), (60,), "not yet"),
        (dict(state="COMPLETE"), (), "no epochs"),
        (dict(state="FAILED", reason="out of memory"), (), "not run"),
    ],
)
def test_a_run_says_whether_it_got_there_or_never_did_or_was_not_run(tmp_path, changed, accuracies, said):
    add_run(tmp_path, "cnn/search/000", accuracies=accuracies, **changed)
    assert only(collate(tmp_path).trials)["reached_80"] == said
