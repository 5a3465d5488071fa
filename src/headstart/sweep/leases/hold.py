"""A lease as its process holds it: renewed by the heartbeat, fenced by its token, given back at the end."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Protocol

import optuna
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from headstart.store import lock_run
from headstart.sweep.leases import table
from headstart.sweep.leases.claims import LostClaim
from headstart.sweep.leases.fences import behind
from headstart.sweep.leases.server import BEATS, Server, seconds_since_boot
from headstart.sweep.leases.table import Here, Key, Row


class Book(Protocol):
    """What a hold needs of the study's claims."""

    seconds: float  # of a lease
    server: Server
    here: Here

    def key_of(self, run_dir: Path) -> Key:
        """The run in the table."""

    def storage(self) -> optuna.storages.BaseStorage:
        """The study's storage, guarded."""

    def result_in(self, run_dir: Path) -> dict[str, Any]:
        """What is noted of the result in a folder; {} without one."""

    def row(self, run_dir: Path) -> Row | None:
        """What the table says of a run."""


class DatabaseHold:
    """A lease on a run, renewed by this process's heartbeat until it is released."""

    def __init__(self, book: Book, run_dir: Path, token: int, began: float, *, is_claim: bool):
        self._book, self._run_dir, self._key, self._token = book, run_dir, book.key_of(run_dir), token
        self._is_claim = is_claim  # else it is a further hold on another's, who ends the lease
        self._until = began + book.seconds  # on our own clock, from before the server's began: never too late
        self._lost, self._released, self._changing = False, False, threading.Lock()
        self._lock = lock_run(run_dir, needed=False)
        book.server.heartbeat.add(self._renew, book.seconds / BEATS)

    def _renew(self) -> None:
        with self._changing:
            if self._released or self._lost:
                return
            began = seconds_since_boot()
            with self._book.server.engine.begin() as connection:
                self._lost = not table.renew(connection, self._key, self._token, self._book.seconds)
            self._until = began + self._book.seconds

    def check(self) -> None:
        """Raise LostClaim where the run is another's; the server is asked where the lease may have run out."""
        if not self._lost and seconds_since_boot() > self._until:
            self._renew()
        if self._lost:
            raise self._claim_lost()

    def _claim_lost(self) -> LostClaim:
        return LostClaim(
            f"{self._run_dir} was handed to another process, as nothing was heard of this one for "
            f"{self._book.seconds:g} seconds; what it did since then does not count"
        )

    def _fence(self, connection: Connection) -> None:
        if not table.holds(connection, self._key, self._token):
            self._lost = True
            raise self._claim_lost()

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Within the block what this thread writes to the storage passes the run's token, or is rolled back."""
        self._book.storage()
        with behind(self._fence):
            yield

    @contextmanager
    def ending(self) -> Iterator[None]:
        """As `acting`; the first commit notes the result, in its own transaction, else the end of the block does."""
        result, noted = self._book.result_in(self._run_dir), []

        def note(connection: Connection) -> None:
            if not table.end(connection, self._key, result, self._book.here, self._token):
                self._fence(connection)
            noted.append(True)

        with self.acting(), behind(note) if result else nullcontext():
            yield
            if result and not noted:
                with self._book.server.writing():
                    pass

    def is_taken_elsewhere(self) -> bool:
        """Whether the run is another folder's by now."""
        found = self._book.row(self._run_dir)
        return found is not None and found.folder != self._book.here.folder

    def release(self) -> None:
        """End the lease; where the server can't be reached it runs out by itself."""
        with self._changing:
            if self._released:
                return
            self._released = True
        self._book.server.heartbeat.remove(self._renew)
        if self._is_claim:
            with suppress(SQLAlchemyError), self._book.server.engine.begin() as connection:
                table.free(connection, self._key, self._token)
        if self._lock is not None:
            self._lock.release()
