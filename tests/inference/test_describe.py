"""What is in a weights file, for which networks it is, and what they would take."""

import argparse

import pytest
import safetensors.torch
import torch

from headstart import store
from headstart.errors import UserError
from headstart.inference import describe_weights, show_weights
from inference.helpers_inference import finished


def test_show_prints_what_is_in_a_file(tmp_path):
    finished(tmp_path / "run")
    file = tmp_path / "run" / "best.safetensors"
    shown = dict(line.split(maxsplit=1) for line in show_weights(file))
    assert shown["sha256"] == store.sha256_of(file)
    assert shown["tensors"] == "10 with 1,143,875 numbers (float32)"
    assert (shown["architecture"], shown["classes"], shown["input_mean"]) == ("cnn", "cat, dog, bird", "0.1, 0.2, 0.3")
    assert shown["bytes"] == f"{file.stat().st_size:,}"


def test_show_takes_foreign_files_and_obeys_nothing_in_them(tmp_path):
    safetensors.torch.save_file({"a": torch.zeros(3)}, tmp_path / "x.safetensors", {"k\x1b[2J": "a\nb\x1b]0;c\x07"})
    assert show_weights(tmp_path / "x.safetensors")[-1] == "k?[2J    a?b?]0;c?"
    torch.save({"a": torch.zeros(3, dtype=torch.half), "b": torch.zeros(2)}, tmp_path / "x.pth")
    assert show_weights(tmp_path / "x.pth")[-1] == "tensors  2 with 5 numbers (float16, float32)"


@pytest.mark.parametrize("key", ["other", "classes"])
def test_show_says_what_is_wrong_with_lists_that_are_nested_without_end(key, tmp_path):
    deep = "[" * 5000 + "]" * 5000
    safetensors.torch.save_file({"a": torch.zeros(3)}, tmp_path / "x.safetensors", {key: deep})
    if key == "other":
        assert show_weights(tmp_path / "x.safetensors")[-1] == f"other    {deep}"
        return
    with pytest.raises(UserError, match=r"metadata that make no sense: nested more than 50 levels deep"):
        show_weights(tmp_path / "x.safetensors")


def test_show_refuses_what_is_no_weights(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        show_weights(tmp_path / "none.safetensors")
    (tmp_path / "x.safetensors").write_bytes(b"gar\0bage")
    with pytest.raises(UserError, match="damaged"):
        show_weights(tmp_path / "x.safetensors")


# ---- describe


def timms(name: str, **options) -> dict:
    import timm

    torch.manual_seed(0)
    return dict(timm.create_model(name, **options).state_dict())


def said(lines: list[str], key: str) -> str:
    return next(line.removeprefix(key).strip() for line in lines if line.startswith(f"{key} "))


def test_a_file_that_names_its_network_is_tried_on_it(tmp_path):
    state = {f"module.{name}": tensor for name, tensor in timms("test_resnet", num_classes=3).items()}
    content = {"state_dict": state, "arch": "test_resnet", "args": argparse.Namespace(lr=0.1)}
    torch.save(content, tmp_path / "x.pth.tar")
    lines = describe_weights(tmp_path / "x.pth.tar")
    assert said(lines, "found") == f"{len(state)} in state_dict"
    assert said(lines, "architecture") == "test_resnet"
    assert said(lines, "fits") == "model=timm model.name=test_resnet"
    at = lines.index("into model=timm model.name=test_resnet")
    assert f"left out 'state_dict.module.', which the names of {len(state)} tensors began with" in lines[at + 1]
    assert lines[-1].endswith("start anew: fc.weight, fc.bias")


def test_a_file_that_names_none_is_tried_on_ours(tmp_path):
    finished(tmp_path / "run")
    path = tmp_path / "run" / "best.safetensors"
    safetensors.torch.save_file(safetensors.torch.load_file(path), tmp_path / "x.safetensors")
    lines = describe_weights(tmp_path / "x.safetensors")
    assert said(lines, "fits").split(", or ")[0] == "model=cnn"


def test_a_larger_networks_file_does_not_fit_the_smaller_one(tmp_path):
    torch.save(timms("resnet34", num_classes=3), tmp_path / "x.pth")
    assert said(describe_weights(tmp_path / "x.pth"), "fits") == "model=timm model.name=resnet34"


def test_the_chosen_network_says_what_it_takes_or_why_it_does_not(tmp_path):
    torch.save(timms("test_resnet", num_classes=3) | {"criterion.weight": torch.ones(3)}, tmp_path / "x.pth")
    lines = describe_weights(tmp_path / "x.pth", ["model=timm", "model.name=test_resnet"])
    assert "left out as foreign 1 tensor: criterion.weight" in "\n".join(lines)
    lines = describe_weights(tmp_path / "x.pth", ["model=cnn"])
    assert "does not fit cnn: " in lines[-2] and lines[-1] == "  Only the classifier (classifier) may differ."


def test_classes_and_normalisation_of_a_hubs_folder_are_shown(tmp_path):
    import timm

    network = timm.create_model("test_resnet", num_classes=2)
    told = dict(label_names=["cat", "dog"], pretrained_cfg=dict(mean=(0.1, 0.2, 0.3), std=(0.5, 0.5, 0.5)))
    timm.models.save_for_hf(network, tmp_path, told, safe_serialization=True)
    lines = show_weights(tmp_path)
    assert (said(lines, "classes"), said(lines, "input_mean")) == ("cat, dog", "0.1, 0.2, 0.3")


@pytest.mark.parametrize(
    "words, message",
    [
        (["model=resnet34"], "model=resnet34 is unknown"),
        (["model=timm"], "model=timm needs the network's name: model.name=NAME"),
        (["model=random_forest"], "model=random_forest is no network"),
        (["lr=3"], "lr=3: behind the file stand overrides of the network alone"),
        (["resnet18"], "resnet18: behind the file stand overrides"),
    ],
)
def test_what_chooses_no_network_is_refused(tmp_path, words, message):
    with pytest.raises(UserError, match=message):
        describe_weights(tmp_path / "not read", words)
