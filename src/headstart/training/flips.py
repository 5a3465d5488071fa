"""Which augmentations only mirror pictures, found by trying them: what a frozen backbone makes of those can be kept."""

from collections.abc import Callable

import torch
from torch import Tensor

from headstart.errors import UserError

MIRRORS = ("as they are", "mirrored left to right", "upside down", "mirrored both ways")  # 1: left to right, 2: upside
TRIES = (32, 4096)  # probe pictures: a few tell most that do more, many which mirror images are made, rare ones too
REAL = 256  # real pictures that have to come out as the probe foretells

Augmentation = Callable[..., tuple[Tensor, Tensor]]


def mirrored(images: Tensor, mirror: int) -> Tensor:
    """Pictures [N, H, W, C] as `MIRRORS[mirror]` says."""
    axes = [axis for axis, bit in ((2, 1), (1, 2)) if mirror & bit]
    return images.flip(axes) if axes else images


def probe(count: int) -> Tensor:
    """`count` pictures of 2 x 2 pixels, uint8 [count, 2, 2, 3], whose pixels all differ within and between pictures."""
    pictures = torch.empty(count, 2, 2, 3, dtype=torch.uint8)
    number = torch.arange(count)[:, None, None]
    # 2 bits say which pixel it is, 22 bits which picture.
    pictures[..., 0] = torch.tensor([[0, 1], [2, 3]]) + 4 * (number % 64)
    pictures[..., 1] = number // 64 % 256
    pictures[..., 2] = number // (64 * 256) % 256
    return pictures


def drawn(augment: Augmentation, labels: Tensor, classes: int, generator: torch.Generator) -> Tensor | None:
    """The mirror image, 0 .. 3, that the augmentation draws for each picture of a batch with these labels: int64 [N].

    None where it does anything else to pictures or labels. The generator then stands where augmenting the real batch
    would have left it, because draws depend on the batch's size alone; `needed` makes sure of that.
    """
    pictures = probe(len(labels)).to(labels.device)
    # Clones, for an augmentation may write into what it is given.
    images, targets = augment(pictures.clone(), labels.clone(), classes=classes, generator=generator)
    if targets.dtype != labels.dtype or not torch.equal(targets, labels) or images.shape != pictures.shape:
        return None
    same = torch.stack([(images == mirrored(pictures, mirror)).flatten(1).all(1) for mirror in range(len(MIRRORS))])
    if not same.any(0).all():
        return None
    return same.int().argmax(0)


def needed(augment: Augmentation, images: Tensor, labels: Tensor, classes: int) -> tuple[int, ...] | None:
    """The mirror images that the augmentation makes of pictures with these labels, sorted; None if not only these.

    images: uint8 [n, H, W, 3], the first of the pictures; `REAL` are enough. Tried on many probe pictures, and held
    against what it makes of real ones, whose size, content or draws may matter to it. Draws nothing from torch's
    global generator.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            for count in TRIES:
                many = labels[torch.arange(count) % len(labels)]
                found = drawn(augment, many, classes, torch.Generator().manual_seed(0))
                if found is None:
                    return None
        except (RuntimeError, ValueError, IndexError, UserError):
            return None  # needs larger pictures, so it does more than mirror them
        ours, theirs = (torch.Generator().manual_seed(1) for _ in range(2))
        images, labels = images[:REAL], labels[: len(images[:REAL])]
        foretold = drawn(augment, labels, classes, ours)
        real, _ = augment(images.clone(), labels.clone(), classes=classes, generator=theirs)
        if foretold is None or real.shape != images.shape or not torch.equal(ours.get_state(), theirs.get_state()):
            return None
        for mirror in range(len(MIRRORS)):
            chosen = foretold == mirror
            if not torch.equal(real[chosen], mirrored(images[chosen], mirror).to(real.dtype)):
                return None
    return tuple(found.unique().tolist())
