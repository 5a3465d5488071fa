"""Perceptual hashes against imagehash's, and which of them are close against every pair compared."""

import numpy as np
import pytest
from PIL import Image

from data.helpers_data import draw_image
from headstart.data.look_alikes import CLOSE, like_another_class, like_any, perceptual_hashes, small_grey


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (8, 8)])
def test_hashes_are_imagehashs(size):
    imagehash = pytest.importorskip("imagehash")
    pictures = [draw_image(seed, (6, 6)).resize(size, Image.Resampling.BICUBIC) for seed in range(50)]
    ours = perceptual_hashes(np.stack([small_grey(np.asarray(picture)) for picture in pictures]))
    theirs = [
        int("".join("01"[int(bit)] for bit in imagehash.phash(picture).hash.flatten()), 2) for picture in pictures
    ]
    assert ours.dtype == np.uint64 and ours.tolist() == theirs


def test_close_hashes_are_those_that_comparing_every_pair_finds():
    draw = np.random.RandomState(0)
    others = draw.randint(0, 2**63, 400, dtype=np.int64).astype(np.uint64)
    others[:50] &= np.uint64(0xFFFF)  # many that agree in most of their bits
    flips = [np.bitwise_or.reduce(np.uint64(1) << draw.permutation(64)[: n % 7].astype(np.uint64)) for n in range(300)]
    hashes = others[draw.randint(0, 400, 300)] ^ np.array(flips, np.uint64)
    found = like_any(hashes, others)
    distance = np.bitwise_count(hashes[:, None] ^ others)
    assert ((found >= 0) == (distance.min(1) <= CLOSE)).all()
    assert 0 < (found >= 0).sum() < 300
    assert (distance[np.arange(300), found][found >= 0] <= CLOSE).all()


def test_many_equal_hashes_cost_no_time():
    same = np.zeros(100_000, np.uint64)
    assert (like_any(same, same) == 0).all()


def test_nothing_is_like_nothing():
    none = np.zeros(0, np.uint64)
    assert like_any(np.ones(2, np.uint64), none).tolist() == [-1, -1] and like_any(none, none).tolist() == []


def test_look_alikes_of_another_class_are_those_that_every_pair_shows():
    draw = np.random.RandomState(0)
    hashes = draw.randint(0, 2**62, 60).astype(np.uint64)
    for i in range(30):  # near others, by up to five bits
        flips = draw.choice(64, draw.randint(0, 6), replace=False)
        hashes[30 + i] = hashes[i] ^ np.bitwise_or.reduce(np.uint64(1) << flips.astype(np.uint64), initial=np.uint64(0))
    labels, same = draw.randint(0, 2, 60), np.where(draw.rand(60) < 0.2, 7, np.arange(60) + 100)
    expected = [
        any(
            bin(int(hashes[i] ^ hashes[j])).count("1") <= CLOSE and labels[i] != labels[j] and same[i] != same[j]
            for j in range(60)
        )
        for i in range(60)
    ]
    assert like_another_class(hashes, labels, same).tolist() == expected and 5 < sum(expected) < 55
