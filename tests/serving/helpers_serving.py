"""What the tests of the server share: a server as a process of its own, and pictures."""

import contextlib
import ctypes
import io
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

SECONDS_TO_START = 120
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000  # of Linux
COLOURS = ("blue", "green", "red")


def coloured(number: int, colour: str, size: tuple[int, int] = (40, 50)) -> np.ndarray:
    """Noise with one channel higher, uint8 [height, width, 3]."""
    pixels = np.random.default_rng(number).integers(0, 150, (*size, 3), np.uint8)
    pixels[..., ("red", "green", "blue").index(colour)] += 40
    return pixels


def encoded(pixels: np.ndarray, kind: str = "PNG", **options) -> bytes:
    """A picture as a file of this kind."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def a_picture(number: int = 0, colour: str = "red") -> bytes:
    return encoded(coloured(number, colour))


def as_files(*contents: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    """Contents as httpx wants the files of a form: 0.png, 1.png ..."""
    return [("file", (f"{number}.png", content, "image/png")) for number, content in enumerate(contents)]


class Server:
    """`headstart serve` on a free port."""

    def __init__(self, model: Path, log: Path, *words: str, key: str | None = None):
        self.log, self.errors = log, log.with_suffix(".err")
        command = [sys.executable, "-c", "from headstart.cli.main import main; main()", "serve", str(model)]
        environment = {name: value for name, value in os.environ.items() if name != "HEADSTART_API_KEY"}
        environment |= {"OMP_NUM_THREADS": "1"} | ({"HEADSTART_API_KEY": key} if key else {})
        with open(self.log, "wb") as out, open(self.errors, "wb") as err:
            words = ("--port", "0", *words)
            self.process = subprocess.Popen([*command, *words], env=environment, stdout=out, stderr=err)
        self.wait_until(lambda: self.lines("serving"))
        self.address = self.lines("serving")[0]["address"]
        self.port = int(self.address.rpartition(":")[2])
        headers = {"X-API-Key": key} if key else {}
        self.client = httpx.Client(base_url=self.address, headers=headers, timeout=60, verify=False)
        self.wait_until(self._is_ready)

    def _is_ready(self) -> bool:
        try:
            return self.client.get("/readyz").status_code == 200
        except httpx.ConnectError:  # what it serves is said a moment before it listens
            return False

    def wait_until(self, met) -> None:
        deadline = time.monotonic() + SECONDS_TO_START
        while not met():
            assert self.process.poll() is None, self.errors.read_text()
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.05)

    def lines(self, event: str) -> list[dict]:
        """What the log says of these events."""
        complete = self.log.read_text().rpartition("\n")[0].splitlines()
        return [line for line in map(json.loads, complete) if line["event"] == event]

    def predict(self, *contents: bytes, **parameters) -> httpx.Response:
        return self.client.post("/predict", files=as_files(*contents), params=parameters)

    def processes(self, name: str) -> list[int]:
        """Process ids of the children that are called so."""
        parent = self.process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return [int(pid) for pid in children if _name(pid) == name]

    def figures(self) -> dict[str, float]:
        """/metrics as a number for each name with its labels."""
        lines = self.client.get("/metrics").text.splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    def raw(self, content: bytes, seconds: float = 10) -> bytes:
        """What comes back on a connection on which these bytes were sent, until it is closed or `seconds` are over."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            found = b""
            try:
                connection.sendall(content)
                while more := connection.recv(65_536):
                    found += more
            except OSError:  # reset by a server that has closed, or nothing more came
                pass
            return found

    def stop(self) -> int:
        """End it as a container's system does; return its exit code."""
        self.client.close()
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(60)


@contextlib.contextmanager
def held(pid: int) -> Iterator[None]:
    """A process that does not run for a while, as in a debugger: no signal has stopped it."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
        assert libc.ptrace(request, pid, None, None) == 0, os.strerror(ctypes.get_errno())
    os.waitpid(pid, WALL)
    try:
        yield
    finally:
        libc.ptrace(PTRACE_DETACH, pid, None, None)


def _name(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
