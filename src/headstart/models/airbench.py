"""The network of Jordan 2024, "94% on CIFAR-10 in 3.29 seconds" (arXiv 2404.00498), and its whitening layer."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from headstart.models.architectures import ScaledLinear

WIDTHS = (64, 256, 256)
PICTURES = 32  # whose patches are in memory at a time
EPSILON = 5e-4  # added to the patches' eigenvalues, on the scale of normalised pixels


def airbench(classes: int, flip_averaging: bool) -> nn.Sequential:
    """A whitening 2x2 convolution, three pairs of convolutions to 64, 256 and 256 channels, and a scaled classifier.

    Each pair begins with a convolution and max pooling; batch norm without a scale and GELU stand behind either
    convolution. Filters start as the identity as far as there are channels, and random behind.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(whitening=Whitening(), activation=nn.GELU())
    inputs = layers["whitening"].out_channels
    for number, outputs in enumerate(WIDTHS, start=1):
        layers[f"pair{number}"] = _pair(inputs, outputs)
        inputs = outputs
    layers["pool"] = nn.AdaptiveMaxPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["classifier"] = ScaledLinear(inputs, classes, scale=1 / 9)
    return FlipAveraged(layers) if flip_averaging else nn.Sequential(layers)


def _pair(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        _filters(inputs, outputs),
        nn.MaxPool2d(2),
        _norm(outputs),
        nn.GELU(),
        _filters(outputs, outputs),
        _norm(outputs),
        nn.GELU(),
    )


def _filters(inputs: int, outputs: int) -> nn.Conv2d:
    filters = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False)
    nn.init.dirac_(filters.weight.data[:inputs])
    return filters


def _norm(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels, eps=1e-12)  # torch's momentum: the paper's is for batches four times as large
    norm.weight.requires_grad_(False)
    return norm


class FlipAveraged(nn.Sequential):
    """Layers of which the last, in eval mode, is given the mean of what a picture and its mirror image are to it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float [N, channels, height, width] to logits [N, classes]."""
        *layers, classifier = self
        features = _through(layers, x)
        if not self.training:
            features = (features + _through(layers, x.flip(3))) / 2
        return classifier(features)


def _through(layers: list[nn.Module], x: torch.Tensor) -> torch.Tensor:
    for layer in layers:
        x = layer(x)
    return x


class Whitening(nn.Conv2d):
    """A 2x2 convolution that decorrelates what it sees; its filters are computed from pictures, by `fit`, not learned.

    Twelve filters for three colours, each with both signs; the bias learns.
    """

    def __init__(self, colours: int = 3, size: int = 2) -> None:
        super().__init__(colours, 2 * colours * size**2, size)
        self.weight.requires_grad_(False)

    @torch.no_grad()
    def fit(self, images: torch.Tensor) -> None:
        """Make the filters the whitened principal components of all patches of float [N, colours, height, width]."""
        length = self.weight[0].numel()
        moments, count = torch.zeros(length, length, dtype=torch.float64), 0
        for some in images.split(PICTURES):
            patches = functional.unfold(some, self.kernel_size).transpose(1, 2).flatten(0, 1)
            moments += (patches.T @ patches).double()
            count += len(patches)
        values, vectors = torch.linalg.eigh(moments / count)
        filters = (vectors / torch.sqrt(values + EPSILON)).T.reshape(-1, *self.weight.shape[1:])
        self.weight.copy_(torch.cat([filters, -filters]))


def fit_whitening(network: nn.Module, images: Callable[[], torch.Tensor]) -> None:
    """Compute the filters that a network has of its data's statistics; nothing where it has none.

    images: gives normalised pictures, float [N, 3, height, width], when they are needed.
    """
    for layer in network.modules():
        if isinstance(layer, Whitening):
            layer.fit(images())
