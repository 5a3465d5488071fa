"""A data set: the classes in use, its parts, what is measured on them, and choices that no data set can meet."""

import numpy as np
import pytest

from headstart.data import sources
from headstart.data.dataset import Part, assemble
from headstart.data.splits import SplitOptions
from headstart.errors import UserError


def test_classes_are_renumbered_in_the_order_given_in_every_part():
    whole, some = sources.digits(), sources.digits(classes=["7", 2], validation_size=40)
    assert some.classes == ("7", "2")
    original = {}
    for part in (whole.train, whole.val, whole.test()):
        original |= dict(zip(part.indices.tolist(), part.labels.tolist(), strict=True))
    for part in (some.train, some.val, some.test()):
        assert {original[i] for i in part.indices.tolist()} == {7, 2}
        assert [original[i] for i in part.indices.tolist()] == [[7, 2][label] for label in part.labels.tolist()]


def test_fingerprint_tells_data_sets_apart_and_knows_the_same_one():
    variants = [{}, {"split_seed": 1}, {"train_size": 50}, {"classes": [0, 1]}, {"classes": [1, 0]}]
    prints = [sources.digits(**{"validation_size": 0.2} | variant).sha256 for variant in variants]
    assert len(set(prints)) == len(prints)
    assert prints[0] == sources.digits(validation_size=0.2).sha256


def test_statistics_are_those_of_the_pictures_trained_on():
    digits = sources.digits(train_size=50)
    pixels = digits.train.images.double() / 255
    assert digits.mean == pytest.approx(pixels.mean((0, 1, 2)).tolist(), abs=1e-12)
    assert digits.std == pytest.approx(pixels.std((0, 1, 2), correction=0).tolist(), abs=1e-12)


def test_test_part_is_not_read_before_it_is_asked_for():
    part = Part.whole(np.zeros((40, 4, 4, 3), np.uint8), np.arange(40) % 2)
    calls = []
    options = SplitOptions(classes=None, train_size=None, validation_size=10, split_seed=0)
    dataset = assemble("x", ("a", "b"), part, lambda: calls.append(1) or part, options)
    assert not calls
    assert len(dataset.test().labels) == 40 and len(calls) == 1
    assert min(dataset.std) > 0  # black pictures must not be divided by zero


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"train_size": 5}, "train_size=5 is no multiple of 10.*Give 10 or 20"),
        ({"train_size": 15}, "train_size=15 is no multiple of 10.*Give 10 or 20"),
        ({"train_size": 5000}, r"train_size=5000 is more than \d+.*Give \d+, or null"),
        ({"validation_size": 0}, "validation_size=0 cannot.*1 to 1436"),
        ({"validation_size": 1437}, "validation_size=1437 cannot"),
        ({"validation_size": 9}, "validation_size=9 does not fit.*Give 10 to 14"),
        ({"validation_size": 1430}, "validation_size=1430 does not fit.*Give 10 to 14"),
        ({"classes": ["0", "zero"]}, "no class 'zero'; give positions 0 to 9 or: 0, 1, 2"),
        ({"classes": [0, 10]}, "no class 10"),
        ({"classes": [0, -1]}, "no class -1"),
        ({"classes": [3]}, "two or more"),
        ({"classes": []}, "two or more"),
        ({"classes": [3, "3"]}, "3 more than once"),
    ],
)
def test_impossible_choices_are_refused_with_what_to_type(choice, message):
    with pytest.raises(UserError, match=f"(?s){message}"):
        sources.digits(**choice)
