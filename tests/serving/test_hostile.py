"""Uploads of people who mean harm: refused in a sentence, no traceback, no 5xx but 503, and the server goes on."""

import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving.conftest import KEY
from serving.helpers_serving import a_picture
from serving.hostile import broken_files, broken_requests, form, request

FILES, REQUESTS = dict(broken_files()), dict(broken_requests(KEY))


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"^HTTP/1\.1 (\d{3})", answer, re.MULTILINE)]


def unhurt(server) -> None:
    """Assert that the server answers as before and has nothing to regret."""
    assert server.predict(a_picture()).status_code == 200
    assert server.errors.read_text() == ""
    assert server.lines("mistake") == []


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_no_pictures(server, name):
    answer = server.predict(FILES[name])
    assert answer.status_code in (200, 413, 422), answer.text
    assert answer.status_code == 200 or len(answer.json()["detail"]) < 300
    if name in ("bomb", "largest sizes"):
        assert answer.status_code == 413
    assert server.client.post("/explain", files={"file": FILES[name]}).status_code in (200, 413, 422)
    unhurt(server)


def test_requests_that_are_none(small_server):
    with ThreadPoolExecutor(4) as pool:
        found = dict(zip(REQUESTS, map(statuses, pool.map(small_server.raw, REQUESTS.values())), strict=True))
    answered = {status for answers in found.values() for status in answers}
    assert answered <= {200, 400, 404, 405, 408, 413, 415, 422, 431, 503}, found
    silent = {name for name, answers in found.items() if not answers}
    assert silent <= {"headers without end"}, found  # who is still sending may not see the answer
    for name in ("a huge header", "many headers", "a huge address"):
        assert found[name] == [431], (name, found[name])
    assert found["less than it says"] == [408]
    unhurt(small_server)


def test_a_body_that_comes_slowly_is_given_up(small_server):
    whole = request(form(a_picture()), key=KEY)
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", small_server.port), timeout=20) as connection:
        connection.sendall(whole[:-50])
        time.sleep(1)
        connection.sendall(whole[-50:-40])
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert statuses(answer) == [408] and b"the request was not there after 3 seconds" in answer
    assert 2 < time.monotonic() - began < 15
    unhurt(small_server)


def test_who_waits_to_be_told_gets_the_refusal_at_once(small_server):
    head = request(b"", length=10**9, headers="Expect: 100-continue\r\n", key=KEY)
    assert statuses(small_server.raw(head)) == [413]
    head = request(b"", length=10**9, key=KEY)  # and who does not, when the server has waited for what may come
    assert statuses(small_server.raw(head)) == [413]
