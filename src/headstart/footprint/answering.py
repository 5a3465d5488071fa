"""A trained model as what answers pictures on the CPU, in float32, whatever kind it is and wherever it was trained."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.data import normalise
from headstart.models import EstimatorModel, Model, backbone_features


@dataclass(frozen=True)
class Answering:
    """What a model needs to answer pictures of its data."""

    model: Model | EstimatorModel  # trained, or fitted
    pictures: Tensor  # uint8 [N, height, width, 3], as many as are to be answered at a time
    mean: tuple[float, ...]  # of the inputs, in 0..1
    std: tuple[float, ...]
    image_size: int  # pixels

    def prepare(self, count: int) -> Callable[[], Any]:
        """Return a call that answers the first `count` pictures, which are normalised and resized already.

        It is a network's forward pass; of a pipeline on a network's features both, on pixels the pipeline alone.
        """
        if isinstance(self.model, EstimatorModel):
            return self._of_pipeline(self.model.pipeline, count)
        network, inputs = self._on_cpu.network.eval(), self._inputs(count, self.mean, self.std)
        return lambda: _without_gradients(network, inputs)

    @cached_property
    def _on_cpu(self) -> Model:
        """The network, or a copy of it where it lies elsewhere."""
        model = self.model.network if isinstance(self.model, EstimatorModel) else self.model
        if all(parameter.device.type == "cpu" for parameter in model.network.parameters()):
            return model
        model = deepcopy(model)
        model.network.to("cpu", memory_format=torch.contiguous_format)
        return model

    def _of_pipeline(self, pipeline: Any, count: int) -> Callable[[], Any]:
        answer = pipeline.predict_proba if hasattr(pipeline, "predict_proba") else pipeline.decision_function
        if self.model.network is None:
            pixels = self._inputs(count, (0, 0, 0), (1, 1, 1)).permute(0, 2, 3, 1).flatten(1).numpy()
            return lambda: answer(pixels)
        model, inputs = self._on_cpu, self._inputs(count, self.mean, self.std)
        model.network.eval()

        def features() -> np.ndarray:
            with torch.inference_mode():
                return backbone_features(model, inputs).flatten(1).numpy()

        return lambda: answer(features())

    def _inputs(self, count: int, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
        """So many pictures, from the first again where there are fewer, as the network takes them."""
        pictures = self.pictures[torch.arange(count) % len(self.pictures)].cpu()
        return normalise(pictures, mean, std, size=self.image_size)


def _without_gradients(network: torch.nn.Module, inputs: Tensor) -> Tensor:
    with torch.inference_mode():
        return network(inputs)
