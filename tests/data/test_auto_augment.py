"""Automatic policies against torchvision's, operation by operation."""

import pytest
import torch
from torchvision.transforms import v2

from data.helpers_data import HEIGHT, WIDTH, N, chw, generator
from headstart.data import auto_augment

POLICIES = {
    "trivialaugment": (v2.TrivialAugmentWide, auto_augment.trivial_magnitude),
    "randaugment": (v2.RandAugment, auto_augment.rand_magnitude),
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", auto_augment.OPERATIONS)
@pytest.mark.parametrize("negative", [False, True])
def test_operations_are_torchvisions_for_the_same_strength(policy, name, negative, batch):
    images, _ = batch
    theirs, magnitude_of = POLICIES[policy]
    reference = theirs()
    magnitudes, signed = reference._AUGMENTATION_SPACE[name]
    magnitudes = magnitudes(31, HEIGHT, WIDTH)
    strength = torch.arange(N) * 30 // (N - 1)
    operation = torch.full((N,), auto_augment.OPERATIONS.index(name))
    ours = auto_augment.apply(images, operation, strength, torch.full((N,), negative), magnitude_of)
    for i in range(N):
        magnitude = 0.0 if magnitudes is None else float(magnitudes[strength[i]])
        magnitude *= -1 if signed and negative else 1
        expected = reference._apply_image_or_video_transform(
            chw(images[i]), name, magnitude, interpolation=v2.InterpolationMode.NEAREST, fill={}
        )
        assert torch.equal(chw(ours[i]), expected)


@pytest.mark.parametrize("policy", POLICIES)
def test_policies_have_torchvisions_set_of_operations(policy):
    assert set(auto_augment.OPERATIONS) == set(POLICIES[policy][0]._AUGMENTATION_SPACE)


def test_a_policy_applies_to_each_picture_its_own_operation(batch):
    images, _ = batch
    operation = torch.randint(14, (N,), generator=generator())
    strength = torch.randint(31, (N,), generator=generator(1))
    negative = torch.rand(N, generator=generator(2)) < 0.5
    drawn, magnitude = (images, operation, strength, negative), auto_augment.trivial_magnitude
    together = auto_augment.apply(*drawn, magnitude)
    alone = [auto_augment.apply(*(t[i : i + 1] for t in drawn), magnitude) for i in range(N)]
    assert torch.equal(together, torch.cat(alone))
