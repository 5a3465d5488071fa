"""Our own architectures as plain torch modules, from random weights; models/builders.py makes options of them."""

from collections import OrderedDict

import torch
from torch import nn

POOLINGS = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}
FAN_CHANNELS = (32, 64, 128, 128, 256, 256, 512)
FAN_DROPOUT = (0.05, 0.1, 0.1, 0.1, 0.1, 0.1, 0.0)


def cnn(classes: int, image_size: int, depth: int = 3, width: int = 32, pooling: str = "max") -> nn.Sequential:
    """`depth` 3x3 convolutions, each with ReLU and 2x2 pooling, then 512 hidden units.

    The first has `width` channels, each further one twice as many. pooling: `max` or `average`.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    inputs = 3
    for number in range(1, depth + 1):
        outputs = width * 2 ** (number - 1)
        layers[f"convolution{number}"] = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)
        behind = [(f"activation{number}", nn.ReLU()), (f"pool{number}", POOLINGS[pooling](2))]
        # The maximum is the same before ReLU, which then sees a fourth of the values; the mean is not.
        layers |= reversed(behind) if pooling == "max" else behind
        inputs = outputs
    layers["flatten"] = nn.Flatten()
    layers["hidden"] = nn.Linear(inputs * (image_size // 2**depth) ** 2, 512)
    layers[f"activation{depth + 1}"] = nn.ReLU()
    layers["classifier"] = nn.Linear(512, classes)
    return nn.Sequential(layers)


def fan(classes: int, image_size: int) -> nn.Sequential:
    """Seven unpadded 3x3 convolutions (32 to 512), each with batch norm, ReLU and dropout, then 512 and 128 units.

    Each convolution takes a border of one pixel off, so that 18 x 18 x 512 values are flattened at 32 px.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    inputs = 3
    for number, (outputs, dropout) in enumerate(zip(FAN_CHANNELS, FAN_DROPOUT, strict=True), start=1):
        layers[f"convolution{number}"] = nn.Conv2d(inputs, outputs, kernel_size=3)
        layers[f"normalisation{number}"] = nn.BatchNorm2d(outputs)
        layers[f"activation{number}"] = nn.ReLU()
        if dropout:
            layers[f"dropout{number}"] = nn.Dropout(dropout)
        inputs = outputs
    layers["flatten"] = nn.Flatten()
    width = inputs * (image_size - 2 * len(FAN_CHANNELS)) ** 2
    for number, units in enumerate((512, 128), start=1):
        layers[f"hidden{number}"] = nn.Linear(width, units)
        layers[f"hidden_normalisation{number}"] = nn.BatchNorm1d(units)
        layers[f"hidden_activation{number}"] = nn.ReLU()
        width = units
    layers["classifier"] = nn.Linear(width, classes)
    return nn.Sequential(layers)


def resnet9(classes: int) -> nn.Sequential:
    """ResNet-9 of Page 2018, "How to train your ResNet" (myrtle.ai), whose form the records of training speed kept.

    Four convolutions to 64, 128, 256 and 512 channels, the last three each followed by 2x2 max pooling, and a residual
    pair of convolutions behind the second and the fourth; then the maximum over all places and a scaled classifier.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(stem=_convolution(3, 64))
    for number, (inputs, outputs) in enumerate([(64, 128), (128, 256), (256, 512)], start=1):
        layers[f"stage{number}"] = _convolution(inputs, outputs)
        layers[f"pool{number}"] = nn.MaxPool2d(2)
        if outputs != 256:
            layers[f"residual{number}"] = Residual(outputs)
    layers["pool"] = nn.AdaptiveMaxPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["classifier"] = ScaledLinear(512, classes)
    return nn.Sequential(layers)


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class Residual(nn.Sequential):
    """Two convolutions around which the input is passed on."""

    def __init__(self, channels: int) -> None:
        super().__init__(_convolution(channels, channels), _convolution(channels, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float [N, channels, height, width] to the same shape."""
        return x + super().forward(x)


class ScaledLinear(nn.Linear):
    """A linear layer without bias whose output is scaled, which keeps the first logits small."""

    def __init__(self, inputs: int, outputs: int, scale: float = 0.125) -> None:
        super().__init__(inputs, outputs, bias=False)
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float [N, inputs] to [N, outputs]."""
        return super().forward(x) * self.scale


class Headed(nn.Module):
    """A backbone that returns feature maps, and a head of its own on them."""

    def __init__(self, backbone: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images float [N, 3, height, width] to logits [N, classes]."""
        return self.classifier(self.backbone(x))


def dense_head(channels: int, classes: int) -> nn.Sequential:
    """A 3x3 convolution to 128 channels with ReLU, the mean over all places, then 512, 256 and 128 dense units.

    Each dense layer has batch norm, dropout 0.1 and ReLU behind it, in this order. Input float [N, channels, height,
    width], output logits [N, classes].
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        convolution=nn.Conv2d(channels, 128, kernel_size=3, padding=1),
        activation=nn.ReLU(),
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
    )
    width = 128
    for number, units in enumerate((512, 256, 128), start=1):
        layers[f"hidden{number}"] = nn.Linear(width, units)
        layers[f"normalisation{number}"] = nn.BatchNorm1d(units)
        layers[f"dropout{number}"] = nn.Dropout(0.1)
        layers[f"activation{number}"] = nn.ReLU()
        width = units
    layers["output"] = nn.Linear(width, classes)
    return nn.Sequential(layers)
