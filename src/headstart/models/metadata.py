"""What a weights file says about itself: in a safetensors header, or in the config.json of a hub's folder beside it."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Le

from headstart.errors import UserError, first_line
from headstart.store import json_of, read_json
from headstart.typed import PictureSize, refusal

LARGEST = 10.0  # of a mean or a deviation of values in 0..1, far beyond any that is in use
SMALLEST_STD = 1e-4
SIZES = {"image_size": PictureSize, "picture_size": Annotated[int, Ge(1), Le(4096)]}  # pixels a side
TOLD = ("input_mean", "input_std", "classes", "image_size", "picture_size", "architecture", "network")


@dataclass(frozen=True)
class Normalisation:
    """How inputs are normalised: per channel (value in 0..1 - mean) / std. `name` is what the tables show."""

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


def read_metadata(content: bytes) -> dict[str, str]:
    """Return the metadata of a whole safetensors file, empty when it has none (the header's length stands first)."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]).get("__metadata__") or {}


def described(found: Mapping[str, Any], given: str) -> dict[str, Any]:
    """Return the fields of Weights that metadata fill; given: how messages name the file.

    found: texts, of which TOLD are read. Raises UserError for values that make no sense.
    """
    try:
        mean, std = (_numbers(found[key]) if key in found else None for key in ("input_mean", "input_std"))
        if (mean is None) != (std is None):
            raise ValueError("input_mean and input_std come together")
        _check_scale(mean or (), std or ())
        classes = _distinct(json_of(found["classes"])) if "classes" in found else None
        sizes = {key: int(found[key]) for key in SIZES if key in found}
        for key, size in sizes.items():
            if refused := refusal(key, size, SIZES[key]):
                raise ValueError(refused)
    except (ValueError, TypeError) as error:
        raise UserError(f"{given} has metadata that make no sense: {first_line(error)[:200]}") from error
    normalisation = None if mean is None else Normalisation("file", mean, std)
    architecture = str(found["architecture"]) if found.get("architecture") else None
    network = str(found["network"]) if found.get("network") else None
    return dict(normalisation=normalisation, classes=classes, architecture=architecture, network=network, **sizes)


def _distinct(names: Any) -> tuple[str, ...]:
    """The names of the classes, each its own."""
    if not isinstance(names, list) or len({str(name) for name in names}) < len(names):
        raise ValueError("classes are a list of names, each another")
    return tuple(map(str, names))


def _numbers(text: str) -> tuple[float, ...]:
    """Three numbers, as a JSON list or separated by commas."""
    values = tuple(float(value) for value in text.strip().strip("[]").split(","))
    if len(values) != 3 or not all(map(math.isfinite, values)):
        raise ValueError(f"{text!r} is not three finite numbers, one for each channel")
    return values


def _check_scale(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    for name, values in (("input_mean", mean), ("input_std", std)):
        if any(abs(value) > LARGEST for value in values):
            hint = ", which look like those of 0..255: divide them by 255" if max(map(abs, values)) <= 255 else ""
            raise ValueError(f"{name} {list(values)} are not of pixel values in 0..1{hint}")
    if std and min(std) < SMALLEST_STD:
        raise ValueError(f"input_std {list(std)}: a deviation is above 0, {SMALLEST_STD} at least")


# ----------------------------------------------------------------------------------------------------- a hub's folder


def hub_config(folder: Path) -> dict[str, str]:
    """What the config.json of a folder as hubs keep them says, by the names of TOLD; {} where it says nothing.

    Read are timm's format and, with a preprocessor_config.json beside it, that of transformers. Raises UserError for a
    config.json that cannot be read.
    """
    path = folder / "config.json"
    if not path.is_file():
        return {}
    config = read_json(path)
    if not isinstance(config, dict):
        return {}
    inner = config.get("pretrained_cfg")
    timms = config | inner if isinstance(inner, dict) else config
    inputs = {"mean": timms.get("mean"), "std": timms.get("std")}
    if inputs["mean"] is None and (beside := folder / "preprocessor_config.json").is_file():
        prepared = read_json(beside)
        inputs = {key: prepared.get(f"image_{key}") for key in inputs} if isinstance(prepared, dict) else {}
    if any(value is not None and not isinstance(value, list) for value in inputs.values()):
        inputs = {}  # another program's, such as one number for all channels
    size = timms.get("input_size") or config.get("image_size")
    size = size[-1] if _is_list(size) else size
    architectures = config.get("architectures")
    told = {
        "input_mean": inputs.get("mean"),
        "input_std": inputs.get("std"),
        "classes": _class_names(timms),
        "image_size": size if type(size) is int else None,  # others write {"height": 32, "width": 32}, or 224.0
        "architecture": config.get("architecture") or (architectures[0] if _is_list(architectures) else None),
    }
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in told.items() if value}


def _class_names(config: Mapping[str, Any]) -> list[str] | None:
    """Names in the order of the logits: timm's label_names, or the id2label of transformers."""
    names, numbered = config.get("label_names"), config.get("id2label")
    if _is_list(names):
        return [str(name) for name in names]
    if isinstance(numbered, dict) and all(str(key).isdecimal() for key in numbered):
        return [str(numbered[key]) for key in sorted(numbered, key=int)]
    return None


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value)
