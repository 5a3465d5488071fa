"""The room as a whole: full and read-only disks, and what it does without."""

import os

from headstart.store import append_epoch, is_alive, lock_run, write_json
from store.helpers_store import epoch_row, finish, in_tmpfs, python


def test_a_full_disk_is_named_and_costs_nothing_that_was_there(tmp_path):
    script = """
import json, os, sys
from headstart.errors import UserError
from headstart.store import *
folder = sys.argv[1]
errors = []
def attempt(function, *arguments):
    try:
        function(*arguments)
    except UserError as error:
        errors.append(str(error))
write_atomically(folder + "/a", b"old")
write_checkpoint(folder + "/last.ckpt", b"epoch 1")
append_epoch(folder, dict(epoch=1, val_accuracy=50))
attempt(write_atomically, folder + "/a", b"x" * 200000)
attempt(write_checkpoint, folder + "/last.ckpt", b"x" * 200000)
with open(folder + "/filler", "wb", buffering=0) as file:
    try:
        while file.write(b"x" * 512):
            pass
    except OSError:
        pass
for epoch in range(2, 400):
    attempt(append_epoch, folder, dict(epoch=epoch, val_accuracy=50))
    if len(errors) > 2:
        break
rows = [row.epoch for row in read_epochs(folder).rows]
text = open(folder + "/epochs.csv").read()
print(json.dumps(dict(errors=errors, a=open(folder + "/a").read(), checkpoint=read_checkpoint(folder).decode(),
                      rows=rows, epoch=epoch, whole=text.endswith("\\n"), left=sorted(os.listdir(folder)))))
"""
    seen = in_tmpfs(script, tmp_path, "size=128k")
    assert len(seen["errors"]) == 3
    for error, name in zip(seen["errors"], ("a", "last.ckpt", "epochs.csv"), strict=True):
        assert error.startswith(f"disk full: {tmp_path}/{name} ")
    assert (seen["a"], seen["checkpoint"]) == ("old", "epoch 1")
    assert seen["rows"] == list(range(1, seen["epoch"])) and seen["whole"]
    assert seen["left"] == ["a", "epochs.csv", "filler", "last.ckpt"]


def test_a_read_only_folder_is_named(tmp_path):
    script = """
import json, sys
from headstart.errors import UserError
from headstart.store import *
errors = []
for function, arguments in ((write_atomically, ("/a", b"x")), (append_epoch, ("", dict(epoch=1))), (lock_run, ("",))):
    try:
        function(sys.argv[1] + arguments[0], *arguments[1:])
    except UserError as error:
        errors.append(str(error))
print(json.dumps(errors))
"""
    errors = in_tmpfs(script, tmp_path, "ro")
    assert [error.split(" (")[0] for error in errors] == [
        f"{tmp_path}/{name} cannot be written" for name in ("a", "epochs.csv", ".lock")
    ]


def test_locks_leave_no_descriptors_open(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        with lock_run(tmp_path):
            is_alive(tmp_path)
        write_json(tmp_path / "a", 1)
        append_epoch(tmp_path, epoch_row(1))
    assert len(os.listdir("/proc/self/fd")) == before


def test_neither_torch_nor_hydra_nor_pandas_is_imported():
    script = "import sys, headstart.store; print(sorted({'torch', 'hydra', 'pandas', 'numpy'} & set(sys.modules)))"
    assert finish(python(script)) == "[]\n"
