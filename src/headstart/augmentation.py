"""Augmentations of a whole batch of uint8 pictures at once, on the device where the batch lies.

Each one has the form `f(images, labels, *, classes, generator, ...) -> (images, labels)`:

- images: uint8 [N, H, W, 3]; labels: int64 [N], 0 .. classes - 1.
- returned images: uint8, or float32 on the scale 0 .. 255 where pictures are mixed; returned labels: int64 [N], or
  float32 [N, classes] that sum to 1 per row where labels are mixed.
- generator: a `torch.Generator` on the CPU. Every random number is drawn from it, on the CPU, and only the small vector
  of draws moves, so that the stream is the same on every device. Each picture gets draws of its own.

The public ones only draw; `crop`, `flip`, `erase`, `mix` and `trivial` compute, and take what was drawn as arguments.
"""

import math
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from headstart.errors import UserError

TRIVIAL_BINS = 31
TRIVIAL_OPERATIONS = (
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
_TRIVIAL_SIGNED = {
    **dict.fromkeys(("ShearX", "ShearY", "Brightness", "Color", "Contrast", "Sharpness"), (0.0, 0.99)),
    **dict.fromkeys(("TranslateX", "TranslateY"), (0.0, 32.0)),  # pixels
    "Rotate": (0.0, 135.0),  # degrees
}
_TRIVIAL_RANGES = {**_TRIVIAL_SIGNED, "Solarize": (1.0, 0.0)}  # Solarize: threshold, as a part of full white
_GREY = 128  # close to the mean of natural pictures, so that an erased square hardly moves a batch's statistics


def none(images: Tensor, labels: Tensor, *, classes: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the batch as it is."""
    return images, labels


def horizontal_flip(
    images: Tensor, labels: Tensor, *, classes: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mirror each picture left to right with probability 1/2."""
    return flip(images, _coins(images, generator)), labels


def flip_hv(images: Tensor, labels: Tensor, *, classes: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirror each picture left to right and, independently, upside down, each with probability 1/2."""
    images = flip(images, _coins(images, generator))
    return flip(images, _coins(images, generator), axis=1), labels


def crop_flip(
    images: Tensor, labels: Tensor, *, classes: int, generator: torch.Generator, padding: int = 4
) -> tuple[Tensor, Tensor]:
    """Pad with zeros, cut a window of the old size at a random place and mirror it with probability 1/2.

    `padding`: pixels on each side, 0 or more. The usual training augmentation of CIFAR (He et al. 2015, section 4.2).
    """
    return _crop_flip(images, generator, padding), labels


def cutout(
    images: Tensor,
    labels: Tensor,
    *,
    classes: int,
    generator: torch.Generator,
    size: int = 8,
    padding: int | None = 4,
) -> tuple[Tensor, Tensor]:
    """Crop and flip as `crop_flip`, then grey out one square of `size` pixels a side (https://arxiv.org/abs/1708.04552).

    The square's centre falls anywhere in the picture, so that part of the square may lie outside, as in the paper.
    `padding=None` leaves out crop and flip.
    """
    if size < 1:
        raise UserError(f"augmentation.size={size} is no square; give 1 or more pixels, e.g. augmentation.size=8.")
    images = _crop_flip(images, generator, padding)
    n, height, width, _ = images.shape
    row = torch.randint(height, (n,), generator=generator)
    column = torch.randint(width, (n,), generator=generator)
    return erase(images, row.to(images.device), column.to(images.device), size), labels


def mixup(
    images: Tensor,
    labels: Tensor,
    *,
    classes: int,
    generator: torch.Generator,
    alpha: float = 0.2,
    padding: int | None = 4,
) -> tuple[Tensor, Tensor]:
    """Crop and flip as `crop_flip`, then blend each picture and its label with another one of the batch.

    The share kept is drawn from Beta(alpha, alpha) for each picture (https://arxiv.org/abs/1710.09412).
    Returns float32 pictures on the scale 0 .. 255 and float32 [N, classes] labels. `padding=None`: no crop and flip.
    """
    if not alpha > 0:
        raise UserError(f"augmentation.alpha={alpha} is no Beta distribution; give a number above 0, e.g. 0.2.")
    images = _crop_flip(images, generator, padding)
    n = len(images)
    partner = torch.randperm(n, generator=generator)
    # torch has no public Beta that takes a generator; numpy's RandomState is promised never to change its stream.
    seed = int(torch.randint(2**32, (), generator=generator))
    share = torch.from_numpy(np.random.RandomState(seed).beta(alpha, alpha, n)).float()
    return mix(images, labels, partner.to(images.device), share.to(images.device), classes)


def trivialaugment(
    images: Tensor, labels: Tensor, *, classes: int, generator: torch.Generator, padding: int | None = 4
) -> tuple[Tensor, Tensor]:
    """Crop and flip as `crop_flip`, then apply one random operation of random strength to each picture.

    TrivialAugmentWide (https://arxiv.org/abs/2103.10158) with torchvision's 14 operations and 31 strengths.
    `padding=None` leaves out crop and flip.
    """
    images = _crop_flip(images, generator, padding)
    n = len(images)
    operation = torch.randint(len(TRIVIAL_OPERATIONS), (n,), generator=generator)
    strength = torch.randint(TRIVIAL_BINS, (n,), generator=generator)
    negative = torch.rand(n, generator=generator) < 0.5
    return trivial(images, operation, strength, negative), labels


def crop(images: Tensor, top: Tensor, left: Tensor, padding: int) -> Tensor:
    """Window of the old size at (top, left) of each picture padded with `padding` zeros on every side.

    images: [N, H, W, C]; top, left: int64 [N], 0 .. 2 * padding, on the same device. Returns [N, H, W, C].
    """
    n, height, width, channels = images.shape
    padded = images.new_zeros(n, height + 2 * padding, width + 2 * padding, channels)
    padded[:, padding : padding + height, padding : padding + width] = images
    picture, row = padded.stride(0), padded.stride(1)
    # A view of every window that starts at any element of the flat batch; one index_select then copies whole rows,
    # five times as fast as reading windows[range(n), top, left].
    starts = padded.numel() - (height - 1) * row - width * channels + 1
    windows = padded.as_strided((starts, height, width * channels), (1, row, 1))
    start = torch.arange(n, device=images.device) * picture + top * row + left * channels
    return windows.index_select(0, start).view(n, height, width, channels)


def flip(images: Tensor, which: Tensor, axis: int = 2) -> Tensor:
    """Mirror the pictures [N, H, W, C] where `which` (bool [N]) is true: left to right, or upside down with axis=1."""
    chosen = which.nonzero()[:, 0]
    return images.index_copy(0, chosen, images.index_select(0, chosen).flip(axis))


def erase(images: Tensor, row: Tensor, column: Tensor, size: int, value: int = _GREY) -> Tensor:
    """Set a square of `size` pixels a side to `value` in each picture [N, H, W, C].

    row, column: int64 [N], the square's centre; it covers centre - size // 2 up to centre - size // 2 + size - 1.
    """
    _, height, width, _ = images.shape
    rows = _within(height, row - size // 2, size)
    columns = _within(width, column - size // 2, size)
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[..., None], value)


def mix(images: Tensor, labels: Tensor, partner: Tensor, share: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """share * itself + (1 - share) * its partner, for pictures and labels.

    partner: int64 [N], a position in the batch; share: float32 [N], 0 .. 1.
    Returns float32 [N, H, W, C] and float32 [N, classes].
    """
    targets = F.one_hot(labels, classes).float()
    other = images.index_select(0, partner).float()
    mixed = torch.lerp(other, images.float(), share[:, None, None, None])
    return mixed, torch.lerp(targets.index_select(0, partner), targets, share[:, None])


def trivial(images: Tensor, operation: Tensor, strength: Tensor, negative: Tensor) -> Tensor:
    """Apply `TRIVIAL_OPERATIONS[operation]` of strength bin `strength` to each picture [N, H, W, 3], uint8.

    operation, strength (0 .. 30), negative (bool: turn the sign of operations that have one): [N], on the CPU.
    Pictures with the same operation and strength go through torchvision together.
    """
    pictures = images.permute(0, 3, 1, 2)
    result = pictures.clone()
    groups: dict[tuple[str, float], list[int]] = {}
    drawn = zip(operation.tolist(), strength.tolist(), negative.tolist(), strict=True)
    for position, (which, bin_number, minus) in enumerate(drawn):
        name = TRIVIAL_OPERATIONS[which]
        groups.setdefault((name, trivial_magnitude(name, bin_number, minus)), []).append(position)
    for (name, magnitude), positions in groups.items():
        if name != "Identity":
            index = torch.tensor(positions, device=images.device)
            result[index] = _apply(name, pictures[index], magnitude)
    return result.permute(0, 2, 3, 1).contiguous()


@cache
def trivial_magnitude(name: str, strength: int, negative: bool) -> float:
    """Magnitude of operation `name` in strength bin 0 .. 30 as torchvision's TrivialAugmentWide has it; 0 if none."""
    if name == "Posterize":
        return 8 - round(6 * strength / (TRIVIAL_BINS - 1))  # bits kept
    start, end = _TRIVIAL_RANGES.get(name, (0.0, 0.0))
    # float32 as in torchvision: a translation is cut to whole pixels, where the last bit counts.
    magnitude = torch.linspace(start, end, TRIVIAL_BINS)[strength].item()
    return -magnitude if negative and name in _TRIVIAL_SIGNED else magnitude


def normalise(
    images: Tensor,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    size: int | None = None,
    channels_last: bool = True,
) -> Tensor:
    """Turn pictures [N, H, W, 3] on the scale 0 .. 255 into the network's float32 [N, 3, H, W].

    (x / 255 - mean) / std per channel, and a bilinear antialiased resize to `size` x `size` when that differs.
    channels_last: memory format of the result, else contiguous.
    """
    n, height, width, channels = images.shape
    spread = torch.tensor(std, dtype=torch.float64)
    scale = (1 / (255 * spread)).float().repeat(width).to(images.device)
    shift = (-torch.tensor(mean, dtype=torch.float64) / spread).float().repeat(width).to(images.device)
    # Whole rows of width * 3 numbers instead of 3 channels as the last axis: the inner loop vectorises.
    rows = images.reshape(n, height, width * channels).float()
    result = torch.addcmul(shift, rows, scale).view(n, height, width, channels).permute(0, 3, 1, 2)
    if size is not None and (size, size) != (height, width):
        result = F.interpolate(result, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return result.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def _crop_flip(images: Tensor, generator: torch.Generator, padding: int | None) -> Tensor:
    if padding is None:
        return images
    if padding < 0:
        raise UserError(f"augmentation.padding={padding} is negative; give 0 or more pixels, e.g. 4.")
    top, left = torch.randint(2 * padding + 1, (2, len(images)), generator=generator).to(images.device)
    return flip(crop(images, top, left, padding), _coins(images, generator))


def _coins(images: Tensor, generator: torch.Generator) -> Tensor:
    return (torch.rand(len(images), generator=generator) < 0.5).to(images.device)


def _within(length: int, start: Tensor, size: int) -> Tensor:
    place = torch.arange(length, device=start.device)
    return (place >= start[:, None]) & (place < start[:, None] + size)


def _apply(name: str, pictures: Tensor, magnitude: float) -> Tensor:
    """Apply one operation to pictures [N, 3, H, W], uint8, as torchvision's TrivialAugmentWide calls it."""
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
