"""Where on a picture a network saw what it said: Grad-CAM, computed by captum."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.data import normalise
from headstart.errors import UserError
from headstart.inference.classifier import Classifier

LEAST = 4  # cells a side that a map should have; fewer say little about where


@dataclass(frozen=True)
class MapLayer:
    """The layer whose maps are looked at."""

    name: str  # in the network
    cells: int  # a side
    is_last: bool  # whether no layer above it has maps

    def __str__(self) -> str:
        later = "" if self.is_last else f"; those of later layers are smaller than {LEAST} x {LEAST}"
        return f"{self.name}, {self.cells} x {self.cells} cells{later}"


def map_layer(classifier: Classifier) -> MapLayer:
    """The last layer of a network that still sees where things are: the last one with maps of LEAST cells a side.

    Where none has so many, the last one of those with the most. Raises UserError for a network whose answer is not
    made of such maps, as a transformer's.
    """
    seen = _maps(classifier)
    if not seen or _learnt_behind(classifier, seen[-1][0]) > 0.5:
        name = type(classifier.network).__name__
        raise UserError(f"{name} gives its answer by no maps of a convolution, which Grad-CAM explains")
    blocks = {name for name, module in classifier.network.named_modules() if _is_block(module)}
    cells_of = {name: cells for name, cells in seen if name in blocks}  # which shrink a map somewhere inside
    whole = [(name, cells) for name, cells in seen if all(cells_of.get(a, cells) >= cells for a in _around(name))]
    most = min(LEAST, max(cells for _, cells in whole))
    name, cells = [found for found in whole if found[1] >= most][-1]
    return MapLayer(name, cells, is_last=cells <= seen[-1][1])


def _is_block(module: nn.Module) -> bool:
    """Whether a module, such as a residual block, is no sequence of others, nor holds one."""
    return not any(isinstance(inner, nn.Sequential | nn.ModuleList) for inner in module.modules())


def _around(name: str) -> list[str]:
    """The modules that a module lies in: stages.3 and stages of stages.3.downsample."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _maps(classifier: Classifier) -> list[tuple[str, int]]:
    """(name, cells a side) of each module that gives square maps [1, C, n, n], in the order in which they end."""
    seen: list[tuple[str, int]] = []

    def note(name: str) -> Any:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
            is_map = isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] == output.shape[3]
            if is_map and not isinstance(module, nn.Dropout | nn.Softmax):  # which attention has as well
                seen.append((name, output.shape[2]))

        return hook

    hooks = [module.register_forward_hook(note(name)) for name, module in classifier.network.named_modules() if name]
    try:
        size = classifier.picture_size
        classifier.probabilities(np.zeros((1, size, size, 3), np.uint8))
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _learnt_behind(classifier: Classifier, layer: str) -> float:
    """The share of the parameters that belongs to modules called behind the layer, dense layers left out."""
    modules = dict(classifier.network.named_modules())
    order = list(modules)
    behind = [name for name in order[order.index(layer) :] if name != layer and not name.startswith(f"{layer}.")]
    own = {id(p): p.numel() for name in behind for p in modules[name].parameters(recurse=False)}
    dense = {id(p) for name in order if _is_head(name, modules[name]) for p in modules[name].parameters(recurse=False)}
    total = sum(p.numel() for p in classifier.network.parameters())
    return sum(count for key, count in own.items() if key not in dense) / total


def _is_head(name: str, module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) and "blocks" not in name and "layers" not in name


def explain(classifier: Classifier, images: np.ndarray, targets: np.ndarray, layer: MapLayer) -> np.ndarray:
    """How much each place speaks for the class, 0..1, float32 [N, picture_size, picture_size].

    images: uint8 [N, picture_size, picture_size, 3]. targets: positions of classes, int [N]. 0: nothing, or against it;
    1: the place that speaks for it most. Source: Selvaraju et al. (2017), 1610.02391.

    Raises:
        UserError: captum is not installed.
    """
    layer_grad_cam, interpolate = _captum()
    module = classifier.network.get_submodule(layer.name)
    inputs = normalise(torch.from_numpy(images), classifier.mean, classifier.std, size=classifier.image_size)
    with _not_in_place(classifier.network):
        found = layer_grad_cam(classifier.network, module).attribute(
            inputs.requires_grad_(), target=torch.from_numpy(targets).long(), relu_attributions=True
        )
    maps = interpolate(found.detach(), (classifier.picture_size,) * 2, interpolate_mode="bilinear")[:, 0]
    highest = maps.flatten(1).max(1).values.clamp_min(torch.finfo(maps.dtype).tiny)
    return (maps / highest[:, None, None]).numpy()


def _captum() -> tuple[Any, Any]:
    try:
        from captum.attr import LayerAttribution, LayerGradCam
    except ImportError as error:
        raise UserError("headstart explain needs captum: pip install 'headstart[explain]', or 'captum>=0.9'") from error
    return LayerGradCam, LayerAttribution.interpolate


@contextmanager
def _not_in_place(network: nn.Module) -> Iterator[None]:
    """Activations write into new tensors meanwhile: one that overwrites the layer's maps would lose them."""
    changed = [module for module in network.modules() if getattr(module, "inplace", False) is True]
    for module in changed:
        module.inplace = False
    try:
        yield
    finally:
        for module in changed:
            module.inplace = True
