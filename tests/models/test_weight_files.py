"""Weights from files and from timm: what is taken, what is refused, and in which words."""

import errno
import hashlib
import json
import os
import pickle
import random
from collections import OrderedDict
from pathlib import Path

import pytest
import safetensors.torch
import torch

from headstart.errors import UserError
from headstart.models import builders as models
from headstart.models import weight_files as weights

NAMES = tuple("abcdefghij")
OPTIONS = dict(keep_classifier=False, freeze="none", unfreeze_epoch=None, backbone_lr_factor=1)
MEAN, STD = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)


def cnn(*, file=None, seed=0, classes=10, class_names=None, image_size=8, **changes) -> models.Model:
    """The small network at 8 px, so that its files are small too."""
    torch.manual_seed(seed)
    given = None if file is None else str(file)
    options = OPTIONS | dict(weights=given, classes=classes, image_size=image_size) | changes
    return models.cnn(**options, class_names=class_names or NAMES[:classes])


def exported(model: models.Model, classes=NAMES) -> bytes:
    return models.export_bytes(model, classes=classes, mean=MEAN, std=STD, image_size=8, architecture="cnn")


@pytest.fixture
def trained() -> models.Model:
    return cnn(seed=7)


@pytest.fixture
def file(tmp_path, trained) -> Path:
    path = tmp_path / "best.safetensors"
    path.write_bytes(exported(trained))
    return path


def refused(file, *said: str, **changes) -> str:
    with pytest.raises(UserError) as caught:
        cnn(file=file, **changes)
    text = str(caught.value)
    assert [word for word in said if word not in text] == []
    assert len(text.splitlines()) <= 3 and len(text) < 700
    return text


# ----------------------------------------------------------------------------------------------------- what is taken


def test_a_written_file_is_taken_but_for_the_classifier(file, trained):
    model, fresh = cnn(file=file, seed=1), cnn(seed=1)
    here, there, random_state = (m.network.state_dict() for m in (model, trained, fresh))
    for name in here:
        expected = random_state if name.startswith("classifier.") else there
        assert torch.equal(here[name], expected[name]), name
    assert model.report == [f"weights: 8 tensors from {file}; start anew: classifier.weight, classifier.bias"]
    assert model.weights == str(file)
    assert model.weights_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert model.normalisation == weights.Normalisation("file", MEAN, STD)


def test_a_written_file_carries_what_reading_it_back_needs(file):
    found = weights.read_metadata(file.read_bytes())
    assert found.keys() == {
        "headstart_version", "architecture", "classes", "normalisation", "input_mean", "input_std", "image_size"
    }  # fmt: skip
    assert json.loads(found["classes"]) == list(NAMES)
    assert json.loads(found["input_mean"]) == list(MEAN) and json.loads(found["input_std"]) == list(STD)
    assert (found["architecture"], found["normalisation"], found["image_size"]) == ("cnn", "data", "8")


def test_the_same_network_gives_the_same_bytes_in_any_memory_format(file, trained):
    assert all(exported(trained) == file.read_bytes() for _ in range(5))
    trained.network.to(memory_format=torch.channels_last)
    assert exported(trained) == file.read_bytes()


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


def lightning(state: dict, prefix: str) -> dict:
    return {"state_dict": {f"{prefix}{k}": v for k, v in state.items()}, "pytorch-lightning_version": "2.6", "epoch": 3}


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
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


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_are_cast_to_the_networks_own(tmp_path, trained, dtype):
    path = tmp_path / "x.safetensors"
    safetensors.torch.save_file({k: v.to(dtype) for k, v in trained.network.state_dict().items()}, path)
    weight = cnn(file=path).network.hidden.weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, trained.network.hidden.weight.to(dtype).float())


def test_numbers_separated_by_commas_are_a_normalisation_too(tmp_path, trained):
    path = tmp_path / "x.safetensors"
    found = dict(input_mean="0.5, 0.25,0.125", input_std="1,2,3")
    safetensors.torch.save_file(trained.network.state_dict(), path, metadata=found)
    assert cnn(file=path).normalisation == weights.Normalisation("file", (0.5, 0.25, 0.125), (1.0, 2.0, 3.0))


def test_loading_leaves_the_stream_of_random_numbers_as_it_was(file):
    cnn(seed=3)
    expected = torch.rand(3)
    cnn(seed=3, file=file)
    assert torch.equal(torch.rand(3), expected)


def test_another_training_size_is_reported(tmp_path):
    torch.manual_seed(0)
    options = OPTIONS | dict(name="test_resnet", stem="imagenet", classes=10, class_names=NAMES)
    model = models.timm_model(weights=None, image_size=32, **options)
    path = tmp_path / "x.safetensors"
    path.write_bytes(exported(model))
    again = models.timm_model(weights=str(path), image_size=32, **options)
    assert again.report[-1] == "weights: trained at 8 px, in use at 32 px"


@pytest.mark.skipif("HEADSTART_WEIGHTS" not in os.environ, reason="HEADSTART_WEIGHTS names no folder with weights")
def test_the_cifar100_weights_fit_resnet18_and_no_other_stem():
    path = Path(os.environ["HEADSTART_WEIGHTS"]) / "resnet18_cifar100_32px.safetensors"
    options = OPTIONS | dict(name="resnet18", weights=str(path), classes=10, class_names=NAMES, image_size=32)
    model = models.timm_model(stem="imagenet", **options)
    assert model.normalisation == weights.Normalisation("file", (0.507, 0.487, 0.441), (0.267, 0.256, 0.276))
    assert "100 tensors" in model.report[0] and "start anew: fc.weight, fc.bias" in model.report[0]
    stored = safetensors.torch.load_file(path)
    own = model.network.state_dict()
    assert all(torch.equal(own[k], v.float()) for k, v in stored.items() if not k.startswith("fc."))
    with pytest.raises(UserError, match=r"conv1.weight \[64, 3, 7, 7\] for \[64, 3, 3, 3\]"):
        models.timm_model(stem="cifar", **options)


# --------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("name", ["none.pth", "none.safetensors", "folder/none", "~/none.pt", "a" * 300 + ".pth"])
def test_a_missing_file_is_named(tmp_path, name):
    refused(tmp_path / name, "none" if "none" in name else "aaa", "does not exist", "null")


@pytest.mark.parametrize("given", ["imagenet", "a1_in1k", "resnet18"])
def test_a_word_that_is_no_weights_lists_the_options(given):
    refused(given, given, "cnn", ".safetensors", "null")


def test_a_tag_that_timm_does_not_have_lists_those_it_has():
    with pytest.raises(UserError, match="imagenet, r160_in1k"):
        models.timm_model(
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
        models.cnn(weights=given, classes=10, class_names=NAMES, image_size=8, **OPTIONS)


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


@pytest.mark.parametrize("suffix", weights.SUFFIXES)
def test_an_empty_file_and_garbage_are_refused(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"")
    refused(path, "empty")
    path.write_bytes(bytes(range(256)))
    refused(path, "damaged")


@pytest.mark.parametrize("suffix", weights.SUFFIXES)
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


def test_a_file_of_another_network_is_refused_by_names(tmp_path):
    network = torch.nn.Sequential(OrderedDict(body=torch.nn.Linear(3, 3), tail=torch.nn.Linear(3, 3)))
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file(network.state_dict(), path)
    refused(
        path, "does not fit cnn", "8 missing (convolution1.weight, convolution1.bias, convolution2.weight, ...)",
        "4 unexpected (", "Only the classifier (classifier) may differ",
    )  # fmt: skip


def test_a_prefix_that_was_left_out_is_reported(tmp_path, trained):
    path = tmp_path / "x.pth"
    torch.save(lightning(trained.network.state_dict(), "model."), path)
    assert f"weights: {path}: left out 'model.', which all names began with" in cnn(file=path).report


def test_a_networks_own_names_are_left_alone(tmp_path):
    """One that keeps all its layers in a single attribute begins all of its names with it."""
    path = tmp_path / "x.pth"
    torch.save({"net.net.0.weight": torch.zeros(1), "net.net.0.bias": torch.zeros(1)}, path)
    assert list(weights.from_file(path).tensors) == ["net.net.0.weight", "net.net.0.bias"]


def test_a_checkpoint_with_the_tensors_under_another_key_is_refused_with_the_way_out(tmp_path, trained):
    path = tmp_path / "x.pth"
    torch.save({"epoch": 3, "optimizer": {}, "net": trained.network.state_dict()}, path)
    refused(path, "not plain tensors: epoch, optimizer, net; save network.state_dict() alone")


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
        dict(image_size="large"),
    ],
    ids=str,
)
def test_metadata_that_make_no_sense_are_refused(tmp_path, trained, found):
    path = tmp_path / "x.safetensors"
    safetensors.torch.save_file(trained.network.state_dict(), path, metadata=found)
    refused(path, "metadata")


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
