"""Which data set is meant by what stands behind `headstart data`: found out before anything heavy is imported."""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from headstart.cli.paths import CIFAR
from headstart.errors import UserError
from headstart.store import RUN_MARKERS, expanded

LISTS = (".csv", ".tsv", ".txt", ".jsonl")
LOOKED_AT = 50  # entries of a folder
NAMES = ("cifar10", "cifar100", "digits")  # sources that need no folder to be named
EXPECTED = f"a folder of pictures, a list of labels (.csv), or one of {', '.join(NAMES)}"


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
        from headstart.config import override_value

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
