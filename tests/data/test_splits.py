"""Which classes and rows: stratified, nested, decided by the seed alone."""

import numpy as np
import pytest
import torch

from data.helpers_data import counts, positions
from headstart.data import sources
from headstart.data.splits import choose_classes, stratified, usual_folds, usual_validation_size
from headstart.errors import UserError


def test_validation_is_stratified_and_depends_on_the_split_seed_only():
    whole, small = sources.digits(validation_size=0.2), sources.digits(validation_size=0.2, train_size=50)
    assert torch.equal(whole.val.indices, small.val.indices)
    share = torch.tensor(counts(whole.val)) / (torch.tensor(counts(whole.val)) + torch.tensor(counts(whole.train)))
    assert (share - 0.2).abs().max() < 0.01
    assert len(whole.val.labels) == round(0.2 * 1437)
    assert positions(whole.val) != positions(sources.digits(validation_size=0.2, split_seed=1).val)


@pytest.mark.parametrize("seed", [0, 1])
def test_smaller_subsets_lie_within_larger_ones_with_as_many_of_each_class(seed):
    sizes = [10, 50, 100, 500, 1000]
    subsets = [sources.digits(train_size=size, split_seed=seed).train for size in sizes]
    for size, part in zip(sizes, subsets, strict=True):
        assert counts(part) == [size // 10] * 10
    for small, large in zip(subsets, [*subsets[1:], sources.digits(split_seed=seed).train], strict=True):
        assert positions(small) < positions(large)


def test_subset_is_another_one_for_another_split_seed():
    first, second = (sources.digits(train_size=50, split_seed=seed).train for seed in (0, 1))
    assert positions(first) != positions(second)


def test_a_class_keeps_its_order_when_others_are_left_out():
    one, other = sources.digits(classes=[3, 4], train_size=20), sources.digits(classes=[4, 9], train_size=20)
    picked = [set(d.train.indices[d.train.labels == label].tolist()) for d, label in ((one, 1), (other, 0))]
    held = [set(d.val.indices[d.val.labels == label].tolist()) for d, label in ((one, 1), (other, 0))]
    assert len(picked[0] & picked[1]) > 5
    assert len(held[0] & held[1]) == min(map(len, held))


def test_sizes_named_in_a_refusal_work():
    for size in (10, 1436):
        try:
            sources.digits(validation_size=size)
        except UserError as error:
            low, high = str(error).split("Give ")[1].split(",")[0].split(" to ")
            assert len(sources.digits(validation_size=int(high)).val.labels) == int(high)
            assert len(sources.digits(validation_size=int(low)).val.labels) == int(low)


def test_unknown_class_gets_a_guess():
    with pytest.raises(UserError, match=r"; did you mean cat\? Give positions 0 to 1 or"):
        choose_classes(("cat", "dog"), ("catt", "dog"))


def test_a_name_wins_over_a_position():
    assert choose_classes(("0", "10", "2"), (2, 10)) == [2, 1]


@pytest.mark.parametrize("sizes", [(200, 3), (2, 2), (2, 1000), (3, 3, 500), (2,) * 50, (90, 5, 5, 2)])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.2, 0.5, 0.9, 0.99])
def test_a_share_leaves_one_of_each_class_on_either_side(sizes, share):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    held, rest = stratified(labels, share, seed=0)
    for side in (held, rest):
        assert np.bincount(labels[side], minlength=len(sizes)).min() >= 1
    assert sorted([*held, *rest]) == list(range(len(labels)))
    least = len(sizes)
    assert len(held) == min(max(round(share * len(labels)), least), len(labels) - least)


def test_a_number_is_taken_as_it_is_wherever_that_can_be():
    labels = np.repeat([0, 1, 2], [100, 4, 2])
    for size in range(3, 104):
        held, _ = stratified(labels, size, seed=0)
        assert len(held) == size and np.bincount(labels[held], minlength=3).min() >= 1
    for size in (2, 104):
        with pytest.raises(UserError, match=r"size=\d+ does not fit 106 .* the smallest with 2.*(?s:.)Give 3 to 103"):
            stratified(labels, size, seed=0)


def test_a_class_of_one_picture_cannot_be_on_two_sides():
    with pytest.raises(UserError, match=r"(?s)the smallest with 1: .*Add pictures to the smallest class"):
        stratified(np.repeat([0, 1], [9, 1]), 0.5, seed=0)


@pytest.mark.parametrize(("folds", "train_size"), [(3, None), (5, 100), (10, 100), (2, 20)])
def test_folds_divide_the_subset_with_each_class_shared_out_evenly(folds, train_size):
    parts = [sources.digits(folds=folds, fold=fold, train_size=train_size) for fold in range(folds)]
    everything = positions(parts[0].val) | positions(parts[0].train)
    assert len(everything) == (train_size or 1437)
    assert sorted(p for part in parts for p in part.val.indices.tolist()) == sorted(everything)
    for part in parts:
        assert positions(part.train) == everything - positions(part.val)
    by_class = torch.tensor([counts(part.val) for part in parts])
    assert (by_class.max(0).values - by_class.min(0).values).max() <= 1
    assert by_class.sum(1).max() - by_class.sum(1).min() <= 1


def test_folds_are_decided_by_the_split_seed_alone():
    first, again, other = (sources.digits(folds=4, fold=1, split_seed=seed) for seed in (0, 0, 1))
    assert first.sha256 == again.sha256 and positions(first.val) != positions(other.val)
    assert torch.equal(first.test().indices, sources.digits().test().indices)


def test_smaller_subsets_lie_within_larger_ones_with_folds_too():
    found = [sources.digits(folds=2, train_size=size) for size in (20, 100, 1000)]
    sets = [positions(data.train) | positions(data.val) for data in found]
    assert [len(rows) for rows in sets] == [20, 100, 1000] and sets[0] < sets[1] < sets[2]


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        (dict(folds=140), r"data\.folds=140: .* the rarest has 139\.\nGive 2 to 139\."),
        (dict(folds=11, train_size=100), r"the rarest has 10\.\nGive 2 to 10\."),
        (dict(folds=2, train_size=10), r"the rarest has 1\.\nAdd pictures to that class\."),
        (dict(folds=3, fold=3), r"data\.fold=3: the folds of data\.folds=3 are 0 to 2"),
        (dict(fold=1), r"data\.fold=1 has no effect without folds"),
        (dict(folds=3, validation_size=0.1), r"data\.folds=3 and data\.validation_size=0\.1 are both given"),
    ],
)
def test_folds_that_there_cannot_be_are_refused(choices, said):
    with pytest.raises(UserError, match=said):
        sources.digits(**choices)
    assert sources.digits(folds=139).val.labels.shape == (11,)


@pytest.mark.parametrize(
    ("total", "size"),
    [(8, 3), (40, 10), (99, 24), (120, 30), (144, 30), (294, 30), (295, 0.1), (10**6, 0.1)],
)
def test_few_pictures_are_validated_on_30_or_a_quarter_and_others_on_a_tenth(total, size):
    assert usual_validation_size(np.arange(total) % 3) == size


def test_every_class_has_a_picture_to_be_validated_on():
    labels = np.arange(40) % 20
    held_out, rest = stratified(labels, usual_validation_size(labels), seed=0)
    assert set(labels[held_out]) == set(labels[rest]) == set(range(20))


@pytest.mark.parametrize(
    ("counts", "folds"),
    [((60, 59), 3), ((60, 60), None), ((30, 3), 3), ((100, 2), None), ((1, 1), None), ((3,) * 39, 3)],
)
def test_fewer_pictures_than_four_times_what_a_choice_needs_are_dealt_out_to_folds(counts, folds):
    assert usual_folds(np.repeat(np.arange(len(counts)), counts)) == folds
