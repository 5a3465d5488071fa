"""Connections that send no request, or headers without end, are closed."""

import asyncio
import json
import resource
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_BYTES = 32_768  # of a request's first line and headers
HEADER_SECONDS = 10.0  # after which they have to be there
SPARE_FILES = 64  # that are open besides connections


def most_connections() -> int:
    """How many connections may be open: as many as the system allows files, which is raised first; 4,096 at most."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 + SPARE_FILES
    if soft < wanted:
        soft = min(wanted, hard) if hard != resource.RLIM_INFINITY else wanted
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(wanted, soft) - SPARE_FILES


class Connection(HttpToolsProtocol):
    """uvicorn's, with bounds on what comes before a request is one."""

    most: int = 4096  # connections at a time
    _timer: asyncio.TimerHandle | None = None
    _in_headers = True
    _bytes = 0
    _refusal = HTTPStatus.BAD_REQUEST

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
            return
        self._timer = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Hand on what came, unless headers have no end."""
        went_on = self._in_headers  # else what began in this data has a few of its bytes
        super().data_received(data)
        self._bytes += (len(data) if went_on else 1) * self._in_headers
        if self._bytes > HEADER_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_headers = True
        if self._timer is None:
            self._timer = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def on_headers_complete(self) -> None:
        """The headers are there. Raises ValueError, which the parser turns into an answer, where they are too large."""
        self._in_headers, self._bytes = False, 0
        self._stop_timer()
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > HEADER_BYTES:
            self._refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise ValueError("headers are too large")
        super().on_headers_complete()

    def _give_up(self) -> None:
        """End a connection on which no request came; where nothing came at all, without a word."""
        if self._bytes:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request."""
        self._refuse(self._refusal)

    def _refuse(self, status: HTTPStatus) -> None:
        self._stop_timer()
        if self.transport.is_closing():
            return
        body = json.dumps({"detail": status.phrase.lower()}).encode()
        lines = [f"HTTP/1.1 {status.value} {status.phrase}", "content-type: application/json", "connection: close"]
        lines += [f"content-length: {len(body)}", *["retry-after: 1"] * (status == HTTPStatus.SERVICE_UNAVAILABLE)]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
