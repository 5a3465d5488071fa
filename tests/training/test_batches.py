"""Batches cover an epoch in an order that the seed alone decides."""

import itertools

import pytest
import torch

from headstart.training.batches import (
    AUGMENTATION,
    ORDER,
    batch_starts,
    random_stream,
    usual_batch_size,
)


@pytest.mark.parametrize(
    ("images", "size", "starts"),
    [(80, 32, [0, 32, 64]), (64, 32, [0, 32]), (65, 32, [0, 32]), (66, 32, [0, 32, 64]), (1, 32, [0]), (2, 1, [0])],
)
def test_every_image_is_in_a_batch_but_a_last_one_that_would_be_alone(images, size, starts):
    assert batch_starts(images, size) == starts


@pytest.mark.parametrize(
    ("images", "size"),
    [(45_000, 128), (2048, 128), (2047, 64), (1024, 64), (500, 16), (130, 8), (60, 8), (5, 5)],
)
def test_a_small_data_set_has_small_batches_that_make_16_steps_or_more(images, size):
    assert usual_batch_size(images) == size
    assert images // size >= 16 or size <= 8


def test_each_seed_epoch_and_stream_has_random_numbers_of_its_own_always_the_same():
    def numbers(*which: int) -> tuple[float, ...]:
        return tuple(torch.rand(4, generator=random_stream(*which)).tolist())

    every = list(itertools.product((0, 1), (1, 2, 3), (ORDER, AUGMENTATION)))
    drawn = [numbers(*which) for which in every]
    assert len(set(drawn)) == len(every)
    assert [numbers(*which) for which in every] == drawn
