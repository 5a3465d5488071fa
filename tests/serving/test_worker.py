"""What a worker does with a picture is what the command does."""

import io
import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

import headstart
from headstart.serving.messages import receive, send
from headstart.serving.worker import Worker, is_too_large
from serving.helpers_serving import coloured, encoded
from serving.hostile import FILE_LIMIT, png

LATE = """
import socket, sys, threading, time
import headstart
from headstart.serving.messages import receive, send
from headstart.serving.worker import Worker
ours, theirs = socket.socketpair()
classifier = headstart.load_model(sys.argv[1])
asked = []
def probabilities(images):
    asked.append(len(images))
    sum(range(10**12 if len(asked) > 2 else 1))  # in C, where no handler of Python's would run
    return classifier.probabilities(images)
send(ours, {"job": "predict", "seconds": 0.2}, [bytes(24 * 24 * 3)])
Worker(classifier, probabilities, None, 10**6, 1).live(theirs)
"""


@pytest.fixture(scope="module")
def worker(trained):
    classifier = headstart.load_model(trained)
    return Worker(classifier, classifier.probabilities, None, FILE_LIMIT, 1)


def decoded(worker: Worker, *files: bytes):
    return worker._decode(({"sizes": [len(file) for file in files]}, b"".join(files)))


def test_a_picture_is_decoded_to_the_bit_as_the_command_does(worker, pictures):
    from headstart.inference import decode_pictures, find_pictures

    paths = sorted(pictures.glob("red/*.png"))[:5]
    expected = decode_pictures(find_pictures([str(path) for path in paths]), 24)
    for path, array in zip(paths, expected, strict=True):
        header, parts = decoded(worker, path.read_bytes())
        assert header == {"files": [{}]} and b"".join(parts) == array.tobytes()
    header, parts = decoded(worker, paths[0].read_bytes(), b"x", paths[1].read_bytes())
    assert ["unread" in file for file in header["files"]] == [False, True, False]
    assert b"".join(parts) == expected[0].tobytes() + expected[1].tobytes()


def test_probabilities_are_the_classifiers_and_moments_those_of_the_pixels(worker):
    images = np.stack([coloured(n, "green", (24, 24)) for n in range(5)])
    header, parts = worker._predict(({}, bytearray(images.tobytes())))
    found = np.frombuffer(b"".join(parts), np.float32).reshape(5, 3)
    np.testing.assert_array_equal(found, worker.classifier.probabilities(images))
    np.testing.assert_allclose(header["mean"], images.mean((1, 2)) / 255, atol=1e-6)
    np.testing.assert_allclose(header["square"], ((images / 255) ** 2).mean((1, 2)), atol=1e-6)


def test_what_cannot_be_decoded_has_its_reason_and_whether_it_is_too_large(worker):
    (found,) = decoded(worker, b"x")[0]["files"]
    assert found == {"unread": "no image that Pillow knows", "too_large": False}
    (found,) = decoded(worker, png(30_000, 30_000, b"x"))[0]["files"]
    assert (found["too_large"] and "30000" in found["unread"]) or "exceeds" in found["unread"]
    assert is_too_large(encoded(np.zeros((9, 9, 3), np.uint8)), 80)
    assert not is_too_large(encoded(np.zeros((9, 9, 3), np.uint8)), 81)


def test_a_mistake_of_a_job_is_told_and_the_next_one_done(worker, monkeypatch):
    monkeypatch.setattr(Worker, "_prepare", lambda self: None)  # which would change this process
    monkeypatch.setattr("signal.setitimer", lambda *_: None)
    ours, theirs = socket.socketpair()
    living = threading.Thread(target=worker.live, args=(theirs,))
    living.start()
    with ours:
        assert "ready" in receive(ours)[0]
        send(ours, {"job": "predict", "seconds": 5}, [b"abc"])  # no picture has three bytes
        assert receive(ours)[0]["failed"].startswith("ValueError: ")
        file = io.BytesIO()
        Image.fromarray(coloured(1, "red", (24, 24))).save(file, "PNG")
        send(ours, {"job": "decode", "seconds": 5, "sizes": [len(file.getvalue())]}, [file.getvalue()])
        assert bytes(receive(ours)[1]) == coloured(1, "red", (24, 24)).tobytes()
    living.join(10)
    theirs.close()
    assert not living.is_alive()


def test_a_job_that_takes_longer_than_it_may_ends_its_worker(trained):
    done = subprocess.run([sys.executable, "-c", LATE, str(trained)], capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGALRM, done.stderr
