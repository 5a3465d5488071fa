"""Checkpoints: flipped bits, kills and full disks cost at most the newest of two."""

import logging
import os
import shutil
import subprocess

import pytest

from headstart.errors import UserError
from headstart.store.checkpoints import read_checkpoint, write_checkpoint
from store.helpers_store import python


@pytest.fixture(scope="module")
def strace(tmp_path_factory):
    log = tmp_path_factory.mktemp("strace") / "log"
    if shutil.which("strace") is None or subprocess.run(["strace", "-o", log, "true"], capture_output=True).returncode:
        pytest.skip("strace is not here or not permitted")
    return ["strace", "-f", "-o", str(log), "-e"]


WRITE_ONCE = """
import sys
from headstart.errors import UserError
from headstart.store import write_checkpoint
try:
    write_checkpoint(sys.argv[1] + "/last.ckpt", b"epoch 3")
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("fault", "survives"),
    [
        ("fsync:signal=KILL:when=1", b"epoch 2"),
        ("rename:signal=KILL:when=1", b"epoch 2"),
        ("rename:signal=KILL:when=2", b"epoch 3"),
        ("fsync:signal=KILL:when=2", b"epoch 3"),
        ("fsync:error=ENOSPC:when=1", b"epoch 2"),
        ("rename:error=EDQUOT:when=1", b"epoch 2"),
        ("rename:error=ENOSPC:when=2", b"epoch 2"),
    ],
)
def test_a_checkpoint_survives_a_fault_at_each_call_that_writes_it(tmp_path, strace, fault, survives):
    write_checkpoint(tmp_path / "last.ckpt", b"epoch 1")
    write_checkpoint(tmp_path / "last.ckpt", b"epoch 2")
    process = python(WRITE_ONCE, tmp_path, before=[*strace, f"inject={fault}"])
    out, err = process.communicate(timeout=60)
    assert ("KILL" in fault) == (process.returncode != 0), err
    assert ("KILL" in fault) != ("disk full" in out)
    # A signal that is injected into a call arrives when the call is done, so either is right, and never a third.
    assert read_checkpoint(tmp_path) in ({b"epoch 2", b"epoch 3"} if "KILL" in fault else {survives})
    write_checkpoint(tmp_path / "last.ckpt", b"epoch 4")
    assert read_checkpoint(tmp_path) == b"epoch 4"
    assert sorted(os.listdir(tmp_path)) == ["last.ckpt", "last.ckpt.previous"]


def test_there_is_no_checkpoint_at_the_start(tmp_path):
    assert read_checkpoint(tmp_path) is None


def test_the_newest_checkpoint_is_read_and_the_one_before_kept(tmp_path):
    for epoch in (b"1", b"2", b"3"):
        write_checkpoint(tmp_path / "last.ckpt", epoch)
    assert read_checkpoint(tmp_path) == b"3"
    assert (tmp_path / "last.ckpt.previous").read_bytes().endswith(b"\n2")


def test_one_flipped_bit_anywhere_is_noticed_and_the_previous_checkpoint_used(tmp_path, caplog):
    write_checkpoint(tmp_path / "last.ckpt", b"older")
    write_checkpoint(tmp_path / "last.ckpt", b"newer")
    path, previous = tmp_path / "last.ckpt", tmp_path / "last.ckpt.previous"
    newer, older = path.read_bytes(), previous.read_bytes()
    for place in range(len(newer)):
        damaged = bytearray(newer)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        previous.write_bytes(older)
        caplog.clear()
        assert read_checkpoint(tmp_path) == b"older"
        assert "last.ckpt is damaged" in caplog.text and caplog.records[0].levelno == logging.WARNING


@pytest.mark.parametrize("size", [0, 1, 50, 87, 88, 90])
def test_a_truncated_checkpoint_is_noticed(tmp_path, size):
    write_checkpoint(tmp_path / "last.ckpt", b"older")
    write_checkpoint(tmp_path / "last.ckpt", b"newer")
    os.truncate(tmp_path / "last.ckpt", size)
    assert read_checkpoint(tmp_path) == b"older"


def test_a_damaged_checkpoint_does_not_become_the_one_kept_for_safety(tmp_path):
    write_checkpoint(tmp_path / "last.ckpt", b"1")
    write_checkpoint(tmp_path / "last.ckpt", b"2")
    (tmp_path / "last.ckpt").write_bytes(b"damaged")
    assert read_checkpoint(tmp_path) == b"1"
    write_checkpoint(tmp_path / "last.ckpt", b"2 again")
    (tmp_path / "last.ckpt").write_bytes(b"damaged")
    assert read_checkpoint(tmp_path) == b"1"


def test_two_damaged_checkpoints_are_an_error_that_names_them(tmp_path):
    (tmp_path / "last.ckpt").write_bytes(b"x")
    (tmp_path / "last.ckpt.previous").write_bytes(b"y")
    with pytest.raises(UserError, match=r"last\.ckpt is damaged.*last\.ckpt\.previous is damaged"):
        read_checkpoint(tmp_path)
