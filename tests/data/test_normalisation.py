"""Normalisation and resizing against torchvision's."""

import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from data.helpers_data import generator
from headstart.data.normalisation import normalise


@pytest.mark.parametrize("size", [None, 28, 16, 64])
@pytest.mark.parametrize("channels_last", [True, False])
def test_normalise_is_torchvisions_normalise_and_antialiased_resize(size, channels_last):
    images = torch.randint(0, 256, (4, 28, 28, 3), dtype=torch.uint8, generator=generator())
    mean, std = (0.49, 0.48, 0.44), (0.24, 0.25, 0.26)
    ours = normalise(images, mean, std, size, channels_last)
    pictures = images.permute(0, 3, 1, 2).float() / 255
    if size is not None:
        pictures = tv.resize(pictures, [size, size], antialias=True)
    assert torch.allclose(ours, tv.normalize(pictures, mean, std), atol=2e-5)
    assert ours.dtype == torch.float32
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert ours.is_contiguous(memory_format=layout)


def test_normalise_takes_mixed_float_pictures(batch):
    images, _ = batch
    args = ((0.5,) * 3, (0.2,) * 3)
    assert torch.equal(normalise(images.float(), *args), normalise(images, *args))
