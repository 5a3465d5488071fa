"""An ONNX program in integers answers nearly as before, is smaller, and says what it cost."""

import numpy as np
import pytest
import torch

from headstart.data import normalise
from headstart.errors import UserError
from headstart.inference import Classifier, export_model
from headstart.inference.calibration import Calibration
from headstart.inference.quantisation import METHODS, quantised
from headstart.statistics import change_interval
from inference.helpers_inference import finished

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def pictures(classifier: Classifier, count: int = 40) -> Calibration:
    """Noise, whose labels are what the network says of most of it."""
    size = classifier.picture_size
    images = np.random.default_rng(0).integers(0, 256, (2 * count, size, size, 3), dtype=np.uint8)
    labels = classifier.probabilities(images[count:]).argmax(1)
    labels[:4] = (labels[:4] + 1) % 3
    return Calibration(images[:count], images[count:], labels, "pictures of noise")


@pytest.mark.parametrize(("option", "changes", "is_static"), [("cnn", {}, True), ("timm", {"name": "test_vit"}, False)])
def test_convolutions_are_fitted_and_matrix_products_find_their_ranges_themselves(tmp_path, option, changes, is_static):
    from headstart.inference.onnx_export import onnx_bytes

    finished(tmp_path / "run", option, 32 if is_static else 48, **changes)
    classifier = Classifier.of_run(tmp_path / "run")
    given, program = pictures(classifier), onnx_bytes(classifier)
    found = quantised(classifier, program, given)
    assert found.is_static is is_static and found.before.accuracy == 90
    session = onnxruntime.InferenceSession(found.content)
    images = normalise(torch.from_numpy(given.judged), classifier.mean, classifier.std, classifier.image_size)
    answers = session.run(None, {"images": images.numpy()})[0]
    assert np.abs(answers - classifier.probabilities(given.judged)).max() < 0.1
    assert np.array_equal(found.after.right, answers.argmax(1) == given.labels)
    operators = {node.op_type for node in _nodes(found.content)}
    assert ("QuantizeLinear" in operators, "DynamicQuantizeLinear" in operators) == (is_static, not is_static)
    told = session.get_modelmeta().custom_metadata_map
    change, low, high = change_interval(found.before.right, found.after.right)
    assert told["accuracy"].startswith(f"90.00 % in float32, {found.after.accuracy:.2f} % in int8, on 40 pictures")
    assert (
        told["accuracy_change"] == f"{change:+.2f} points (95 % interval {low:+.2f} to {high:+.2f}, for new pictures)"
    )
    assert told["quantisation"] == METHODS[is_static] and "on one thread" in told["latency"] and told["classes"]
    assert found.after.size < len(program)


def _nodes(content: bytes):
    import onnx

    return onnx.load_from_string(content).graph.node


def test_an_exported_folder_has_both_programs_and_the_lines_say_what_it_cost(tmp_path, monkeypatch):
    from headstart.inference import export

    finished(tmp_path / "run")
    classifier = Classifier.of_run(tmp_path / "run")
    monkeypatch.setattr(export, "calibration", lambda classifier, data: pictures(classifier))
    lines = export_model(classifier, tmp_path / "out", ["onnx", "onnx-int8"])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"model.onnx", "model.int8.onnx"}
    said = lines[-1].splitlines()
    assert said[0].endswith("model.int8.onnx") and said[1].startswith("  onnxruntime: ")
    assert [line.split(":")[0].strip() for line in said[2:]] == [
        "quantisation",
        "accuracy",
        "accuracy change",
        "size",
        "latency",
    ]
    with pytest.raises(UserError, match=r"model\.int8\.onnx exists; --force"):
        export_model(classifier, tmp_path / "out", ["onnx-int8"])


def test_pictures_that_are_of_no_use_are_refused(tmp_path):
    finished(tmp_path / "run")
    with pytest.raises(UserError, match="--calibrate scans is for onnx-int8 alone"):
        export_model(Classifier.of_run(tmp_path / "run"), tmp_path / "out", ["onnx"], calibrate="scans")
