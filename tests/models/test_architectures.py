"""Our own architectures against the same sums written out."""

import pytest
import torch
from torch import nn

from headstart.models import architectures
from models.helpers_models import build


def activated(x: torch.Tensor, weights: dict, convolution: str, norm: str, **options) -> torch.Tensor:
    """Convolution, batch norm of the batch and ReLU, by their weights."""
    y = nn.functional.conv2d(x, weights[f"{convolution}.weight"], weights.get(f"{convolution}.bias"), **options)
    return normalised(y, weights, norm).clamp(min=0)


def normalised(y: torch.Tensor, weights: dict, norm: str) -> torch.Tensor:
    others = [0, *range(2, y.ndim)]
    shape = [1, -1] + [1] * (y.ndim - 2)
    y = (y - y.mean(others, keepdim=True)) / (y.var(others, correction=0, keepdim=True) + 1e-5).sqrt()
    return y * weights[f"{norm}.weight"].view(shape) + weights[f"{norm}.bias"].view(shape)


def without_dropout(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network.train()


@pytest.mark.parametrize(
    ("keys", "pooled"),
    [
        ({}, nn.functional.max_pool2d),
        (dict(depth=1, width=5), nn.functional.max_pool2d),
        (dict(depth=5, width=2, pooling="average"), nn.functional.avg_pool2d),
    ],
)
def test_the_cnn_computes_what_its_layers_say(keys, pooled):
    network = build("cnn", **keys).network
    weights, x = network.state_dict(), torch.randn(2, 3, 32, 32)
    y = x
    for n in range(1, keys.get("depth", 3) + 1):
        y = nn.functional.conv2d(y, weights[f"convolution{n}.weight"], weights[f"convolution{n}.bias"], padding=1)
        y = pooled(y.clamp(min=0), 2)
        assert y.shape[1] == keys.get("width", 32) * 2 ** (n - 1)
    y = (y.flatten(1) @ weights["hidden.weight"].T + weights["hidden.bias"]).clamp(min=0)
    y = y @ weights["classifier.weight"].T + weights["classifier.bias"]
    torch.testing.assert_close(network(x), y)


def test_the_fan_computes_what_its_layers_say():
    network = without_dropout(build("fan", image_size=16).network)
    weights, x = network.state_dict(), torch.randn(5, 3, 16, 16)
    y = x
    for n in range(1, 8):
        y = activated(y, weights, f"convolution{n}", f"normalisation{n}")
    assert y.shape == (5, 512, 2, 2)
    y = y.flatten(1)
    for n in (1, 2):
        y = y @ weights[f"hidden{n}.weight"].T + weights[f"hidden{n}.bias"]
        y = normalised(y, weights, f"hidden_normalisation{n}").clamp(min=0)
    y = y @ weights["classifier.weight"].T + weights["classifier.bias"]
    torch.testing.assert_close(network(x), y, rtol=1e-3, atol=1e-4)


def test_the_fan_drops_out_where_the_write_up_does():
    with torch.device("meta"):
        named = dict(build("fan").network.named_children())
    assert [module.p for module in named.values() if isinstance(module, nn.Dropout)] == [0.05] + [0.1] * 5
    order = list(named)
    assert order[:4] == ["convolution1", "normalisation1", "activation1", "dropout1"]
    assert order[order.index("activation7") + 1] == "flatten"
    assert named["hidden1"].in_features == 18 * 18 * 512


def test_the_resnet9_computes_what_its_layers_say():
    network = build("resnet9", image_size=16).network
    weights, x = network.state_dict(), torch.randn(2, 3, 16, 16)

    def block(y, name):
        return activated(y, weights, f"{name}.0", f"{name}.1", padding=1)

    pool = nn.functional.max_pool2d
    y = pool(block(block(x, "stem"), "stage1"), 2)
    y = y + block(block(y, "residual1.0"), "residual1.1")
    y = pool(block(pool(block(y, "stage2"), 2), "stage3"), 2)
    y = y + block(block(y, "residual3.0"), "residual3.1")
    y = 0.125 * (y.amax((2, 3)) @ weights["classifier.weight"].T)
    torch.testing.assert_close(network(x), y, rtol=1e-3, atol=1e-4)


def test_the_dense_head_computes_what_its_layers_say():
    head = without_dropout(architectures.dense_head(16, 10))
    weights, x = head.state_dict(), torch.randn(6, 16, 7, 7)
    y = nn.functional.conv2d(x, weights["convolution.weight"], weights["convolution.bias"], padding=1)
    y = y.clamp(min=0).mean((2, 3))
    for n, units in ((1, 512), (2, 256), (3, 128)):
        y = y @ weights[f"hidden{n}.weight"].T + weights[f"hidden{n}.bias"]
        assert y.shape == (6, units)
        y = normalised(y, weights, f"normalisation{n}").clamp(min=0)
    torch.testing.assert_close(head(x), y @ weights["output.weight"].T + weights["output.bias"], rtol=1e-3, atol=1e-4)
    assert [m.p for m in architectures.dense_head(16, 10).modules() if isinstance(m, nn.Dropout)] == [0.1] * 3
