"""Checkpoints of any origin into a network: by one rule, and said in a line."""

import argparse
from functools import partial

import pytest
import torch
from torch import nn

from headstart.models import Model
from headstart.models.matching import matched
from headstart.models.weight_files import from_file
from models.helpers_models import build, cnn, lightning, refused


def prefixed(prefix: str, state: dict) -> dict:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def of_timm(state: dict) -> dict:
    """What timm's CheckpointSaver writes, as .pth.tar."""
    other = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    args = argparse.Namespace(model="cnn", lr=0.1)
    optimizer = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    told = dict(epoch=3, arch="cnn", optimizer=optimizer, version=2, args=args, metric=71.0)
    return dict(state_dict=prefixed("module.", other), state_dict_ema=prefixed("module._orig_mod.", state)) | told


def of_torchvision(state: dict) -> dict:
    """What torchvision's reference scripts write."""
    groups = {"state": {}, "param_groups": []}
    return {"model": state, "optimizer": groups, "lr_scheduler": {"last_epoch": 3}, "epoch": 3} | {
        "args": argparse.Namespace(model="cnn", data_path="/data"),
        "scaler": {"scale": 1.0},
    }


def of_lightning(state: dict) -> dict:
    """What a LightningModule's checkpoint holds, a loss with weights and a second head in it."""
    callbacks = {"ModelCheckpoint{'monitor': 'val'}": {"best_model_score": torch.tensor(0.9), "monitor": "val"}}
    beside = {"criterion.weight": torch.ones(10), "train_acc.tp": torch.ones(1)}
    found = lightning(state, "model.") | dict(global_step=9, hyper_parameters={"lr": 0.1}, callbacks=callbacks)
    return found | {"state_dict": found["state_dict"] | beside, "optimizer_states": [{"state": {}}], "loops": {}}


WRITTEN = {
    "timm.pth.tar": (of_timm, "state_dict_ema.module._orig_mod."),
    "torchvision.pth": (of_torchvision, "model."),
    "lightning.ckpt": (of_lightning, "state_dict.model."),
    "swapped.pth": (partial(prefixed, "_orig_mod.module.model."), "_orig_mod.module.model."),
    "model_state_dict.pt": (lambda state: {"model_state_dict": state, "loss": 0.3}, "model_state_dict."),
    "net.pth": (lambda state: {"net": prefixed("module.", state), "acc": 91.2}, "net.module."),
    "backbone.pth": (lambda state: prefixed("backbone.", state) | {"projector.0.bias": torch.ones(3)}, "backbone."),
    "encoder.pth": (lambda state: {"state_dict": prefixed("encoder.", state)}, "state_dict.encoder."),
    "teacher.pth": (
        lambda state: {
            "student": {n: t + 1 for n, t in prefixed("module.backbone.", state).items()},
            "teacher": prefixed("backbone.", state),
        },
        "teacher.backbone.",
    ),
    "anything.pth": (lambda state: {"a": {"b": prefixed("c.d.", state)}}, "a.b.c.d."),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_the_network_is_found_wherever_it_stands_in_a_file(tmp_path, trained, name):
    wrap, prefix = WRITTEN[name]
    torch.save(wrap(dict(trained.network.state_dict())), tmp_path / name)
    model = cnn(file=tmp_path / name, seed=1)
    for there, own in ((trained.network.state_dict()[n], t) for n, t in model.network.state_dict().items()):
        assert torch.equal(there, own) or own.shape[0] == 10  # but for the classifier
    lines = [line for line in model.report if "left out" in line]
    assert len(lines) == 1 and f"left out {prefix!r}, which the names of 10 tensors began with" in lines[0]


def test_what_is_foreign_is_counted_and_named(tmp_path, trained):
    torch.save(of_lightning(dict(trained.network.state_dict())), tmp_path / "x.ckpt")
    said = "left out 'state_dict.model.', which the names of 10 tensors began with; as foreign 3 tensors: "
    line = cnn(file=tmp_path / "x.ckpt").report[0]
    assert said in line and "criterion" not in line.partition(said)[0] and "callbacks" in line


def test_a_loss_and_another_head_in_the_same_attribute_are_left_out_and_nothing_else_is(tmp_path, trained):
    state = {n: t for n, t in trained.network.state_dict().items() if not n.startswith("classifier.")}
    torch.save(state | {"criterion.weight": torch.ones(10), "fc.weight": torch.ones(5, 512)}, tmp_path / "x.pth")
    assert "left out as foreign 2 tensors: criterion.weight, fc.weight" in cnn(file=tmp_path / "x.pth").report[0]
    torch.save(state | {"gate.weight": torch.ones(10)}, tmp_path / "x.pth")
    refused(tmp_path / "x.pth", "1 unexpected (gate.weight)")


def test_wrappers_within_names_are_left_out(tmp_path):
    torch.manual_seed(0)
    network = build("timm", name="test_resnet", seed=3).network
    state = {n.replace("layer1.", "layer1._orig_mod.module."): t for n, t in network.state_dict().items()}
    torch.save(prefixed("module.", state), tmp_path / "x.pth")
    model = build("timm", name="test_resnet", weights=str(tmp_path / "x.pth"))
    assert "left out '_orig_mod and module within names" in model.report[0].replace("out _", "out '_")
    assert torch.equal(model.network.layer1[0].conv1.weight, network.layer1[0].conv1.weight)


def test_two_networks_that_fit_are_refused_with_what_keeps_one(tmp_path, trained):
    state = dict(trained.network.state_dict())
    other = {n: t + 1 for n, t in state.items()}
    both = prefixed("first.", state) | prefixed("second.", other)
    torch.save(both, tmp_path / "x.pth")
    text = refused(tmp_path / "x.pth", "holds several networks that fit: below 'first.', 'second.'", "torch.save({k.")
    keep = text.partition("such as ")[2].rstrip(".").replace("'one.pth'", repr(str(tmp_path / "one.pth")))
    exec(keep, {"torch": torch, "state_dict": both})
    assert torch.equal(cnn(file=tmp_path / "one.pth").network.hidden.bias, state["hidden.bias"])
    torch.save(prefixed("first.", state) | prefixed("second.", state), tmp_path / "x.pth")
    cnn(file=tmp_path / "x.pth")  # the same twice
    torch.save(prefixed("first.", state) | prefixed("second.", state) | prefixed("third.", other), tmp_path / "x.pth")
    refused(tmp_path / "x.pth", "holds several networks that fit: below 'first.', 'second.', 'third.'")


def test_of_another_network_the_names_are_those_in_its_container(tmp_path):
    torch.save({"state_dict": {"module.body.weight": torch.ones(3)}, "optimizer": {}}, tmp_path / "x.pth")
    refused(tmp_path / "x.pth", "does not fit cnn", "1 unexpected (body.weight)")


def test_a_network_with_a_head_of_ours_takes_the_librarys_wrapped_names(tmp_path):
    torch.manual_seed(0)
    whole = build("timm", name="test_resnet", seed=3).network.state_dict()
    torch.save({"state_dict": prefixed("module.model.", whole)}, tmp_path / "x.pth")
    model = build("resnet50v2_head", name="test_resnet", weights=str(tmp_path / "x.pth"))
    name = next(iter(whole))
    assert torch.equal(model.network.state_dict()[f"backbone.{name}"], whole[name])


@pytest.mark.parametrize("wrap", [dict, lambda state: {"state_dict": prefixed("model.", state)}])
def test_positions_of_another_image_size_are_resampled_as_timm_does(tmp_path, wrap):
    from timm.models.vision_transformer import checkpoint_filter_fn

    large = build("timm", name="test_vit", image_size=96, seed=3).network
    torch.save(wrap(dict(large.state_dict())), tmp_path / "x.pth")
    model = build("timm", name="test_vit", image_size=64, weights=str(tmp_path / "x.pth"))
    expected = checkpoint_filter_fn(dict(large.state_dict()), model.network)["pos_embed"]
    assert torch.equal(model.network.pos_embed, expected)
    assert expected.shape != large.pos_embed.shape
    assert any("resampled pos_embed from [1, 37, 64] to [1, 17, 64], as timm does" in line for line in model.report)


def test_positions_of_another_image_size_are_resampled_as_torchvision_does(tmp_path):
    from torchvision.models import VisionTransformer

    sizes = dict(patch_size=8, num_layers=1, num_heads=1, hidden_dim=16, mlp_dim=16, num_classes=3)
    large = VisionTransformer(image_size=64, **sizes)
    torch.save(large.state_dict(), tmp_path / "x.pth")
    model = Model(VisionTransformer(image_size=32, **sizes), "heads.head")
    found = matched(from_file(tmp_path / "x.pth"), model, lambda loaded: loaded)
    assert found.tensors["encoder.pos_embedding"].shape == (1, 17, 16)
    assert "resampled encoder.pos_embedding from [1, 65, 16] to [1, 17, 16], as torchvision does" in found.notes[0]


def test_a_network_without_names_in_common_is_left_alone(tmp_path):
    torch.save({"x.scale": torch.ones(2)}, tmp_path / "x.pth")
    found = matched(from_file(tmp_path / "x.pth"), Model(nn.Linear(2, 2), "fc"), lambda loaded: loaded)
    assert list(found.tensors) == ["x.scale"] and found.notes == []


def test_names_in_a_file_are_shown_without_what_a_terminal_would_obey(tmp_path, trained):
    state, red = dict(trained.network.state_dict()), "x\x1b[31mRED"
    torch.save({"model": state, red: torch.ones(1)}, tmp_path / "x.pth")
    assert "as foreign 1 tensor: x?[31mRED" in cnn(file=tmp_path / "x.pth").report[0]
    torch.save(state | {red: torch.ones(1)}, tmp_path / "x.pth")
    assert "\x1b" not in refused(tmp_path / "x.pth", "1 unexpected (x?[31mRED)")
