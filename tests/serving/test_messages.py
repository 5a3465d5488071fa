"""Messages between the processes arrive as they were sent, on a socket and on an event loop."""

import asyncio
import socket
import threading

import numpy as np
import pytest

from headstart.serving.messages import packed, read, receive, send

HEADER = {"job": "predict", "seconds": 1.5, "name": "ä\n"}


def test_a_large_message_arrives_whole_and_an_end_is_none():
    ours, theirs = socket.socketpair()
    payload = np.random.default_rng(0).integers(0, 256, 3_000_000, np.uint8)
    sender = threading.Thread(target=lambda: (send(ours, HEADER, [payload.data, b"end"]), ours.close()))
    sender.start()
    with theirs:
        header, found = receive(theirs)
        assert (header, bytes(found)) == (HEADER, payload.tobytes() + b"end")
        assert receive(theirs) is None
    sender.join()


@pytest.mark.parametrize("kept", [0, 3, 12, 20, 60])
def test_a_message_that_ends_early_is_none(kept):
    content = b"".join(packed(HEADER, [b"payload"]))

    async def reading():
        reader = asyncio.StreamReader()
        reader.feed_data(content[:kept])
        reader.feed_eof()
        return await read(reader)

    assert asyncio.run(reading()) is None
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(content[:kept])
        ours.shutdown(socket.SHUT_WR)
        assert receive(theirs) is None


def test_an_event_loop_reads_the_same():
    async def reading():
        reader = asyncio.StreamReader()
        reader.feed_data(b"".join(packed(HEADER, [b"pay", b"load"])) + b"".join(packed({})))
        return await read(reader), await read(reader)

    assert asyncio.run(reading()) == ((HEADER, b"payload"), ({}, b""))
