"""Weights in local files, read without trust: what is damaged, foreign or could run code is refused in words."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from headstart.errors import UserError, first_line, printable
from headstart.models.metadata import Normalisation, described, hub_config, read_metadata
from headstart.models.unpickling import Inert, unpickled
from headstart.store import WEIGHT_SUFFIXES, read_record

HUB_FILES = ("model.safetensors", "pytorch_model.bin")  # in a folder as hubs keep them, beside a config.json
COUNTER = ".num_batches_tracked"  # of batch norm; decides nothing at the default momentum
CONTROL = {*range(32), 127} - set(b"\t\n\f\r")  # bytes that every binary file begins with one of, and no text has
DEEPEST = 5  # levels of a checkpoint's containers
NAMING = ("arch", "architecture", "model_name", "model")  # what a checkpoint's settings call its network by
SHOWN = 3  # names in an error before "..."


@dataclass(frozen=True)
class Weights:
    """Tensors by name, and what is known about them."""

    origin: str  # for messages: the file or timm's name
    tensors: dict[str, torch.Tensor]  # of a checkpoint by the path to them, such as state_dict.module.fc.bias
    sha256: str
    normalisation: Normalisation | None = None
    classes: tuple[str, ...] | None = None
    image_size: int | None = None  # pixels a side that the network was given
    picture_size: int | None = None  # that pictures had before they were resized to it
    architecture: str | None = None  # as the file calls it
    network: str | None = None  # overrides that choose it here, such as model=cnn model.depth=3
    containers: dict[str, int] = field(default_factory=dict)  # path to what holds tensors itself ("": all): how many
    strange: tuple[str, ...] = ()  # names of what is no plain tensor, beside those that are
    notes: list[str] = field(default_factory=list)


def from_file(path: Path) -> Weights:
    """Read a weights file: safetensors, or torch's format restricted to tensors (no code in it is ever run).

    path: a file, or a hub's folder with one of HUB_FILES. A result.json beside it that names another sha256 is
    believed, and what a hub's config.json says fills what the file does not say. Raises UserError for whatever is wrong
    with the file.
    """
    path = _in_hub_folder(path)
    content = _content(path)
    sha256 = hashlib.sha256(content).hexdigest()
    _check_record(path, sha256)
    told = hub_config(path.parent) if path.name in HUB_FILES else {}
    if path.suffix != ".safetensors":
        found = unpickled(content, given(path))
        known = described(told, given(path))
        known["architecture"] = known["architecture"] or _named_network(found)
        return Weights(str(path), sha256=sha256, **_gathered(found, path), **known)
    try:
        tensors = safetensors.torch.load(content)
    except Exception as error:  # it raises several kinds, KeyError among them, for damaged headers
        raise UserError(f"{given(path)} is damaged or not a safetensors file: {shortened(error)}") from error
    known = described(told | read_metadata(content), given(path))
    return Weights(str(path), sha256=sha256, **_gathered(tensors, path), **known)


def _in_hub_folder(path: Path) -> Path:
    """The weights in a folder as hubs keep them; any other path as it is."""
    return next((path / name for name in HUB_FILES if os.path.isfile(path / name)), path)


def _content(path: Path) -> bytes:
    if not os.path.lexists(path):
        raise UserError(f"{given(path)} does not exist; give a file, 'imagenet' or null")
    if not path.is_file():  # a pipe would be waited for without end
        hub = f" or a folder with {HUB_FILES[0]} in it" if path.is_dir() else ""
        raise UserError(f"{given(path)} is not a file; give a file with one of {', '.join(WEIGHT_SUFFIXES)}{hub}")
    if not path.name.endswith(WEIGHT_SUFFIXES):
        raise UserError(f"{given(path)} is of an unknown kind; give a file with one of {', '.join(WEIGHT_SUFFIXES)}")
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
    found, _, fault = read_record(record)
    if fault and (path.parent / "run.json").exists():  # somebody else's result.json says nothing about our file
        raise UserError(f"{given(path)} may be damaged, too: {fault} of the run that left it.\nTrain it again.")
    expected = (found or {}).get("best_sha256")
    if expected is not None and expected != sha256:
        raise UserError(
            f"{given(path)} is damaged: its sha256 is {sha256[:12]}..., "
            f"but {record} says {expected[:12]}...\nCopy it again, or train it again."
        )


def _gathered(content: Any, path: Path) -> dict[str, Any]:
    """The tensors in what a file held, by the path of names to each; where they were; and what else was among them.

    Raises UserError where there is none.
    """
    tensors, containers, strange, seen = {}, {}, [], set()
    level = [("", content)] if isinstance(content, dict) else []
    for _ in range(DEEPEST):
        inner = []
        for within, node in level:
            named = {k: v for k, v in node.items() if isinstance(k, str)}
            held = {within + k: v for k, v in named.items() if _is_plain(v)}
            if held:
                containers[within] = len(held)
            tensors |= held
            strange += [within + k for k, v in named.items() if not isinstance(v, dict) and within + k not in held]
            if not within:
                strange += [f"a {type(k).__name__} in place of a name" for k in node if not isinstance(k, str)]
            inner += [(f"{within}{k}.", v) for k, v in named.items() if isinstance(v, dict) and id(v) not in seen]
            seen |= {id(v) for _, v in inner}
        level = inner
    if not tensors and strange:
        raise UserError(
            f"{given(path)} holds things that are not plain tensors: {first_few(strange)}; "
            "save network.state_dict() alone"
        )
    if not tensors:
        raise UserError(f"{given(path)} holds no named tensors; save network.state_dict()")
    return dict(tensors=tensors, containers=containers, strange=tuple(strange))


def _named_network(content: Any) -> str | None:
    """The name that a checkpoint, or the settings in it, gives its network; timm's have `arch`."""
    if not isinstance(content, dict):
        return None
    inner = [content.get(key) for key in ("args", "hyper_parameters", "config", "cfg")]
    settings = [content, *(node for node in inner if isinstance(node, dict | Inert))]
    named = (node.get(key) for node in settings for key in NAMING)
    return next((name for name in named if isinstance(name, str) and name.strip()), None)


def _is_plain(value: Any) -> bool:
    """Whether this is a dense tensor with all its numbers in the file (a stretched one could claim terabytes)."""
    if not isinstance(value, torch.Tensor) or value.layout is not torch.strided or value.is_quantized:
        return False
    return value.device.type == "cpu" and value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def first_few(names: Sequence[str]) -> str:
    """Join the first names for a message, with dots when there are more."""
    return ", ".join(map(printable, names[:SHOWN])) + (", ..." if len(names) > SHOWN else "")
