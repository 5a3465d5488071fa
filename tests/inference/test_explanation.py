"""Where a network saw what it said: the place that made the answer, in a layer whose maps still have places."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from models.helpers_models import MEAN, STD, build
from torch import nn

from headstart.errors import UserError
from headstart.inference import Classifier, explain, map_layer

NAMES = tuple("abcdefghij")


def classifier_of(network: nn.Module, tmp_path, image_size: int = 32, classes=NAMES) -> Classifier:
    return Classifier(tmp_path, network.eval(), classes, MEAN, STD, image_size, 32)


class RedOrBlue(nn.Module):
    """Class 0 is as much as there is of red, class 1 of blue, anywhere; the activation overwrites the maps."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 2, 4, stride=4, bias=False)
        self.activation = nn.ReLU(inplace=True)
        with torch.no_grad():
            self.convolution.weight.zero_()
            self.convolution.weight[0, 0] = self.convolution.weight[1, 2] = 1 / 16

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation(self.convolution(x)).mean((2, 3))


def test_the_map_is_bright_where_the_class_is(tmp_path):
    classifier = classifier_of(RedOrBlue(), tmp_path, classes=("red", "blue"))
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:8, :8, 0] = 255  # red at the upper left
    picture[24:, 24:, 2] = 255  # blue at the lower right
    layer = map_layer(classifier)
    assert layer.cells == 8 and layer.is_last
    red, blue = explain(classifier, np.stack([picture, picture]), np.array([0, 1]), layer)
    assert red.shape == (32, 32) and red.max() == blue.max() == 1 and red.min() >= 0
    assert np.unravel_index(red.argmax(), red.shape)[0] < 8 and red[24:, 24:].max() == 0
    assert np.unravel_index(blue.argmax(), blue.shape)[0] >= 24 and blue[:8, :8].max() == 0


@pytest.mark.parametrize(
    ("name", "changes", "size", "layer", "cells"),
    [
        ("cnn", {}, 32, "activation3", 4),
        ("resnet18", {}, 32, "layer2", 4),  # whose layer4 has one cell
        ("resnet18_cifar", {}, 32, "layer4", 4),
        ("efficientnet_lite0", {}, 64, "blocks.4", 4),  # not a layer within a block that halves the map
        ("resnet9", {}, 32, "residual3", 4),
    ],
)
def test_the_last_layer_with_four_cells_a_side_is_chosen(tmp_path, name, changes, size, layer, cells):
    classifier = classifier_of(build(name, image_size=size, **changes).network, tmp_path, size)
    found = map_layer(classifier)
    assert (found.name, found.cells) == (layer, cells)
    assert str(found).startswith(f"{layer}, {cells} x {cells} cells")
    assert ("smaller than 4 x 4" in str(found)) is (not found.is_last)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    before = classifier.probabilities(images)
    assert explain(classifier, images, np.array([0, 1]), found).shape == (2, 32, 32)
    np.testing.assert_array_equal(classifier.probabilities(images), before)  # nothing of the network has changed


def test_a_transformer_is_refused_in_words(tmp_path):
    network = build("timm", name="test_vit", image_size=32).network
    with pytest.raises(UserError, match="by no maps of a convolution"):
        map_layer(classifier_of(network, tmp_path))


def test_without_captum_the_command_that_brings_it_is_named():
    script = "import sys; sys.modules['captum'] = None; from headstart.inference.explanation import _captum; _captum()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "UserError: headstart explain needs captum: pip install 'headstart[explain]'" in done.stderr
