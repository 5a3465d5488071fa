"""Networks by configuration. A new file of conf/model is tested as it is."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from headstart import models
from headstart.errors import UserError
from headstart.models import builders
from headstart.models.builders import NetworkOptions
from models.helpers_models import build, by_function, distinct, keys_of, ours, parts

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
    learning = [p for p in model.network.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learning)
    assert sum(p.grad.abs().sum() for p in learning) > 0
    model.network.zero_grad()


def test_backbone_and_classifier_one_after_the_other_give_the_networks_logits_exactly(model):
    images = torch.randn(3, 3, 32, 32)
    model.network.eval()
    with torch.no_grad():
        features = models.backbone_features(model, images)
        halves = models.classify(model, features)
        assert torch.equal(halves, model.network(images))
    assert features.shape[0] == 3 and features.shape[1:] != (10,)
    assert models.halves_agree(model, images)


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


def test_the_models_own_size_gives_way_to_the_one_that_is_asked_for():
    assert keys_of("resnet50v2_head")["image_size"] == 224
    with torch.device("meta"):
        assert build("resnet50v2_head", image_size=96).network.eval()(torch.zeros(1, 3, 96, 96)).shape == (1, 10)


@pytest.mark.parametrize("image_size", [8, 28, 64])
def test_the_cnn_takes_other_image_sizes(image_size):
    assert build("cnn", image_size=image_size).network(torch.zeros(2, 3, image_size, image_size)).shape == (2, 10)


FILES = sorted(Path(models.__path__[0]).glob("*.py"))
LATE = ["one_hot"]  # imported where a regressor is made; its class is one of scikit-learn's


@pytest.mark.parametrize("path", [path for path in FILES if path.stem not in LATE], ids=lambda path: path.stem)
def test_what_is_slow_to_import_is_imported_only_where_it_is_needed(path):
    at_start = [line for line in path.read_text().splitlines() if line.startswith(("import ", "from "))]
    slow = r"(import|from) (timm|torchvision|huggingface_hub|sklearn)\b"
    assert at_start and not any(re.match(slow, line) for line in at_start)


MISTAKES = [
    ("fan", dict(image_size=14), "15 or more"),
    ("resnet9", dict(image_size=7), "8 or more"),
    ("airbench", dict(image_size=8), "9 or more"),
    ("airbench", dict(freeze="backbone_until:2"), "model.flip_averaging=false"),
    ("cnn", dict(image_size=8, depth=4), "16 or more"),
    ("cnn", dict(image_size=7), "image_size=7"),
    ("cnn", dict(freeze="backbone_then_none"), "model.unfreeze_epoch=N"),
    ("cnn", dict(unfreeze_epoch=3), "no effect"),
    ("cnn", dict(freeze="backbone", unfreeze_epoch=3), "no effect"),
    ("cnn", dict(freeze="backbone", backbone_lr_factor=0.1), "no effect"),
    ("cnn", dict(keep_classifier=True), "model.weights=PATH"),
]


@pytest.mark.parametrize("name", sorted(NetworkOptions.__required_keys__))
def test_a_setting_that_was_taken_out_is_named(name):
    options = {key: value for key, value in keys_of("cnn").items() if key not in ("_target_", name)}
    with pytest.raises(UserError, match=f"model.{name} is taken out; give it a value"):
        builders.cnn(classes=2, class_names=("a", "b"), image_size=32, **options)


@pytest.mark.parametrize("name, changes, said", MISTAKES, ids=[f"{m[0]}-{m[1]}" for m in MISTAKES])
def test_a_mistake_in_the_configuration_is_explained(name, changes, said):
    with pytest.raises(UserError) as caught:
        build(name, **changes)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3
