"""Networks of timm and torchvision: the libraries' own, stems, sizes, names, mistakes."""

import pytest
import torch

from headstart.errors import UserError
from models.helpers_models import build


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
    ("torchvision", dict(name="???"), "model=torchvision needs"),
    ("torchvision", dict(name="resnt18"), "did you mean resnet18"),
    ("torchvision", dict(name="inception_v3"), "image_size=32"),
    ("torchvision", dict(name="vit_b_16"), "image_size=32"),
    ("torchvision", dict(name="densenet121", stem="cifar"), "model.stem=imagenet"),
    ("resnet50v2_head", dict(name="resnt18"), "did you mean resnet18"),
    ("resnet50v2_head", dict(name="test_vit"), "does not work"),
]


@pytest.mark.parametrize("name, changes, said", MISTAKES, ids=[f"{m[0]}-{m[1]}" for m in MISTAKES])
def test_a_mistake_in_the_configuration_is_explained(name, changes, said):
    with pytest.raises(UserError) as caught:
        build(name, **changes)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3


@pytest.mark.parametrize(("name", "image_size"), [("googlenet", 32), ("inception_v3", 75)])
def test_networks_with_classifiers_halfway_up_are_built_without_them(name, image_size, tmp_path):
    from torchvision import models as theirs

    model = build("torchvision", name=name, image_size=image_size)
    assert model.classifier == "fc" and model.network.transform_input
    published = theirs.get_model(name, weights=None, init_weights=False)  # with all its classifiers, as in its file
    file = tmp_path / "weights.pth"
    torch.save(published.state_dict(), file)
    loaded = build("torchvision", name=name, image_size=image_size, weights=str(file))
    first = "Conv2d_1a_3x3.conv.weight" if name == "inception_v3" else "conv1.conv.weight"
    assert torch.equal(loaded.network.state_dict()[first], published.state_dict()[first])
    assert any("left out its auxiliary classifiers" in line for line in loaded.report)
    loaded.network.train()
    assert loaded.network(torch.randn(2, 3, image_size, image_size)).shape == (2, 10)
