"""The operations of automatic augmentation policies on batches: TrivialAugmentWide's and RandAugment's strengths."""

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

BINS = 31  # strengths, 0 .. 30
OPERATIONS = (
    "Identity",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Rotate",
    "Brightness",
    "Color",
    "Contrast",
    "Sharpness",
    "Posterize",
    "Solarize",
    "AutoContrast",
    "Equalize",
)
_SHEARS, _SLIDES = ("ShearX", "ShearY"), ("TranslateX", "TranslateY")
_COLOURS = ("Brightness", "Color", "Contrast", "Sharpness")
_SIGNED = {*_SHEARS, *_SLIDES, *_COLOURS, "Rotate"}

Magnitude = Callable[[str, int, bool, int, int], float]


def apply(images: Tensor, operation: Tensor, strength: Tensor, negative: Tensor, magnitude: Magnitude) -> Tensor:
    """Apply `OPERATIONS[operation]` of strength bin `strength` to each picture [N, H, W, 3], uint8.

    operation, strength (0 .. 30), negative (bool: turn the sign of operations that have one): [N], on the CPU.
    magnitude: `trivial_magnitude` or `rand_magnitude`. Pictures with the same operation and strength go through
    torchvision together.
    """
    pictures = images.permute(0, 3, 1, 2)
    result = pictures.clone()
    groups: dict[tuple[str, float], list[int]] = {}
    drawn = zip(operation.tolist(), strength.tolist(), negative.tolist(), strict=True)
    for position, (which, bin_number, minus) in enumerate(drawn):
        name = OPERATIONS[which]
        groups.setdefault((name, magnitude(name, bin_number, minus, *images.shape[1:3])), []).append(position)
    for (name, value), positions in groups.items():
        if name != "Identity":
            index = torch.tensor(positions, device=images.device)
            result[index] = _operate(name, pictures[index], value)
    return result.permute(0, 2, 3, 1).contiguous()


@cache
def trivial_magnitude(name: str, strength: int, negative: bool, height: int, width: int) -> float:
    """Magnitude of operation `name` in strength bin 0 .. 30 as torchvision's TrivialAugmentWide has it; 0 if none.

    height, width: of the pictures, in pixels, on which it does not depend.
    """
    if name == "Posterize":
        return 8 - round(6 * strength / (BINS - 1))  # bits kept
    ends = dict.fromkeys((*_SHEARS, *_COLOURS), (0.0, 0.99)) | dict.fromkeys(_SLIDES, (0.0, 32.0))  # pixels
    return _signed(name, ends | {"Rotate": (0.0, 135.0), "Solarize": (1.0, 0.0)}, strength, negative)


@cache
def rand_magnitude(name: str, strength: int, negative: bool, height: int, width: int) -> float:
    """Magnitude of operation `name` in strength bin 0 .. 30 as torchvision's RandAugment has it; 0 if none.

    height, width: of the pictures, in pixels; how far they slide is a share of them.
    """
    if name == "Posterize":
        return 8 - round(4 * strength / (BINS - 1))  # bits kept
    ends = dict.fromkeys(_SHEARS, (0.0, 0.3)) | dict.fromkeys(_COLOURS, (0.0, 0.9))
    slides = {"TranslateX": (0.0, 150 / 331 * width), "TranslateY": (0.0, 150 / 331 * height)}
    return _signed(name, ends | slides | {"Rotate": (0.0, 30.0), "Solarize": (1.0, 0.0)}, strength, negative)


def _signed(name: str, ends: dict[str, tuple[float, float]], strength: int, negative: bool) -> float:
    """The strength's place between the operation's two ends (degrees, pixels, shares), with its sign."""
    start, end = ends.get(name, (0.0, 0.0))
    # float32 as in torchvision: a translation is cut to whole pixels, where the last bit counts.
    magnitude = torch.linspace(start, end, BINS)[strength].item()
    return -magnitude if negative and name in _SIGNED else magnitude


def _operate(name: str, pictures: Tensor, magnitude: float) -> Tensor:
    """Apply one operation to pictures [N, 3, H, W], uint8, as torchvision's automatic policies call it."""
    from torchvision.transforms.v2 import functional as tv

    shear = math.degrees(math.atan(magnitude))
    operations = {
        "ShearX": lambda: tv.affine(pictures, 0.0, [0, 0], 1.0, [shear, 0.0], center=[0, 0]),
        "ShearY": lambda: tv.affine(pictures, 0.0, [0, 0], 1.0, [0.0, shear], center=[0, 0]),
        "TranslateX": lambda: tv.affine(pictures, 0.0, [int(magnitude), 0], 1.0, [0.0, 0.0]),
        "TranslateY": lambda: tv.affine(pictures, 0.0, [0, int(magnitude)], 1.0, [0.0, 0.0]),
        "Rotate": lambda: tv.rotate(pictures, magnitude),
        "Brightness": lambda: tv.adjust_brightness(pictures, 1 + magnitude),
        "Color": lambda: tv.adjust_saturation(pictures, 1 + magnitude),
        "Contrast": lambda: tv.adjust_contrast(pictures, 1 + magnitude),
        "Sharpness": lambda: tv.adjust_sharpness(pictures, 1 + magnitude),
        "Posterize": lambda: tv.posterize(pictures, int(magnitude)),
        "Solarize": lambda: tv.solarize(pictures, 255 * magnitude),
        "AutoContrast": lambda: tv.autocontrast(pictures),
        "Equalize": lambda: tv.equalize(pictures),
    }
    return operations[name]()
