"""Weights into a network: what is taken, what does not fit, and in which words."""

import hashlib
import os
from collections import OrderedDict
from pathlib import Path

import pytest
import safetensors.torch
import torch

from headstart import models
from headstart.errors import UserError
from headstart.models import builders
from models.helpers_models import MEAN, NAMES, OPTIONS, STD, cnn, exported, refused


def test_a_written_file_is_taken_but_for_the_classifier(file, trained):
    model, fresh = cnn(file=file, seed=1), cnn(seed=1)
    here, there, random_state = (m.network.state_dict() for m in (model, trained, fresh))
    for name in here:
        expected = random_state if name.startswith("classifier.") else there
        assert torch.equal(here[name], expected[name]), name
    assert model.report == [f"weights: 8 tensors from {file}; start anew: classifier.weight, classifier.bias"]
    assert model.weights == str(file)
    assert model.weights_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert model.normalisation == models.Normalisation("file", MEAN, STD)


def test_a_tilde_is_the_home_folder(file, monkeypatch):
    monkeypatch.setenv("HOME", str(file.parent))
    assert cnn(file=f"~/{file.name}").weights_sha256 == cnn(file=file).weights_sha256
    with pytest.raises(UserError, match=r"~nobody-of-this-name/x\.pth: .*give the folder itself"):
        cnn(file="~nobody-of-this-name/x.pth")


def test_keep_classifier_gives_the_trained_network_back(file, trained):
    model = cnn(file=file, seed=1, keep_classifier=True)
    images = torch.randn(3, 3, 8, 8)
    assert torch.equal(model.network(images), trained.network(images))
    assert model.report == [f"weights: 10 tensors from {file}; start anew: none"]


@pytest.mark.parametrize("class_names", [NAMES[::-1], tuple("0123456789")])
def test_keep_classifier_needs_the_same_classes_in_the_same_order(file, class_names):
    refused(file, "classes a, b, c, ...", "keep_classifier", keep_classifier=True, class_names=class_names)


def test_keep_classifier_needs_the_same_number_of_classes(tmp_path, trained):
    path = tmp_path / "x.pth"
    torch.save(trained.network.state_dict(), path)
    refused(path, "classifier.weight [10, 512] for [4, 512]", "keep_classifier", keep_classifier=True, classes=4)


def test_another_number_of_classes_is_fine_without_keep_classifier(file):
    assert cnn(file=file, classes=4).network(torch.zeros(2, 3, 8, 8)).shape == (2, 4)


def test_a_file_without_any_classifier_is_fine(tmp_path, trained):
    path = tmp_path / "x.safetensors"
    state = {k: v for k, v in trained.network.state_dict().items() if not k.startswith("classifier.")}
    safetensors.torch.save_file(state, path)
    assert cnn(file=path).normalisation is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_are_cast_to_the_networks_own(tmp_path, trained, dtype):
    path = tmp_path / "x.safetensors"
    safetensors.torch.save_file({k: v.to(dtype) for k, v in trained.network.state_dict().items()}, path)
    weight = cnn(file=path).network.hidden.weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, trained.network.hidden.weight.to(dtype).float())


def test_loading_leaves_the_stream_of_random_numbers_as_it_was(file):
    cnn(seed=3)
    expected = torch.rand(3)
    cnn(seed=3, file=file)
    assert torch.equal(torch.rand(3), expected)


def test_another_training_size_is_reported(tmp_path):
    torch.manual_seed(0)
    options = OPTIONS | dict(name="test_resnet", stem="imagenet", classes=10, class_names=NAMES)
    model = builders.timm_model(weights=None, image_size=32, **options)
    path = tmp_path / "x.safetensors"
    path.write_bytes(exported(model))
    again = builders.timm_model(weights=str(path), image_size=32, **options)
    assert again.report[-1] == "weights: trained at 8 px, in use at 32 px"


@pytest.mark.skipif("HEADSTART_WEIGHTS" not in os.environ, reason="HEADSTART_WEIGHTS names no folder with weights")
def test_the_cifar100_weights_fit_resnet18_and_no_other_stem():
    path = Path(os.environ["HEADSTART_WEIGHTS"]) / "resnet18_cifar100_32px.safetensors"
    options = OPTIONS | dict(name="resnet18", weights=str(path), classes=10, class_names=NAMES, image_size=32)
    model = builders.timm_model(stem="imagenet", **options)
    assert model.normalisation == models.Normalisation("file", (0.507, 0.487, 0.441), (0.267, 0.256, 0.276))
    assert "100 tensors" in model.report[0] and "start anew: fc.weight, fc.bias" in model.report[0]
    stored = safetensors.torch.load_file(path)
    own = model.network.state_dict()
    assert all(torch.equal(own[k], v.float()) for k, v in stored.items() if not k.startswith("fc."))
    with pytest.raises(UserError, match=r"conv1.weight \[64, 3, 7, 7\] for \[64, 3, 3, 3\]"):
        builders.timm_model(stem="cifar", **options)


@pytest.mark.parametrize("given", ["imagenet", "a1_in1k", "resnet18"])
def test_a_word_that_is_no_weights_lists_the_options(given):
    refused(given, given, "cnn", ".safetensors", "null")


def test_a_tag_that_timm_does_not_have_lists_those_it_has():
    with pytest.raises(UserError, match="imagenet, r160_in1k"):
        builders.timm_model(
            name="test_resnet",
            stem="imagenet",
            weights="a9",
            classes=2,
            class_names=("a", "b"),
            image_size=32,
            **OPTIONS,
        )


def test_the_sources_name_alone_is_refused():
    refused("source", "study")


@pytest.mark.parametrize("given", [3, True, 1e-3])
def test_what_is_no_text_is_refused(given):
    with pytest.raises(UserError, match="not a text"):
        builders.cnn(weights=given, classes=10, class_names=NAMES, image_size=8, **OPTIONS)


def test_a_file_of_another_network_is_refused_by_names(tmp_path):
    network = torch.nn.Sequential(OrderedDict(body=torch.nn.Linear(3, 3), tail=torch.nn.Linear(3, 3)))
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file(network.state_dict(), path)
    missing = "8 missing (convolution1.weight, convolution1.bias, convolution2.weight, ...)"
    refused(path, "does not fit cnn", missing, "4 unexpected (", "Only the classifier (classifier) may differ")


def test_tensors_of_another_shape_are_named(file):
    refused(file, "1 of another shape (hidden.weight [512, 128] for [512, 512])", image_size=16)


def test_one_tensor_too_few_or_too_many_is_refused(tmp_path, trained):
    path = tmp_path / "x.pth"
    state = dict(trained.network.state_dict())
    torch.save(state | {"extra": torch.zeros(1)}, path)
    refused(path, "1 unexpected (extra)")
    del state["hidden.bias"]
    torch.save(state, path)
    refused(path, "1 missing (hidden.bias)")


@pytest.mark.parametrize("name", ["hidden.weight", "classifier.bias"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_are_refused(tmp_path, trained, name, value):
    trained.network.get_parameter(name).data.view(-1)[1] = value
    path = tmp_path / "x.safetensors"
    path.write_bytes(exported(trained))
    refused(path, "NaN", f"1 tensors: {name}")
