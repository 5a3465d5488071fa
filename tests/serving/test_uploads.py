"""Limits on what a request may hold, and on how much is accepted at a time."""

import threading

import numpy as np
import pytest

from headstart.serving.settings import Settings
from headstart.serving.uploads import Admission, Refused
from serving.helpers_serving import a_picture, as_files, coloured, encoded, held


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ([bytes(20_001)], "at most 20,000 bytes a request"),
        ([b"a", b"b", b"c"], "at most 2 pictures a request"),
        (
            [encoded(np.zeros((100, 51, 3), np.uint8))],
            "5100 pixels|51 x 100 pixels; at most 5,000|exceeds limit of 5000",
        ),
        ([encoded(np.zeros((200, 200, 3), np.uint8))], "at most 5,000|exceeds limit of"),
    ],
)
def test_more_than_is_allowed_is_413(small_server, contents, said):
    answer = small_server.predict(*contents)
    assert answer.status_code == 413
    assert any(words in answer.json()["detail"] for words in said.split("|")), answer.text


def test_a_body_whose_length_nobody_said_is_counted_as_it_comes(small_server):
    def endless():
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.png"\r\n\r\n'
        while True:
            yield bytes(4_000)

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = small_server.client.post("/predict", content=endless(), headers=headers)
    assert (answer.status_code, answer.json()["detail"]) == (413, "at most 20,000 bytes a request")


def test_a_large_picture_beside_a_good_one_is_a_row_with_its_reason(small_server):
    answer = small_server.predict(a_picture(), encoded(np.zeros((200, 200, 3), np.uint8)))
    assert answer.status_code == 200
    assert ["error" in row for row in answer.json()["predictions"]] == [False, True]


def test_a_full_queue_and_a_request_out_of_time_are_503_with_retry_after(small_server):
    """Its worker stands still: three pictures find a place, the next does not, and nobody waits for ever."""
    (worker,) = small_server.processes("serve-worker")
    small = encoded(coloured(1, "red", (20, 20)))
    waited = []
    with held(worker):
        ask = lambda *contents: waited.append(small_server.predict(*contents))  # noqa: E731
        threads = [threading.Thread(target=ask, args=contents) for contents in ((small, small), (small,))]
        for thread in threads:
            thread.start()
        small_server.wait_until(lambda: small_server.figures()["headstart_queue_pictures"] == 3)
        refused = [small_server.predict(small), small_server.client.post("/explain", files=as_files(small))]
        for answer in refused:
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.json()["detail"] == "the queue is full: 3 pictures wait"
        for thread in threads:
            thread.join(30)
    assert [(answer.status_code, answer.headers["retry-after"]) for answer in waited] == [(503, "1")] * 2
    assert waited[0].json()["detail"] == "no answer after 3 seconds"
    small_server.wait_until(lambda: small_server.figures()["headstart_queue_pictures"] == 0)
    small_server.wait_until(lambda: small_server.predict(small).status_code == 200)


def test_places_are_given_back_whatever_happens():
    admission = Admission(Settings(queue=16))
    with pytest.raises(ZeroDivisionError), admission.pictures_taken(16):
        with pytest.raises(Refused, match="16 pictures wait"), admission.pictures_taken(1):
            pass
        raise ZeroDivisionError
    assert admission.pictures == 0
    with pytest.raises(Refused, match="17 more have no place"), admission.pictures_taken(17):
        pass


def test_uploads_of_all_requests_together_are_bounded():
    admission = Admission(Settings(max_bytes=1_000_000))
    admission.take_bytes(16_000_000)
    with pytest.raises(Refused, match="too many large uploads") as refused:
        admission.take_bytes(1)
    assert refused.value.status == 503


def test_nothing_is_accepted_by_a_server_that_stops():
    admission = Admission(Settings(), stopping=True)
    with pytest.raises(Refused, match="the server is stopping"):
        admission.check()
