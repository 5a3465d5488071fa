"""Many hostile requests of all kinds at once: the server answers each in a sentence, stays small, and goes on."""

import re
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serving.conftest import KEY
from serving.helpers_serving import Server, a_picture
from serving.storm import Attack, bombs, storm

AT_A_TIME = 8
WORKERS = 2
REFUSALS = {400, 401, 404, 405, 408, 413, 415, 422, 431, 503}
LEFT_BEHIND = 150e6  # bytes for each process, which libraries keep of what they decoded
LARGEST = 1000e6  # bytes for each worker, while it decodes a picture of 50,000,000 pixels


def memory(pid: int) -> int:
    """Bytes of a process and its children that no other shares, and their part of what is shared."""
    children = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    total = 0
    for member in (pid, *children):
        try:
            total += int(re.search(r"^Pss: +(\d+)", Path(f"/proc/{member}/smaps_rollup").read_text(), re.M)[1])
        except OSError:  # it has ended
            continue
    return 1024 * total


class Watch:
    """The most memory that the server has had."""

    def __init__(self, server: Server):
        self.pid, self.most, self.over = server.process.pid, 0, threading.Event()
        self.thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self.over.wait(0.2):
            self.most = max(self.most, memory(self.pid))

    def __enter__(self) -> "Watch":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()


def statuses(answer: bytes) -> tuple[int, ...]:
    return tuple(int(status) for status in re.findall(rb"^HTTP/1\.1 (\d{3})", answer, re.MULTILINE))


def table(attacks: list[Attack], found: list[tuple[int, ...]]) -> str:
    """How often each kind got which answers."""
    rows: dict[str, Counter] = {}
    for attack, answers in zip(attacks, found, strict=True):
        rows.setdefault(attack.kind, Counter())["+".join(map(str, answers)) or "none"] += 1
    lines = [
        f"{kind:24} " + ", ".join(f"{n} x {what}" for what, n in sorted(rows[kind].items())) for kind in sorted(rows)
    ]
    every = Counter(status for answers in found for status in answers or ("none",))
    return "\n".join([*lines, "all: " + ", ".join(f"{n} x {what}" for what, n in every.most_common())])


@pytest.mark.parametrize(
    "count, seed",
    [(60, 1), pytest.param(1_000, 2, marks=pytest.mark.slow), pytest.param(1_000, 3, marks=pytest.mark.slow)],
)
def test_hostile_requests_leave_no_trace(trained, tmp_path, count, seed):
    server = Server(trained, tmp_path / "log", "--workers", str(WORKERS), "--timeout", "5", key=KEY)
    try:
        before, expected = memory(server.process.pid), server.predict(a_picture()).json()["predictions"]
        attacks = storm(seed, count, KEY)
        bombs()
        began = time.monotonic()
        with Watch(server) as watch, ThreadPoolExecutor(AT_A_TIME) as pool:
            found = list(pool.map(lambda attack: statuses(attack.strike(server.port)), attacks))
        after = memory(server.process.pid)
        print(f"\n{count} requests in {time.monotonic() - began:.0f} s\n{table(attacks, found)}")
        print(f"memory, MB: {before / 1e6:.0f} before, {watch.most / 1e6:.0f} at most, {after / 1e6:.0f} after")

        answered = {status for answers in found for status in answers}
        assert answered <= {200, 100} | REFUSALS
        good = [answers for attack, answers in zip(attacks, found, strict=True) if attack.kind == "good"]
        assert set(good) <= {(200,), (503,)} and good.count((200,)) > 0.9 * len(good)
        assert server.errors.read_text() == "" and "Traceback" not in server.log.read_text()
        assert server.lines("mistake") == []
        assert watch.most < before + WORKERS * LARGEST and after < before + (WORKERS + 1) * LEFT_BEHIND
        again = server.predict(a_picture())
        assert again.status_code == 200
        for was, now in zip(expected, again.json()["predictions"], strict=True):
            assert now["class"] == was["class"] and now["probability"] == pytest.approx(was["probability"], abs=1e-5)
        figures = server.figures()
        assert figures["headstart_queue_pictures"] == 0 and figures["headstart_workers_ready"] == WORKERS
    finally:
        assert server.stop() == 0


SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


@pytest.mark.slow
@pytest.mark.skipif(not SCHEMATHESIS.exists(), reason="needs pip install schemathesis")
def test_answers_are_those_of_the_openapi_document(server, tmp_path):
    config = Path(__file__).with_name("schemathesis.toml")
    words = ["--config-file", str(config), "run", f"{server.address}/openapi.json", "--checks", "all", "--seed", "1"]
    words += ["--max-examples", "100", "--request-timeout", "30", "--no-color"]
    done = subprocess.run([str(SCHEMATHESIS), *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    assert server.errors.read_text() == "" and server.lines("mistake") == []
