"""Locks are had by one, or shared, go with their process, and are found anew where their file was removed."""

import os
import threading

import pytest

from headstart.store.locks import acquire, close_locked, holding_lock


def test_one_holds_a_lock_and_others_are_told(tmp_path):
    with holding_lock(tmp_path / "lock") as had:
        assert had
        assert acquire(tmp_path / "lock", wait=False) is None
        assert acquire(tmp_path / "lock", shared=True, wait=False) is None
    with holding_lock(tmp_path / "lock", wait=False) as had:
        assert had


def test_a_shared_lock_is_had_by_many_and_keeps_others_out(tmp_path):
    shared = [acquire(tmp_path / "lock", shared=True) for _ in range(2)]
    assert acquire(tmp_path / "lock", wait=False) is None
    for descriptor in shared:
        close_locked(descriptor)
    with holding_lock(tmp_path / "lock", wait=False) as had:
        assert had


def test_who_waits_says_so_once_and_finds_the_lock_anew_where_its_file_was_removed(tmp_path):
    path, said, had = tmp_path / "lock", [], []
    first, waits = acquire(path), threading.Event()

    def waiting():
        said.append("waiting")
        waits.set()

    def second():
        descriptor = acquire(path, waiting=waiting)
        had.append(os.path.samestat(os.fstat(descriptor), os.stat(path)))
        close_locked(descriptor)

    thread = threading.Thread(target=second)
    thread.start()
    assert waits.wait(10)
    path.unlink()
    close_locked(first)
    thread.join(10)
    assert (said, had) == (["waiting"], [True])


def test_a_forked_child_has_no_part_in_a_lock(tmp_path):
    descriptor = acquire(tmp_path / "lock")
    child = os.fork()
    if not child:
        try:
            os.fstat(descriptor)
        except OSError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert acquire(tmp_path / "lock", wait=False) is None
    close_locked(descriptor)


def test_a_folder_that_is_not_there_is_an_error_and_leaves_no_descriptor(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        acquire(tmp_path / "nowhere" / "lock")
    assert len(os.listdir("/proc/self/fd")) == before
