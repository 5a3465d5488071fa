"""Networks by configuration: sizes, stems, names, freezing, and what the optimizer gets."""

import importlib
import re
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from headstart import models
from headstart.errors import UserError

CONF = Path(__file__).parents[1] / "conf" / "model"
NAMES = tuple("abcdefghij")
EXAMPLE = {"timm": {"name": "test_resnet"}, "resnet18_pretrained": {"weights": None}}  # what needs a name or a network


def keys_of(name: str) -> dict:
    """The keys of conf/model/NAME.yaml, those inherited included."""
    found = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    inherited = {}
    for parent in found.pop("defaults", []):
        inherited |= keys_of(parent) if parent != "_self_" else {}
    return inherited | found


def ours() -> list[str]:
    names = sorted(path.stem for path in CONF.glob("*.yaml"))
    return [name for name in names if keys_of(name)["_target_"].startswith("headstart.models.")]


def build(name: str, /, *, classes: int = 10, image_size: int = 32, seed: int = 0, **changes) -> models.Model:
    keys = keys_of(name) | EXAMPLE.get(name, {}) | changes
    module, _, function = keys.pop("_target_").rpartition(".")
    torch.manual_seed(seed)
    make = getattr(importlib.import_module(module), function)
    return make(**keys, classes=classes, class_names=NAMES[:classes], image_size=image_size)


def parts(model: models.Model) -> tuple[dict[str, nn.Parameter], dict[str, nn.Parameter]]:
    """Parameters of the backbone and of the classifier."""
    named = dict(model.network.named_parameters())
    head = {name: p for name, p in named.items() if name.startswith(f"{model.classifier}.")}
    return {name: p for name, p in named.items() if name not in head}, head


@pytest.mark.parametrize("name", ours())
def test_every_model_file_learns_from_two_small_images(name):
    model = build(name)
    logits = model.network(torch.randn(2, 3, 32, 32))
    assert logits.shape == (2, 10)
    logits.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.network.parameters())
    assert sum(p.grad.abs().sum() for p in model.network.parameters()) > 0


@pytest.mark.parametrize("name", ours())
def test_every_model_file_has_the_common_keys_and_names_its_classifier(name):
    keys = keys_of(name)
    common = {"weights", "keep_classifier", "freeze", "unfreeze_epoch", "backbone_lr_factor"}
    assert common <= keys.keys()
    for classes in (3, 10):
        _, head = parts(build(name, classes=classes))
        assert [p.shape[0] for p in head.values()] == [classes] * len(head) and head


@pytest.mark.parametrize("name", ours())
def test_the_seed_alone_decides_the_initial_weights(name):
    first, again, other = (build(name, seed=seed).network.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize(
    "name, parameters, with_statistics",
    [("cnn", 1_147_466, 1_147_466), ("resnet18", 11_181_642, 11_191_242), ("resnet18_cifar", 11_173_962, 11_183_562)],
)
def test_parameter_counts_are_those_of_the_write_ups(name, parameters, with_statistics):
    counted = models.count_parameters(build(name).network)
    assert counted == dict(
        parameters=parameters, parameters_trainable=parameters, parameters_with_statistics=with_statistics
    )


def test_the_cnn_computes_what_its_layers_say():
    network = build("cnn").network
    weights, x = network.state_dict(), torch.randn(2, 3, 32, 32)
    y = x
    for n in "123":
        y = nn.functional.conv2d(y, weights[f"convolution{n}.weight"], weights[f"convolution{n}.bias"], padding=1)
        y = nn.functional.max_pool2d(y.clamp(min=0), 2)
    y = (y.flatten(1) @ weights["hidden.weight"].T + weights["hidden.bias"]).clamp(min=0)
    y = y @ weights["classifier.weight"].T + weights["classifier.bias"]
    torch.testing.assert_close(network(x), y)


@pytest.mark.parametrize("image_size", [8, 28, 64])
def test_the_cnn_takes_other_image_sizes(image_size):
    assert build("cnn", image_size=image_size).network(torch.zeros(2, 3, image_size, image_size)).shape == (2, 10)


def test_the_cifar_stem_keeps_small_pictures_large():
    network = build("resnet18_cifar").network
    seen = []
    network.layer1.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape))
    network(torch.zeros(2, 3, 32, 32))
    assert seen == [(2, 64, 32, 32)]
    assert network.conv1.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.1)  # He, fan out


def test_a_network_with_a_fixed_input_size_is_built_for_the_size_in_use():
    network = build("timm", name="test_vit", image_size=48).network
    assert network(torch.zeros(1, 3, 48, 48)).shape == (1, 10)


@pytest.mark.parametrize("name", ["models", "weights"])
def test_what_is_slow_to_import_is_imported_only_where_it_is_needed(name):
    source = (CONF.parents[1] / "src" / "headstart" / f"{name}.py").read_text()
    at_start = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
    assert at_start and not re.search(r"timm|torchvision|huggingface", "\n".join(at_start))


# ---------------------------------------------------------------------------------------------------------- two halves


@pytest.mark.parametrize("name", ours())
def test_backbone_and_classifier_one_after_the_other_give_the_networks_logits_exactly(name):
    model = build(name)
    images = torch.randn(3, 3, 32, 32)
    model.network.eval()
    with torch.no_grad():
        features = models.backbone_features(model, images)
        halves = models.classify(model, features)
        assert torch.equal(halves, model.network(images))
    assert features.shape[0] == 3 and features.shape[1:] != (10,)
    assert models.splits(model, images)


@pytest.mark.parametrize("name", ["test_convnext", "test_vit", "test_efficientnet", "resnetv2_50"])
def test_families_of_timm_come_apart_in_front_of_their_classifier(name):
    assert models.splits(build("timm", name=name, image_size=96), torch.randn(2, 3, 96, 96))


def test_a_network_that_goes_on_behind_its_classifier_is_said_not_to_come_apart():
    model = build("cnn")
    model.network.add_module("temperature", nn.Softmax(dim=1))
    assert not models.splits(model, torch.randn(2, 3, 32, 32))


def test_the_backbones_half_leaves_the_classifier_and_its_hooks_alone():
    network = nn.Sequential(nn.Flatten(), nn.Sequential(nn.BatchNorm1d(12), nn.Linear(12, 2)))
    model, images = models.Model(network, "1"), torch.randn(4, 3, 2, 2)
    assert torch.equal(models.backbone_features(model, images), images.flatten(1))
    assert network[1][0].num_batches_tracked == 0
    assert network(images).shape == (4, 2)
    with torch.no_grad():
        models.classify(model, images.flatten(1))
    assert network[1][0].num_batches_tracked == 2  # the whole network once, the classifier's half once


# ------------------------------------------------------------------------------------------------------------- mistakes

MISTAKES = [
    ("timm", dict(name="???"), "model.name="),
    ("timm", dict(name=None), "model.name="),
    ("timm", dict(name="resnt18"), "did you mean resnet18"),
    ("timm", dict(name="zzzzzzzz"), "list_models"),
    ("timm", dict(name="../x"), "not a network of timm"),
    ("timm", dict(name="local-dir:."), "not a network of timm"),
    ("timm", dict(name="resnet18.a1_in1k"), "model.weights=a1_in1k"),
    ("timm", dict(name="test_vit", image_size=8), "image_size=8"),
    ("timm", dict(name="test_vit", stem="cifar"), "model.stem=imagenet"),
    ("timm", dict(name="resnet10t", stem="cifar"), "model.stem=imagenet"),
    ("timm", dict(name="deit_tiny_distilled_patch16_224"), "several"),
    ("resnet18", dict(stem="tiny"), "imagenet or cifar"),
    ("cnn", dict(image_size=7), "image_size=7"),
    ("cnn", dict(freeze="all"), "backbone_then_none"),
    ("cnn", dict(freeze="backbone_then_none"), "model.unfreeze_epoch=N"),
    ("cnn", dict(freeze="backbone_then_none", unfreeze_epoch=1), "2 or more"),
    ("cnn", dict(freeze="backbone_then_none", unfreeze_epoch=2.5), "2 or more"),
    ("cnn", dict(unfreeze_epoch=3), "no effect"),
    ("cnn", dict(freeze="backbone", unfreeze_epoch=3), "no effect"),
    ("cnn", dict(freeze="backbone", backbone_lr_factor=0.1), "no effect"),
    ("cnn", dict(backbone_lr_factor=0), "model.freeze=backbone"),
    ("cnn", dict(backbone_lr_factor=float("nan")), "above 0"),
    ("cnn", dict(backbone_lr_factor="low"), "not a number"),
    ("cnn", dict(keep_classifier=True), "model.weights=PATH"),
]


@pytest.mark.parametrize("name, changes, said", MISTAKES, ids=[f"{m[0]}-{m[1]}" for m in MISTAKES])
def test_a_mistake_in_the_configuration_is_explained(name, changes, said):
    with pytest.raises(UserError) as caught:
        build(name, **changes)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3


# ------------------------------------------------------------------------------------------------------------- freezing


@pytest.mark.parametrize("name", ours())
def test_a_frozen_backbone_stays_as_it_is_and_the_classifier_learns(name):
    model = build(name, freeze="backbone")
    model.network.train()
    assert models.set_trainable(model, 1) is True
    before = {key: value.clone() for key, value in model.network.state_dict().items()}
    optimizer = torch.optim.SGD(models.parameter_groups(model, 0.5))
    model.network(torch.randn(4, 3, 32, 32)).square().mean().backward()
    optimizer.step()
    changed = {key for key, value in model.network.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == set(parts(model)[1])
    model.network.train()
    assert models.set_trainable(model, 2) is False


def test_frozen_layers_are_in_eval_mode_and_the_classifier_is_not():
    model = build("resnet18", freeze="backbone")
    model.network.train()
    models.set_trainable(model, 1)
    training = {name for name, module in model.network.named_modules() if module.training}
    assert training == {"fc"}
    assert models.count_parameters(model.network)["parameters_trainable"] == 512 * 10 + 10


def test_the_backbone_learns_from_the_unfreeze_epoch_on():
    model = build("resnet18", freeze="backbone_then_none", unfreeze_epoch=3)
    changes, trainable = [], []
    for epoch in (1, 2, 3, 4):
        model.network.train()
        changes.append(models.set_trainable(model, epoch))
        trainable.append(all(p.requires_grad for p in model.network.parameters()))
    assert changes == [True, False, True, False]
    assert trainable == [False, False, True, True]
    assert all(module.training for module in model.network.modules())


def test_nothing_changes_without_freezing():
    model = build("resnet18")
    model.network.train()
    assert models.set_trainable(model, 1) is False
    assert all(module.training for module in model.network.modules())


@pytest.mark.parametrize("name", ours())
def test_the_optimizer_gets_each_trainable_parameter_once_at_its_own_rate(name):
    model = build(name, backbone_lr_factor=0.1)
    backbone, head = parts(model)
    rates = {id(p): group["lr"] for group in models.parameter_groups(model, 0.5) for p in group["params"]}
    assert rates == {id(p): 0.5 for p in head.values()} | {id(p): pytest.approx(0.05) for p in backbone.values()}
    assert sum(len(group["params"]) for group in models.parameter_groups(model, 0.5)) == len(rates)
    assert models.parameter_groups(model, 0.5)[0]["lr"] == 0.5  # the first group's is the one that is reported


def test_the_optimizer_gets_no_frozen_parameter():
    model = build("cnn", freeze="backbone")
    models.set_trainable(model, 1)
    given = [id(p) for group in models.parameter_groups(model, 1.0) for p in group["params"]]
    assert given == [id(p) for p in parts(model)[1].values()]


def test_freezing_random_features_is_reported():
    assert "random" in build("cnn", freeze="backbone").report[-1]
    assert not any("frozen" in line for line in build("cnn").report)
