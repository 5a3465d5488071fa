"""Claims by leases in a PostgreSQL server: run folders may lie on several machines, or where there are no locks.

A claim is a lease that its process renews. The server's clock alone says whether it has run out; nobody else's is read.
When it has, whoever wants the run takes it, under a token one higher, which fences the former holder off (`fences`): it
may have been stopped, cut off, or slow, and may go on at any time.
"""

import hashlib
import json
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from headstart.errors import UserError
from headstart.store import AT_WORK, digest_of, is_alive, read_json, read_run
from headstart.sweep.leases import table
from headstart.sweep.leases.claims import EndedRun, LostClaim
from headstart.sweep.leases.fences import behind, guard
from headstart.sweep.leases.folders import own_id
from headstart.sweep.leases.hold import DatabaseHold
from headstart.sweep.leases.server import BEATS, Server, seconds_since_boot, server_of, this_machine
from headstart.sweep.leases.table import Here, Key, Row
from headstart.sweep.storage import make_folder, open_storage
from headstart.sweep.trial import OWNER, has_ended


class DatabaseClaims:
    """Claims of processes that share a PostgreSQL server; see `Claims`."""

    def __init__(self, name: str, folder: Path, url: str, seconds: float):
        self.name, self.folder, self.url, self.seconds = name, folder, url, seconds
        self._seen = threading.local()  # rows by key, within a snapshot of this thread

    @cached_property
    def server(self) -> Server:
        """The process's one of this URL."""
        return server_of(self.url)

    @cached_property
    def here(self) -> Here:
        """Where this process works."""
        place = f"{socket.gethostname()}:{os.path.abspath(self.folder)}"
        return Here(this_machine(), own_id(self.folder), place)

    def key_of(self, run_dir: Path) -> Key:
        """The run in the table. Each folder has a source run of its own, as the weights lie in it."""
        arm, *rest = Path(os.path.relpath(run_dir, self.folder)).parts
        if not rest:
            return Key(self.name, f"{arm} {self.here.folder}")
        return Key(f"{self.name}/{arm}", "/".join(rest))

    def storage(self) -> optuna.storages.BaseStorage:
        """The study's storage, every commit of which passes the fences of its thread."""
        storage = open_storage(self.url)
        guard(storage._backend.scoped_session)
        return storage

    # ---- the lock

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the study's lock, in the server: it passes on where this process dies, or is silent for too long."""
        make_folder(self.folder)
        with self.server.deciding, self._locked() as token:

            def fence(connection: Connection) -> None:
                if not table.has_lock(connection, self.name, token):
                    raise LostClaim(f"the lock of study {self.name} passed on, as this process was silent for too long")

            with behind(fence):
                yield

    @contextmanager
    def _locked(self) -> Iterator[int]:
        key = int.from_bytes(hashlib.sha256(f"headstart/{self.name}".encode()).digest()[:8], signed=True)
        connection, using = self.server.engine.connect(), threading.Lock()

        def stay() -> None:
            with using:
                if not connection.closed:
                    connection.exec_driver_sql("SELECT 1")

        try:
            table.wait_for_lock(connection, key, self.seconds)
            self.server.heartbeat.add(stay, self.seconds / BEATS)
            with self.server.engine.begin() as other:
                token = table.next_token_of_lock(other, self.name)
            yield token
        finally:
            self.server.heartbeat.remove(stay)
            with using, suppress(SQLAlchemyError):  # nothing is to be committed: where it is lost, so is the lock
                connection.close()

    # ---- claims

    def take(self, run_dir: Path, owner: str) -> DatabaseHold:
        """Lease the run. Raises LostClaim where its last holder has come back to life at this moment."""
        run_dir.mkdir(parents=True, exist_ok=True)
        (run_dir / OWNER).write_text(owner)  # for people
        began, key, forced = seconds_since_boot(), self.key_of(run_dir), not self.is_alive(run_dir)
        with self._changing(run_dir) as connection:
            token = table.take(connection, key, owner, self.seconds, self.here, forced=forced)
        if token is None:
            raise LostClaim(f"{run_dir}: somebody works on it")
        (run_dir / AT_WORK).unlink(missing_ok=True)  # of a former holder
        return DatabaseHold(self, run_dir, token, began, is_claim=True)

    def adopt(self, run_dir: Path, owner: str) -> DatabaseHold:
        """Renew a lease that `owner` has, for the owner's job."""
        began = seconds_since_boot()
        with self.server.engine.begin() as connection:
            token = table.adopt(connection, self.key_of(run_dir), owner, self.seconds, self.here.machine)
        if token is None:
            raise UserError(f"{run_dir} was handed to another process while this job waited")
        return DatabaseHold(self, run_dir, token, began, is_claim=False)

    def is_alive(self, run_dir: Path) -> bool:
        """Whether the lease holds; one of this machine, in this folder, ends with its process: the kernel knows."""
        found = self.row(run_dir)
        return found is not None and found.alive and not self._is_dead(found, run_dir)

    def _is_dead(self, row: Row, run_dir: Path) -> bool:
        is_ours = (row.machine, row.folder) == (self.here.machine, self.here.folder)
        return is_ours and (run_dir / ".lock").exists() and not is_alive(run_dir, patient=False)

    def seize(self, run_dir: Path) -> bool:
        """Fence off whoever had the run and is gone."""
        if self.is_alive(run_dir):
            return False
        found = self.row(run_dir)
        with self._changing(run_dir) as connection:
            forced = found is not None and self._is_dead(found, run_dir)
            return table.seize(connection, self.key_of(run_dir), forced=forced)

    # ---- how runs ended

    def result_in(self, run_dir: Path) -> dict[str, Any]:
        """What is noted of the result in a run's folder; {} where there is none that can be read."""
        if not has_ended(run_dir):
            return {}
        record, digest = read_run(run_dir, whole=False), digest_of(run_dir / "result.json")
        return dict(outcome=record["state"], digest=digest, val_size=record.get("val_size"))

    def has_ended(self, run_dir: Path) -> bool:
        """Whether a result is noted, in whatever folder it lies."""
        found = self.row(run_dir)
        return found is not None and found.outcome is not None

    def note_end(self, run_dir: Path) -> None:
        """Note the result that lies here."""
        if result := self.result_in(run_dir):
            with self._changing(run_dir) as connection:
                table.end(connection, self.key_of(run_dir), result, self.here)

    def reopen(self, run_dir: Path) -> None:
        """Forget the result, and for whom a job waits."""
        with self._changing(run_dir) as connection:
            table.reopen(connection, self.key_of(run_dir))

    def ended(self) -> Mapping[Path, EndedRun]:
        """Every run whose result is noted, by the folder that it has, or would have, here."""
        with self.server.engine.begin() as connection:
            rows = table.rows_ended(connection, self.name)
        return {
            self.folder / row.study.partition("/")[2] / row.run: EndedRun(
                row.digest, row.folder == self.here.folder, row.place or "another folder"
            )
            for row in rows
            if "/" in row.study
        }

    def val_size(self, run_dir: Path) -> int | None:
        """As noted when the run ended."""
        found = self.row(run_dir, look=True)
        return read_run(run_dir).get("val_size") if found is None or found.val_size is None else found.val_size

    # ---- looking at the table

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read the rows once meanwhile, in this thread, and those that it changes again."""
        is_within = hasattr(self._seen, "rows")
        self._seen.rows = None
        try:
            yield
        finally:
            if is_within:
                self._seen.rows = None
            else:
                del self._seen.rows

    def row(self, run_dir: Path, *, look: bool = False) -> Row | None:
        """What the table says of a run; in a snapshot only of those that `rows_at_work` has, unless `look`."""
        key = self.key_of(run_dir)
        if look or not hasattr(self._seen, "rows"):
            with self.server.engine.begin() as connection:
                return table.row_of(connection, key)
        if self._seen.rows is None:
            with self.server.engine.begin() as connection:
                found = table.rows_at_work(connection, self.name)
            self._seen.rows = {Key(row.study, row.run): row for row in found}
        return self._seen.rows.get(key)

    @contextmanager
    def _changing(self, run_dir: Path) -> Iterator[Connection]:
        """A transaction that changes a run's row, and what this thread has seen of it."""
        with self.server.writing() as connection:
            yield connection
        if getattr(self._seen, "rows", None) is not None:
            with self.server.engine.begin() as connection:
                found = table.row_of(connection, self.key_of(run_dir))
            self._seen.rows.pop(self.key_of(run_dir), None)
            if found is not None:
                self._seen.rows[self.key_of(run_dir)] = found

    # ---- settings

    def settings(self) -> dict[str, Any] | None:
        """What the study was begun with, in whatever folder."""
        with self.server.engine.begin() as connection:
            found = table.settings_of(connection, self.name)
        return None if found is None else json.loads(found)

    def keep_settings(self, study_file: Path) -> None:
        """Keep it for folders that join."""
        kept = read_json(study_file)
        content = {key: kept[key] for key in ("common", "arms")}
        with self.server.writing() as connection:
            table.keep_settings(connection, self.name, json.dumps(content))
