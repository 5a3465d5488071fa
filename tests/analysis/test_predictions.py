"""predictions.npz has one reader: what it gives, and what it leaves out with a line in the log."""

import numpy as np
import pytest
from helpers_runs import make_run, make_study, write_predictions

from headstart.analysis import load_results, write_comparison
from headstart.analysis.columns import CORRUPTIONS
from headstart.analysis.predictions import read_predictions, same_answers
from headstart.store import read_json, write_json

LABELS, PROBABILITIES = np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])


def test_answers_confidences_and_what_was_right(tmp_path):
    found = read_predictions(write_predictions(tmp_path, LABELS, PROBABILITIES, classes=np.array(["cat", "dog"])))
    assert found.predicted.tolist() == [0, 1, 0] and found.confidence.tolist() == [0.9, 0.8, 0.7]
    assert found.correct.tolist() == [True, True, False] and found.indices.tolist() == [0, 1, 2]
    assert found.classes == ("cat", "dog") and found.thumbnails == {}


def test_classes_without_names_are_numbers(tmp_path):
    assert read_predictions(write_predictions(tmp_path, LABELS, PROBABILITIES)).classes == ("0", "1")


def test_thumbnails_are_kept_by_position_and_foreign_ones_left_out(tmp_path):
    stored = dict(thumbnails=np.zeros((3, 8, 8, 3), np.uint8), thumbnail_indices=np.array([2, 7, -1]))
    assert list(read_predictions(write_predictions(tmp_path, LABELS, PROBABILITIES, **stored)).thumbnails) == [2]


def test_damaged_and_foreign_files_are_left_out(tmp_path, caplog):
    (tmp_path / "a.npz").write_bytes(b"no archive")
    np.savez(tmp_path / "b.npz", val_labels=np.zeros(3))
    np.savez(tmp_path / "c.npz", test_labels=np.array([{}], dtype=object))
    for name in ("a.npz", "b.npz", "c.npz", "missing.npz"):
        assert read_predictions(tmp_path / name) is None
        assert name in caplog.text


@pytest.mark.parametrize("key", ["test_labels", "test_indices"])
def test_arrays_that_do_not_belong_together_are_left_out(tmp_path, caplog, key):
    assert read_predictions(write_predictions(tmp_path, LABELS, PROBABILITIES, **{key: np.zeros(2, int)})) is None
    assert "(2,)" in caplog.text and "(3, 2) probabilities" in caplog.text


def test_only_answers_to_the_same_images_are_set_side_by_side(tmp_path):
    one = read_predictions(write_predictions(tmp_path, LABELS, PROBABILITIES))
    other = read_predictions(write_predictions(tmp_path, LABELS, PROBABILITIES, test_indices=np.array([4, 5, 6])))
    assert same_answers([one], [one]) and not same_answers([one], [other])
    assert not same_answers([one], []) and not same_answers(None, [one])


def test_accuracy_on_worse_pictures_is_a_row_per_arm_kind_and_strength(tmp_path):
    for seed, shift in ((1, 0.0), (2, 2.0), (3, None)):
        scores = {"noise": [50.0 + (shift or 0), 40.0], "jpeg": [30.0, 20.0]}
        asked = {} if shift is None else dict(corrupted=scores, test_corrupted_mean=35.0)
        own = dict(study=None, arm="cnn", phase="run", seed=seed, lr=0.1, state="COMPLETE", val_accuracy=50.0)
        make_run(tmp_path, f"run{seed}", **own, test_accuracy=60.0, **asked)
    found = load_results(tmp_path).corruptions
    assert list(found) == list(CORRUPTIONS) and len(found) == 4
    first = found.iloc[0]
    assert (first["arm"], first["corruption"], first["strength"], first["seeds"]) == ("cnn", "noise", 1, 2)
    assert first["accuracy_mean"] == 51 and first["accuracy_std"] == pytest.approx(2**0.5)
    assert load_results(tmp_path).arms["test_corrupted_mean"].iloc[0] == 35
    path = tmp_path / "run1" / "result.json"
    write_json(path, read_json(path) | dict(corrupted="nothing"))
    results = load_results(tmp_path)
    assert results.corruptions["seeds"].eq(1).all() and len(results.corruptions) == 4


def test_without_runs_that_were_asked_the_table_is_empty_and_goes(tmp_path):
    make_study(tmp_path / "tiny")
    (tmp_path / "tiny" / "tables").mkdir()
    (tmp_path / "tiny" / "tables" / "corruptions.csv").write_text("study")
    write_comparison(tmp_path / "tiny")
    assert not (tmp_path / "tiny" / "tables" / "corruptions.csv").exists()
