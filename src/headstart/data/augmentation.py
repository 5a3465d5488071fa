"""Augmentations of a whole batch of uint8 pictures at once, on the device where the batch lies.

Each one has the form `f(images, labels, *, classes, generator, ...) -> (images, labels)`:

- images: uint8 [N, H, W, 3]; labels: int64 [N], 0 .. classes - 1.
- returned images: uint8, or float32 on the scale 0 .. 255 where pictures are mixed; returned labels: int64 [N], or
  float32 [N, classes] that sum to 1 per row where labels are mixed.
- generator: a `torch.Generator` on the CPU. Every random number is drawn from it, on the CPU, and only the small vector
  of draws moves, so that the stream is the same on every device. Each picture gets draws of its own.

Those that configurations name only draw; `crop`, `flip`, `erase`, `mix`, `paste` and `auto_augment.apply` compute
with what was drawn.
"""

from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from annotated_types import Ge, Le, Lt
from torch import Generator, Tensor

from headstart.data import auto_augment
from headstart.typed import Positive

Pixels = Annotated[int, Ge(0), Le(512)]
Side = Annotated[int, Ge(1), Le(4096)]  # in pixels
Batch = tuple[Tensor, Tensor]  # images and labels

_GREY = 128  # close to the mean of natural pictures, so that an erased square hardly moves a batch's statistics


def none(images: Tensor, labels: Tensor, *, classes: int, generator: Generator) -> Batch:
    """Return the batch as it is."""
    return images, labels


def horizontal_flip(images: Tensor, labels: Tensor, *, classes: int, generator: Generator) -> Batch:
    """Mirror each picture left to right with probability 1/2."""
    return flip(images, _coins(images, generator)), labels


def flip_hv(images: Tensor, labels: Tensor, *, classes: int, generator: Generator) -> Batch:
    """Mirror each picture left to right and, independently, upside down, each with probability 1/2."""
    images = flip(images, _coins(images, generator))
    return flip(images, _coins(images, generator), axis=1), labels


def crop_flip(images: Tensor, labels: Tensor, *, classes: int, generator: Generator, padding: Pixels = 4) -> Batch:
    """Pad with zeros, cut a window of the old size at a random place and mirror it with probability 1/2.

    `padding`: pixels on each side, 0 or more. The usual training augmentation of CIFAR (He et al. 2015, section 4.2).
    """
    return _crop_flip(images, generator, padding), labels


def cutout(
    images: Tensor,
    labels: Tensor,
    *,
    classes: int,
    generator: Generator,
    size: Side = 8,
    padding: Pixels | None = 4,
) -> Batch:
    """Crop and flip as `crop_flip`, then grey out one square of `size` pixels a side (https://arxiv.org/abs/1708.04552).

    The square's centre falls anywhere in the picture, so that part of the square may lie outside, as in the paper.
    `padding=None` leaves out crop and flip.
    """
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
    generator: Generator,
    alpha: Positive = 0.2,
    padding: Pixels | None = 4,
) -> Batch:
    """Crop and flip as `crop_flip`, then blend each picture and its label with another one of the batch.

    The share kept is drawn from Beta(alpha, alpha) for each picture (https://arxiv.org/abs/1710.09412).
    Returns float32 pictures on the scale 0 .. 255 and float32 [N, classes] labels. `padding=None`: no crop and flip.
    """
    images = _crop_flip(images, generator, padding)
    n = len(images)
    partner = torch.randperm(n, generator=generator)
    share = _beta(alpha, n, generator)
    return mix(images, labels, partner.to(images.device), share.to(images.device), classes)


def cutmix(
    images: Tensor,
    labels: Tensor,
    *,
    classes: int,
    generator: Generator,
    alpha: Positive = 1.0,
    padding: Pixels | None = 4,
) -> Batch:
    """Crop and flip as `crop_flip`, then paste a box of another picture of the batch into each, and mix their labels.

    The box keeps a share drawn from Beta(alpha, alpha) of the picture, or more where it is cut off at the border
    (https://arxiv.org/abs/1905.04899); labels are mixed by the area. Returns uint8 pictures and float32 [N, classes]
    labels. `padding=None`: no crop and flip.
    """
    images = _crop_flip(images, generator, padding)
    n, height, width, _ = images.shape
    partner = torch.randperm(n, generator=generator)
    share = _beta(alpha, n, generator)
    row = torch.randint(height, (n,), generator=generator)
    column = torch.randint(width, (n,), generator=generator)
    return paste(images, labels, *(t.to(images.device) for t in (partner, share, row, column)), classes)


def trivialaugment(
    images: Tensor, labels: Tensor, *, classes: int, generator: Generator, padding: Pixels | None = 4
) -> Batch:
    """Crop and flip as `crop_flip`, then apply one random operation of random strength to each picture.

    TrivialAugmentWide (https://arxiv.org/abs/2103.10158) with torchvision's 14 operations and 31 strengths.
    `padding=None` leaves out crop and flip.
    """
    images = _crop_flip(images, generator, padding)
    n = len(images)
    operation = torch.randint(len(auto_augment.OPERATIONS), (n,), generator=generator)
    strength = torch.randint(auto_augment.BINS, (n,), generator=generator)
    negative = torch.rand(n, generator=generator) < 0.5
    return auto_augment.apply(images, operation, strength, negative, auto_augment.trivial_magnitude), labels


def randaugment(
    images: Tensor,
    labels: Tensor,
    *,
    classes: int,
    generator: Generator,
    operations: Annotated[int, Ge(1), Le(100)] = 2,
    magnitude: Annotated[int, Ge(0), Lt(auto_augment.BINS)] = 9,
    padding: Pixels | None = 4,
) -> Batch:
    """Crop and flip as `crop_flip`, then apply `operations` random operations of one strength to each picture.

    RandAugment (https://arxiv.org/abs/1909.13719) with torchvision's 14 operations; `magnitude`: 0 .. 30.
    `padding=None` leaves out crop and flip.
    """
    images = _crop_flip(images, generator, padding)
    strength = torch.full((len(images),), magnitude)
    for _ in range(operations):
        operation = torch.randint(len(auto_augment.OPERATIONS), (len(images),), generator=generator)
        negative = torch.rand(len(images), generator=generator) < 0.5
        images = auto_augment.apply(images, operation, strength, negative, auto_augment.rand_magnitude)
    return images, labels


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


def mix(images: Tensor, labels: Tensor, partner: Tensor, share: Tensor, classes: int) -> Batch:
    """share * itself + (1 - share) * its partner, for pictures and labels.

    partner: int64 [N], a position in the batch; share: float32 [N], 0 .. 1.
    Returns float32 [N, H, W, C] and float32 [N, classes].
    """
    targets = F.one_hot(labels, classes).float()
    other = images.index_select(0, partner).float()
    mixed = torch.lerp(other, images.float(), share[:, None, None, None])
    return mixed, torch.lerp(targets.index_select(0, partner), targets, share[:, None])


def paste(
    images: Tensor, labels: Tensor, partner: Tensor, share: Tensor, row: Tensor, column: Tensor, classes: int
) -> Batch:
    """A box of 1 - share of the area of each picture [N, H, W, C], around (row, column), taken from its partner.

    partner, row, column: int64 [N]; share: float32 [N], 0 .. 1. As in torchvision's CutMix the box's sides are whole,
    even numbers of pixels. Returns pictures of the same type and float32 [N, classes] labels, mixed by the area pasted.
    """
    _, height, width, _ = images.shape
    half = 0.5 * (1 - share).sqrt()
    tall, wide = (half * height).long(), (half * width).long()
    rows, columns = _within(height, row - tall, 2 * tall), _within(width, column - wide, 2 * wide)
    inside = rows[:, :, None] & columns[:, None, :]
    pasted = torch.where(inside[..., None], images.index_select(0, partner), images)
    kept = 1 - inside.flatten(1).float().mean(1)
    targets = F.one_hot(labels, classes).float()
    return pasted, torch.lerp(targets.index_select(0, partner), targets, kept[:, None])


def _crop_flip(images: Tensor, generator: Generator, padding: int | None) -> Tensor:
    if padding is None:
        return images
    top, left = torch.randint(2 * padding + 1, (2, len(images)), generator=generator).to(images.device)
    return flip(crop(images, top, left, padding), _coins(images, generator))


def _beta(alpha: float, n: int, generator: Generator) -> Tensor:
    # torch has no public Beta that takes a generator; numpy's RandomState is promised never to change its stream.
    seed = int(torch.randint(2**32, (), generator=generator))
    return torch.from_numpy(np.random.RandomState(seed).beta(alpha, alpha, n)).float()


def _coins(images: Tensor, generator: Generator) -> Tensor:
    return (torch.rand(len(images), generator=generator) < 0.5).to(images.device)


def _within(length: int, start: Tensor, size: int | Tensor) -> Tensor:
    place = torch.arange(length, device=start.device)
    return (place >= start[:, None]) & (place < (start + size)[:, None])
