"""A trained network as an ONNX or a `torch.export` program, tried out before it is kept."""

import io
import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import UserError
from headstart.inference.classifier import Classifier

TOLERANCE = 1e-4  # of probabilities, between the program and the network
BATCHES = (1, 2, 5)  # pictures at a time that a program is tried with
INPUT = "float32 [N, 3, {0}, {0}]: RGB, (value / 255 - mean) / std per channel"
OUTPUT = "float32 [N, {0}]: the probability of each class"


class _Probabilities(nn.Module):
    """The network with the softmax behind it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images).softmax(1)


def facts(classifier: Classifier) -> dict[str, str]:
    """What whoever runs the program has to know, as texts: its input and output, classes, mean, std and sizes."""
    return dict(
        input=INPUT.format(classifier.image_size),
        output=OUTPUT.format(len(classifier.classes)),
        classes=json.dumps(list(classifier.classes)),
        mean=json.dumps(list(classifier.mean)),
        std=json.dumps(list(classifier.std)),
        image_size=str(classifier.image_size),
        picture_size=str(classifier.picture_size),
        preparation="upright by EXIF, RGB, transparent on white, the largest centred square, resized to picture_size "
        "(Pillow's bilinear), normalised, resized to image_size (bilinear, antialiased)",
    )


def onnx_bytes(classifier: Classifier) -> bytes:
    """The network as an ONNX file: any number of pictures at a time, `facts` as its metadata.

    Raises:
        UserError: a library is missing, or onnxruntime answers otherwise than the network.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  that torch's exporter writes with
    except ImportError as error:
        raise UserError(
            f"an ONNX file needs {error.name}: pip install 'headstart[export]', or onnx onnxruntime onnxscript"
        ) from error
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        program = torch.onnx.export(
            _Probabilities(classifier.network),
            (_pictures(classifier, 2),),
            dynamo=True,
            input_names=["images"],
            output_names=["probabilities"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1)}},
            verbose=False,
        )
        program.model.metadata_props.update(facts(classifier))
        path = Path(folder, "model.onnx")
        program.save(path, external_data=False)
        content = path.read_bytes()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    _try(classifier, "onnxruntime", lambda images: session.run(None, {"images": images.numpy()})[0])
    return content


def torch_bytes(classifier: Classifier) -> bytes:
    """The network as `torch.export.load` reads it: any number of pictures at a time, `facts` beside it.

    Raises:
        UserError: what is loaded again answers otherwise than the network.
    """
    batch = torch.export.Dim("batch", min=1)
    with _quiet():
        program = torch.export.export(
            _Probabilities(classifier.network), (_pictures(classifier, 2),), dynamic_shapes={"images": {0: batch}}
        )
        buffer = io.BytesIO()
        extra = {"facts.json": json.dumps(facts(classifier))}
        torch.export.save(program, buffer, extra_files=extra)
        module = torch.export.load(io.BytesIO(buffer.getvalue())).module()
    _try(classifier, "torch.export", lambda images: module(images).numpy())
    return buffer.getvalue()


def _pictures(classifier: Classifier, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randn(count, 3, classifier.image_size, classifier.image_size, generator=generator)


def _try(classifier: Classifier, name: str, answer: Callable[[Tensor], np.ndarray]) -> None:
    """Compare answers on noise. Raises UserError where they differ."""
    for count in BATCHES:
        images = _pictures(classifier, count)
        with torch.inference_mode():
            expected = classifier.network(images).softmax(1).numpy()
        with torch.no_grad():
            away = float(np.abs(answer(images) - expected).max())
        if not away <= TOLERANCE:
            raise UserError(f"{name} answers otherwise than the network, by {away:.1e} in a probability; not exported")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporter tells of its own steps."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
