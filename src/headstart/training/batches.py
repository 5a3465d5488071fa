"""Where an epoch's batches begin and which random numbers they draw: from the seed alone, so equal in all arms."""

import torch

ORDER, AUGMENTATION = 0, 1  # streams of random numbers in an epoch
LARGEST, SMALLEST, STEPS = 128, 8, 16  # a batch's pictures where nobody says how many, and an epoch's steps


def usual_batch_size(images: int) -> int:
    """How many of `images` training images are in a step where nobody says: a rule, so that rows come out alike again.

    The largest power of 2 that leaves an epoch 16 steps, from 8 to 128: in fewer steps hardly anything is learnt.
    """
    size = LARGEST
    while size > SMALLEST and size * STEPS > images:
        size //= 2
    return min(size, images)


def batch_starts(images: int, batch_size: int) -> list[int]:
    """First position of each batch; a last batch of one image is left out, batch norm cannot train on it."""
    return [start for start in range(0, images, batch_size) if images - start > 1 or images == 1]


def random_stream(seed: int, epoch: int, stream: int) -> torch.Generator:
    """The generator of one stream (`ORDER` or `AUGMENTATION`) in an epoch, the same when the run is resumed."""
    return torch.Generator().manual_seed(seed * 1_000_003 + epoch * 101 + stream)
