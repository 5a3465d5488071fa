"""Where a network's weights come from: local files read without trust, and timm's published ones."""

import hashlib
import json
import math
import os
import pickle
import socket
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from headstart import records
from headstart.errors import UserError

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
NESTED = ("state_dict", "model", "model_state")  # keys under which checkpoints of other tools keep the tensors
TIMEOUT = 5  # seconds to wait for a sign of life from where weights are fetched
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


def load(weights: str, architecture: str, tags: list[str], **timm_arguments: Any) -> Weights:
    """Return the tensors that `model.weights` names: `imagenet`, one of timm's `tags` for `architecture`, or a file.

    timm_arguments: passed on to timm.create_model, so that its tensors get the shapes in use.
    Raises UserError for anything that cannot be loaded.
    """
    if not isinstance(weights, str):
        raise UserError(f"model.weights={weights!r} is not a text; give {_options(tags)}")
    if weights == "source":
        raise UserError("model.weights=source belongs into a study with a `source:` entry; here give a file or null")
    if tags and weights == "imagenet":
        return from_timm(architecture, **timm_arguments)
    if weights in tags:
        return from_timm(f"{architecture}.{weights}", **timm_arguments)
    if os.path.exists(weights) or weights.endswith(SUFFIXES) or os.sep in weights:
        return from_file(Path(weights).expanduser())
    raise UserError(f"model.weights={weights!r} is neither a file nor known for {architecture}; give {_options(tags)}")


def _options(tags: list[str]) -> str:
    known = f"imagenet, {', '.join(tags)}, " if tags else ""
    return f"null, {known}or a file ({', '.join(SUFFIXES)})"


# ---------------------------------------------------------------------------------------------------------------- files


def from_file(path: Path) -> Weights:
    """Read a weights file: safetensors, or torch's format restricted to tensors (no code in it is ever run).

    A result.json beside it that names another sha256 is believed. Raises UserError for whatever is wrong with the file.
    """
    content = _content(path)
    sha256 = hashlib.sha256(content).hexdigest()
    _check_record(path, sha256)
    if path.suffix != ".safetensors":
        return Weights(str(path), _tensors(_unpickled(content, path), path), sha256)
    try:
        tensors = safetensors.torch.load(content)
    except Exception as error:  # it raises several kinds, KeyError among them, for damaged headers
        raise UserError(f"{_given(path)} is damaged or not a safetensors file: {_first_line(error)}") from error
    return Weights(str(path), _tensors(tensors, path), sha256, **_described(read_metadata(content), path))


def _content(path: Path) -> bytes:
    if not os.path.lexists(path):
        raise UserError(f"{_given(path)} does not exist; give a file, 'imagenet' or null")
    if not path.is_file():  # a pipe would be waited for without end
        raise UserError(f"{_given(path)} is not a file; give a file with one of {', '.join(SUFFIXES)}")
    if path.suffix not in SUFFIXES:
        raise UserError(f"{_given(path)} is of an unknown kind; give a file with one of {', '.join(SUFFIXES)}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{_given(path)} cannot be read: {error.strerror}") from error
    if not content:
        raise UserError(f"{_given(path)} is empty (0 bytes); copy or train it again")
    return content


def _given(path: Path) -> str:
    return f"model.weights={str(path)!r}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _check_record(path: Path, sha256: str) -> None:
    """Refuse a file that differs from what the run beside it wrote. Raises UserError."""
    record = path.parent / "result.json"
    if not record.is_file():
        return
    try:
        found = records.read_json(record)
    except UserError:
        return  # somebody else's result.json says nothing about our file
    expected = found.get("best_sha256") if isinstance(found, dict) else None
    if isinstance(expected, str) and expected != sha256:
        raise UserError(
            f"{_given(path)} is damaged: its sha256 is {sha256[:12]}..., "
            f"but {record} says {expected[:12]}...\nCopy it again, or train it again."
        )


def _unpickled(content: bytes, path: Path) -> Any:
    try:
        with warnings.catch_warnings(action="ignore"):  # about old and sparse formats; _tensors refuses what is no use
            return torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{_given(path)} is damaged, or holds objects besides tensors, which could run code; not loaded.\n"
            "Save the tensors alone, torch.save(network.state_dict(), ...), or give a .safetensors file."
        ) from error
    except Exception as error:  # a damaged file makes torch raise nearly any kind
        raise UserError(f"{_given(path)} is damaged or not a torch file: {_first_line(error)}") from error


def _tensors(content: Any, path: Path) -> dict[str, torch.Tensor]:
    """Find the tensors in what a file held: unwrap containers, strip the prefixes that wrappers of networks add."""
    for _ in NESTED:
        inner = [content[key] for key in NESTED if isinstance(content, dict) and isinstance(content.get(key), dict)]
        content = inner[0] if inner else content
    if not isinstance(content, dict) or not content:
        raise UserError(f"{_given(path)} holds no named tensors; save network.state_dict()")
    strange = [str(name) for name, value in content.items() if not (isinstance(name, str) and _is_plain(value))]
    if strange:
        raise UserError(f"{_given(path)} holds things that are not plain tensors: {first_few(strange)}")
    for prefix in ("module.", "_orig_mod."):  # of DataParallel and torch.compile
        if all(name.startswith(prefix) for name in content):
            content = {name.removeprefix(prefix): value for name, value in content.items()}
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


def metadata(
    *, architecture: str, classes: tuple[str, ...], normalisation: str, mean: tuple, std: tuple, image_size: int
) -> dict[str, str]:
    """Return the metadata that best.safetensors carries; `read_metadata` and `from_file` read it back."""
    from headstart import __version__

    return dict(
        headstart_version=__version__, architecture=architecture, classes=json.dumps(list(classes)),
        normalisation=normalisation, input_mean=json.dumps(list(mean)), input_std=json.dumps(list(std)),
        image_size=str(image_size),
    )  # fmt: skip


def to_bytes(tensors: dict[str, torch.Tensor], described: dict[str, str]) -> bytes:
    """Return a safetensors file whose bytes, and so its sha256, depend on its content alone.

    The library writes metadata in an order of chance, so the header is written again, sorted and padded as it was.
    """
    content = safetensors.torch.save(tensors, metadata=described)
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # tensors start at multiples of 8 bytes
    return len(header).to_bytes(8, "little") + header + content[end:]


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
        classes = tuple(str(name) for name in json.loads(found["classes"])) if "classes" in found else None
        size = int(found["image_size"]) if "image_size" in found else None
    except (ValueError, TypeError) as error:
        raise UserError(f"{_given(path)} has metadata that make no sense: {_first_line(error)}") from error
    normalisation = None if mean is None else Normalisation("file", mean, std)
    return dict(normalisation=normalisation, classes=classes, image_size=size)


def _numbers(text: str) -> tuple[float, ...]:
    """Three numbers, as a JSON list or separated by commas."""
    values = tuple(float(value) for value in text.strip().strip("[]").split(","))
    if len(values) != 3 or not all(map(math.isfinite, values)):
        raise ValueError(f"{text!r} is not three finite numbers, one for each channel")
    return values


# ----------------------------------------------------------------------------------------------------------------- timm


def from_timm(name: str, **arguments: Any) -> Weights:
    """Return timm's published weights of `name` (its default ones, or `name.tag`), fetched once into timm's own cache.

    sha256 is that of the cached file, or of the tensors where timm keeps them elsewhere. Raises UserError when they
    cannot be had, within seconds where the host cannot be reached.
    """
    import timm

    published = timm.get_pretrained_cfg(name)
    cached = _cached(published)
    try:
        if cached is None:
            _reach(published)
        network = _published(name, published, cached, arguments)
    except Exception as error:  # of the hub, the network, the disk, or timm
        raise UserError(
            f"{name}: its pretrained weights cannot be fetched ({_first_line(error)}).\n"
            "Give a local file, model.weights=PATH, or start from random weights, model.weights=null."
        ) from error
    tensors = network.state_dict()
    cached = cached or _cached(published)
    content = Path(cached).read_bytes() if cached else to_bytes(tensors, {})
    sha256 = hashlib.sha256(content).hexdigest()
    kind = "file" if cached else "tensors"
    notes = [f"weights: timm's {published.architecture}.{published.tag}, sha256 of the {kind} {sha256}"]
    return Weights(f"timm's {name}", tensors, sha256, normalisation_of(published), notes=notes)


def _published(name: str, published: Any, cached: str | None, arguments: dict[str, Any]) -> nn.Module:
    """Build timm's network with its published weights, leaving the global random numbers and time-outs as they were."""
    import timm

    # Given a file, timm asks no host whether there is a newer one, which takes a minute where none answers.
    overlay = {"file": cached} if cached else None
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(4 * TIMEOUT)  # torch.hub sets none and would wait without end
    try:
        with torch.random.fork_rng(devices=[]):
            return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **arguments)
    finally:
        socket.setdefaulttimeout(before)


def _cached(published: Any) -> str | None:
    """Return the file that timm has fetched before for this configuration, if any."""
    if not published.hf_hub_id:
        name = os.path.basename(urllib.parse.urlparse(published.url or "").path)
        path = os.path.join(torch.hub.get_dir(), "checkpoints", name)
        return path if name and os.path.isfile(path) else None
    from huggingface_hub import try_to_load_from_cache

    names = [published.hf_hub_filename] if published.hf_hub_filename else ["model.safetensors", "pytorch_model.bin"]
    found = [try_to_load_from_cache(published.hf_hub_id, name) for name in names]
    return next((path for path in found if isinstance(path, str)), None)


def _reach(published: Any) -> None:
    """Raise OSError soon where the host of the weights does not answer: the hub's own retries last a minute."""
    from huggingface_hub import constants

    url = constants.ENDPOINT if published.hf_hub_id else published.url
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=TIMEOUT).close()
    except urllib.error.HTTPError as answer:
        answer.close()  # it answered, that is enough


def normalisation_of(published: Any) -> Normalisation:
    """Return what timm's configuration of some weights says about inputs; `imagenet` for the usual values."""
    from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

    mean, std = tuple(published.mean), tuple(published.std)
    if (mean, std) == (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD):
        return Normalisation("imagenet", mean, std)
    parts = [",".join(f"{v:g}" for v in (values[:1] if len(set(values)) == 1 else values)) for values in (mean, std)]
    return Normalisation("timm " + "/".join(parts), mean, std)
