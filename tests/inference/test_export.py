"""Exported networks: what is written, that timm and the next run take it, and what is refused; a look at a file."""

import json
from pathlib import Path

import pytest
import torch
from conftest import files_below
from models.helpers_models import build, keys_of
from omegaconf import OmegaConf

from headstart import store
from headstart.errors import UserError
from headstart.inference import Classifier, export_run
from inference.helpers_inference import CLASSES, MEAN, STD, finished


def refused(run_dir: Path, *said: str, **options) -> None:
    before = files_below(run_dir.parent)
    with pytest.raises(UserError) as caught:
        export_run(run_dir, **options)
    assert [words for words in said if words not in str(caught.value)] == []
    assert len(str(caught.value).splitlines()) <= 3
    assert files_below(run_dir.parent) == before


# ------------------------------------------------------------------------------------------------ to the next run


@pytest.mark.parametrize("to", ["x.safetensors", "deeper/x.safetensors", "folder"])
def test_the_file_is_the_runs_own_and_gives_the_same_network_back(tmp_path, to):
    trained = finished(tmp_path / "run")
    lines = export_run(tmp_path / "run", tmp_path / to)
    file = tmp_path / to if to.endswith("s") else tmp_path / to / "model.safetensors"
    assert file.read_bytes() == (tmp_path / "run" / "best.safetensors").read_bytes()
    assert f"model.weights={file}" in lines[0]
    again = build("cnn", classes=3, seed=1, weights=str(file), keep_classifier=True, class_names=CLASSES)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(again.network.eval()(images), trained.network(images))
    assert (again.normalisation.mean, again.normalisation.std) == (MEAN, STD)


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    finished(tmp_path / "run")
    monkeypatch.setenv("HOME", str(tmp_path))
    export_run(tmp_path / "run", Path("~/x.safetensors"))
    assert (tmp_path / "x.safetensors").is_file()
    assert Classifier.of_run("~/run").path == tmp_path / "run"


# ------------------------------------------------------------------------------------------------------------ to timm

TIMMS = [
    ("timm", 32, dict(name="test_resnet")),
    ("timm", 48, dict(name="test_vit")),
    ("timm", 64, dict(name="test_convnext")),
    ("resnet18_pretrained", 32, {}),
    ("resnet18_pretrained", 8, {}),  # where most taps of its last convolutions meet padding alone
]


@pytest.mark.parametrize("option, size, changes", TIMMS)
def test_timm_loads_the_folder_to_the_same_logits_classes_and_inputs(tmp_path, option, size, changes):
    import timm

    trained = finished(tmp_path / "run", option, size, **changes)
    lines = export_run(tmp_path / "run", tmp_path / "out")
    assert f'timm.create_model("local-dir:{tmp_path / "out"}", pretrained=True)' in lines[1]
    again = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
    images = torch.randn(4, 3, size, size)
    with torch.no_grad():
        torch.testing.assert_close(again(images), trained.network(images), rtol=1e-4, atol=1e-5)
    assert again.pretrained_cfg["label_names"] == list(CLASSES)
    inputs = timm.data.resolve_model_data_config(again)
    assert inputs["input_size"] == (3, size, size)
    assert (tuple(inputs["mean"]), tuple(inputs["std"])) == (MEAN, STD)
    told = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (
        told["architecture"] == again.pretrained_cfg["architecture"] == trained.network.pretrained_cfg["architecture"]
    )
    assert "hf_hub_id" not in told["pretrained_cfg"]  # the weights are not those


@pytest.mark.parametrize("option", ["cnn", "resnet18_cifar", "torchvision"])
def test_a_network_that_timm_cannot_build_becomes_a_file_only_and_that_is_said(tmp_path, option):
    finished(tmp_path / "run", option)
    lines = export_run(tmp_path / "run")
    assert [p.name for p in (tmp_path / "run" / "export").iterdir()] == ["model.safetensors"]
    assert "timm cannot build this network" in lines[-1]


# ------------------------------------------------------------------------------------------------------ what is refused


def test_nothing_is_replaced_unless_it_is_asked_for(tmp_path):
    finished(tmp_path / "run", "timm")
    export_run(tmp_path / "run", tmp_path / "out")
    refused(tmp_path / "run", "model.safetensors exists; --force replaces it", to=tmp_path / "out")
    (tmp_path / "out" / "model.safetensors").unlink()
    refused(tmp_path / "run", "config.json exists", to=tmp_path / "out")
    (tmp_path / "x.safetensors").symlink_to("nowhere")
    refused(tmp_path / "run", "x.safetensors exists", to=tmp_path / "x.safetensors")
    export_run(tmp_path / "run", tmp_path / "out", force=True)
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_force_leaves_no_configuration_of_another_network(tmp_path):
    finished(tmp_path / "first", "timm")
    finished(tmp_path / "second", "cnn")
    export_run(tmp_path / "first", tmp_path / "out")
    export_run(tmp_path / "second", tmp_path / "out", force=True)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["model.safetensors"]


def test_damaged_weights_are_refused_and_nothing_is_written(tmp_path):
    finished(tmp_path / "run")
    file = tmp_path / "run" / "best.safetensors"
    content = bytearray(file.read_bytes())
    content[-1000] ^= 1
    file.write_bytes(content)
    refused(tmp_path / "run", "is damaged: its sha256")
    file.write_bytes(content[:-10])
    refused(tmp_path / "run", "is damaged")


def test_a_studys_or_an_arms_folder_lists_the_runs_with_weights_the_best_first(tmp_path):
    for number, accuracy in enumerate([70.0, 90.0, None, 80.0]):
        run = tmp_path / "study" / "cnn" / "search" / f"{number:03d}"
        finished(run)
        store.write_json(run / "result.json", dict(state="COMPLETE", val_accuracy=accuracy))
    (tmp_path / "study" / "cnn" / "search" / "002" / "best.safetensors").unlink()
    for folder in (tmp_path / "study", tmp_path / "study" / "cnn"):
        best = tmp_path / "study" / "cnn" / "search" / "001"
        refused(folder, f"{folder} is not one run", f"\n{best} (validation 90.00 %), ", "003 (validation 80.00 %)")
    finished(tmp_path / "study" / "cnn" / "search" / "004")
    refused(tmp_path / "study", "and 1 more")


def test_a_folder_without_weights_says_why(tmp_path):
    refused(tmp_path / "none", "does not exist", "best.safetensors")
    (tmp_path / "x").write_text("")
    refused(tmp_path / "x", "is a file")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "holds no run with weights")
    finished(tmp_path / "run")
    (tmp_path / "run" / "best.safetensors").unlink()
    refused(tmp_path / "run", "keep=all")
    store.write_json(tmp_path / "run" / "result.json", dict(state="FAILED"))
    refused(tmp_path / "run", "failed")
    (tmp_path / "run" / "result.json").unlink()
    refused(tmp_path / "run", f"headstart resume={tmp_path / 'run'}")
    store.write_json(tmp_path / "run" / "run.json", dict(phase="confirm"))
    refused(tmp_path / "run", "was interrupted; the study's command goes on with it")
    with store.lock_run(tmp_path / "run"):
        refused(tmp_path / "run", "still training")


def test_places_where_nothing_can_be_written_are_refused(tmp_path):
    finished(tmp_path / "run")
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.safetensors").mkdir()
    refused(tmp_path / "run", "file cannot be made", to=tmp_path / "file" / "x.safetensors")
    system = Path("/proc/x.safetensors")  # where no file can be made, root's neither
    refused(tmp_path / "run", f"{system} cannot be written (", "give another path behind --to", to=system)
    refused(tmp_path / "run", "is a folder", to=tmp_path / "folder.safetensors")
    refused(tmp_path / "run", "give x.safetensors", to=Path("x.pth"))


def test_weights_of_a_network_that_its_configuration_does_not_describe_are_refused(tmp_path):
    finished(tmp_path / "run")
    OmegaConf.save(dict(model=keys_of("fan")), tmp_path / "run" / ".hydra" / "config.yaml")
    refused(tmp_path / "run", "does not fit fan")
