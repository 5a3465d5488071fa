"""Runs exported once each: a run that is there is left alone, and one that has gone on since is written anew."""

import os
from collections import Counter
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from headstart.errors import UserError

if TYPE_CHECKING:
    from headstart.analysis import Results
    from headstart.export.records import RunRecord


class Store(Protocol):
    """Where one of the trackers keeps its runs."""

    opened_by: str  # the command that shows what is in it

    def digest_of(self, run: "RunRecord") -> str | None:
        """The digest of the run as it is there; "" where it is there in part; None where it isn't."""

    def remove(self, run: "RunRecord") -> None:
        """Remove the run that is there."""

    def write(self, run: "RunRecord") -> None:
        """Write the run, its digest last."""


@dataclass(frozen=True)
class Target:
    """A tracker: what it is called behind --to, the library that writes and shows its runs, and its module here."""

    name: str
    library: str
    module: str

    def open(self, folder: Path) -> Store:
        """Open its store in a folder, which is made."""
        if find_spec(self.library) is None:
            raise UserError(f"--to {self.name} is written by a library that is not here: pip install {self.library}")
        _make(folder)
        try:
            return import_module(self.module).open_store(folder)
        except ImportError as error:
            raise UserError(f"{self.library} cannot be used ({error}): pip install -U {self.library}") from error


def _make(folder: Path) -> None:
    """Make the folder. Raises UserError where it can't be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made for the export: {error.strerror}.") from error
    if not os.access(folder, os.W_OK):
        raise UserError(f"{folder} cannot be written; name another folder by --out.")


TARGETS = {
    target.name: target
    for target in (
        Target("mlflow", "mlflow", "headstart.export.to_mlflow"),
        Target("tensorboard", "tensorboard", "headstart.export.to_tensorboard"),
        Target("wandb-offline", "wandb", "headstart.export.to_wandb"),
        Target("trackio", "trackio", "headstart.export.to_trackio"),
    )
}


@dataclass(frozen=True)
class Exported:
    """What was exported, and where to."""

    folder: Path
    opened_by: str
    new: int
    changed: int
    as_before: int

    def __str__(self) -> str:
        counts = {"new": self.new, "written anew, as they have gone on": self.changed, "there already": self.as_before}
        said = ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "none"
        return f"Runs in {self.folder}: {said}.\nTo look at them: {self.opened_by}"


def export(results: "Results", target: str, folder: Path | None = None) -> Exported:
    """Write every run of the results into a tracker's store on this disk; nothing goes over a network.

    target: a key of `TARGETS`. folder: of the store; None: export/TARGET in the folder of the results.

    Raises:
        UserError: the library is not installed, or the folder cannot be written.
    """
    from headstart.export.records import run_records  # pandas, which `headstart report --help` does without

    folder = results.root / "export" / target if folder is None else folder
    store, counts = TARGETS[target].open(folder), Counter()
    for run in run_records(results):
        there = store.digest_of(run)
        if there == run.digest:
            counts["as_before"] += 1
            continue
        if there is not None:
            store.remove(run)
        store.write(run)
        counts["new" if there is None else "changed"] += 1
    return Exported(folder, store.opened_by, counts["new"], counts["changed"], counts["as_before"])
