"""Files are whole after kills and beside other writers; what is read is named where it is no good."""

import os
import random
import time
from pathlib import Path

import pytest

from headstart.errors import UserError
from headstart.store.files import read_json, sha256_of, write_atomically, write_json
from store.helpers_store import finish, kill, python


def test_a_written_file_is_whole_and_leaves_nothing_beside_it(tmp_path):
    write_atomically(tmp_path / "a", b"old and long")
    write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


def test_a_temporary_file_left_by_a_killed_writer_is_taken_over(tmp_path):
    (tmp_path / "a.tmp").write_bytes(b"half of something much longer than what follows")
    write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


def test_a_link_planted_as_temporary_file_is_not_followed(tmp_path):
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "a.tmp").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError):
        write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "victim").read_bytes() == b"precious"


WRITE_FOR_EVER = """
import sys
from headstart.store import write_json
number = 0
while True:
    write_json(sys.argv[1], dict(number=number, data=[number] * 20000))
    if not number:
        print("started", flush=True)
    number += 1
"""


def test_a_writer_killed_at_a_random_moment_leaves_the_old_or_the_new_file(tmp_path):
    path, rng, kills, inside = tmp_path / "result.json", random.Random(0), 0, 0
    while kills < 10 or (not inside and kills < 100):  # some have to fall into a write, else the test shows nothing
        kills += 1
        process = python(WRITE_FOR_EVER, path)
        assert process.stdout.readline() == "started\n"
        time.sleep(rng.uniform(0, 0.05))
        kill(process)
        value = read_json(path)
        assert value["data"] == [value["number"]] * 20000
        assert set(os.listdir(tmp_path)) <= {"result.json", "result.json.tmp"}
        inside += (tmp_path / "result.json.tmp").exists()
    assert inside
    write_json(path, {})
    assert os.listdir(tmp_path) == ["result.json"]


def test_writers_of_the_same_file_take_turns(tmp_path):
    script = """
import sys
from headstart.store import write_json
for _ in range(40):
    write_json(sys.argv[1], [int(sys.argv[2])] * 5000)
"""
    processes = [python(script, tmp_path / "table", number) for number in range(4)]
    while any(process.poll() is None for process in processes):
        if (tmp_path / "table").exists():
            value = read_json(tmp_path / "table")
            assert len(value) == 5000 and len(set(value)) == 1
    for process in processes:
        finish(process)
    assert os.listdir(tmp_path) == ["table"]


def test_json_holds_what_numpy_and_strange_file_names_bring(tmp_path):
    np = pytest.importorskip("numpy")
    write_json(
        tmp_path / "a",
        dict(
            array=np.eye(2), scalar=np.float32(0.5), count=np.int64(3), nan=float("nan"), path=Path("x"), bad="\udcff"
        ),
    )
    assert read_json(tmp_path / "a") == dict(array=[[1, 0], [0, 1]], scalar=0.5, count=3, nan=None, path="x", bad="?")


DEEP = [b"[" * n + b"]" * n for n in (51, 900, 5000)] + [b'{"a":' * 60 + b"1" + b"}" * 60]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"9" * 10_000, *DEEP], ids=lambda b: b[:9])
def test_a_file_that_is_not_json_is_named(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(UserError, match="a cannot be read as JSON"):
        read_json(tmp_path / "a")


def test_json_may_be_nested_but_not_so_deep_that_nobody_can_print_it(tmp_path):
    (tmp_path / "a").write_bytes(b"[" * 50 + b"]" * 50)
    assert str(read_json(tmp_path / "a")) == "[" * 50 + "]" * 50
    (tmp_path / "a").write_bytes(
        b'["' + b"[" * 5000 + b'", ' + b"[], " * 99 + b"{}]"
    )  # brackets, of which few are nested
    assert len(read_json(tmp_path / "a")) == 101
    (tmp_path / "a").write_bytes(DEEP[0])
    with pytest.raises(UserError, match="nested more than 50 levels deep"):
        read_json(tmp_path / "a")


def test_a_missing_json_file_is_named(tmp_path):
    with pytest.raises(UserError, match="a does not exist"):
        read_json(tmp_path / "a")


def test_sha256_is_that_of_the_standard(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
