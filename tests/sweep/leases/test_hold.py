"""Holds of real processes in folders of their own: killed, stopped, slow, and whose run others have taken over."""

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import ROOT

from headstart.sweep.storage import close_storages
from sweep.helpers_sweep import open_scheduler, table, work
from sweep.leases.worker import SETTINGS
from sweep.postgres import needs_server

pytestmark = needs_server
WORKER = ROOT / "tests" / "sweep" / "leases" / "worker.py"


@pytest.fixture
def started(tmp_path, postgres, request):
    """`started(place, seconds)`: a worker on this test's study, in a folder of its own."""
    running, name = [], f"h{abs(hash(request.node.nodeid)) % 10**9}"

    def worker(
        place: str, seconds: float, lease: float = 1.5, url: str = postgres, before: tuple[str, ...] = (), **more: str
    ) -> subprocess.Popen:
        (tmp_path / place).mkdir(exist_ok=True)
        words = [*before, sys.executable, str(WORKER), str(tmp_path / place), url, name, str(seconds), str(lease)]
        variables = os.environ | {"PYTHONPATH": str(ROOT / "tests"), "OMP_NUM_THREADS": "1"} | more
        with open(tmp_path / place / "output", "ab") as out:
            running.append(subprocess.Popen(words, env=variables, stdout=out, stderr=out))
        return running[-1]

    worker.name = name
    yield worker
    for process in running:
        if process.poll() is None:
            process.kill()
            process.wait()


def said(tmp_path: Path, place: str) -> list[str]:
    return (tmp_path / place / "output").read_text().splitlines()


def wait_for(condition, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def check(tmp_path: Path, postgres: str, name: str, *places: str) -> None:
    """Every run has one result that the study knows, and its rows are those of a study of one process."""
    for place in places:  # a new start puts aside what others had taken over
        whole = open_scheduler(tmp_path / place, url=postgres, name=name, looks_back=True, **SETTINGS)
    assert whole.claim() is None
    runs = Counter(
        path.parent.relative_to(tmp_path / place / "s")
        for place in places
        for path in (tmp_path / place / "s").glob("a/[!.]*/**/result.json")
        if "/." not in str(path)
    )
    assert len(runs) == 8 and set(runs.values()) == {1}
    alone = open_scheduler(tmp_path / "alone", **SETTINGS)
    work(alone)
    assert table(whole) == table(alone)


def test_killed_anywhere_a_run_is_another_folders_once_its_lease_has_run_out(started, tmp_path, postgres):
    lost = started("there", seconds=60)
    wait_for(lambda: said(tmp_path, "there"))
    lost.kill()
    began = time.monotonic()
    assert started("here", seconds=0).wait(100) == 0
    assert time.monotonic() - began > 1
    assert Counter(said(tmp_path, "here"))["claimed 000"] == 1
    check(tmp_path, postgres, started.name, "here", "there")


def test_stopped_for_longer_than_its_lease_a_process_finds_its_run_gone_and_goes_on(started, tmp_path, postgres):
    stopped = started("there", seconds=0.5)
    wait_for(lambda: said(tmp_path, "there"))
    stopped.send_signal(signal.SIGSTOP)
    working = started("here", seconds=0.2)
    wait_for(lambda: "claimed 000" in said(tmp_path, "here"))
    stopped.send_signal(signal.SIGCONT)
    assert [stopped.wait(100), working.wait(100)] == [0, 0], said(tmp_path, "there")
    assert said(tmp_path, "there")[:2] == ["claimed 000", "lost 000"]
    check(tmp_path, postgres, started.name, "here", "there")


@pytest.mark.slow
def test_a_process_that_takes_longer_than_a_lease_keeps_its_run(started, tmp_path, postgres):
    slow = started("there", seconds=5, lease=2.5)
    wait_for(lambda: said(tmp_path, "there"))
    assert started("here", seconds=0).wait(100) == 0
    slow.wait(100)
    assert "lost 000" not in said(tmp_path, "there") and "claimed 000" not in said(tmp_path, "here")
    check(tmp_path, postgres, started.name, "here", "there")


# ---- what takes longer


class Cable:
    """A way to the server that can be cut, as a network is: what is sent meanwhile arrives when it is mended."""

    def __init__(self, port: int):
        self.port, self.whole = port, threading.Event()
        self.whole.set()
        self.listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                one, _ = self.listening.accept()
                other = socket.create_connection(("127.0.0.1", self.port))
                threading.Thread(target=self._forward, args=(one, other), daemon=True).start()

    def _forward(self, one: socket.socket, other: socket.socket) -> None:
        with one, other, suppress(OSError):
            while True:
                for end in select.select([one, other], [], [])[0]:
                    self.whole.wait()
                    if not (data := end.recv(65536)):
                        return
                    (other if end is one else one).sendall(data)

    def url(self, url: str) -> str:
        return url.replace(f":{self.port}/", f":{self.listening.getsockname()[1]}/")


@pytest.mark.slow
def test_cut_off_from_the_server_for_longer_than_its_lease_a_process_loses_its_run(started, tmp_path, postgres, server):
    cable = Cable(server.port)
    cut_off = started("there", seconds=1, url=cable.url(postgres))
    wait_for(lambda: said(tmp_path, "there"))
    cable.whole.clear()
    working = started("here", seconds=0.2)
    wait_for(lambda: "claimed 000" in said(tmp_path, "here"))
    cable.whole.set()
    assert [cut_off.wait(100), working.wait(100)] == [0, 0], said(tmp_path, "there")
    assert said(tmp_path, "there")[:2] == ["claimed 000", "lost 000"]
    check(tmp_path, postgres, started.name, "here", "there")


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for networks of its own")
def test_processes_in_networks_of_their_own_share_a_study(started, tmp_path, postgres, server):
    by_file = f"postgresql+psycopg://me:{server.password}@/postgres?host={server.folder}&port={server.port}"
    alone = ("unshare", "-n")
    running = [started(place, seconds=0.5, lease=20, url=by_file, before=alone) for place in ("here", "there")]
    assert [process.wait(100) for process in running] == [0, 0]
    assert all(len(said(tmp_path, place)) > 1 for place in ("here", "there"))
    check(tmp_path, postgres, started.name, "here", "there")


@pytest.mark.slow
def test_the_server_begins_anew_while_processes_work(started, tmp_path, postgres, server):
    running = {place: started(place, seconds=0.7, lease=5) for place in ("here", "there")}
    wait_for(lambda: len(said(tmp_path, "here")) >= 2 and len(said(tmp_path, "there")) >= 2)
    server.stop()
    time.sleep(1)
    server.start()
    for place, process in running.items():
        if process.wait(100) != 0:  # it met the server as it was away
            assert "OperationalError" in "".join(said(tmp_path, place))
            assert started(place, seconds=0, lease=5).wait(100) == 0
    close_storages()
    check(tmp_path, postgres, started.name, "here", "there")


OTHER_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long off(void) { const char *text = getenv("SECONDS_OFF"); return text ? atol(text) : 0; }
int clock_gettime(clockid_t id, struct timespec *found) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int end = real(id, found);
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) found->tv_sec += off();
    return end;
}
int gettimeofday(struct timeval *found, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    found->tv_sec = now.tv_sec, found->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *found) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (found) *found = now.tv_sec;
    return now.tv_sec;
}
"""  # libfaketime refuses Python's time.sleep


NO_LOCKS = """
#include <errno.h>
int flock(int file, int how) { errno = ENOLCK; return -1; }
"""  # as on a file system without them


@pytest.fixture
def compiled(tmp_path):
    """`compiled(source)`: the path of a library to be loaded before any other."""
    if not shutil.which("cc"):
        pytest.skip("needs a C compiler")

    def library(source: str) -> str:
        (tmp_path / "library.c").write_text(source)
        words = ["cc", "-shared", "-fPIC", "-o", str(tmp_path / "library.so"), str(tmp_path / "library.c"), "-ldl"]
        subprocess.run(words, check=True)
        return str(tmp_path / "library.so")

    return library


@pytest.mark.slow
def test_run_folders_may_lie_on_a_file_system_without_locks(started, tmp_path, postgres, compiled):
    without = dict(LD_PRELOAD=compiled(NO_LOCKS))
    lost = started("there", seconds=60, lease=3, **without)
    wait_for(lambda: said(tmp_path, "there"))
    lost.kill()
    lost.wait()
    running = [started("there", seconds=0.5, lease=3, **without) for _ in range(2)]  # in one folder
    assert [process.wait(100) for process in running] == [0, 0], said(tmp_path, "there")
    check(tmp_path, postgres, started.name, "there")


@pytest.mark.slow
@pytest.mark.parametrize("offset", [3600, -3600])
def test_a_process_whose_clock_is_an_hour_off_takes_nothing_from_others(started, tmp_path, postgres, compiled, offset):
    its = dict(LD_PRELOAD=compiled(OTHER_CLOCK), SECONDS_OFF=str(offset))
    said_by = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"], env=os.environ | its, capture_output=True, check=True
    )
    assert abs(float(said_by.stdout) - time.time() - offset) < 60
    running = [started("here", seconds=1, lease=20), started("there", seconds=1, lease=20, **its)]
    assert [process.wait(100) for process in running] == [0, 0], said(tmp_path, "there")
    both = [*said(tmp_path, "here"), *said(tmp_path, "there")]
    assert len(both) == len(set(both)) == 8 and not any("lost" in line for line in both)
    check(tmp_path, postgres, started.name, "here", "there")
