"""predictions.npz has one reader: what it gives, and what it leaves out with a line in the log."""

import numpy as np
import pytest
from helpers_runs import write_predictions

from headstart.analysis.predictions import read_predictions, same_answers

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
