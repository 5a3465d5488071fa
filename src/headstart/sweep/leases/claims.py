"""What a study needs of whoever keeps its claims: one lock for its decisions, and a hold on each run that is at work.

`flock` keeps them where one machine, or one file system, holds all run folders; a PostgreSQL server does where run
folders may lie on several machines, or on a file system that has no locks. The storage's URL says which it is.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import optuna

from headstart.errors import OutsideFault


class LostClaim(OutsideFault):
    """A claim that others have taken over, as its process had not been heard of for so long: nothing it does counts."""


@dataclass(frozen=True)
class EndedRun:
    """The result that the study has of a run, wherever its folder lies."""

    digest: str | None  # SHA-256 of its result.json
    is_ours: bool  # whether it was run in this folder of the study
    place: str  # host:folder, for people


class Hold(Protocol):
    """A run that this process works on."""

    def check(self) -> None:
        """Raise LostClaim where others may have taken the run over; called before its folder is written."""

    def acting(self) -> AbstractContextManager[None]:
        """Within the block this thread writes to the storage as the run's holder: LostClaim, and nothing is written,
        where it is not any more."""

    def ending(self) -> AbstractContextManager[None]:
        """`acting`, for the storage to be told how the run ended: the study has the result in the folder from then on.

        Nothing is noted where there is no readable result.
        """

    def is_taken_elsewhere(self) -> bool:
        """Whether the run is another folder's by now: of what lies in this one nothing counts."""

    def release(self) -> None:
        """Let go of the run; a second call changes nothing."""


class Claims(Protocol):
    """The claims of one study, and the lock under which they are made."""

    def storage(self) -> optuna.storages.BaseStorage:
        """The study's storage, whose writes `lock` and a Hold's `acting` guard."""

    def lock(self) -> AbstractContextManager[None]:
        """Hold the study's lock: one decision at a time, over all processes and threads. Raises UserError."""

    def snapshot(self) -> AbstractContextManager[None]:
        """Within the block this thread may look at the claims once, and believe that for as long."""

    def take(self, run_dir: Path, owner: str) -> Hold:
        """Claim a run that nobody works on, for the process `owner`; under the lock."""

    def adopt(self, run_dir: Path, owner: str) -> Hold:
        """A further hold on a run that `owner` claimed, for its job. Raises UserError where it was handed on since."""

    def is_alive(self, run_dir: Path) -> bool:
        """Whether somebody works on the run."""

    def seize(self, run_dir: Path) -> bool:
        """Take the run from whoever claimed it, if nobody works on it any more; whether that is so. Under the lock."""

    def has_ended(self, run_dir: Path) -> bool:
        """Whether the study has a result of the run."""

    def note_end(self, run_dir: Path) -> None:
        """Note that the study has the result in the run's folder; under the lock."""

    def reopen(self, run_dir: Path) -> None:
        """Forget who claimed the run and how it ended: it is to run again, and no job that still waits may start."""

    def ended(self) -> Mapping[Path, EndedRun]:
        """The search trials and confirmations that have ended, by folder; {} where all folders are here."""

    def val_size(self, run_dir: Path) -> int | None:
        """By how many pictures an ended run was validated."""

    def settings(self) -> dict[str, Any] | None:
        """What the study was begun with, for a folder that joins it; None where nobody has kept it."""

    def keep_settings(self, study_file: Path) -> None:
        """Keep that, as the folder's study.json has it by now."""


def has_server(url: str) -> bool:
    """Whether a storage's URL names a server that keeps leases: PostgreSQL's."""
    return url.partition(":")[0].partition("+")[0] in ("postgresql", "postgres")


def claims_of(name: str, folder: Path, url: str, lease_seconds: float) -> Claims:
    """The claims of the study `name` in `folder`, kept by what its storage's URL names.

    lease_seconds: after so long without a sign of life a run is handed to another process; only with a server.
    """
    if has_server(url):
        from headstart.sweep.leases.by_database import DatabaseClaims  # SQLAlchemy: only now

        return DatabaseClaims(name, folder, url, lease_seconds)
    from headstart.sweep.leases.by_flock import FlockClaims

    return FlockClaims(folder, url)
