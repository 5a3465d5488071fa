"""Galleries show the errors that the predictions hold."""

import numpy as np

from headstart.analysis import Predictions, read_predictions
from headstart.report import galleries
from report.helpers_report import CLASSES, predictions, study, with_predictions


def test_galleries_show_the_errors_that_the_predictions_hold(tmp_path):
    frames = with_predictions(tmp_path, study("good", "bad"))
    runs = {
        arm: [read_predictions(tmp_path / arm / "confirm" / f"seed-{s}" / "predictions.npz") for s in range(1, 6)]
        for arm in frames.arms["arm"]
    }
    good, bad = galleries.confidently_wrong(runs)
    assert [words for _, words in good[1]] == ["is cat\nsaid dog, 90 %\n5 of 5 seeds"]
    assert [words.split("\n")[0] for _, words in bad[1]] == ["is cat", "is dog"]
    first, second = galleries.disagreements(runs)
    assert first[0] == "good right, bad wrong" and [w for _, w in first[1]] == ["is dog\nsaid deer, 89 %\n5 of 5 seeds"]
    assert second[1] == []
    ((_, classes),) = galleries.samples(runs)
    assert [words for _, words in classes] == list(CLASSES)


def test_arms_tested_on_other_images_are_not_set_side_by_side():
    one = predictions([0.9] * 4, [True] * 4)
    other = Predictions(one.labels, one.predicted, one.confidence, one.indices + 1, CLASSES, {})
    assert galleries.disagreements({"a": [one], "b": [other]}) == []


def test_arms_disagree_where_most_seeds_of_one_are_right_and_most_of_the_other_wrong():
    image = {0: np.zeros((2, 2, 3), np.uint8), 1: np.zeros((2, 2, 3), np.uint8)}

    def runs(*correct):  # per run, whether images 0 and 1 are right
        found = [predictions([0.9, 0.9], c) for c in correct]
        return [Predictions(p.labels, p.predicted, p.confidence, p.indices, CLASSES, image) for p in found]

    some = {"a": runs((1, 1), (1, 1), (1, 1)), "b": runs((0, 1), (0, 1), (1, 0))}
    (_, found), (_, other) = galleries.disagreements(some)
    assert [words for _, words in found] == ["is cat\nsaid dog, 90 %\n2 of 3 seeds"] and other == []
