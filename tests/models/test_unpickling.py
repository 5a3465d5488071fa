"""Torch's files with other things beside tensors: plain settings become placeholders, what could run is refused."""

import argparse
import os
import pathlib

import numpy as np
import pytest
import torch

from headstart.errors import UserError
from headstart.models.unpickling import Inert, unpickled


def saved(content, path, **options) -> bytes:
    torch.save(content, path, **options)
    return path.read_bytes()


@pytest.mark.parametrize("new", [True, False], ids=["zip", "before torch 1.6"])
def test_settings_beside_the_tensors_are_placeholders(tmp_path, new):
    args = argparse.Namespace(model="resnet18", lr=0.1, data_path=pathlib.Path("/x"))
    content = {"model": {"a": torch.ones(2)}, "args": args, "best": np.float64(0.9)}
    found = unpickled(saved(content, tmp_path / "x.pth", _use_new_zipfile_serialization=new), "x.pth")
    assert torch.equal(found["model"]["a"], torch.ones(2))
    assert isinstance(found["args"], Inert) and isinstance(found["best"], Inert)
    assert (found["args"].get("model"), found["args"].get("other")) == ("resnet18", None)


def test_a_configuration_of_omegaconf_is_a_placeholder(tmp_path):
    from omegaconf import OmegaConf

    content = {"state_dict": {"a": torch.ones(2)}, "hyper_parameters": OmegaConf.create({"lr": 1, "list": [1, {}]})}
    found = unpickled(saved(content, tmp_path / "x.ckpt"), "x.ckpt")
    assert isinstance(found["hyper_parameters"], Inert)


class Payload:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("inside", [lambda p: {"args": p}, lambda p: {"args": argparse.Namespace(a=p)}])
def test_code_among_the_settings_is_refused_by_its_name_and_not_run(tmp_path, inside):
    content = saved(inside(Payload(f"touch {tmp_path / 'proof'}")), tmp_path / "x.pth")
    with pytest.raises(UserError, match=r"x.pth is damaged, or holds objects besides tensors \(posix.system\), which"):
        unpickled(content, "x.pth")
    assert not (tmp_path / "proof").exists()


def test_placeholders_are_for_one_file_alone(tmp_path):
    before = set(torch.serialization.get_safe_globals())
    unpickled(saved({"args": argparse.Namespace()}, tmp_path / "x.pth"), "x.pth")
    assert set(torch.serialization.get_safe_globals()) == before
