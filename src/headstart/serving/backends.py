"""What computes: the network itself, or its ONNX program; and what of it can be explained."""

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from headstart.errors import UserError
from headstart.inference import Classifier, MapLayer, map_layer, onnx_bytes

TOLERANCE = 1e-4  # of probabilities, between the program and the network


def whole_layer(classifier: Classifier) -> tuple[MapLayer | None, str | None]:
    """The layer whose maps explain, or why there is none."""
    if find_spec("captum") is None:
        return None, "this server lacks captum, which explains: pip install 'headstart[explain]'"
    try:
        return map_layer(classifier), None
    except UserError as error:
        return None, str(error)


def onnx_program(classifier: Classifier) -> bytes:
    """The network's ONNX program: model.onnx of its folder, or exported now.

    Raises:
        UserError: a library is missing, or the program answers otherwise than the network.
    """
    found = (classifier.path if classifier.path.is_dir() else classifier.path.parent) / "model.onnx"
    if found.is_file():
        return in_a_child(lambda: tried(classifier, found.read_bytes(), found))
    return in_a_child(lambda: onnx_bytes(classifier))


def tried(classifier: Classifier, program: bytes, path: Path) -> bytes:
    """The program, where it is the network's. Raises UserError."""
    size = classifier.picture_size
    images = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), np.uint8)
    try:
        found = onnx_probabilities(classifier, program, 1)(images)
    except Exception as error:  # onnxruntime raises several kinds
        raise UserError(f"{path} cannot be run: {str(error).splitlines()[0]}") from error
    expected = classifier.probabilities(images)
    if found.shape != expected.shape or not np.abs(found - expected).max() <= TOLERANCE:
        raise UserError(f"{path} answers otherwise than the weights beside it; export both again, or remove it")
    return program


def onnx_probabilities(classifier: Classifier, program: bytes, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """What gives probabilities, float32 [N, classes], of uint8 [N, size, size, 3] by the program."""
    import onnxruntime
    import torch

    from headstart.data import normalise

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(program, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def probabilities(images: np.ndarray) -> np.ndarray:
        pixels = torch.tensor(images)
        inputs = normalise(pixels, classifier.mean, classifier.std, size=classifier.image_size, channels_last=False)
        return session.run(None, {name: inputs.numpy()})[0]

    return probabilities


def in_a_child(make: Callable[[], bytes]) -> bytes:
    """What `make` returns, made in a forked process: libraries that start threads leave none in this one.

    Raises:
        UserError: `make` did, or its process ended without an answer.
    """
    ours, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            with os.fdopen(theirs, "wb") as out:
                try:
                    out.write(b"+" + make())
                except UserError as error:
                    out.write(b"-" + str(error).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as answer:
        kind, content = answer.read(1), answer.read()
    os.waitpid(pid, 0)
    if kind != b"+":
        raise UserError(content.decode() or "the ONNX program could not be made; its process ended without a word")
    return content
