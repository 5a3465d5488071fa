"""Torch's files, read without running anything that they name: tensors, plain values and placeholders come out."""

import contextlib
import pickle
import re
import warnings
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import torch

from headstart.errors import UserError, first_line

# What checkpoints say about a training beside its tensors is of these packages: settings, paths, numbers. Whatever else
# a file names could be meant to run, and is refused aloud.
HARMLESS = ("argparse", "datetime", "enum", "hydra", "lightning", "lightning_fabric", "numpy", "omegaconf", "pathlib")
HARMLESS += ("pytorch_lightning", "timm", "torchmetrics", "torchvision", "typing", "yacs")
ALWAYS = ["argparse.Namespace", "pathlib.PosixPath", "numpy.dtype", "numpy.dtypes.Float64DType"]  # old files don't list
ALWAYS += ["numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"]
PLAIN = re.compile(r"builtins\.(object|bool|int|float|complex|str|bytes|list|tuple|dict|set|frozenset|slice|range)")
MAPPING = re.compile(r"[\w.]+\.AttributeDict")  # of Lightning
NAMED = re.compile(r"GLOBAL ([\w.]+)")


class Inert:
    """Stands where a file names a class or a function: it takes whatever that would take, and does nothing with it."""

    def __init__(self, *_: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def get(self, key: str) -> Any:
        """An attribute that the object had, such as a setting in a Namespace; None without it."""
        return self.state.get(key) if isinstance(self.state, dict) else None


def unpickled(content: bytes, given: str) -> Any:
    """What torch saved, with an `Inert` for all that is no tensor and no plain value.

    given: how messages name the file. Raises UserError for a damaged file, and for one that names what could run code.
    """
    try:
        with _placeholders(content), warnings.catch_warnings(action="ignore"):  # about old and sparse formats
            return torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = NAMED.search(str(error))
        objects = f"objects besides tensors ({named[1][:80]})" if named else "objects besides tensors"
        raise UserError(
            f"{given} is damaged, or holds {objects}, which could run code; not loaded.\n"
            "Save the tensors alone, torch.save(network.state_dict(), ...), or give a .safetensors file."
        ) from error
    except Exception as error:  # a damaged file makes torch raise nearly any kind
        raise UserError(f"{given} is damaged or not a torch file: {first_line(error)[:200]}") from error


@contextlib.contextmanager
def _placeholders(content: bytes) -> Iterator[None]:
    """Have torch put an `Inert` where the file names something harmless that torch does not know."""
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(BytesIO(content))
    except Exception:  # an old file's format, or a damaged one
        named = []
    harmless = [name for name in named if name.partition(".")[0] in HARMLESS or PLAIN.fullmatch(name)]
    known = [(dict if MAPPING.fullmatch(name) else Inert, name) for name in {*harmless, *ALWAYS}]
    known.append((_mapping, "collections.defaultdict"))
    with torch.serialization.safe_globals(known):
        yield


def _mapping(*_: Any) -> dict:
    """In place of defaultdict, which is filled with what comes behind it in the file."""
    return {}
