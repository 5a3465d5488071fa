"""A network in two halves, and what is counted in it."""

import pytest
import torch
from torch import nn

from headstart import models
from models.helpers_models import build, keys_of


@pytest.mark.parametrize("name", ["test_convnext", "test_vit", "test_efficientnet", "resnetv2_50"])
def test_families_of_timm_come_apart_in_front_of_their_classifier(name):
    assert models.halves_agree(build("timm", name=name, image_size=96), torch.randn(2, 3, 96, 96))


def test_a_network_that_goes_on_behind_its_classifier_is_said_not_to_come_apart():
    model = build("cnn")
    model.network.add_module("temperature", nn.Softmax(dim=1))
    assert not models.halves_agree(model, torch.randn(2, 3, 32, 32))


def test_the_backbones_half_leaves_the_classifier_and_its_hooks_alone():
    network = nn.Sequential(nn.Flatten(), nn.Sequential(nn.BatchNorm1d(12), nn.Linear(12, 2)))
    model, images = models.Model(network, "1"), torch.randn(4, 3, 2, 2)
    assert torch.equal(models.backbone_features(model, images), images.flatten(1))
    assert network[1][0].num_batches_tracked == 0
    assert network(images).shape == (4, 2)
    with torch.no_grad():
        models.classify(model, images.flatten(1))
    assert network[1][0].num_batches_tracked == 2  # the whole network once, the classifier's half once


COUNTS = [
    ("cnn", 1_147_466, 1_147_466),
    ("cnn3", 1_147_466, 1_147_466),
    ("resnet18", 11_181_642, 11_191_242),
    ("resnet18_cifar", 11_173_962, 11_183_562),
    ("resnet18_torchvision", 11_181_642, 11_191_242),
    ("fan", 87_312_394, 87_316_426),
    ("resnet50v2_head_random", 26_093_130, 26_140_362),
    ("vgg16_frozen", 134_301_514, 134_301_514),
    ("resnet9", 6_573_120, 6_577_600),
    ("efficientnet_lite0", 3_383_818, 3_425_834),
]


@pytest.mark.parametrize("name, parameters, with_statistics", COUNTS)
def test_parameter_counts_are_those_of_the_write_ups(name, parameters, with_statistics):
    with torch.device("meta"):
        network = build(name).network
    assert models.count_parameters(network) == dict(
        parameters=parameters, parameters_trainable=parameters, parameters_with_statistics=with_statistics
    )


def test_filters_that_whiten_and_the_scales_of_batch_norm_are_not_trained():
    with torch.device("meta"):
        network = build("airbench").network
    assert models.count_parameters(network) == dict(
        parameters=1_972_792, parameters_trainable=1_971_352, parameters_with_statistics=1_975_096
    )


@pytest.mark.parametrize("name, trained", [("resnet50v2_head", 2_592_778), ("vgg16_finetune", 40_970)])
def test_only_the_head_counts_as_trainable_while_the_backbone_is_frozen(name, trained):
    with torch.device("meta"):
        model = build(name, **{key: keys_of(name)[key] for key in ("freeze", "unfreeze_epoch")})
    models.set_trainable(model, 1)
    assert models.count_parameters(model.network)["parameters_trainable"] == trained


@pytest.mark.parametrize(
    ("size", "device", "pictures"),
    [(8, "cpu", 250), (32, "cpu", 250), (64, "cpu", 62), (224, "cpu", 16), (224, "cuda", 500)],
)
def test_large_pictures_are_evaluated_few_at_a_time_on_the_cpu(size, device, pictures):
    assert models.evaluation_batch(size, torch.device(device)) == pictures
