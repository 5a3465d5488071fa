"""Files of weights, read without trust: however they are wrapped, damaged or meant."""

import errno
import hashlib
import json
import os
import pickle
import random
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import safetensors.torch
import torch

from headstart.errors import UserError
from headstart.models import weight_files as weights
from headstart.store import WEIGHT_SUFFIXES
from models.helpers_models import cnn, exported, lightning, refused


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".ckpt", ".pth.tar"])
@pytest.mark.parametrize(
    "wrap",
    [
        dict,
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": {"model_state": s}},
        lambda s: OrderedDict((f"module.{k}", v) for k, v in s.items()),
        lambda s: {f"module._orig_mod.{k}": v for k, v in s.items()},
        lambda s: {k: torch.nn.Parameter(v) for k, v in s.items()},
        lambda s: lightning(s, "model."),
        lambda s: lightning(s, "net._orig_mod."),
    ],
    ids=["plain", "state_dict", "nested twice", "DataParallel", "compiled", "parameters", "Lightning", "and compiled"],
)
def test_torch_files_are_taken_however_they_are_wrapped(tmp_path, trained, suffix, wrap):
    path = tmp_path / f"x{suffix}"
    torch.save(wrap(trained.network.state_dict()), path)
    model = cnn(file=path, seed=1)
    assert torch.equal(model.network.hidden.weight, trained.network.hidden.weight)
    assert model.normalisation is None
    assert model.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_numbers_separated_by_commas_are_a_normalisation_too(tmp_path, trained):
    path = tmp_path / "x.safetensors"
    found = dict(input_mean="0.5, 0.25,0.125", input_std="1,2,3")
    safetensors.torch.save_file(trained.network.state_dict(), path, metadata=found)
    assert cnn(file=path).normalisation == weights.Normalisation("file", (0.5, 0.25, 0.125), (1.0, 2.0, 3.0))


@pytest.mark.parametrize("name", ["none.pth", "none.safetensors", "folder/none", "~/none.pt", "a" * 300 + ".pth"])
def test_a_missing_file_is_named(tmp_path, name):
    refused(tmp_path / name, "none" if "none" in name else "aaa", "does not exist", "null")


def test_a_folder_a_pipe_and_an_unknown_kind_are_refused(tmp_path):
    refused(tmp_path, "is not a file")
    os.mkfifo(tmp_path / "pipe.pth")
    refused(tmp_path / "pipe.pth", "is not a file")
    (tmp_path / "x.npz").write_bytes(b"x")
    refused(tmp_path / "x.npz", "unknown kind", ".safetensors")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_says_so(file):
    file.chmod(0)
    refused(file, os.strerror(errno.EACCES))


@pytest.mark.parametrize("suffix", WEIGHT_SUFFIXES)
def test_an_empty_file_and_garbage_are_refused(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"")
    refused(path, "empty")
    path.write_bytes(bytes(range(256)))
    refused(path, "damaged")


@pytest.mark.parametrize("suffix", WEIGHT_SUFFIXES)
def test_text_in_the_place_of_weights_is_called_so(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n")
    refused(path, str(path), "is a Git LFS pointer, not the weights; git lfs pull fetches them")
    for text in ("<html>\n\t404 nicht möglich</html>\r\n" * 9, "?"):
        path.write_text(text)
        refused(path, str(path), "is text, not weights")


@pytest.mark.parametrize("kept", [0.001, 0.5, 0.999])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_truncated_file_is_refused(tmp_path, trained, suffix, kept):
    path = tmp_path / f"x{suffix}"
    if suffix == ".pth":
        torch.save(trained.network.state_dict(), path)
    else:
        path.write_bytes(exported(trained))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    refused(path, str(path), "damaged")


def test_a_networks_own_names_are_left_alone(tmp_path):
    """One that keeps all its layers in a single attribute begins all of its names with it."""
    path = tmp_path / "x.pth"
    torch.save({"net.net.0.weight": torch.zeros(1), "net.net.0.bias": torch.zeros(1)}, path)
    assert list(weights.from_file(path).tensors) == ["net.net.0.weight", "net.net.0.bias"]


@pytest.mark.parametrize(
    "value, said",
    [
        (torch.zeros(512, dtype=torch.int64), "1 of another type (hidden.bias torch.int64"),
        (torch.zeros(512).to_sparse(), "not plain tensors: hidden.bias"),
        (torch.zeros(1).expand(512), "not plain tensors: hidden.bias"),
        (3, "not plain tensors: hidden.bias"),
    ],
    ids=["integers", "sparse", "stretched", "number"],
)
def test_tensors_that_are_not_what_they_seem_are_refused(tmp_path, trained, value, said):
    path = tmp_path / "x.pth"
    torch.save(dict(trained.network.state_dict()) | {"hidden.bias": value}, path)
    refused(path, said)


@pytest.mark.parametrize("content", [[1, 2], {}, torch.zeros(3), "text", {"state_dict": {}}])
def test_a_torch_file_without_named_tensors_is_refused(tmp_path, content):
    path = tmp_path / "x.pth"
    torch.save(content, path)
    refused(path, "no named tensors")


def test_a_name_that_is_nested_without_end_is_no_name(tmp_path):
    name = 0
    for _ in range(5000):
        name = (name,)
    deeper, limit = 100_000, sys.getrecursionlimit()
    sys.setrecursionlimit(deeper)  # for who writes it
    torch.save({name: torch.zeros(2)}, tmp_path / "x.pth")
    sys.setrecursionlimit(limit)
    refused(tmp_path / "x.pth", "not plain tensors: a tuple in place of a name; save network.state_dict() alone")


class Payload:
    """Runs a command when it is unpickled without restrictions."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize(
    "save", [torch.save, lambda v, p: Path(p).write_bytes(pickle.dumps(v))], ids=["torch", "pickle"]
)
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".safetensors"])
def test_code_in_a_file_is_refused_and_never_run(tmp_path, trained, save, suffix):
    path, proof = tmp_path / f"x{suffix}", tmp_path / "proof"
    save(dict(trained.network.state_dict()) | {"hidden.bias": Payload(f"touch {proof}")}, path)
    refused(path, "damaged")
    assert not proof.exists()
    if save is not torch.save:
        pickle.loads(path.read_bytes())
        assert proof.exists()  # the payload is a real one


def test_a_whole_pickled_network_is_refused(tmp_path, trained):
    path = tmp_path / "x.pth"
    torch.save(trained.network, path)
    refused(path, "objects besides tensors", "state_dict()")


@pytest.mark.parametrize(
    "found",
    [
        dict(input_mean="0.5,0.5,0.5"),
        dict(input_std="0.5,0.5,0.5"),
        dict(input_mean="0.5,0.5", input_std="1,1,1"),
        dict(input_mean="a,b,c", input_std="1,1,1"),
        dict(input_mean="0,0,0", input_std="1,0,1"),
        dict(input_mean="0,nan,0", input_std="1,1,1"),
        dict(classes="[1"),
        dict(classes="7"),
        dict(classes="[" * 5000 + "]" * 5000),
        dict(input_mean="[" * 5000, input_std="1,1,1"),
        dict(image_size="large"),
        dict(image_size="-5"),
        dict(image_size="0"),
        dict(image_size="1000000"),
        dict(input_mean="1e308,0,0", input_std="1,1,1"),
        dict(input_mean="0,0,0", input_std="1e308,1,1"),
        dict(input_mean="0,0,0", input_std="1e-300,1,1"),
    ],
    ids=lambda found: str(found)[:60],
)
def test_metadata_that_make_no_sense_are_refused(tmp_path, trained, found):
    path = tmp_path / "x.safetensors"
    safetensors.torch.save_file(trained.network.state_dict(), path, metadata=found)
    refused(path, "metadata")


def test_a_mean_of_pixel_values_up_to_255_is_refused_with_what_it_should_be(tmp_path, trained):
    path, found = tmp_path / "x.safetensors", dict(input_mean="123.7,116.3,103.5", input_std="58.4,57.1,57.4")
    safetensors.torch.save_file(trained.network.state_dict(), path, metadata=found)
    refused(path, "input_mean [123.7, 116.3, 103.5]", "look like those of 0..255: divide them by 255")


def test_a_flipped_bit_is_found_by_the_record_beside_the_file(file):
    content = bytearray(file.read_bytes())
    record = file.parent / "result.json"
    record.write_text(json.dumps({"best_sha256": hashlib.sha256(content).hexdigest()}))
    cnn(file=file)
    content[-100] ^= 1
    file.write_bytes(content)
    refused(file, "is damaged", "result.json")
    record.unlink()
    cnn(file=file)  # nobody can tell without the record


@pytest.mark.parametrize("record", ["", "[1]", "{}", '{"best_sha256": null}', '"text"'])
def test_a_foreign_record_beside_the_file_is_left_alone(file, record):
    (file.parent / "result.json").write_text(record)
    assert cnn(file=file).weights_sha256


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_damaged_files_are_refused_in_words_or_loaded_whole(tmp_path, trained, suffix):
    path, chance = tmp_path / f"x{suffix}", random.Random(0)
    if suffix == ".pth":
        torch.save(trained.network.state_dict(), path)
    else:
        path.write_bytes(exported(trained))
    whole, told = path.read_bytes(), 0
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(chance.choice([1, 3, 30])):
            place = chance.choice([chance.randrange(900), chance.randrange(len(whole)), -1 - chance.randrange(900)])
            damaged[place] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            model = cnn(file=path)
        except UserError as error:
            told += 1
            assert len(str(error).splitlines()) <= 3
        else:
            assert all(t.isfinite().all() for t in model.network.state_dict().values())
    assert told > 20
