"""Which networks of the configuration a weights file is for, and one of them made with it."""

import re
import shlex
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from headstart.config import composed, explain, key_of, make, option_alone, options
from headstart.errors import UserError
from headstart.models import Model, Weights, fits

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
PLAIN = re.compile(r"model(\.[a-z_]+)?=[\w.-]+")
SIZES = (224, 32)  # pixels, where the file says no size


def fitting(loaded: Weights) -> list[list[str]]:
    """The overrides of each network that the file is for: of those that it names, else of ours, else of common ones."""
    for candidates in (_told, _named, _ours, _common):
        found = [words for words in candidates(loaded) if _is_for(loaded, words)]
        if found:
            return found
    return []


def _is_for(loaded: Weights, words: list[str]) -> bool:
    try:
        return size_that_fits(loaded, chosen(tuple(words))) is not None
    except UserError:  # no network of the configuration as it is here
        return False


def size_that_fits(loaded: Weights, cfg: DictConfig) -> int | None:
    """The image size in pixels at which the configured network has the file's tensors; None: at none."""
    return next((size for size in sizes_of(loaded) if _fits(loaded, cfg, size)), None)


def _told(loaded: Weights) -> Iterator[list[str]]:
    """What the file itself says that it is, where these are plain choices: it may be anybody's."""
    words = (loaded.network or "").split()
    if words and all(PLAIN.fullmatch(word) for word in words):
        yield words


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
    known = name.removeprefix("tf_") in options("model") and chosen((option,)).model.get("name") == name
    return [option] if known else ["model=timm", f"model.name={name}"]


def _common(_: Weights) -> Iterator[list[str]]:
    return map(_of_timm, COMMON)


def _ours(_: Weights) -> Iterator[list[str]]:
    """The options of conf/model that are a network each, one for all that differ in weights and freezing alone."""
    seen = set()
    for option in sorted(options("model"), key=lambda option: (len(option), option)):
        node = option_alone("model", option)
        facts = tuple(node.get(key) for key in ("_target_", "name", "stem"))
        if str(facts[0]).rpartition(".")[2] in ALONE and facts not in seen and not OmegaConf.is_missing(node, "name"):
            seen.add(facts)
            yield [f"model={option}"]


def _fits(loaded: Weights, cfg: DictConfig, image_size: int) -> bool:
    try:
        with torch.device("meta"):  # the names and the shapes alone
            model = made(loaded, cfg, image_size, weights=None, freeze="none", unfreeze_epoch=None)
    except (UserError, RuntimeError, NotImplementedError, ValueError, KeyError, TypeError):
        # too small a size, what cannot be tried without numbers, or keys that a foreign file gave values that are none
        return False
    return fits(loaded, model)


def sizes_of(loaded: Weights) -> Sequence[int]:
    """Image sizes to try, in pixels: the one that the file names, if it does."""
    return SIZES if loaded.image_size is None else (loaded.image_size,)


@lru_cache(maxsize=64)
def chosen(words: tuple[str, ...]) -> DictConfig:
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


def made(loaded: Weights, cfg: DictConfig, image_size: int, **changes: Any) -> Model:
    """The configured network, for the file's classes."""
    node = OmegaConf.to_container(cfg.model, resolve=True) | changes
    node.pop("search", None)
    names = loaded.classes or tuple(map(str, range(CLASSES)))
    return make(node, classes=len(names), class_names=names, image_size=cfg.image_size or image_size)
