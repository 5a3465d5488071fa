"""Around every request: an id, one line in the log, figures, and an end to whatever goes wrong."""

import asyncio
import re
import time
import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headstart.serving.logs import log
from headstart.serving.metrics import Metrics

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
DRAINED_BYTES, DRAIN_SECONDS = 20_000_000, 1.0  # of a body that nobody wants


@dataclass(eq=False)
class Facts:
    """What is known of a request."""

    began: float = field(default_factory=time.monotonic)
    status: int = 0
    logged: dict[str, Any] = field(default_factory=dict)  # what the log says besides


def facts_of(scope: Scope) -> Facts:
    """The facts of the request."""
    return scope["state"]["facts"]


@dataclass(eq=False)
class Guard:
    """The outermost layer of the application."""

    app: ASGIApp
    metrics: Metrics
    paths: Collection[str]  # that figures have a name for

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        facts, headers = Facts(), dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        known = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex.encode()
        scope.setdefault("state", {})["facts"] = facts
        exchange = _Exchange(receive, send, facts, known, expects=headers.get(b"expect") is not None)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except Exception:
            log.exception("mistake", extra={"facts": {"id": known.decode(), "path": self._path(scope)}})
            if not facts.status:
                answer = JSONResponse({"detail": "a mistake of the server; its log says more"}, 500)
                await answer(scope, exchange.receive, exchange.send)
        finally:
            self._note(scope, facts, known)

    def _path(self, scope: Scope) -> str:
        return scope["path"] if scope["path"] in self.paths else "other"

    def _note(self, scope: Scope, facts: Facts, known: bytes) -> None:
        seconds, path = time.monotonic() - facts.began, self._path(scope)
        self.metrics.requests.labels(path, str(facts.status)).inc()
        self.metrics.seconds.labels(path).observe(seconds)
        line = {"id": known.decode(), "method": scope["method"][:16], "path": path, "status": facts.status}
        line |= {"ms": round(1000 * seconds, 2)} | facts.logged
        log.info("request", extra={"facts": line})


@dataclass(eq=False)
class _Exchange:
    """What goes in and out for a request."""

    inner_receive: Receive
    inner_send: Send
    facts: Facts
    known: bytes
    expects: bool  # whether the client waits to be told that it may send the body
    heard: bool = False  # something of the body
    complete: bool = False  # the whole body was read

    async def receive(self) -> Message:
        message = await self.inner_receive()
        self.heard = True
        self.complete = self.complete or message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.facts.status = message["status"]
            headers = [*message.get("headers", []), (b"x-request-id", self.known)]
            if not self.complete and not await self._drained():
                headers.append((b"connection", b"close"))
            message = message | {"headers": headers}
        await self.inner_send(message)

    async def _drained(self) -> bool:
        """Read on what nobody wants: who is still sending when the connection is closed may never see the answer."""
        if self.expects and not self.heard:
            return False
        read = 0
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while not self.complete and read < DRAINED_BYTES:
                    read += len((await self.receive()).get("body", b""))
        except TimeoutError:
            pass
        return self.complete
