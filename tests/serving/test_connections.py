"""Connections on which no request comes end by themselves."""

import asyncio
import resource
import time

from uvicorn import Config
from uvicorn.server import ServerState

from headstart.serving import connections
from headstart.serving.connections import HEADER_BYTES, SPARE_FILES, Connection, most_connections


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def talked(*parts: bytes, pause: float = 0.0, most: int = 10, held: int = 0) -> tuple[bytes, float]:
    """(what came back until the connection ended, seconds) when these parts were sent, with a pause behind each."""

    async def talk():
        config, state = Config(app, http=Connection, ws="none", lifespan="off", log_config=None), ServerState()
        loop = asyncio.get_running_loop()
        served = type("Few", (Connection,), {"most": most})
        listening = await loop.create_server(lambda: served(config, state, {}), "127.0.0.1", 0)
        where = listening.sockets[0].getsockname()
        others = [await asyncio.open_connection(*where) for _ in range(held)]
        reader, writer = await asyncio.open_connection(*where)
        began = time.monotonic()
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause)
        try:
            found = await asyncio.wait_for(reader.read(), 5)
        except ConnectionResetError:
            found = b""
        took = time.monotonic() - began
        for _, other in [*others, (reader, writer)]:
            other.close()
        listening.close()
        return found, took

    return asyncio.run(talk())


GOOD = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def test_a_request_is_answered():
    assert talked(GOOD)[0].startswith(b"HTTP/1.1 204")
    assert talked(GOOD[:20], GOOD[20:], pause=0.05)[0].startswith(b"HTTP/1.1 204")


def test_headers_that_come_slowly_or_never_are_not_waited_for(monkeypatch):
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.3)
    found, took = talked(GOOD[:20], b"", b"", pause=0.1)
    assert found.startswith(b"HTTP/1.1 408 Request Timeout\r\n") and 0.2 < took < 3
    kept = GOOD.replace(b"Connection: close\r\n", b"")
    found, took = talked(kept, GOOD[:20], pause=0.1)
    assert found.startswith(b"HTTP/1.1 204") and b"HTTP/1.1 408 " in found and 0.2 < took < 3
    found, took = talked()
    assert found == b"" and 0.2 < took < 3


def test_headers_without_end_are_refused():
    line = b"X-A: " + b"a" * 1000 + b"\r\n"
    assert talked(GOOD[:-2] + line * (HEADER_BYTES // 1000 + 1) + b"\r\n")[0].startswith(b"HTTP/1.1 431 ")
    assert talked(GOOD[:-2], *[line] * (HEADER_BYTES // 1000 + 2), pause=0.001)[0].startswith(b"HTTP/1.1 431 ")
    assert talked(b"nonsense\r\n\r\n")[0].startswith(b"HTTP/1.1 400 ")


def test_more_connections_than_the_system_has_files_for_are_turned_away():
    found, _ = talked(GOOD, most=3, held=3)
    assert found.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1" in found
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        assert 256 - SPARE_FILES <= most_connections() == resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_FILES
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
