"""Where an epoch's batches begin and which random numbers they draw: from the seed alone, so equal in all arms."""

import torch

ORDER, AUGMENTATION = 0, 1  # streams of random numbers in an epoch


def batch_starts(images: int, batch_size: int) -> list[int]:
    """First position of each batch; a last batch of one image is left out, batch norm cannot train on it."""
    return [start for start in range(0, images, batch_size) if images - start > 1 or images == 1]


def random_stream(seed: int, epoch: int, stream: int) -> torch.Generator:
    """The generator of one stream (`ORDER` or `AUGMENTATION`) in an epoch, the same when the run is resumed."""
    return torch.Generator().manual_seed(seed * 1_000_003 + epoch * 101 + stream)
