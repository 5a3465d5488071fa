"""A real PostgreSQL server that asks for a password, for tests: it can be taken down and brought back."""

import glob
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = next(iter(sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)), None)
needs_server = pytest.mark.skipif(
    PROGRAMS is None or (os.geteuid() == 0 and not shutil.which("runuser")), reason="needs PostgreSQL's server programs"
)
QUIET: dict[str, Any] = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")


@dataclass(frozen=True)
class Server:
    """One that runs as long as `start` and `stop` say; its files lie in `folder`."""

    folder: Path
    port: int
    password: str

    def url(self, database: str = "postgres", password: str | None = None) -> str:
        """SQLAlchemy's URL of a database, with the password or another one."""
        return f"postgresql+psycopg://me:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def create(self) -> None:
        """Make the server's files; the user `me` owns everything."""
        self.folder.mkdir()
        (self.folder / "password").write_text(f"{self.password}\n")
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
        words = ["-D", str(self._data), "-U", "me", "-A", "scram-sha-256", f"--pwfile={self.folder}/password", "-N"]
        subprocess.run(as_server(f"{PROGRAMS}/initdb", *words), check=True, **QUIET)

    def start(self) -> None:
        """Serve, from now on; nothing is synced to the disk, as nobody needs it after the tests."""
        options = f"-p {self.port} -k {self.folder} -h 127.0.0.1 -F"
        words = ["-l", str(self.folder / "log"), "-o", options, "-w", "start"]
        subprocess.run(self._pg_ctl(*words), check=True, **QUIET)

    def stop(self) -> None:
        """Drop every connection and end, as one that is shut down does."""
        subprocess.run(self._pg_ctl("stop", "-m", "fast", "-W"), check=False, **QUIET)
        deadline = time.monotonic() + 10
        while (self._data / "postmaster.pid").exists() and time.monotonic() < deadline:
            time.sleep(0.02)

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run SQL statements, each committed by itself."""
        import psycopg

        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="me", password=self.password, dbname=database, autocommit=True
        ) as connection:
            for statement in statements:
                connection.execute(statement)

    def _pg_ctl(self, *words: str) -> list[str]:
        return as_server(f"{PROGRAMS}/pg_ctl", "-D", str(self._data), *words)

    @property
    def _data(self) -> Path:
        return self.folder / "data"


def as_server(*words: str) -> list[str]:
    """A command as the user that may run the server, which refuses root."""
    return ["runuser", "-u", "postgres", "--", *words] if os.geteuid() == 0 else list(words)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
