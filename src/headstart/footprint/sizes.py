"""What is known of a model without a clock: how much it multiplies for an answer, and how many bytes it has."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils import flop_counter

from headstart.footprint.answering import Answering
from headstart.lazy import keep_compiler_away
from headstart.models import EstimatorModel


def multiply_adds(answering: Answering) -> int | None:
    """Multiply-adds of one picture's answer, as the convolutions and matrix products that run have; None: not known.

    Half of what torch's FlopCounterMode counts: normalisation, activations and pooling are not in it. Of a pipeline
    the coefficients of a linear model come on top; of another one, such as trees, nobody has counted anything.
    """
    own = _coefficients(answering.model) if isinstance(answering.model, EstimatorModel) else 0
    if own is None:
        return None
    with _products_one_by_one(), _counting() as counter:
        answering.prepare(1)()
    return counter.get_total_flops() // 2 + own


def _counting() -> flop_counter.FlopCounterMode:
    """What counts the products of all that runs within it."""
    if (listener := getattr(flop_counter, "_FlopCounterMode", None)) is not None:
        keep_compiler_away(listener.__torch_dispatch__)
    return flop_counter.FlopCounterMode(display=False)


@contextmanager
def _products_one_by_one() -> Iterator[None]:
    """Without the one operation in which torch's own attention does everything, and of which nothing is counted."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _coefficients(model: EstimatorModel) -> int | None:
    found = getattr(model.estimator, "coef_", None)
    is_linear = found is not None and not hasattr(model.estimator, "support_vectors_")
    return int(found.size) if is_linear else None


def convolution_share(network: torch.nn.Module, images: torch.Tensor) -> float:
    """The share of the multiply-adds, 0..1, that convolutions have; 0 of a network that multiplies nothing.

    images: normalised, float [N, 3, height, width]. The network is in eval mode.
    """
    with _products_one_by_one(), _counting() as counter, torch.inference_mode():
        network(images)
    counted = counter.get_flop_counts()["Global"]
    convolutions = sum(flops for operation, flops in counted.items() if "convolution" in str(operation))
    return convolutions / max(1, counter.get_total_flops())


def tensor_bytes(network: torch.nn.Module) -> int:
    """Bytes of a network's tensors, those of batch norm's statistics too: its file without the header."""
    return sum(_bytes(tensor) for tensor in network.state_dict().values())


def _bytes(tensor: Any) -> int:
    return tensor.numel() * tensor.element_size()
