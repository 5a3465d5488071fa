"""Convolutions without the taps that meet only padding are the convolutions that they replace."""

from itertools import product

import pytest
import timm
import torch
from torch import nn

from headstart.models.trimmed_conv import TrimmedConv2d, trim


def outcome(layer, pictures):
    """Output, and gradients of weight, bias and input for a fixed direction."""
    pictures = pictures.clone().requires_grad_()
    layer.zero_grad()
    result = layer(pictures)
    result.backward(torch.linspace(-1, 1, result.numel(), dtype=result.dtype).view_as(result))
    return result, layer.weight.grad.clone(), layer.bias.grad.clone(), pictures.grad


@pytest.mark.parametrize(("kernel", "stride", "padding"), list(product((1, 3, 5, 7), (1, 2, 3), (0, 1, 2, 3))))
def test_the_function_and_its_gradients_are_those_of_the_plain_convolution(kernel, stride, padding):
    torch.manual_seed(0)
    tried = 0
    for height, width in product((1, 2, 3, 5, 8), (1, 4, 8)):
        if min(height, width) + 2 * padding < kernel:
            continue
        layer = nn.Conv2d(2, 3, kernel, stride, padding, dtype=torch.float64)
        pictures = torch.randn(2, 2, height, width, dtype=torch.float64)
        expected = outcome(layer, pictures)
        layer.__class__ = TrimmedConv2d
        for found, wanted in zip(outcome(layer, pictures), expected, strict=True):
            torch.testing.assert_close(found, wanted)
        tried += 1
    assert tried


def test_only_the_taps_that_meet_a_pixel_are_multiplied(monkeypatch):
    kernels = []
    multiply = nn.functional.conv2d
    monkeypatch.setattr(
        "headstart.models.trimmed_conv.functional.conv2d",
        lambda x, w, *rest: kernels.append(w.shape[2:]) or multiply(x, w, *rest),
    )
    network = nn.Sequential(nn.Conv2d(2, 2, 3, stride=2, padding=1), nn.Conv2d(2, 2, 3, padding=1))
    trim(network)
    assert network(torch.zeros(1, 2, 2, 2)).shape == (1, 2, 1, 1)
    assert kernels == [(2, 2), (1, 1)]


def test_a_network_keeps_its_parameters_and_what_is_not_plain(tmp_path):
    network = timm.create_model("resnet18")
    names = list(network.state_dict())
    circular, wide = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), nn.Conv2d(1, 1, 3, padding=2, dilation=2)
    same = nn.Conv2d(1, 1, 3, padding="same")
    trim(nn.ModuleList([network, circular, wide, same]))
    assert list(network.state_dict()) == names
    assert type(network.layer4[1].conv2) is TrimmedConv2d
    assert {type(layer) for layer in (circular, wide, same)} == {nn.Conv2d}
