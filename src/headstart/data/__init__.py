"""Pictures in memory: where they come from, how they are split, augmented and normalised."""

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
