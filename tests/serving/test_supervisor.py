"""Processes that are killed or told to stop: nothing that was accepted is lost."""

import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from serving.helpers_serving import a_picture, as_files, held

CLIENTS, EACH = 8, 12
MOST_KILLS = 8


def asked(address: str, number: int, answers: list) -> None:
    """One client's requests, one after the other."""
    with httpx.Client(base_url=address, timeout=60, verify=False) as client:
        for turn in range(EACH):
            answer = client.post("/predict", files=as_files(a_picture(number), a_picture(turn)))
            answers.append((number, answer.status_code, answer.text))


def test_nothing_is_lost_when_workers_are_killed_under_load(server):
    expected = {n: server.predict(a_picture(n)).json()["predictions"][0]["probability"] for n in range(CLIENTS)}
    died = server.figures()["headstart_workers_died"]
    answers, killed = [], 0
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(asked, server.address, number, answers) for number in range(CLIENTS)]
        while not all(client.done() for client in clients):
            if killed < MOST_KILLS and (workers := server.processes("serve-worker")):
                os.kill(workers[killed % len(workers)], signal.SIGKILL)
                killed += 1
            time.sleep(0.1)
        for client in clients:
            client.result()
    assert killed >= 2 and len(answers) == CLIENTS * EACH
    assert {status for _, status, _ in answers} == {200}, [text for _, status, text in answers if status != 200][:3]
    for number, _, text in answers:
        row = httpx.Response(200, text=text).json()["predictions"][0]
        assert row["probability"] == pytest.approx(expected[number], abs=1e-6)
    server.wait_until(lambda: server.figures()["headstart_workers_ready"] == 2)
    assert server.figures()["headstart_workers_died"] >= died + 2
    assert "Traceback" not in server.errors.read_text()


def test_what_a_stopped_worker_was_doing_is_done_by_another_that_replaces_it(trained, start):
    server = start(trained, "--timeout", "60")
    expected = server.predict(a_picture(3)).json()["predictions"][0]["probability"]
    (worker,) = server.processes("serve-worker")
    os.kill(worker, signal.SIGSTOP)
    answer = server.predict(a_picture(3))  # far within its time-out, or httpx gives up after 60 s
    assert answer.status_code == 200 and answer.elapsed.total_seconds() < 30
    assert answer.json()["predictions"][0]["probability"] == pytest.approx(expected, abs=1e-6)
    assert server.processes("serve-worker") != [worker] and server.figures()["headstart_workers_died"] == 1
    assert server.errors.read_text() == f"headstart serve: worker {worker} was stopped by a signal, and is replaced\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_when_what_was_accepted_is_answered(trained, exported, start, number):
    """Once with torch, once with onnxruntime, which says the same."""
    model, backend = (trained, "torch") if number == signal.SIGTERM else (exported, "onnx")
    server = start(model, "--backend", backend)
    expected = server.predict(a_picture(7)).json()
    (worker,) = server.processes("serve-worker")
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(server.predict(a_picture(7))))
    with held(worker):  # so that what is sent now waits
        waiting.start()
        server.wait_until(lambda: server.figures()["headstart_queue_pictures"] == 1)
        server.process.send_signal(number)
        server.wait_until(lambda: server.lines("stopping"))
        server.wait_until(lambda: not answers_calls(server.port))
        assert server.process.poll() is None
    waiting.join(30)
    assert answers[0].status_code == 200
    row, before = (found["predictions"][0] for found in (answers[0].json(), expected))
    assert row["class"] == before["class"] and row["probability"] == pytest.approx(before["probability"], abs=1e-6)
    assert server.process.wait(30) == 0
    assert server.errors.read_text() == ""


@pytest.mark.parametrize("name", ["headstart", "serve-front"])
def test_when_one_of_the_two_that_cannot_be_replaced_is_killed_nothing_is_left_behind(trained, start, name):
    server = start(trained)
    pids = {"headstart": [server.process.pid]} | {n: server.processes(n) for n in ("serve-front", "serve-worker")}
    assert [len(found) for found in pids.values()] == [1, 1, 1]
    (killed,) = pids.pop(name)
    os.kill(killed, signal.SIGKILL)
    code = server.process.wait(30)
    if name == "serve-front":
        assert code == 1
        assert server.errors.read_text() == "headstart serve: the process that talks has ended (exit code -9)\n"
    deadline = time.monotonic() + 20
    while any(is_there(pid) for found in pids.values() for pid in found):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def answers_calls(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"
