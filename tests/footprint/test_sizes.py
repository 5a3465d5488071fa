"""Multiply-adds and bytes are those that can be counted by hand, and those of the file."""

import json

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from torch import nn

from footprint.test_answering import NORMALISED, fitted, network, pictures, width
from headstart.footprint import Answering, multiply_adds, tensor_bytes
from headstart.models import Model, export_bytes


def counted(model) -> int | None:
    return multiply_adds(Answering(model, pictures(), **NORMALISED, image_size=16))


def test_convolutions_and_linear_layers_are_counted_as_by_hand():
    layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    layers.append(classifier := nn.Linear(4 * 16 * 16, 2))
    assert counted(Model(layers, "4")) == 16 * 16 * 4 * 3 * 9 + classifier.weight.numel()


def test_a_transformers_attention_is_counted():
    torch.manual_seed(0)
    block = nn.Sequential(nn.Flatten(2), nn.TransformerEncoderLayer(256, 4, 64, batch_first=True), nn.Flatten())
    own = 3 * (3 * 256 * 256 + 256 * 256 + 2 * 256 * 64) + 2 * 3 * 3 * 256
    assert counted(Model(nn.Sequential(*block, nn.Linear(768, 2)), "3")) == own + 2 * 768


@pytest.mark.parametrize("estimator", [DecisionTreeClassifier(), SVC(kernel="linear")])
def test_of_an_estimator_that_is_not_linear_nothing_is_known(estimator):
    assert counted(fitted(estimator)) is None


def test_a_linear_estimator_multiplies_its_coefficients_behind_the_network():
    assert counted(fitted(LogisticRegression())) == 16 * 16 * 3
    model = fitted(LogisticRegression(), features="test_resnet")
    whole, head = counted(network()), 2 * width(model)
    assert counted(model) == whole - head + width(model)


def test_bytes_are_those_of_the_weights_file_without_its_header():
    model = network()
    content = export_bytes(model, classes=("a", "b"), mean=(0,) * 3, std=(1,) * 3, image_size=16, architecture="x")
    header = int.from_bytes(content[:8], "little")
    assert json.loads(content[8 : 8 + header]) and tensor_bytes(model.network) == len(content) - 8 - header
