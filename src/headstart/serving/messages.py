"""What goes between the processes: a small JSON object and plain bytes behind it. Nothing that runs when it is read."""

import asyncio
import json
import socket
import struct
from collections.abc import Sequence
from typing import Any

LENGTHS = struct.Struct("!IQ")  # of the JSON and of the bytes behind it
Message = tuple[dict[str, Any], bytes | bytearray]
Parts = Sequence[bytes | bytearray | memoryview]


def packed(header: dict[str, Any], parts: Parts = ()) -> list[bytes | bytearray | memoryview]:
    """A message as buffers that are sent one after the other."""
    text = json.dumps(header, separators=(",", ":")).encode()
    return [LENGTHS.pack(len(text), sum(len(part) for part in parts)) + text, *parts]


def send(connection: socket.socket, header: dict[str, Any], parts: Parts = ()) -> None:
    """Send a message and wait until it is on its way. Raises OSError where the other end has gone."""
    for buffer in packed(header, parts):
        connection.sendall(buffer)


def receive(connection: socket.socket) -> Message | None:
    """Wait for a message; None when the other end has gone."""
    first = _exactly(connection, LENGTHS.size)
    if first is None:
        return None
    of_header, of_payload = LENGTHS.unpack(first)
    text, payload = _exactly(connection, of_header), _exactly(connection, of_payload)
    return None if text is None or payload is None else (json.loads(text), payload)


def _exactly(connection: socket.socket, count: int) -> bytearray | None:
    buffer = bytearray(count)
    view, done = memoryview(buffer), 0
    while done < count:
        got = connection.recv_into(view[done:])
        if not got:
            return None
        done += got
    return buffer


async def read(reader: asyncio.StreamReader) -> Message | None:
    """`receive` on an event loop."""
    try:
        of_header, of_payload = LENGTHS.unpack(await reader.readexactly(LENGTHS.size))
        return json.loads(await reader.readexactly(of_header)), await reader.readexactly(of_payload)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
