"""How far pictures are from the training's, beside the same computed from all pixels at once."""

import numpy as np
import pytest

from headstart.serving.drift import IMAGENET, WINDOW, Drift


def moments(images: np.ndarray) -> tuple[list, list]:
    pixels = images.reshape(len(images), -1, 3) / 255
    return pixels.mean(1).tolist(), (pixels**2).mean(1).tolist()


def test_shift_and_spread_are_in_units_of_the_training_set():
    images = np.random.default_rng(0).integers(0, 200, (50, 8, 8, 3))
    drift = Drift((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
    drift.note(*moments(images[:20]))
    drift.note(*moments(images[20:]))
    pixels = images.reshape(-1, 3) / 255
    for channel in range(3):
        mean, std = drift.mean[channel], drift.std[channel]
        assert drift.shift(channel) == pytest.approx((pixels[:, channel].mean() - mean) / std)
        assert drift.spread(channel) == pytest.approx(pixels[:, channel].std() / std)


def test_only_the_latest_pictures_count_and_none_is_nan():
    drift = Drift((0.5,) * 3, (0.5,) * 3)
    assert np.isnan(drift.shift(0)) and np.isnan(drift.spread(0))
    drift.note([[0.0] * 3], [[0.0] * 3])
    assert drift.shift(0) == -1 and drift.spread(0) == 0
    drift.note([[1.0] * 3] * WINDOW, [[1.0] * 3] * WINDOW)
    assert drift.shift(0) == 1


def test_it_says_what_it_is_measured_against():
    assert "of the training pictures" in Drift(*IMAGENET).meaning("data")
    assert "ImageNet's" in Drift(*IMAGENET).meaning("imagenet") and "ImageNet's" in Drift(*IMAGENET).meaning(None)
    assert "is not known" in Drift((0.5,) * 3, (0.5,) * 3).meaning(None)
