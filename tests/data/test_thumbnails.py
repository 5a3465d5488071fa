"""Thumbnails: which images a run stores, and how small."""

import numpy as np

from headstart.data.thumbnails import choose_thumbnails, shrink


def test_thumbnails_are_the_surest_errors_and_the_first_image_of_each_class():
    labels = np.array([1, 0, 0, 1, 2, 2])
    probabilities = np.array(
        [[0.6, 0.3, 0.1], [0.9, 0.1, 0], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1], [0.95, 0.05, 0], [0.1, 0.2, 0.7]]
    )
    assert choose_thumbnails(labels, probabilities, 2).tolist() == [4, 2, 1, 0]
    assert choose_thumbnails(labels, probabilities, 0).tolist() == [1, 0, 4]
    assert choose_thumbnails(labels[:0], probabilities[:0], 5).tolist() == []
    assert choose_thumbnails(labels, probabilities, 9).dtype == np.int64


def test_thumbnails_shrink_by_averaging_squares():
    images = np.arange(2 * 130 * 128 * 3, dtype=np.uint8).reshape(2, 130, 128, 3)
    small = shrink(images, 64)
    assert small.shape == (2, 43, 42, 3) and small.dtype == np.uint8
    assert small[1, 2, 3, 0] == round(images[1, 6:9, 9:12, 0].mean())
    assert shrink(small, 64) is small
