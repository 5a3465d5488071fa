"""The stages of a network, counted from the picture up, and a cut between two of them."""

import pytest
import torch
from torch import nn

from headstart import models
from headstart.errors import UserError
from headstart.models.stages import cut_behind
from models.helpers_models import build

BLOCKS = [f"blocks.{n}" for n in range(7)]
OF_MODELS = [
    ("cnn", {}, ["convolution1", "convolution2", "convolution3", "hidden"]),
    ("airbench", dict(flip_averaging=False), ["whitening", "pair1", "pair2", "pair3"]),
    ("resnet9", {}, ["stem", "stage1", "residual1", "stage2", "stage3", "residual3"]),
    ("resnet18", {}, ["conv1", "layer1", "layer2", "layer3", "layer4"]),
    ("resnet18_torchvision", {}, ["conv1", "layer1", "layer2", "layer3", "layer4"]),
    (
        "resnet50v2_head_random",
        dict(name="test_resnet"),
        ["backbone.conv1", *(f"backbone.layer{n}" for n in range(1, 5))],
    ),
    ("timm", dict(name="tf_efficientnet_lite0"), ["conv_stem", *BLOCKS, "conv_head"]),
    ("timm", dict(name="test_convnext"), ["stem", "stages.0", "stages.1", "stages.2", "stages.3"]),
    ("timm", dict(name="test_vit"), ["patch_embed", *BLOCKS[:6]]),
    ("torchvision", dict(name="squeezenet1_1"), [f"features.{n}" for n in (0, 3, 4, 6, 7, 9, 10, 11, 12)]),
]


def stages_of(option: str, **changes) -> list[str]:
    """As the message on a number that is too high lists them."""
    with pytest.raises(UserError) as caught:
        build(option, freeze="backbone_until:99", **changes)
    before, _, listed = str(caught.value).partition(" are ")
    assert before.startswith("model.freeze=backbone_until:99: the stages of ")
    listed, _, hint = listed.partition("; ")
    numbered = [word.split(" ") for word in listed.split(", ")]
    assert [number for number, _ in numbered] == [str(n) for n in range(1, len(numbered) + 1)]
    assert hint == f"give 1 to {len(numbered) - 1}, or backbone for all"
    return [stage for _, stage in numbered]


@pytest.mark.parametrize(("name", "changes", "expected"), OF_MODELS, ids=str)
def test_the_stages_of_a_network_are_listed_where_a_number_is_too_high(name, changes, expected):
    assert stages_of(name, **changes) == expected


@pytest.mark.parametrize(("name", "changes", "stages"), OF_MODELS, ids=str)
def test_a_network_cut_behind_any_stage_makes_the_same_of_pictures(name, changes, stages):
    pictures = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    whole = build(name, **changes).network.eval()
    for number in range(1, len(stages)):
        model = build(name, freeze=f"backbone_until:{number}", **changes)
        assert model.network.training
        model.network.eval()
        with torch.no_grad():
            features = models.backbone_features(model, pictures)
            assert torch.equal(models.classify(model, features), whole(pictures))  # which also has the same weights
            assert not torch.equal(models.classify(model, features[:1] + 1), whole(pictures[:1]))
    assert not any("forward" in vars(module) for module in model.network.modules())


def test_what_lies_below_without_being_in_a_stage_is_held_still_too():
    model = build("timm", name="test_vit", freeze="backbone_until:3")
    held = {name for name in model.network.state_dict() if models.can_be_frozen(model, name)}
    outside = {name for name in held if not name.startswith(("patch_embed.", "blocks.0.", "blocks.1."))}
    assert {"pos_embed", "cls_token"} <= outside <= {"pos_embed", "cls_token", "reg_token"}


def test_cutting_draws_no_random_number():
    build("cnn", freeze="backbone_until:2")
    after = torch.get_rng_state()
    build("cnn")
    assert torch.equal(torch.get_rng_state(), after)


class Skipping(nn.Module):
    """Hands the first stage's output around the second and the third, by a factor that is zero at first."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three, self.four = (nn.Conv2d(3, 3, 1) for _ in range(4))
        self.factor = nn.Parameter(torch.zeros(1))
        self.classifier = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.one(x)
        return self.classifier(self.four(self.three(self.two(one)) + self.factor * one).mean((2, 3)))


def test_a_network_is_not_cut_where_what_is_below_is_used_further_up():
    network = Skipping()
    assert cut_behind(network, "classifier", 1, 8, "it", "ours").modules == ("one",)
    for number, stage in (2, "two"), (3, "three"):
        with pytest.raises(
            UserError, match=f"^it: ours uses more further up than {stage} gives; it cannot be cut there$"
        ):
            cut_behind(network, "classifier", number, 8, "it", "ours")
    assert network.training


def test_a_network_is_not_cut_between_stages_that_share_a_weight():
    network = Skipping()
    network.three.weight = network.one.weight
    with pytest.raises(UserError, match="cannot be cut there"):
        cut_behind(network, "classifier", 1, 8, "it", "ours")


def test_a_network_of_a_single_stage_has_no_place_to_be_cut():
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(UserError, match=r"^it: the stages of ours are 1 0; give none or backbone$"):
        cut_behind(network, "3", 1, 8, "it", "ours")
