"""Convolutions without the taps that meet only padding are the convolutions that they replace."""

from itertools import product

import pytest
import timm
import torch
from torch import nn

from headstart.models import trimmed_conv
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


@pytest.fixture
def small(monkeypatch):
    """The sizes of the pictures whose kernels' gradients are computed our way."""
    seen, ours = [], trimmed_conv._weight_gradient
    monkeypatch.setattr(
        trimmed_conv, "_weight_gradient", lambda x, *rest: seen.append(tuple(x.shape[2:])) or ours(x, *rest)
    )
    return seen


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (5, 1, 2), (5, 2, 2), (7, 1, 3), (7, 3, 2)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=["last", "first"])
def test_depthwise_kernels_that_exceed_their_maps_learn_the_same(kernel, stride, padding, layout, small):
    torch.manual_seed(0)
    sizes = [s for s in product((1, 2, 3, 4, 6, 8), (1, 2, 4, 8)) if min(s) + 2 * padding >= kernel]
    for height, width in sizes:
        layer = nn.Conv2d(6, 6, kernel, stride, padding, groups=6)
        pictures = torch.randn(5, 6, height, width).contiguous(memory_format=layout)
        expected = outcome(layer, pictures)
        layer.__class__ = TrimmedConv2d
        for found, wanted in zip(outcome(layer, pictures), expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert all(max(size) < kernel for size in small)
    assert not (kernel == 5 and stride == 1) or {(2, 2), (4, 4), (3, 4)} <= set(small)
    assert kernel == 5 or stride > 1 or (2, 2) in small


def test_other_convolutions_and_what_does_not_learn_are_left_to_torch(small):
    pictures = torch.randn(2, 6, 4, 4)
    for groups, inputs in ((1, pictures), (3, pictures), (6, pictures.double()), (6, torch.randn(2, 6, 8, 8))):
        layer = nn.Conv2d(6, 6, 5, padding=2, groups=groups, dtype=inputs.dtype)
        layer.__class__ = TrimmedConv2d
        layer(inputs).sum().backward()
    frozen = nn.Conv2d(6, 6, 5, padding=2, groups=6).requires_grad_(False)
    frozen.__class__ = TrimmedConv2d
    frozen(pictures.requires_grad_()).sum().backward()
    with torch.autocast("cpu", torch.bfloat16):
        frozen.requires_grad_(True)(pictures).sum().backward()
    assert small == []
    frozen(pictures).sum().backward()
    assert small == [(4, 4)]


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
