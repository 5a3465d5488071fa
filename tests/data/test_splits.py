"""Which classes and rows: stratified, nested, decided by the seed alone."""

import pytest
import torch

from data.helpers_data import counts, positions
from headstart.data import sources
from headstart.data.splits import choose_classes
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
