"""Pictures: sources, splits, augmentation."""

from headstart.data.dataset import Dataset, Split, tensor_on
from headstart.data.decoding import decode
from headstart.data.normalisation import normalise
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
