"""What a process has of a database server: connections, a heartbeat; and a clock and a name that can be trusted."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import SQLAlchemyError

from headstart.sweep.leases import table
from headstart.sweep.leases.fences import check_fences
from headstart.sweep.leases.heartbeat import Heartbeat
from headstart.sweep.storage import SERVER_URL, cannot_be_opened, closing, open_storage

BEATS = 4  # within the time of a lease, so that one that fails costs nothing


@dataclass
class Server:
    """What one process has of a database server."""

    engine: Engine
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    deciding: threading.Lock = field(default_factory=threading.Lock)  # so that threads share one connection for locks

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that passes this thread's fences at its end."""
        with self.engine.begin() as connection:
            yield connection
            check_fences(connection)


_servers: dict[str, Server] = {}  # by URL


def server_of(url: str) -> Server:
    """The server of a URL, with our tables in it; one a process. Raises UserError where it can't be reached."""
    if url not in _servers:
        _servers[url] = _reached(url)
    return _servers[url]


def close_servers() -> None:
    """Close the connections of this process; whoever still needs one opens it anew."""
    while _servers:
        _, server = _servers.popitem()
        server.heartbeat.clear()
        server.engine.dispose()


closing.append(close_servers)


def _reached(url: str) -> Server:
    try:
        engine = create_engine(url, pool_pre_ping=True, pool_size=2, max_overflow=8)
        with engine.begin() as connection:
            table.wait_for_making(connection)
            open_storage(url)  # Optuna's own first, which refuses the database of another program, or version
            table.make_tables(connection)
    except (SQLAlchemyError, ImportError) as error:
        raise cannot_be_opened(url, error, f"{SERVER_URL} of a PostgreSQL server, 11 or newer") from None
    return Server(engine)


def seconds_since_boot() -> float:
    """A clock that nobody sets, and that counts while a process is stopped or a machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def this_machine() -> str:
    """A boot of a machine, whatever containers on it are called: who shares it shares the locks of its files."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return socket.gethostname()
