"""A run is alive as long as its own process is, whatever its children and those who ask do."""

import errno
import os
import signal
import time

import pytest

from headstart.errors import UserError
from headstart.store.files import write_atomically
from headstart.store.run_lock import is_alive, lock_run
from store.helpers_store import finish, kill, python

LOCK = """
import sys, time
from headstart.store import lock_run
lock = lock_run(sys.argv[1])
print("locked", flush=True)
"""


def locked_by(folder, then):
    process = python(LOCK + then, folder)
    line = process.stdout.readline()
    assert line == "locked\n", process.stderr.read()
    return process


def test_a_run_is_alive_while_its_lock_is_held(tmp_path):
    assert not is_alive(tmp_path)
    with lock_run(tmp_path) as lock:
        assert is_alive(tmp_path)
    assert not is_alive(tmp_path)
    lock.release()
    with lock_run(tmp_path):
        lock.release()
        assert is_alive(tmp_path)


def test_a_killed_process_is_not_alive(tmp_path):
    process = locked_by(tmp_path, "time.sleep(60)")
    assert is_alive(tmp_path)
    kill(process)
    assert not is_alive(tmp_path)


def test_a_stopped_process_is_alive(tmp_path):
    process = locked_by(tmp_path, "time.sleep(60)")
    process.send_signal(signal.SIGSTOP)
    assert is_alive(tmp_path)
    kill(process)


FORK = """
import os, signal, subprocess
{start}
print(child, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    "start",
    [
        "child = os.fork()\nif not child:\n    time.sleep(60)\n    os._exit(0)",
        "child = os.fork()\nif not child:\n    lock.release()\n    del lock\n    time.sleep(60)\n    os._exit(0)",
        "child = subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL).pid",
    ],
    ids=["fork", "fork-that-releases", "subprocess"],
)
def test_a_child_that_lives_on_does_not_keep_its_dead_parent_alive(tmp_path, start):
    process = locked_by(tmp_path, FORK.format(start=start))
    child = int(process.stdout.readline())
    try:
        time.sleep(0.1)
        assert is_alive(tmp_path), "the child took the lock from its living parent"
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
        os.kill(child, 0)
        assert not is_alive(tmp_path)
    finally:
        os.kill(child, signal.SIGKILL)
        process.communicate(timeout=60)


def test_a_child_that_releases_what_it_inherited_keeps_its_own_lock(tmp_path):
    script = """
import os, sys
from headstart.store import is_alive, lock_run
inherited = lock_run(sys.argv[1])
child = os.fork()
if not child:
    os.mkdir(sys.argv[1] + "/own")
    own = lock_run(sys.argv[1] + "/own")
    inherited.release()
    os._exit(0 if is_alive(sys.argv[1] + "/own") and is_alive(sys.argv[1]) else 1)
print(os.waitpid(child, 0)[1], is_alive(sys.argv[1]))
"""
    assert finish(python(script, tmp_path)) == "0 True\n"


def test_asking_from_many_processes_at_once_never_makes_a_dead_run_look_alive(tmp_path):
    lock_run(tmp_path).release()
    script = "import sys; from headstart.store import is_alive\nprint(sum(is_alive(sys.argv[1]) for _ in range(2000)))"
    for process in [python(script, tmp_path) for _ in range(3)]:
        assert finish(process) == "0\n"


def test_without_locks_a_run_is_refused_unless_something_else_says_that_it_is_alive(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("headstart.store.run_lock.fcntl.flock", refused)
    with pytest.raises(UserError, match=r"cannot be locked \(No locks available\)"):
        lock_run(tmp_path)
    assert lock_run(tmp_path, needed=False) is None
    write_atomically(tmp_path / "file", b"one")  # by a name of its own
    write_atomically(tmp_path / "file", b"two")
    assert (tmp_path / "file").read_bytes() == b"two"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "file"]
