"""The process that talks to clients: an event loop with uvicorn and FastAPI, and connections to the workers."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn

from headstart.serving.addresses import address_of
from headstart.serving.app import make_app
from headstart.serving.batching import Batcher, Decoder
from headstart.serving.connections import Connection, most_connections
from headstart.serving.drift import Drift
from headstart.serving.logs import log, log_as_json
from headstart.serving.metrics import Metrics
from headstart.serving.pool import Link, Pool
from headstart.serving.service import Model, Service
from headstart.serving.settings import Settings
from headstart.serving.uploads import Admission

KEEP_ALIVE_SECONDS = 75  # longer than what reverse proxies keep connections for
BACKLOG = 2048  # connections that the system holds until they are taken


class _Server(uvicorn.Server):
    """One whose signals are ours."""

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:
        """Nothing is captured."""
        return contextlib.nullcontext()


@dataclass(eq=False)
class Front:
    """What the process is made of."""

    model: Model
    settings: Settings
    drift: Drift
    meaning: str  # of what the drift is measured against
    listener: socket.socket
    control: socket.socket  # on which connections to new workers come, and which ends when the first process does

    def live(self) -> None:
        """Answer requests until a signal says that it is enough; then finish what was accepted."""
        log_as_json()
        Connection.most = most_connections()
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        pool, admission = Pool(), Admission(self.settings)
        metrics = Metrics.of(pool, admission, self.drift, self.meaning)
        wait, most, seconds = self.settings.batch_wait, self.settings.max_batch, self.settings.timeout
        batcher = Batcher(pool, most, wait, seconds, self.drift.note, lambda: admission.pictures)
        decoder = Decoder(pool, self.settings.decode_seconds)
        app = make_app(Service(self.model, self.settings, pool, decoder, batcher, admission, metrics))
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=int(self.settings.timeout) + 5,
        )
        server = _Server(config)
        stop = _stopping(server, admission)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        log.info("serving", extra={"facts": self._facts()})
        workers = asyncio.create_task(self._take_workers(pool, stop))
        await server.serve([self.listener])
        workers.cancel()

    def _facts(self) -> dict[str, object]:
        """What the log says of the server."""
        shown = ("workers", "threads", "backend", "max_batch", "queue", "timeout")
        facts = {"address": address_of(self.listener), "model": self.model.name, "classes": len(self.model.classes)}
        return facts | {name: getattr(self.settings, name) for name in shown} | {"key": self.settings.key is not None}

    async def _take_workers(self, pool: Pool, stop: Callable[[], None]) -> None:
        """Connect to every worker that the first process forks, until that has gone."""
        self.control.setblocking(False)
        waiting, tasks = asyncio.Event(), set()
        loop = asyncio.get_running_loop()
        loop.add_reader(self.control, waiting.set)
        try:
            while True:
                await waiting.wait()
                waiting.clear()
                for connection in (found := _new_connections(self.control)) or ():
                    reader, writer = await asyncio.open_connection(sock=connection)
                    task = asyncio.create_task(pool.attend(Link(reader, writer)))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                if found is None:
                    return stop()
        finally:
            loop.remove_reader(self.control)


def _stopping(server: uvicorn.Server, admission: Admission) -> Callable[[], None]:
    def stop() -> None:
        """Accept nothing more and finish the rest; at the second call, end."""
        server.force_exit = server.should_exit
        server.should_exit = admission.stopping = True
        log.info("stopping", extra={"facts": {"pictures": admission.pictures}})

    return stop


def _new_connections(control: socket.socket) -> list[socket.socket] | None:
    """Sockets that have come, None when the other end has gone."""
    try:
        text, files, _, _ = socket.recv_fds(control, 64, 64)
    except BlockingIOError:
        return []
    except OSError:
        return None
    return [socket.socket(fileno=file) for file in files] if text else None


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where it is installed, which is faster."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
