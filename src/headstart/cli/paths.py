"""Files and folders that a configuration names, looked at before anything is imported that reads them."""

import itertools
import os
import shlex
import sys
from pathlib import Path

from omegaconf import DictConfig

from headstart.config import as_typed, key_of
from headstart.errors import UserError
from headstart.store import expanded

CIFAR = {
    "cifar10": ("cifar-10-batches-py", "cifar-10-python.tar.gz"),
    "cifar100": ("cifar-100-python", "cifar-100-python.tar.gz"),
}  # what there is of each where it need not be downloaded
PICTURES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
WEIGHTS = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")
LOOKED_AT = 50  # entries of a folder


def check_paths(cfg: DictConfig) -> None:
    """Refuse folders of pictures and files of weights that are not there, and pictures that no source was chosen for.

    What lists and arms set is left to their runs. Raises UserError.
    """
    words = {key_of(word): word for word in [*cfg.hydra.overrides.task, *cfg.hydra.overrides.hydra]}
    in_arms = str(cfg.hydra.sweeper.get("arms") or "") + str(cfg.hydra.sweeper.get("source") or "")
    if "data" in cfg.data.get("_target_", "") and "data" not in in_arms and "," not in words.get("data", ""):
        _check_data(cfg, words)
    if "weights" not in in_arms and "," not in words.get("model", ""):
        _check_weights(cfg.model.get("weights"))


def _check_data(cfg: DictConfig, words: dict[str, str]) -> None:
    source, root = cfg.data._target_.rpartition(".")[2], cfg.data.get("root")
    if not isinstance(root, str) or "," in words.get("data.root", ""):
        return
    folder = expanded(root)
    if source == "folder" and not os.path.isdir(folder):
        what = "is a file" if os.path.isfile(folder) else "is no folder"
        raise UserError(f"data.root={root} {what}; give one that holds train/CLASS/*.png or CLASS/*.png.")
    if source == "folder" and not _first_entries(folder):
        raise UserError(f"data.root={root} is empty; give a folder that holds train/CLASS/*.png or CLASS/*.png.")
    if source == "folder":  # the next line comes when torch is imported and all pictures are listed
        print(f"data=folder: reading the pictures in {root}", file=sys.stderr, flush=True)
    if source not in CIFAR or "data.root" not in words or any(os.path.exists(folder / name) for name in CIFAR[source]):
        return
    others = [word for word in as_typed(sys.argv[1:]) if key_of(word) != "data"]
    own = f"for pictures of your own: {shlex.join(['headstart', 'data=folder', *others])}"
    if os.path.isdir(folder) and _has_pictures(folder):
        raise UserError(f"data.root={root} holds pictures, and no {source}, which data={source} reads; {own}")
    chosen = "data" in words or cfg.hydra.runtime.choices.get("experiments")
    if not os.path.isdir(folder) and not chosen:
        raise UserError(f"data.root={root} is no folder; {source} is downloaded there with data={source}, and\n{own}")


def _has_pictures(folder: Path) -> bool:
    """Whether there is a picture in the folder, or up to two below it, as far as a quick look shows."""
    level = [folder]
    for _ in range(3):
        entries = [entry for place in level for entry in _first_entries(place)]
        if any(entry.name.lower().endswith(PICTURES) for entry in entries):
            return True
        level = [Path(entry.path) for entry in entries if entry.is_dir()][:LOOKED_AT]
    return False


def _first_entries(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return list(itertools.islice(entries, LOOKED_AT))
    except OSError:
        return []


def _check_weights(weights: object) -> None:
    if not isinstance(weights, str) or os.path.lexists(os.path.expanduser(weights)):
        return
    if os.sep in weights or weights.endswith(WEIGHTS):
        raise UserError(f"model.weights={weights!r} does not exist; give a file, 'imagenet' or null")
