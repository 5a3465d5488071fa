"""What is in a weights file, for which networks it is, and what one of them would take of it."""

import json
import shlex
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from headstart.config import composed, explain, key_of, make, options
from headstart.errors import UserError, printable
from headstart.models import SUFFIXES, Model, Weights, fits, from_file, read_metadata
from headstart.store import expanded, json_of

CLASSES = 10  # of a network that a file is tried on, where the file names none: its classifier may differ
COMMON = ["resnet18", "resnet34", "resnet50", "resnet101", "vit_tiny_patch16_224", "vit_small_patch16_224"]
COMMON += [
    "vit_base_patch16_224",
    "convnext_tiny",
    "efficientnet_b0",
    "mobilenetv3_large_100",
    "swin_tiny_patch4_window7_224",
]
ALONE = ("timm_model", "torchvision_model", "cnn", "fan", "resnet9", "airbench")  # whose files have the network's names
SIZES = (224, 32)  # pixels, where the file says no size


def show_weights(path: Path) -> list[str]:
    """Return lines on a weights file: sha256, tensors, and what the file, or a hub's folder around it, says.

    Raises:
        UserError: the file is missing, damaged, or no weights.
    """
    return _lined(_rows(_read(path)))


def describe_weights(path: Path, words: Sequence[str] = ()) -> list[str]:
    """Return the lines of `show_weights`, for which networks the file is, and what a network would take of it.

    words: overrides such as model=resnet18 that choose this network; without any the first that fits is tried.

    Raises:
        UserError: the file is missing, damaged, or no weights; or words are no overrides of a network.
    """
    given = _chosen(tuple(words)) if words else None  # a mistake is said before the file is read
    loaded = _read(path)
    rows = _rows(loaded)
    fitting = [] if words else _fitting(loaded)
    if not words:
        rows["fits"] = ", or ".join(map(shlex.join, fitting)) or (
            f"none of conf/model and {len(COMMON)} common networks of timm; headstart weights describe {path} "
            "model=timm model.name=NAME tries another"
        )
    if words or fitting:
        chosen = list(words) or fitting[0]
        rows[f"into {shlex.join(chosen)}"] = "\n".join(_taken(loaded, given or _chosen(tuple(chosen))))
    return _lined(rows)


def _read(path: Path) -> Weights:
    path = expanded(path)
    if not path.exists():
        raise UserError(f"{path} does not exist; give a weights file ({', '.join(SUFFIXES)}), or a hub's folder")
    return from_file(path)


def _rows(loaded: Weights) -> dict[str, str]:
    file = Path(loaded.origin)
    content = file.read_bytes()
    numbers = sum(tensor.numel() for tensor in loaded.tensors.values())
    types = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in loaded.tensors.values()})
    rows = {
        "file": str(file),
        "bytes": f"{len(content):,}",
        "sha256": loaded.sha256,
        "tensors": f"{len(loaded.tensors)} with {numbers:,} numbers ({', '.join(types)})",
    }
    if loaded.containers.keys() - {""}:
        places = [
            f"{number} in {place.rstrip('.') or 'the file itself'}" for place, number in loaded.containers.items()
        ]
        rows["found"] = ", ".join(places)
    known = {"architecture": loaded.architecture, "image_size": loaded.image_size, "classes": loaded.classes}
    if loaded.normalisation is not None:
        known |= {"input_mean": loaded.normalisation.mean, "input_std": loaded.normalisation.std}
    told = {key: json.dumps(value) if isinstance(value, tuple) else str(value) for key, value in known.items() if value}
    told |= read_metadata(content) if file.suffix == ".safetensors" else {}
    return rows | {key: _words(value) for key, value in sorted(told.items())}


def _lined(rows: dict[str, str]) -> list[str]:
    """A line for each row, and one for each further line of its value; names one below the other."""
    shown = {printable(key): [printable(line) for line in value.split("\n")] for key, value in rows.items()}
    width = max(len(key) for key in shown if not key.startswith("into "))
    lines = []
    for key, values in shown.items():
        if key.startswith("into "):
            lines += [key, *(f"  {value}" for value in values)]
        else:
            lines.append(f"{key:<{width}}  {'?'.join(values)}")
    return lines


def _words(value: str) -> str:
    """A JSON list as words, everything else as it is."""
    try:
        items = json_of(value)
    except ValueError:
        items = None
    return ", ".join(map(str, items)) if isinstance(items, list) else value


# ---------------------------------------------------------------------------------------------------------- networks


def _fitting(loaded: Weights) -> list[list[str]]:
    """The overrides of each network that the file is for: of those that it names, else of ours, else of common ones."""
    for candidates in (_named, _ours, _common):
        fitting = [
            words
            for words in candidates(loaded)
            if any(_fits(loaded, _chosen(tuple(words)), size) for size in _sizes(loaded))
        ]
        if fitting:
            return fitting
    return []


def _named(loaded: Weights) -> Iterator[list[str]]:
    """Networks by the name that the file, or else its own name, gives its network."""
    import timm
    from torchvision import models

    of_timm, of_torchvision = timm.list_models(), models.list_models(module=models)
    own = loaded.architecture and loaded.architecture.partition(".")[0]
    begins = [name for name in of_timm if Path(loaded.origin).name.startswith(name)]
    for name in dict.fromkeys(filter(None, (own, max(begins, key=len, default=None)))):
        if name in of_timm:
            yield _of_timm(name)
        elif name in options("model"):
            yield [f"model={name}"]
        if name in of_torchvision:
            yield ["model=torchvision", f"model.name={name}"]


def _of_timm(name: str) -> list[str]:
    """The network of timm, by an option of conf/model where one is called so."""
    option = f"model={name.removeprefix('tf_')}"
    known = name.removeprefix("tf_") in options("model") and _chosen((option,)).model.get("name") == name
    return [option] if known else ["model=timm", f"model.name={name}"]


def _common(_: Weights) -> Iterator[list[str]]:
    return map(_of_timm, COMMON)


def _ours(_: Weights) -> Iterator[list[str]]:
    """The options of conf/model that are a network each, one for all that differ in weights and freezing alone."""
    seen = set()
    for option in sorted(options("model"), key=lambda option: (len(option), option)):
        node = composed([f"model={option}"]).model
        facts = tuple(node.get(key) for key in ("_target_", "name", "stem"))
        if str(facts[0]).rpartition(".")[2] in ALONE and facts not in seen and not OmegaConf.is_missing(node, "name"):
            seen.add(facts)
            yield [f"model={option}"]


def _fits(loaded: Weights, cfg: DictConfig, image_size: int) -> bool:
    try:
        with torch.device("meta"):  # the names and the shapes alone
            model = _made(loaded, cfg, image_size, weights=None, freeze="none", unfreeze_epoch=None)
    except (UserError, RuntimeError, NotImplementedError):  # too small a size, or what cannot be tried without numbers
        return False
    return fits(loaded, model)


def _sizes(loaded: Weights) -> Sequence[int]:
    return SIZES if loaded.image_size is None else (loaded.image_size,)


def _taken(loaded: Weights, cfg: DictConfig) -> list[str]:
    """What the network reports that takes the file, or why it does not."""
    size = next((size for size in _sizes(loaded) if _fits(loaded, cfg, size)), _sizes(loaded)[-1])
    try:
        model = _made(loaded, cfg, size, weights=loaded.origin)
    except UserError as error:
        return str(error).splitlines()
    return [line.removeprefix("weights: ") for line in model.report]


@lru_cache(maxsize=64)
def _chosen(words: tuple[str, ...]) -> DictConfig:
    """The configuration with the network that the words choose. Raises UserError for other words."""
    for word in words:
        if key_of(word).partition(".")[0] not in ("model", "image_size") or "=" not in word:
            raise UserError(f"{word}: behind the file stand overrides of the network alone, such as model=resnet18")
    try:
        cfg = composed(words)
    except HydraException as error:
        raise UserError(explain(error, words)) from None
    if OmegaConf.is_missing(cfg.model, "name"):
        raise UserError(f"{shlex.join(words)} needs the network's name: model.name=NAME, such as model.name=resnet18")
    if not str(cfg.model.get("_target_")).startswith("headstart.models.builders."):
        raise UserError(f"{shlex.join(words)} is no network, so it takes no weights itself")
    return cfg


def _made(loaded: Weights, cfg: DictConfig, image_size: int, **changes: Any) -> Model:
    """The configured network, for the file's classes."""
    node = OmegaConf.to_container(cfg.model, resolve=True) | changes
    node.pop("search", None)
    names = loaded.classes or tuple(map(str, range(CLASSES)))
    return make(node, classes=len(names), class_names=names, image_size=cfg.image_size or image_size)
