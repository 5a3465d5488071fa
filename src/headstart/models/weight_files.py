"""Weights in local files, read without trust: what is damaged, foreign or could run code is refused in words."""

import hashlib
import json
import math
import os
import pickle
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from headstart.errors import UserError, first_line
from headstart.store import json_of, read_json

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
COUNTER = ".num_batches_tracked"  # of batch norm; decides nothing at the default momentum
NESTED = ("state_dict", "model", "model_state")  # keys under which checkpoints of other tools keep the tensors
CONTROL = {*range(32), 127} - set(b"\t\n\f\r")  # bytes that every binary file begins with one of, and no text has
SHOWN = 3  # names in an error before "..."


@dataclass(frozen=True)
class Normalisation:
    """How inputs are normalised: per channel (value in 0..1 - mean) / std. `name` is what the tables show."""

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Weights:
    """Tensors by name, and what is known about them."""

    origin: str  # for messages: the file or timm's name
    tensors: dict[str, torch.Tensor]
    sha256: str
    normalisation: Normalisation | None = None
    classes: tuple[str, ...] | None = None
    image_size: int | None = None
    notes: list[str] = field(default_factory=list)


def from_file(path: Path) -> Weights:
    """Read a weights file: safetensors, or torch's format restricted to tensors (no code in it is ever run).

    A result.json beside it that names another sha256 is believed. Raises UserError for whatever is wrong with the file.
    """
    content = _content(path)
    sha256 = hashlib.sha256(content).hexdigest()
    _check_record(path, sha256)
    if path.suffix != ".safetensors":
        return _weights(_unpickled(content, path), path, sha256)
    try:
        tensors = safetensors.torch.load(content)
    except Exception as error:  # it raises several kinds, KeyError among them, for damaged headers
        raise UserError(f"{given(path)} is damaged or not a safetensors file: {shortened(error)}") from error
    return _weights(tensors, path, sha256, **_described(read_metadata(content), path))


def _content(path: Path) -> bytes:
    if not os.path.lexists(path):
        raise UserError(f"{given(path)} does not exist; give a file, 'imagenet' or null")
    if not path.is_file():  # a pipe would be waited for without end
        raise UserError(f"{given(path)} is not a file; give a file with one of {', '.join(SUFFIXES)}")
    if path.suffix not in SUFFIXES:
        raise UserError(f"{given(path)} is of an unknown kind; give a file with one of {', '.join(SUFFIXES)}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{given(path)} cannot be read: {error.strerror}") from error
    if not content:
        raise UserError(f"{given(path)} is empty (0 bytes); copy or train it again")
    if content.startswith(b"version https://git-lfs"):
        raise UserError(f"{given(path)} is a Git LFS pointer, not the weights; git lfs pull fetches them")
    if CONTROL.isdisjoint(content[:256]):
        raise UserError(f"{given(path)} is text, not weights, such as the page of a failed download; fetch it again")
    return content


def given(path: Path) -> str:
    """The override that names a file, for messages."""
    return f"model.weights={str(path)!r}"


def shortened(error: BaseException) -> str:
    """What another library's exception begins with."""
    return first_line(error)[:200]


def _check_record(path: Path, sha256: str) -> None:
    """Refuse a file that differs from what the run beside it wrote. Raises UserError."""
    record = path.parent / "result.json"
    if not record.is_file():
        return
    try:
        found = read_json(record)
    except UserError:
        return  # somebody else's result.json says nothing about our file
    expected = found.get("best_sha256") if isinstance(found, dict) else None
    if isinstance(expected, str) and expected != sha256:
        raise UserError(
            f"{given(path)} is damaged: its sha256 is {sha256[:12]}..., "
            f"but {record} says {expected[:12]}...\nCopy it again, or train it again."
        )


def _unpickled(content: bytes, path: Path) -> Any:
    try:
        with warnings.catch_warnings(action="ignore"):  # about old and sparse formats; _tensors refuses what is no use
            return torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{given(path)} is damaged, or holds objects besides tensors, which could run code; not loaded.\n"
            "Save the tensors alone, torch.save(network.state_dict(), ...), or give a .safetensors file."
        ) from error
    except Exception as error:  # a damaged file makes torch raise nearly any kind
        raise UserError(f"{given(path)} is damaged or not a torch file: {shortened(error)}") from error


def _weights(content: Any, path: Path, sha256: str, **described: Any) -> Weights:
    """The tensors in what a file held, their names without the prefixes that wrappers of networks add."""
    tensors, stripped = _tensors(content, path), ""
    prefixes = ["module.", "_orig_mod."]  # of DataParallel and torch.compile
    if "pytorch-lightning_version" in content:  # before them the attribute that a LightningModule has its network in
        prefixes.insert(0, next(iter(tensors)).partition(".")[0] + ".")
    for prefix in prefixes:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
            stripped += prefix
    notes = [f"weights: {path}: left out {stripped!r}, which all names began with"] if stripped else []
    return Weights(str(path), tensors, sha256, notes=notes, **described)


def _tensors(content: Any, path: Path) -> dict[str, torch.Tensor]:
    """Find the tensors in what a file held, whatever containers they are in."""
    for _ in NESTED:
        inner = [content[key] for key in NESTED if isinstance(content, dict) and isinstance(content.get(key), dict)]
        content = inner[0] if inner else content
    if not isinstance(content, dict) or not content:
        raise UserError(f"{given(path)} holds no named tensors; save network.state_dict()")
    strange = [
        name if isinstance(name, str) else f"a {type(name).__name__} in place of a name"
        for name, value in content.items()
        if not (isinstance(name, str) and _is_plain(value))
    ]
    if strange:
        raise UserError(
            f"{given(path)} holds things that are not plain tensors: {first_few(strange)}; "
            "save network.state_dict() alone"
        )
    return content


def _is_plain(value: Any) -> bool:
    """Whether this is a dense tensor with all its numbers in the file (a stretched one could claim terabytes)."""
    if not isinstance(value, torch.Tensor) or value.layout is not torch.strided or value.is_quantized:
        return False
    return value.device.type == "cpu" and value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def first_few(names: Sequence[str]) -> str:
    """Join the first names for a message, with dots when there are more."""
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


# ------------------------------------------------------------------------------------------------------------- metadata


def read_metadata(content: bytes) -> dict[str, str]:
    """Return the metadata of a whole safetensors file, empty when it has none (the header's length stands first)."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]).get("__metadata__") or {}


def _described(found: dict[str, str], path: Path) -> dict[str, Any]:
    """Return the fields of Weights that a file's metadata fills. Raises UserError for values that make no sense."""
    try:
        mean, std = (_numbers(found[key]) if key in found else None for key in ("input_mean", "input_std"))
        if (mean is None) != (std is None) or (std is not None and min(std) <= 0):
            raise ValueError("input_mean and input_std come together, and a deviation is above 0")
        classes = tuple(str(name) for name in json_of(found["classes"])) if "classes" in found else None
        size = int(found["image_size"]) if "image_size" in found else None
    except (ValueError, TypeError) as error:
        raise UserError(f"{given(path)} has metadata that make no sense: {shortened(error)}") from error
    normalisation = None if mean is None else Normalisation("file", mean, std)
    return dict(normalisation=normalisation, classes=classes, image_size=size)


def _numbers(text: str) -> tuple[float, ...]:
    """Three numbers, as a JSON list or separated by commas."""
    values = tuple(float(value) for value in text.strip().strip("[]").split(","))
    if len(values) != 3 or not all(map(math.isfinite, values)):
        raise ValueError(f"{text!r} is not three finite numbers, one for each channel")
    return values
