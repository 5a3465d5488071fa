"""A scratch folder is empty at first, one process's at a time, and gone afterwards."""

import os
import threading

import pytest

from headstart.store.scratch import scratch_folder


def test_two_processes_take_turns(tmp_path):
    order = []

    def work(name):
        with scratch_folder(tmp_path, "x") as scratch:
            (scratch / name).write_text("")
            order.append((name, len(list(scratch.iterdir()))))

    with scratch_folder(tmp_path, "x"):
        threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=0.3)
        assert order == []
    for thread in threads:
        thread.join()
    assert sorted(order) == [("a", 1), ("b", 1)]


def test_what_is_renamed_into_place_stays_and_the_rest_is_gone(tmp_path):
    with scratch_folder(tmp_path / "new", "x") as scratch:
        (scratch / "done").mkdir()
        (scratch / "half").write_text("")
        os.rename(scratch / "done", tmp_path / "new" / "x")
    assert sorted(os.listdir(tmp_path / "new")) == [".x.lock", "x"]


def test_leftovers_are_removed_and_an_error_leaves_none(tmp_path):
    (tmp_path / ".x.unfinished").mkdir()
    (tmp_path / ".x.unfinished" / "half").write_text("")
    with pytest.raises(RuntimeError), scratch_folder(tmp_path, "x") as scratch:
        assert list(scratch.iterdir()) == []
        (scratch / "half").write_text("")
        raise RuntimeError
    assert os.listdir(tmp_path) == [".x.lock"]


def test_a_place_that_is_no_folder_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError), scratch_folder(tmp_path / "file", "x"):
        pass
