"""Pictures in memory: where they come from, how they are split, augmented and normalised.

Names are imported when they are first asked for: whoever only lists or decodes pictures needs no torch.
"""

from typing import TYPE_CHECKING

from headstart.lazy import door

if TYPE_CHECKING:
    from headstart.data.corruptions import CORRUPTIONS, STRENGTHS, corrupt, corrupted
    from headstart.data.dataset import Dataset, Split, tensor_on
    from headstart.data.decoding import decode, decode_image
    from headstart.data.folder_tree import Tree
    from headstart.data.label_lists import read_labelled
    from headstart.data.normalisation import normalise
    from headstart.data.picture_files import SUFFIXES, list_pictures, shown
    from headstart.data.refusals import Refused, read_anyway
    from headstart.data.survey import describe_data, sample_sheet
    from headstart.data.thumbnails import choose_thumbnails, shrink

_MODULES = {
    "corruptions": ("CORRUPTIONS", "STRENGTHS", "corrupt", "corrupted"),
    "dataset": ("Dataset", "Split", "tensor_on"),
    "decoding": ("decode", "decode_image"),
    "folder_tree": ("Tree",),
    "label_lists": ("read_labelled",),
    "normalisation": ("normalise",),
    "picture_files": ("SUFFIXES", "list_pictures", "shown"),
    "refusals": ("Refused", "read_anyway"),
    "survey": ("describe_data", "sample_sheet"),
    "thumbnails": ("choose_thumbnails", "shrink"),
}

__all__ = [
    "CORRUPTIONS",
    "STRENGTHS",
    "SUFFIXES",
    "Dataset",
    "Refused",
    "Split",
    "Tree",
    "choose_thumbnails",
    "corrupt",
    "corrupted",
    "decode",
    "decode_image",
    "describe_data",
    "list_pictures",
    "normalise",
    "read_anyway",
    "read_labelled",
    "sample_sheet",
    "shown",
    "shrink",
    "tensor_on",
]

__getattr__ = door(__name__, _MODULES)
