"""Processes of the command line that start ready: forked from one that has imported everything already.

A fresh process spends seconds of a core on importing torch and the others before it comes to what a test is about. For
each process of the tests' own one more is started, at the first need; it imports, and then forks one that acts as a
fresh interpreter would for every command: arguments, folder, environment, files and the way that it ends are its own.
What a fresh interpreter itself does (what it imports, when it forks, how early it hears a signal) is for tests that
start one.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy
import parsed_once
from hydra.core.plugins import Plugins

ROOT = Path(__file__).parents[1]
COMMAND = "headstart.cli.main"  # a program is a module with `main`; `toy` is another
ROOMS = ["config", "data", "models", "footprint", "training", "timing", "sweep", "analysis", "report", "cli"]
OTHERS = ["alembic.command", "jinja2", "matplotlib.backends.backend_agg", "matplotlib.figure", "pydantic.types"]
OTHERS += [
    "sklearn.datasets",
    "sklearn.metrics",
    "sqlalchemy.dialects.sqlite",
    "sqlalchemy.orm",
    "timm",
    "torchvision",
    "toy",
]


class Process:
    """A command in a process of its own, with those of subprocess.Popen's methods that the tests use."""

    def __init__(self, pid: int, ended: int):
        self.pid, self.returncode = pid, None
        self._ended = ended  # the descriptor on which its end is told

    def poll(self) -> int | None:
        """The exit code, minus the number of the signal that killed it; None while it runs."""
        if self.returncode is None and select.select([self._ended], [], [], 0)[0]:
            self._note_end()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._ended], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("headstart", timeout)
            self._note_end()
        return self.returncode

    def _note_end(self) -> None:
        self.returncode = os.waitstatus_to_exitcode(*struct.unpack("i", os.read(self._ended, 4)))
        os.close(self._ended)

    def send_signal(self, number: int) -> None:
        """Send the signal, where there still is somebody to send it to."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it, however busy it is."""
        self.send_signal(signal.SIGKILL)


def start(
    *words: str,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    program: str = COMMAND,
    stdout: IO | None = None,
    stderr: IO | None = None,
) -> Process:
    """Start a command in `folder`, in a session of its own; output goes nowhere where no file is named."""
    variables = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "120"} | (environment or {})
    request = json.dumps([program, words, str(folder), dict(variables)]).encode()
    server = _server()
    reads, writes = os.pipe()
    with open(os.devnull, "r+b") as nothing, os.fdopen(writes, "wb") as ended:
        files = [nothing, stdout or nothing, stderr or nothing, ended]
        socket.send_fds(server, [struct.pack("I", len(request))], [file.fileno() for file in files])
        server.sendall(request)
    (pid,) = struct.unpack("i", os.read(reads, 4))
    return Process(pid, reads)


def run(
    *words: str,
    folder: Path,
    timeout: float = 300,
    environment: Mapping[str, str] | None = None,
    program: str = COMMAND,
) -> subprocess.CompletedProcess:
    """Do a command to its end, as subprocess.run does with `capture_output`; killed when its time is over."""
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        process = start(*words, folder=folder, environment=environment, program=program, stdout=stdout, stderr=stderr)
        try:
            process.wait(timeout)
        finally:
            process.kill()
        said = [(file.seek(0), file.read())[1] for file in (stdout, stderr)]
    return subprocess.CompletedProcess(["headstart", *words], process.returncode, *said)


@functools.cache
def _server() -> socket.socket:
    """The socket of the process that has imported everything."""
    ours, theirs = socket.socketpair()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "tests")}
    command = [sys.executable, "-c", f"import ready; ready.serve({theirs.fileno()})"]
    pipes = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        with theirs:
            process = subprocess.Popen(
                command, cwd="/", env=environment, pass_fds=[theirs.fileno()], start_new_session=True, **pipes
            )
    except BaseException:  # with --fast the test is skipped here
        ours.close()
        raise
    atexit.register(lambda: (ours.close(), process.wait()))
    return ours


# ---- in that process


def serve(descriptor: int) -> None:
    """Import, then fork for every request, until nobody can ask any more; in the forked process act on it."""
    for name in [*_modules(), *OTHERS]:
        importlib.import_module(name)
    Plugins.instance()  # Hydra's
    parsed_once.keep()
    assert len(os.listdir("/proc/self/task")) == 1, "a fork copies one thread only"
    gc.freeze()  # what is imported stays, and a collection would write to all of it
    asked = socket.socket(fileno=descriptor)
    running: dict[int, tuple[int, int]] = {}  # by the descriptor that tells their end: id, and where it is told
    while True:
        readable = select.select([asked, *running], [], [])[0]
        for ended in set(readable) - {asked}:
            pid, told = running.pop(ended)
            os.write(told, struct.pack("i", os.waitpid(pid, 0)[1]))
            _close(ended, told)
        if asked in readable:
            head, files = socket.recv_fds(asked, 4, 4)[:2]
            if not head:
                os._exit(0)
            request = json.loads(asked.recv(*struct.unpack("I", head), socket.MSG_WAITALL))
            if not (pid := os.fork()):
                _close(asked.detach(), *running, *(told for _, told in running.values()))
                return _act(files, *request)
            *inherited, told = files
            _close(*inherited)
            os.write(told, struct.pack("i", pid))
            running[os.pidfd_open(pid)] = pid, told


def _modules() -> list[str]:
    """The modules of the rooms, of which some are imported late."""
    rooms = [importlib.import_module(f"headstart.{room}") for room in ROOMS]
    return [module.name for room in rooms for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}.")]


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _act(files: list[int], program: str, words: list[str], folder: str, environment: dict[str, str]) -> None:
    """Be what the request asks for; whatever it raises ends the interpreter, as it would a fresh one."""
    os.setsid()
    for own, given in enumerate(files[:3]):
        os.dup2(given, own)
    _close(*files)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["headstart", *words]
    numpy.random.seed()  # as for every fresh process, another one
    gc.unfreeze()
    importlib.import_module(program).main()
