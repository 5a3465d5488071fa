"""The most probable classes in their order."""

import numpy as np

from headstart.serving.service import highest


def test_the_most_probable_classes_first_and_of_equals_the_first():
    shares = np.array([0.25, 0.5, 0.25], np.float32)
    assert [one["class"] for one in highest(shares, "abc", 3)] == ["b", "a", "c"]
    assert highest(shares, "abc", 1) == [{"class": "b", "probability": 0.5}]
    assert len(highest(shares, "abc", 99)) == 3
