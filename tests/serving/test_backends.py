"""The ONNX program says what the network says, or is refused."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

import headstart
from headstart.errors import UserError
from headstart.inference import Classifier
from headstart.serving.backends import onnx_probabilities, tried, whole_layer

CHILDREN = """
import os
from headstart.errors import UserError
from headstart.serving.backends import in_a_child
print(len(in_a_child(lambda: bytes(300_000))))
def refuse(): raise UserError("no")
for made in (refuse, lambda: os._exit(9)):
    try: in_a_child(made)
    except UserError as error: print(error)
"""


def test_an_exported_program_gives_the_networks_probabilities(trained, exported):
    classifier = headstart.load_model(trained)
    images = np.random.default_rng(0).integers(0, 256, (7, 24, 24, 3), np.uint8)
    program = (exported / "model.onnx").read_bytes()
    found = onnx_probabilities(classifier, program, 1)(images)
    np.testing.assert_allclose(found, classifier.probabilities(images), atol=1e-5)
    assert tried(classifier, program, exported) == program


def test_a_program_that_is_none_or_of_other_weights_is_refused(exported, tmp_path):
    import torch

    shutil.copy(exported / "model.safetensors", tmp_path)
    classifier = Classifier.of_file(tmp_path)
    with pytest.raises(UserError, match=r"model.onnx cannot be run: "):
        tried(classifier, b"x", tmp_path / "model.onnx")
    torch.nn.init.normal_(list(classifier.network.parameters())[-2])
    with pytest.raises(UserError, match="answers otherwise than the weights beside it; export both again, or remove"):
        tried(classifier, (exported / "model.onnx").read_bytes(), tmp_path / "model.onnx")


def test_what_a_child_makes_comes_back_and_an_end_without_a_word_is_said():
    done = subprocess.run([sys.executable, "-c", CHILDREN], capture_output=True, text=True, check=False)
    silent = "the ONNX program could not be made; its process ended without a word"
    assert done.stdout.splitlines() == ["300000", "no", silent], done.stderr


def test_the_layer_that_explains_or_why_there_is_none(trained, monkeypatch):
    classifier = headstart.load_model(trained)
    layer, reason = whole_layer(classifier)
    assert reason is None and layer.cells >= 4
    monkeypatch.setitem(sys.modules, "captum", None)
    layer, reason = whole_layer(classifier)
    assert layer is None and "pip install 'headstart[explain]'" in reason
