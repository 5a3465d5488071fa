"""What files and hubs' folders say about themselves."""

import json

import pytest
import safetensors.torch
import torch

from headstart.models.metadata import Normalisation, hub_config
from headstart.models.weight_files import from_file
from models.helpers_models import NAMES, OPTIONS, build, cnn, refused

TRANSFORMERS = {"architectures": ["ResNetForImageClassification"], "id2label": {"10": "z", "2": "cat", "0": "dog"}}


def hub(folder, network, config: dict) -> None:
    safetensors.torch.save_file(network.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))


def test_a_folder_that_timm_wrote_brings_its_mean_deviation_and_classes(tmp_path):
    import timm

    network = build("timm", name="test_resnet", seed=3, classes=3).network
    described = dict(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), input_size=(3, 64, 64))
    told = {"label_names": ["cat", "dog", "emu"], "pretrained_cfg": described}
    timm.models.save_for_hf(network, tmp_path, told, safe_serialization=True)
    loaded = from_file(tmp_path)
    assert loaded.normalisation == Normalisation("file", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert (loaded.classes, loaded.image_size) == (("cat", "dog", "emu"), 64)
    assert loaded.architecture == "test_resnet"
    model = build("timm", name="test_resnet", weights=str(tmp_path), classes=3)
    assert model.normalisation == loaded.normalisation
    name = next(iter(network.state_dict()))
    assert torch.equal(model.network.state_dict()[name], network.state_dict()[name])


def test_the_file_in_such_a_folder_is_told_the_same(tmp_path, trained):
    hub(tmp_path, trained.network, {"architecture": "cnn", "mean": [0.1, 0.2, 0.3], "std": [1, 1, 1]})
    assert cnn(file=tmp_path / "model.safetensors").normalisation.mean == (0.1, 0.2, 0.3)
    (tmp_path / "model.safetensors").rename(tmp_path / "mine.safetensors")
    assert cnn(file=tmp_path / "mine.safetensors").normalisation is None  # somebody else's config.json


def test_classes_of_a_folder_are_compared_where_the_classifier_is_kept(tmp_path, trained):
    hub(tmp_path, trained.network, {"label_names": list(NAMES[::-1])})
    refused(tmp_path, "is for the classes j, i, h", keep_classifier=True)
    assert cnn(file=tmp_path, **OPTIONS | {"keep_classifier": True}, class_names=NAMES[::-1]).weights_sha256


def test_the_format_of_transformers_is_read_too(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(TRANSFORMERS | {"image_size": 224}))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}))
    assert hub_config(tmp_path) == {
        "input_mean": "[0.5, 0.5, 0.5]",
        "input_std": "[0.5, 0.5, 0.5]",
        "classes": '["dog", "cat", "z"]',
        "image_size": "224",
        "architecture": "ResNetForImageClassification",
    }


@pytest.mark.parametrize(
    "config",
    [
        {"mean": [1e308] * 3, "std": [1] * 3},
        {"mean": [0.5] * 3},
        {"input_size": [3, -5, -5]},
        {"input_size": [3, 1_000_000, 1_000_000]},
    ],
    ids=str,
)
def test_a_folders_configuration_that_makes_no_sense_is_refused(tmp_path, trained, config):
    hub(tmp_path, trained.network, config)
    refused(tmp_path, "has metadata that make no sense")


@pytest.mark.parametrize(
    "config",
    [
        {"image_size": {"height": 32, "width": 32}},
        {"image_size": 224.0},
        {"image_size": True},
        {"input_size": [[3, 32]]},
        {"mean": 0.5, "std": 0.5},
        {"mean": 0.5, "std": [1, 1, 1]},
    ],
    ids=str,
)
def test_what_another_program_writes_there_keeps_no_weights_from_being_read(tmp_path, trained, config):
    hub(tmp_path, trained.network, config)
    assert hub_config(tmp_path) == {}
    model = cnn(file=tmp_path)
    assert model.normalisation is None and model.weights_sha256


@pytest.mark.parametrize("text", ["[1]", "{}", '{"mean": null}', '{"pretrained_cfg": 3, "architectures": []}'])
def test_a_configuration_that_says_nothing_is_none(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    assert hub_config(tmp_path) == {}


def test_a_folder_without_weights_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    refused(tmp_path, "is not a file", "or a folder with model.safetensors in it")
