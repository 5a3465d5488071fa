"""Networks by configuration: sizes, halves, stems, names, mistakes. A new file of conf/model is tested as it is."""

import re
from collections.abc import Iterator

import pytest
import torch
from options import CONF, build, by_function, distinct, keys_of, ours, parts
from torch import nn

from headstart.errors import UserError
from headstart.models import architectures as networks
from headstart.models import builders as models

COMMON = {"weights", "keep_classifier", "freeze", "unfreeze_epoch", "backbone_lr_factor"}


@pytest.fixture(scope="module", params=distinct())
def model(request) -> Iterator[models.Model]:
    """The network of each option, built once for all tests that leave its tensors as they are."""
    yield build(request.param)


def test_every_model_file_learns_from_two_small_images(model):
    model.network.train().zero_grad()
    logits = model.network(torch.randn(2, 3, 32, 32))
    assert logits.shape == (2, 10)
    logits.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.network.parameters())
    assert sum(p.grad.abs().sum() for p in model.network.parameters()) > 0
    model.network.zero_grad()


def test_backbone_and_classifier_one_after_the_other_give_the_networks_logits_exactly(model):
    images = torch.randn(3, 3, 32, 32)
    model.network.eval()
    with torch.no_grad():
        features = models.backbone_features(model, images)
        halves = models.classify(model, features)
        assert torch.equal(halves, model.network(images))
    assert features.shape[0] == 3 and features.shape[1:] != (10,)
    assert models.splits(model, images)


@pytest.mark.parametrize("name", ours())
def test_every_model_file_has_the_common_keys_and_names_its_classifier(name):
    assert keys_of(name).keys() >= COMMON
    with torch.device("meta"):
        model, other = build(name), build(name, classes=3).network.state_dict()
    (layer, last), *_ = reversed(parts(model)[1].items())
    assert (last.shape[0], other[layer].shape[0]) == (10, 3)
    differ = {key for key, tensor in model.network.state_dict().items() if tensor.shape != other[key].shape}
    assert differ <= parts(model)[1].keys()


@pytest.mark.parametrize("name, changes", by_function().items())
def test_the_seed_alone_decides_the_initial_weights(name, changes):
    first, again, other = (build(name, seed=seed, **changes).network.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


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
]


@pytest.mark.parametrize("name, parameters, with_statistics", COUNTS)
def test_parameter_counts_are_those_of_the_write_ups(name, parameters, with_statistics):
    with torch.device("meta"):
        network = build(name).network
    assert models.count_parameters(network) == dict(
        parameters=parameters, parameters_trainable=parameters, parameters_with_statistics=with_statistics
    )


@pytest.mark.parametrize("name, trained", [("resnet50v2_head", 2_592_778), ("vgg16_finetune", 40_970)])
def test_only_the_head_counts_as_trainable_while_the_backbone_is_frozen(name, trained):
    with torch.device("meta"):
        model = build(name, **{key: keys_of(name)[key] for key in ("freeze", "unfreeze_epoch")})
    models.set_trainable(model, 1)
    assert models.count_parameters(model.network)["parameters_trainable"] == trained


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
    head = without_dropout(networks.dense_head(16, 10))
    weights, x = head.state_dict(), torch.randn(6, 16, 7, 7)
    y = nn.functional.conv2d(x, weights["convolution.weight"], weights["convolution.bias"], padding=1)
    y = y.clamp(min=0).mean((2, 3))
    for n, units in ((1, 512), (2, 256), (3, 128)):
        y = y @ weights[f"hidden{n}.weight"].T + weights[f"hidden{n}.bias"]
        assert y.shape == (6, units)
        y = normalised(y, weights, f"normalisation{n}").clamp(min=0)
    torch.testing.assert_close(head(x), y @ weights["output.weight"].T + weights["output.bias"], rtol=1e-3, atol=1e-4)
    assert [m.p for m in networks.dense_head(16, 10).modules() if isinstance(m, nn.Dropout)] == [0.1] * 3


def test_the_head_stands_on_timms_feature_maps():
    import timm

    network = build("resnet50v2_head", image_size=64).network.eval()
    backbone = timm.create_model("resnetv2_50", num_classes=0)
    state = {k.removeprefix("backbone."): v for k, v in network.state_dict().items() if k.startswith("backbone.")}
    assert state.keys() == backbone.state_dict().keys()
    backbone.load_state_dict(state)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        features = backbone.eval().forward_features(images)
        assert features.shape == (2, 2048, 2, 2)
        assert torch.equal(network(images), network.classifier(features))


def test_torchvisions_resnet_is_torchvisions_own():
    import torchvision

    torch.manual_seed(3)
    reference = torchvision.models.resnet18(num_classes=10).state_dict()
    own = build("resnet18_torchvision", seed=3).network.state_dict()
    assert own.keys() == reference.keys() == build("resnet18").network.state_dict().keys()  # files go both ways
    assert all(torch.equal(own[key], reference[key]) for key in own)


def test_the_models_own_size_gives_way_to_the_one_that_is_asked_for():
    assert keys_of("resnet50v2_head")["image_size"] == 224
    with torch.device("meta"):
        assert build("resnet50v2_head", image_size=96).network.eval()(torch.zeros(1, 3, 96, 96)).shape == (1, 10)


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


@pytest.mark.parametrize("name", ["models", "weights", "published", "networks", "backbone", "freezing", "transfer"])
def test_what_is_slow_to_import_is_imported_only_where_it_is_needed(name):
    source = (CONF.parents[1] / "src" / "headstart" / f"{name}.py").read_text()
    at_start = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
    assert at_start and not re.search(r"timm|torchvision|huggingface", "\n".join(at_start))


# ---------------------------------------------------------------------------------------------------------- two halves


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
    ("torchvision", dict(name="???"), "model=torchvision needs"),
    ("torchvision", dict(name="resnt18"), "did you mean resnet18"),
    ("torchvision", dict(name="inception_v3"), "several"),
    ("torchvision", dict(name="vit_b_16"), "image_size=32"),
    ("torchvision", dict(name="densenet121", stem="cifar"), "model.stem=imagenet"),
    ("resnet18_torchvision", dict(stem="tiny"), "imagenet or cifar"),
    ("resnet50v2_head", dict(name="resnt18"), "did you mean resnet18"),
    ("resnet50v2_head", dict(name="test_vit"), "does not work"),
    ("fan", dict(image_size=14), "15 or more"),
    ("resnet9", dict(image_size=7), "8 or more"),
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
