"""An ONNX program in 8-bit integers, with what that cost it: accuracy on labelled pictures, and what it won."""

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.data import normalise
from headstart.errors import UserError
from headstart.footprint import Latency, convolution_share, processor, time_answers
from headstart.inference.calibration import Calibration
from headstart.inference.classifier import Classifier
from headstart.statistics import change_interval

BATCH = 100  # pictures at a time
METHODS = {
    True: "static: weights (per channel, 7 of 8 bits) and activations are integers, whose ranges the pictures that it "
    "was fitted to gave",
    False: "dynamic: weights of matrix products (per channel, 7 of 8 bits) are integers, activations at each answer",
}


@dataclass(frozen=True)
class Measured:
    """One of the two programs."""

    right: np.ndarray  # bool [N], of the pictures judged
    size: int  # bytes
    latency: Latency

    @property
    def accuracy(self) -> float:
        """In percent."""
        return 100 * float(self.right.mean())


@dataclass(frozen=True)
class Quantised:
    """A program in integers, beside the one that it was made from."""

    content: bytes
    is_static: bool
    before: Measured
    after: Measured
    pictures: Calibration

    @property
    def facts(self) -> dict[str, str]:
        """What it is and what it cost, by names; texts, as the metadata of a file are."""
        change, low, high = change_interval(self.before.right, self.after.right)
        both = dict(float32=self.before, int8=self.after)
        return {
            "quantisation": METHODS[self.is_static],
            "accuracy": _both(both, lambda one: f"{one.accuracy:.2f} %") + f", on {self.pictures}",
            "accuracy_change": f"{change:+.2f} points (95 % interval {low:+.2f} to {high:+.2f}, for new pictures)",
            "size": _both(both, lambda one: f"{one.size / 1e6:.2f} MB"),
            "latency": _both(both, lambda one: f"{1e3 * one.latency.median:.3g} ms")
            + f", median of one picture at a time on one thread ({processor()}); 95th percentile "
            + _both(both, lambda one: f"{1e3 * one.latency.p95:.3g} ms"),
        }


def _both(both: dict[str, Measured], shown: Callable[[Measured], str]) -> str:
    return ", ".join(f"{shown(one)} in {name}" for name, one in both.items())


def quantised(classifier: Classifier, program: bytes, pictures: Calibration) -> Quantised:
    """Return the ONNX program in integers, tried out on the pictures that are judged.

    Where convolutions have half of the multiply-adds or more, activations are integers too, of ranges that the fitted
    pictures gave (QDQ, static); else, as of transformers, theirs are found anew for each answer (dynamic). Weights take
    7 bits: sums of 8 run over on processors without such instructions, and nobody would be told.

    Raises:
        UserError: onnxruntime cannot make it, or a library is missing.
    """
    probe = _inputs(classifier, pictures.fitted[:1])
    is_static = convolution_share(classifier.network, torch.from_numpy(probe)) >= 0.5
    content = _in_integers(classifier, program, pictures.fitted if is_static else None)
    both = [_measured(classifier, file, pictures) for file in (program, content)]
    found = Quantised(content, is_static, *both, pictures)
    return Quantised(_with_facts(content, found.facts), is_static, *both, pictures)


def _in_integers(classifier: Classifier, program: bytes, fitted: np.ndarray | None) -> bytes:
    """fitted: pictures, uint8; None: dynamic."""
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise UserError(
            f"int8 needs {error.name}: pip install 'headstart[export]', or onnx onnxruntime onnxscript sympy"
        ) from error
    weights = dict(per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        plain, prepared, written = (Path(folder, name) for name in ("plain.onnx", "prepared.onnx", "int8.onnx"))
        plain.write_bytes(program)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        if fitted is None:
            quantize_dynamic(prepared, written, op_types_to_quantize=["MatMul", "Gemm"], **weights)
        else:
            reader = _Reader(
                _inputs(classifier, fitted[start : start + BATCH]) for start in range(0, len(fitted), BATCH)
            )
            quantize_static(prepared, written, reader, activation_type=QuantType.QUInt8, **weights)
        return written.read_bytes()


class _Reader:
    """What onnxruntime asks for one batch after the other, until there is none."""

    def __init__(self, batches: Iterator[np.ndarray]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch by the name of the program's input."""
        batch = next(self._batches, None)
        return None if batch is None else {"images": batch}


def _inputs(classifier: Classifier, images: np.ndarray) -> np.ndarray:
    images = torch.from_numpy(images)
    return normalise(images, classifier.mean, classifier.std, classifier.image_size, channels_last=False).numpy()


def _measured(classifier: Classifier, program: bytes, pictures: Calibration) -> Measured:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(program, options, providers=["CPUExecutionProvider"])

    def answers(inputs: np.ndarray) -> np.ndarray:
        return session.run(None, {"images": inputs})[0]

    batches = (pictures.judged[start : start + BATCH] for start in range(0, len(pictures.judged), BATCH))
    said = np.concatenate([answers(_inputs(classifier, batch)).argmax(1) for batch in batches])
    few = _inputs(classifier, pictures.fitted[:16])

    def prepare(count: int) -> Callable[[], Any]:
        inputs = np.resize(few, (count, *few.shape[1:]))
        return lambda: answers(inputs)

    return Measured(said == pictures.labels, len(program), time_answers(prepare))


def _with_facts(program: bytes, facts: dict[str, str]) -> bytes:
    import onnx

    model = onnx.load_from_string(program)
    known = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, known | {name: text for name, text in facts.items()})
    return model.SerializeToString()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what onnxruntime advises on each step, which has been followed."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
