"""Pictures made worse: more with each step, the same each time, and never out of range."""

import itertools

import numpy as np
import pytest

from headstart.data import CORRUPTIONS, STRENGTHS, corrupt

STEPS = np.linspace(40, 220, 32).astype(np.uint8)
PICTURE = np.stack([np.add.outer(STEPS // 2, STEPS // 2), np.tile(STEPS, (32, 1)), np.tile(STEPS[:, None], 32)], axis=2)
PICTURE[8:24, 8:24] = 255 - PICTURE[8:24, 8:24]  # edges, which blur and JPEG change


@pytest.mark.parametrize("kind", CORRUPTIONS)
@pytest.mark.parametrize("size", [32, 96])
def test_each_step_is_further_from_the_picture(kind, size):
    picture = np.kron(PICTURE, np.ones((size // 32, size // 32, 1), np.uint8))
    worse = [corrupt(picture, kind, strength, seed=0) for strength in STRENGTHS]
    assert all(array.shape == picture.shape and array.dtype == np.uint8 for array in worse)
    away = [np.abs(array.astype(int) - picture).mean() for array in worse]
    assert all(b > 0.95 * a for a, b in itertools.pairwise(away)) and away[0] > 0 and away[-1] > 1.2 * away[0]


def test_larger_pictures_are_made_worse_by_more():
    large = np.kron(PICTURE, np.ones((3, 3, 1), np.uint8))
    away = [np.abs(corrupt(picture, "noise", 1, 0).astype(int) - picture).mean() for picture in (PICTURE, large)]
    assert away[1] > 1.5 * away[0]


def test_noise_goes_by_the_seed():
    assert np.array_equal(corrupt(PICTURE, "noise", 3, 5), corrupt(PICTURE, "noise", 3, 5))
    assert not np.array_equal(corrupt(PICTURE, "noise", 3, 5), corrupt(PICTURE, "noise", 3, 6))
