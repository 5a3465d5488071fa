"""Files and folders that a configuration names, looked at before anything is imported that reads them."""

import itertools
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from headstart.config import as_typed, key_of, override_value
from headstart.data import SUFFIXES
from headstart.errors import UserError
from headstart.store import RUN_MARKERS, WEIGHT_SUFFIXES, expanded

CIFAR = {
    "cifar10": ("cifar-10-batches-py", "cifar-10-python.tar.gz"),
    "cifar100": ("cifar-100-python", "cifar-100-python.tar.gz"),
}  # what there is of each where it need not be downloaded
LOOKED_AT = 50  # entries of a folder
LISTS = (".csv", ".tsv", ".txt", ".jsonl")
NAMES = ("cifar10", "cifar100", "digits")  # sources that need no folder to be named
EXPECTED = f"a folder of pictures, a list of labels (.csv), or one of {', '.join(NAMES)}"


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


def check_model(given: str) -> None:
    """Refuse a trained network that is not there; what it is `load_model` finds out. Raises UserError."""
    if not expanded(given).exists():
        raise UserError(f"{given} does not exist; give the folder of a run or a study, or a file of weights")


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
        if any(entry.name.lower().endswith(SUFFIXES) for entry in entries):
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
    if os.sep in weights or weights.endswith(WEIGHT_SUFFIXES):
        raise UserError(f"model.weights={weights!r} does not exist; give a file, 'imagenet' or null")


# ------------------------------------------------------------------------------------------ behind `headstart data`


@dataclass(frozen=True)
class Source:
    """A data set as overrides choose it."""

    option: str  # of conf/data
    root: str | None = None  # as `data.root` has it; None: as its file in conf/data has it

    @property
    def folder(self) -> Path | None:
        """Where pictures of the user's own lie; None of others."""
        if self.root is None or self.option in CIFAR:
            return None
        return expanded(self.root) if self.option == "folder" else expanded(self.root).parent

    @property
    def words(self) -> list[str]:
        """The overrides."""
        root = [] if self.root is None else [f"data.root={override_value(self.root)}"]
        return [f"data={self.option}", *root]


def find_source(root: str) -> Source:
    """What `root` names: a folder or a list that is there, else a source of conf/data. Raises UserError."""
    path = expanded(root)
    if root and os.path.isdir(path):
        return _of_folder(root, path)
    if root and os.path.isfile(path):
        return _of_file(root, path)
    if root in NAMES:
        return Source(root)
    raise UserError(f"{root or repr(root)} does not exist; give {EXPECTED}")


def _of_file(root: str, path: Path) -> Source:
    for kind, (_, archive) in CIFAR.items():
        if path.name == archive:
            return Source(kind, str(path.parent))
    if path.suffix.lower() in LISTS:
        return Source("table", root)
    raise UserError(f"{root} is a file, and no list of labels ({', '.join(LISTS)}); give {EXPECTED}")


def _of_folder(root: str, path: Path) -> Source:
    try:
        with os.scandir(path) as entries:
            names = {entry.name for entry in entries}
    except OSError as error:
        raise UserError(f"{root} cannot be read: {error.strerror}") from error
    if not names:
        raise UserError(f"{root} is empty; give {EXPECTED}")
    if (runs := _with_runs(path, names)) is not None:
        report = shlex.join(["headstart", "report", os.path.join(root, runs) if runs else root])
        raise UserError(f"{root} holds runs, not pictures to train on; what came of them is shown by {report}")
    cifar = [kind for kind, files in CIFAR.items() if not names.isdisjoint(files)]
    if len(cifar) > 1:
        ways = " or ".join(shlex.join(["headstart", "data", kind, f"data.root={root}"]) for kind in cifar)
        raise UserError(f"{root} holds {' and '.join(cifar)}; type {ways}")
    if cifar:
        return Source(cifar[0], root)
    for kind, files in CIFAR.items():
        if path.absolute().name in files:  # the folder that is meant by data.root holds this one
            named = os.path.basename(root.rstrip("/")) in files
            return Source(
                kind,
                (os.path.dirname(root.rstrip("/")) or ".") if named else os.path.normpath(os.path.join(root, "..")),
            )
    return Source("folder", root)


def _with_runs(path: Path, names: set[str]) -> str | None:
    """Where runs are: "" in the folder itself, or the name of one in it; None without any."""
    if not names.isdisjoint({*RUN_MARKERS, "study.json"}) or (path / "tables" / "trials.csv").exists():
        return ""
    for name in sorted(names)[:LOOKED_AT]:
        if any((path / name / marker).exists() for marker in ("study.json", "run.json")):
            return name
    return None
