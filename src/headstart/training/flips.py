"""Which augmentations only flip images, found by trying them: what a frozen backbone makes of those can be kept."""

from collections.abc import Callable

import torch
from torch import Tensor

from headstart.errors import UserError

FLIPS = ("as they are", "flipped left to right", "upside down", "flipped both ways")  # bit 1: left to right, 2: upside
PROBE_COUNTS = (32, 4096)  # a few tell most augmentations that do more, many which flips are made, rare ones too
REAL_IMAGES = 256  # that have to come out as the probe foretells

Augmentation = Callable[..., tuple[Tensor, Tensor]]


def flipped(images: Tensor, flip: int) -> Tensor:
    """Images [N, H, W, C] as `FLIPS[flip]` says."""
    axes = [axis for axis, bit in ((2, 1), (1, 2)) if flip & bit]
    return images.flip(axes) if axes else images


def probe_images(count: int) -> Tensor:
    """`count` images of 2 x 2 pixels, uint8 [count, 2, 2, 3], whose pixels all differ within and between images."""
    images = torch.empty(count, 2, 2, 3, dtype=torch.uint8)
    number = torch.arange(count)[:, None, None]
    # 2 bits say which pixel it is, 22 bits which image.
    images[..., 0] = torch.tensor([[0, 1], [2, 3]]) + 4 * (number % 64)
    images[..., 1] = number // 64 % 256
    images[..., 2] = number // (64 * 256) % 256
    return images


def drawn_flips(augment: Augmentation, labels: Tensor, classes: int, generator: torch.Generator) -> Tensor | None:
    """The flip, 0 .. 3, that the augmentation draws for each image of a batch with these labels: int64 [N].

    None where it does anything else to images or labels. The generator then stands where augmenting the real batch
    would have left it, because draws depend on the batch's size alone; `needed_flips` makes sure of that.
    """
    probe = probe_images(len(labels)).to(labels.device)
    # Clones, for an augmentation may write into what it is given.
    images, targets = augment(probe.clone(), labels.clone(), classes=classes, generator=generator)
    if targets.dtype != labels.dtype or not torch.equal(targets, labels) or images.shape != probe.shape:
        return None
    same = torch.stack([(images == flipped(probe, flip)).flatten(1).all(1) for flip in range(len(FLIPS))])
    if not same.any(0).all():
        return None
    return same.int().argmax(0)


def needed_flips(augment: Augmentation, images: Tensor, labels: Tensor, classes: int) -> tuple[int, ...] | None:
    """The flips that the augmentation draws for images with these labels, sorted; None if it does more than flip.

    images: uint8 [n, H, W, 3], the first ones of the split; `REAL_IMAGES` are enough. Tried on many probe images, and
    held against what it makes of real ones, whose size, content or draws may matter to it. Draws nothing from torch's
    global generator.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            for count in PROBE_COUNTS:
                many = labels[torch.arange(count) % len(labels)]
                found = drawn_flips(augment, many, classes, torch.Generator().manual_seed(0))
                if found is None:
                    return None
        except (RuntimeError, ValueError, IndexError, UserError):
            return None  # needs larger images, so it does more than flip them
        real = images[:REAL_IMAGES]
        if not _foretold(augment, real, labels[: len(real)], classes):
            return None
    return tuple(found.unique().tolist())


def _foretold(augment: Augmentation, images: Tensor, labels: Tensor, classes: int) -> bool:
    """Whether real images come out, and the generator is left, as the probe says."""
    ours, theirs = (torch.Generator().manual_seed(1) for _ in range(2))
    flips = drawn_flips(augment, labels, classes, ours)
    augmented, _ = augment(images.clone(), labels.clone(), classes=classes, generator=theirs)
    if flips is None or augmented.shape != images.shape or not torch.equal(ours.get_state(), theirs.get_state()):
        return False
    chosen = ((flips == flip, flip) for flip in range(len(FLIPS)))
    return all(torch.equal(augmented[of], flipped(images[of], flip).to(augmented.dtype)) for of, flip in chosen)
