"""Programs that need neither headstart nor, for ONNX, torch: the network's answers for any number of pictures."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from headstart.errors import UserError
from headstart.inference import Classifier, export_model, facts, onnx_export
from inference.helpers_inference import CLASSES, MEAN, STD, finished

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


@pytest.mark.parametrize(("option", "changes"), [("cnn", {}), ("resnet18", {})])
def test_programs_answer_as_the_network_does_whatever_the_number_of_pictures(tmp_path, option, changes):
    trained = finished(tmp_path / "run", option, **changes)
    lines = export_model(Classifier.of_run(tmp_path / "run"), tmp_path / "out", ["weights", "onnx", "torch"])
    assert [line.partition("\n")[0] for line in lines if "model." in line.partition("\n")[0]] == [
        str(tmp_path / "out" / name) for name in ("model.safetensors", "model.onnx", "model.pt2")
    ]
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    module = torch.export.load(tmp_path / "out" / "model.pt2").module()
    for count in (1, 3):
        images = torch.randn(count, 3, 32, 32)
        with torch.no_grad():
            expected = trained.network(images).softmax(1).numpy()
            np.testing.assert_allclose(module(images).numpy(), expected, atol=1e-5)
        np.testing.assert_allclose(session.run(None, {"images": images.numpy()})[0], expected, atol=1e-4)
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["classes"]) == list(CLASSES) and json.loads(told["mean"]) == list(MEAN)
    assert told == facts(Classifier.of_run(tmp_path / "run")) and json.loads(told["std"]) == list(STD)


def test_a_program_that_answers_otherwise_is_not_kept(tmp_path, monkeypatch):
    finished(tmp_path / "run")
    classifier = Classifier.of_run(tmp_path / "run")
    monkeypatch.setattr(onnx_export._Probabilities, "forward", lambda self, images: self.network(images * 2).softmax(1))
    with pytest.raises(UserError, match="answers otherwise than the network"):
        export_model(classifier, tmp_path / "out", ["torch"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("formats", "said"),
    [
        (["tflite"], "tflite is no format; choose of weights, onnx, onnx-int8, torch"),
        (["onnx"], "model.onnx exists; --force"),
        (["torch"], "README.md exists; --force"),
    ],
)
def test_what_cannot_be_exported_is_said(tmp_path, formats, said):
    finished(tmp_path / "run")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ("README.md" if "torch" in formats else "model.onnx")).write_text("another")
    with pytest.raises(UserError, match=said):
        export_model(Classifier.of_run(tmp_path / "run"), tmp_path / "out", formats)


def test_without_the_libraries_the_command_that_brings_them_is_named(tmp_path):
    finished(tmp_path / "run")
    script = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from headstart.inference import Classifier, export_model\nfrom pathlib import Path\n"
        f"export_model(Classifier.of_run({str(tmp_path / 'run')!r}), Path({str(tmp_path / 'out')!r}), ['onnx'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "UserError: an ONNX file needs onnxruntime: pip install 'headstart[export]'" in done.stderr


def test_facts_beside_a_torch_program_can_be_read(tmp_path):
    finished(tmp_path / "run")
    classifier = Classifier.of_run(tmp_path / "run")
    extra = {"facts.json": ""}
    torch.export.load(io.BytesIO(onnx_export.torch_bytes(classifier)), extra_files=extra)
    assert json.loads(extra["facts.json"]) == facts(classifier)
