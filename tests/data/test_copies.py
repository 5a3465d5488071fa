"""What copies are, on positions alone: which leave, what counts as few, what is counted."""

import numpy as np
import pytest

from headstart.data.copies import Copies
from headstart.errors import UserError


def copies(pictures, choice=None, hashes=None):
    """pictures: a number per picture, equal for copies."""
    digests = np.zeros((len(pictures), 32), np.uint8)
    digests[:, :2] = np.array(pictures, dtype="<u2").reshape(-1, 1).view(np.uint8)
    hashes = np.arange(len(pictures)) * 0x0F0F0F0F0F if hashes is None else hashes
    return Copies("root", [f"{n}.png" for n in range(len(pictures))], digests, np.array(hashes, np.uint64), choice)


TRAIN, HELD = np.arange(200), np.arange(200, 300)


@pytest.mark.parametrize(("number", "taken"), [(1, True), (5, True), (6, False), (10, False)])
def test_few_are_up_to_five_or_five_percent_of_either_part(number, taken):
    pictures = [*range(200), *range(number), *range(500, 600 - number)]
    if taken:
        assert np.flatnonzero(copies(pictures).of_held_out(TRAIN, HELD, "test")).tolist() == list(range(number))
    else:
        with pytest.raises(UserError, match=rf"{number} of 100 test .*(?s:.)*=drop to leave {number} of 200 training"):
            copies(pictures).of_held_out(TRAIN, HELD, "test")
        assert copies(pictures, "drop").of_held_out(TRAIN, HELD, "test").sum() == number


def test_ten_copies_of_ten_thousand_stop_nobody():
    pictures = [*range(50_000), *range(10), *range(50_000, 59_990)]
    ours = copies(pictures)
    assert ours.of_held_out(np.arange(50_000), np.arange(50_000, 60_000), "test").sum() == ours.dropped == 10


def test_several_training_copies_of_one_test_picture_all_leave():
    ours = copies([7, 7, 1, 2, 7, 3])
    assert ours.of_held_out(np.arange(4), np.array([4, 5]), "test").tolist() == [True, True, False, False]


def test_all_copies_in_two_classes_leave_and_those_of_one_class_stay():
    ours = copies([7, 7, 1, 2, 2, 3], "drop")
    everything = np.arange(6)
    leave = ours.in_two_classes(everything, np.array([0, 1, 0, 1, 1, 0]), everything)
    assert leave.tolist() == [True, True, False, False, False, False] and ours.dropped == 2


@pytest.mark.parametrize(("doubled", "taken"), [(1, True), (2, False)])  # 2 and 4 of 500
def test_few_pictures_in_two_classes_are_half_a_percent(doubled, taken):
    pictures, places = [*range(500 - doubled), *range(doubled)], np.arange(500)
    labels = np.repeat([0, 1], [500 - doubled, doubled])
    if taken:
        assert copies(pictures).in_two_classes(places, labels, places).sum() == 2 * doubled
    else:
        with pytest.raises(UserError, match=r"4 of 500 pictures of root lie in two classes \(0.png, 498.png, 1.png"):
            copies(pictures).in_two_classes(places, labels, places)


def test_what_remains_is_counted():
    hashes = [0, 0xFF00, 0xFFFF00000000, 1, 0xFFFF00000003, 2**63 - 1]
    ours = copies([0, 1, 2, 0, 4, 5], "keep", hashes)
    counts = ours.counts(np.arange(3), np.array([3]), np.array([4, 5]))
    assert (counts.copies_dropped, counts.copies_kept, counts.look_alikes) == (0, 1, 1)  # 3 is a copy, no look-alike
