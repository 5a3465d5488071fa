"""Pictures: sources, splits, augmentation."""

from headstart.data.augmentation import normalise
from headstart.data.decoding import decode
from headstart.data.sources import Dataset, Split, tensor_on
from headstart.data.thumbnails import choose_thumbnails, shrink

__all__ = [
    "Dataset",
    "Split",
    "choose_thumbnails",
    "decode",
    "normalise",
    "shrink",
    "tensor_on",
]
