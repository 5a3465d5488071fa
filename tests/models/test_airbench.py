"""The network of the speed records: what it computes, and filters that whiten."""

import torch
from torch import nn

from headstart import models
from headstart.models.airbench import Whitening, fit_whitening
from models.helpers_models import build


def pictures(number: int, size: int = 16) -> torch.Tensor:
    """Smooth random ones, whose neighbouring pixels are alike."""
    return nn.functional.avg_pool2d(torch.randn(number, 3, size + 4, size + 4), 5, stride=1)


def test_the_airbench_computes_what_its_layers_say():
    network = build("airbench", image_size=16).network.train()
    weights, x = network.state_dict(), torch.randn(4, 3, 16, 16)
    gelu, pool = nn.functional.gelu, nn.functional.max_pool2d

    def normalised(y, bias):
        mean, var = y.mean((0, 2, 3), keepdim=True), y.var((0, 2, 3), unbiased=False, keepdim=True)
        return (y - mean) / (var + 1e-12).sqrt() + bias.view(-1, 1, 1)

    def filtered(y, name):
        return nn.functional.conv2d(y, weights[name], padding=1)

    y = gelu(nn.functional.conv2d(x, weights["whitening.weight"], weights["whitening.bias"]))
    for pair in ("pair1", "pair2", "pair3"):
        y = gelu(normalised(pool(filtered(y, f"{pair}.0.weight"), 2), weights[f"{pair}.2.bias"]))
        y = gelu(normalised(filtered(y, f"{pair}.4.weight"), weights[f"{pair}.5.bias"]))
    y = y.amax((2, 3)) @ weights["classifier.weight"].T / 9
    torch.testing.assert_close(network(x), y, rtol=1e-3, atol=1e-3)


def test_filters_start_as_the_identity_as_far_as_there_are_channels():
    weights = build("airbench").network.state_dict()
    x = torch.randn(1, 64, 5, 5)
    y = nn.functional.conv2d(x, weights["pair2.0.weight"], padding=1)
    assert torch.equal(y[:, :64], x)
    assert weights["pair2.0.weight"][64:].std() > 0


def test_a_picture_and_its_mirror_image_get_the_same_answer_where_nothing_is_learned():
    x = torch.randn(4, 3, 16, 16)
    averaged, plain = build("airbench").network, build("airbench", flip_averaging=False).network
    torch.testing.assert_close(averaged.eval()(x), averaged(x.flip(3)))
    torch.testing.assert_close(averaged(x), (plain.eval()(x) + plain(x.flip(3))) / 2)
    assert torch.equal(averaged.train()(x), plain.train()(x))


def test_fitted_filters_whiten_patches():
    network, images = build("airbench").network, pictures(200)
    fit_whitening(network, lambda: images)
    with torch.no_grad():
        answers = nn.functional.conv2d(images, network.whitening.weight)
    values = answers[:, :12].transpose(0, 1).flatten(1)
    spread = values @ values.T / values.shape[1]
    assert (spread - spread.diag().diag()).abs().max() < 1e-3  # decorrelated
    assert 0.5 < spread.diag()[-1] <= 1.001  # unit variance where there is more than EPSILON
    assert torch.equal(network.whitening.weight[12:], -network.whitening.weight[:12])


def test_whitening_filters_are_never_trained():
    model = build("airbench")
    models.set_trainable(model, 1)
    assert not model.network.whitening.weight.requires_grad and model.network.whitening.bias.requires_grad


def test_a_network_without_such_filters_asks_for_no_pictures():
    fit_whitening(build("cnn").network, lambda: 1 / 0)


def test_a_whitening_layer_takes_other_sizes_of_patch():
    layer = Whitening(size=3)
    layer.fit(pictures(20))
    assert layer.weight.shape == (54, 3, 3, 3) and layer.weight.isfinite().all()
