"""Kills, full disks, flipped bits and strange files, with real processes and file systems; nothing is mocked."""

import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headstart.errors import UserError
from headstart.store.run_folder import (
    EPOCH_FIELDS,
    FINISHED,
    append_epoch,
    find_runs,
    is_alive,
    lock_run,
    read_checkpoint,
    read_epochs,
    read_json,
    read_run,
    sha256_of,
    truncate_epochs,
    valid_name,
    write_atomically,
    write_checkpoint,
    write_json,
)


def epoch_row(epoch, **changed):
    return dict.fromkeys(EPOCH_FIELDS, 0.1) | dict(epoch=epoch, steps=10 * epoch, images=640 * epoch) | changed


def python(script, *arguments, before=(), **options):
    command = [*before, sys.executable, "-W", "error", "-c", script, *map(str, arguments)]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **options
    )


def finish(process):
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)


# ------------------------------------------------------------------------------------------------------- atomic writing


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
from headstart.store.run_folder import write_json
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
from headstart.store.run_folder import write_json
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


def in_tmpfs(script, folder, options):
    """Run the script with `folder` (its argv[1]) covered by a small tmpfs of its own."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("unshare -rm is not permitted here")
    mount = 'mount -t tmpfs -o "$1" tmpfs "$2" || exit 77; shift 2; exec "$@"'
    before = ["unshare", "-rm", "sh", "-c", mount, "sh", options, folder]
    process = python(script, folder, before=before)
    out, err = process.communicate(timeout=60)
    if process.returncode == 77:
        pytest.skip(f"no tmpfs here: {err.strip()}")
    assert process.returncode == 0, err
    return json.loads(out)


def test_a_full_disk_is_named_and_costs_nothing_that_was_there(tmp_path):
    script = """
import json, os, sys
from headstart.errors import UserError
from headstart.store.run_folder import *
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
rows = [row["epoch"] for row in read_epochs(folder)]
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
from headstart.store.run_folder import *
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


@pytest.fixture(scope="module")
def strace(tmp_path_factory):
    log = tmp_path_factory.mktemp("strace") / "log"
    if shutil.which("strace") is None or subprocess.run(["strace", "-o", log, "true"], capture_output=True).returncode:
        pytest.skip("strace is not here or not permitted")
    return ["strace", "-f", "-o", str(log), "-e"]


WRITE_ONCE = """
import sys
from headstart.errors import UserError
from headstart.store.run_folder import write_checkpoint
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


def test_json_holds_what_numpy_and_strange_file_names_bring(tmp_path):
    np = pytest.importorskip("numpy")
    write_json(
        tmp_path / "a",
        dict(
            array=np.eye(2), scalar=np.float32(0.5), count=np.int64(3), nan=float("nan"), path=Path("x"), bad="\udcff"
        ),
    )
    assert read_json(tmp_path / "a") == dict(array=[[1, 0], [0, 1]], scalar=0.5, count=3, nan=None, path="x", bad="?")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"9" * 10_000])
def test_a_file_that_is_not_json_is_named(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(UserError, match="a cannot be read as JSON"):
        read_json(tmp_path / "a")


def test_a_missing_json_file_is_named(tmp_path):
    with pytest.raises(UserError, match="a does not exist"):
        read_json(tmp_path / "a")


def test_sha256_is_that_of_the_standard(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_neither_torch_nor_hydra_nor_pandas_is_imported():
    script = (
        "import sys, headstart.store.run_folder; "
        "print(sorted({'torch', 'hydra', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    assert finish(python(script)) == "[]\n"


# --------------------------------------------------------------------------------------------------------------- epochs


def test_epochs_come_back_with_their_types_and_all_digits(tmp_path):
    rows = [epoch_row(1, lr=0.1 + 0.2, val_loss=None), epoch_row(2, train_loss=1e-300)]
    for row in rows:
        append_epoch(tmp_path, row)
    assert read_epochs(tmp_path) == rows
    assert all(type(row["steps"]) is int and type(row["lr"]) is float for row in read_epochs(tmp_path))


def test_the_header_is_stable_and_written_once(tmp_path):
    append_epoch(tmp_path, {"epoch": 1, "val_accuracy": 50})
    append_epoch(tmp_path, {"val_accuracy": 60, "epoch": 2})
    assert (tmp_path / "epochs.csv").read_text() == (
        "epoch,steps,images,lr,train_loss,train_accuracy,val_loss,val_accuracy,seconds_train,images_per_second,"
        "seconds_total\n1,,,,,,,50.0,,,\n2,,,,,,,60.0,,,\n"
    )


def test_unknown_epoch_columns_are_refused(tmp_path):
    with pytest.raises(ValueError, match="test_accuracy"):
        append_epoch(tmp_path, epoch_row(1, test_accuracy=99))
    assert not (tmp_path / "epochs.csv").exists()


def test_wherever_the_last_line_is_torn_the_whole_rows_survive_and_appending_goes_on(tmp_path):
    rows = [epoch_row(epoch, seconds_total=12.25 * epoch) for epoch in (1, 2, 3)]
    for row in rows:
        append_epoch(tmp_path, row)
    path, whole = tmp_path / "epochs.csv", (tmp_path / "epochs.csv").read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        survived = max(0, whole[:size].count(b"\n") - 1)
        assert read_epochs(tmp_path) == rows[:survived]
        append_epoch(tmp_path, rows[survived])
        assert read_epochs(tmp_path) == rows[: survived + 1]
    assert path.read_bytes() == whole


def test_a_torn_line_longer_than_the_row_that_follows_it_is_gone(tmp_path):
    append_epoch(tmp_path, epoch_row(1))
    whole = (tmp_path / "epochs.csv").read_bytes()
    (tmp_path / "epochs.csv").write_bytes(whole + b"2," * 500)
    append_epoch(tmp_path, {"epoch": 2})
    assert (tmp_path / "epochs.csv").read_bytes() == whole + b"2,,,,,,,,,,\n"


def test_epochs_after_the_checkpoint_are_dropped_on_resume(tmp_path):
    for epoch in (1, 2, 3):
        append_epoch(tmp_path, epoch_row(epoch))
    truncate_epochs(tmp_path, keep=2)
    assert [row["epoch"] for row in read_epochs(tmp_path)] == [1, 2]
    append_epoch(tmp_path, epoch_row(3, lr=0.7))
    assert read_epochs(tmp_path)[2]["lr"] == 0.7
    truncate_epochs(tmp_path, keep=0)
    assert read_epochs(tmp_path) == []


def test_truncating_without_a_file_does_nothing(tmp_path):
    truncate_epochs(tmp_path, 3)
    assert os.listdir(tmp_path) == []


def test_an_epoch_that_stands_twice_counts_as_it_was_the_last_time(tmp_path, caplog):
    for row in (epoch_row(1), epoch_row(2, lr=0.5), epoch_row(2, lr=0.7)):
        append_epoch(tmp_path, row)
    assert [row["lr"] for row in read_epochs(tmp_path)] == [0.1, 0.7]
    assert "1 lines are damaged or double" in caplog.text


def test_a_file_with_other_columns_keeps_the_known_ones_when_it_is_appended_to(tmp_path):
    (tmp_path / "epochs.csv").write_text("val_accuracy,note,epoch\n50.0,hello,1\n")
    append_epoch(tmp_path, epoch_row(2))
    first, second = read_epochs(tmp_path)
    assert (first["epoch"], first["val_accuracy"], first["lr"]) == (1, 50.0, None)
    assert second == epoch_row(2)


def test_an_appended_epoch_survives_the_kill_that_follows(tmp_path):
    script = """
import os, signal, sys
from headstart.store.run_folder import append_epoch
for epoch in (1, 2, 3):
    append_epoch(sys.argv[1], dict(epoch=epoch))
os.kill(os.getpid(), signal.SIGKILL)
"""
    python(script, tmp_path).communicate(timeout=60)
    assert [row["epoch"] for row in read_epochs(tmp_path)] == [1, 2, 3]


# ---------------------------------------------------------------------------------------------------------- checkpoints


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


# ----------------------------------------------------------------------------------------------------------------- lock

LOCK = """
import sys, time
from headstart.store.run_folder import lock_run
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
from headstart.store.run_folder import is_alive, lock_run
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
    script = (
        "import sys; from headstart.store.run_folder import is_alive\n"
        "print(sum(is_alive(sys.argv[1]) for _ in range(2000)))"
    )
    for process in [python(script, tmp_path) for _ in range(3)]:
        assert finish(process) == "0\n"


def test_locks_leave_no_descriptors_open(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        with lock_run(tmp_path):
            is_alive(tmp_path)
        write_json(tmp_path / "a", 1)
        append_epoch(tmp_path, epoch_row(1))
    assert len(os.listdir("/proc/self/fd")) == before


# -------------------------------------------------------------------------------------------------------------- the run

FACTS = dict(study="s", arm="cnn", phase="search", number=3, seed=0)
RESULT = FACTS | dict(state="COMPLETE", reason="", val_accuracy=71.5)


@pytest.mark.parametrize("state", FINISHED)
def test_a_finished_run_has_the_state_it_wrote(tmp_path, state):
    write_json(tmp_path / "run.json", FACTS)
    write_json(tmp_path / "result.json", RESULT | dict(state=state))
    assert read_run(tmp_path) == RESULT | dict(state=state)


def test_a_run_without_result_is_running_or_interrupted_by_its_lock(tmp_path):
    write_json(tmp_path / "run.json", FACTS)
    with lock_run(tmp_path):
        assert read_run(tmp_path) == FACTS | dict(state="RUNNING", reason="")
    assert read_run(tmp_path) == FACTS | dict(state="INTERRUPTED", reason="")


def test_a_run_that_left_only_its_folder_says_so(tmp_path):
    assert read_run(tmp_path) == dict(state="INTERRUPTED", reason="no run.json")
    with lock_run(tmp_path):
        assert read_run(tmp_path) == dict(state="RUNNING", reason="")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "unreadable result.json: Expecting property name"),
        ("[1]", "unreadable result.json: not an object"),
        ('{"state": "WON"}', "unreadable result.json: state='WON', expected one of COMPLETE"),
        ('{"state": ["COMPLETE"]}', "unreadable result.json: state='[\"COMPLETE\"]', expected"),
        ('{"val_accuracy": 99}', "unreadable result.json: state='null', expected"),
        ('{"state": "COMPLETE"}', "unreadable result.json: val_accuracy=null of a COMPLETE run"),
        ('{"state": "COMPLETE", "val_accuracy": NaN}', "unreadable result.json: val_accuracy=NaN"),
        ('{"state": "COMPLETE", "val_accuracy": "99"}', "unreadable result.json: val_accuracy=99"),
        ('{"state": "COMPLETE", "val_accuracy": true}', "unreadable result.json: val_accuracy=true"),
        ('{"state": "COMPLETE", "val_accuracy": 1e3}', "unreadable result.json: val_accuracy=1000.0"),
    ],
)
def test_a_damaged_result_counts_as_none_and_is_named(tmp_path, content, reason):
    write_json(tmp_path / "run.json", FACTS)
    (tmp_path / "result.json").write_text(content)
    run = read_run(tmp_path)
    assert run["state"] == "INTERRUPTED" and run["reason"].startswith(reason)
    assert {key: run[key] for key in FACTS} == FACTS and "val_accuracy" not in run


def test_a_damaged_run_json_leaves_the_result(tmp_path):
    (tmp_path / "run.json").write_bytes(b"\xff\xff")
    write_json(tmp_path / "result.json", RESULT)
    run = read_run(tmp_path)
    assert run["state"] == "COMPLETE" and run["reason"].startswith("unreadable run.json")


@pytest.mark.timeout(20)
def test_pipes_folders_and_broken_links_in_place_of_files_are_survived(tmp_path):
    os.mkfifo(tmp_path / "result.json")
    (tmp_path / "run.json").mkdir()
    (tmp_path / "epochs.csv").symlink_to("nowhere")
    (tmp_path / ".lock").mkdir()
    run = read_run(tmp_path)
    assert run["reason"] == "unreadable result.json: not a regular file; unreadable run.json: not a regular file"
    assert read_epochs(tmp_path) == []


def mutated(data, rng):
    """Flip, cut, insert, repeat or replace: what disks, editors and merge tools do to a file."""
    data, kind, place = bytearray(data), rng.randrange(6), rng.randrange(len(data))
    if kind == 0:
        data[place] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del data[place:]
    elif kind == 2:
        del data[place : place + rng.randrange(1, 40)]
    elif kind == 3:
        data[place:place] = rng.randbytes(rng.randrange(1, 20))
    elif kind == 4:
        data[place:place] = rng.choice(
            [b"\0", b"\r", b"\n", b'"', b",", b"\xef\xbb\xbf", b"\\ud800", b"9" * 400, b"nan"]
        )
    else:
        data[:] = data[place:] + data[:place]
    return bytes(data)


def test_300_damaged_runs_are_read_without_an_exception(tmp_path):
    rng = random.Random(1)
    write_json(tmp_path / "run.json", FACTS)
    write_json(tmp_path / "result.json", RESULT)
    for epoch in (1, 2, 3):
        append_epoch(tmp_path, epoch_row(epoch))
    originals = {name: (tmp_path / name).read_bytes() for name in ("run.json", "result.json", "epochs.csv")}
    for _ in range(300):
        for name, data in originals.items():
            (tmp_path / name).write_bytes(mutated(data, rng) if rng.random() < 0.7 else data)
        assert read_run(tmp_path)["state"] in (*FINISHED, "INTERRUPTED")
        assert all(type(row["epoch"]) is int and row["epoch"] > 0 for row in read_epochs(tmp_path))
        if rng.random() < 0.3:  # each one waits for the disk
            append_epoch(tmp_path, epoch_row(4))
            assert epoch_row(4) in read_epochs(tmp_path)


# ---------------------------------------------------------------------------------------------------- names and folders


def test_runs_are_found_by_any_of_their_files_sorted_and_without_tables(tmp_path):
    for folder, name in (
        ("b/search/000", ".hydra/config.yaml"),
        ("b/search/001", "run.json"),
        ("a/confirm/004/seed-1", "result.json"),
        ("a/confirm/004/seed-0", "epochs.csv"),
        ("tables", "epochs.csv"),
        ("tables/old", "epochs.csv"),
        ("tables/search/000", "run.json"),  # an arm of that name
        ("b/search/002", "notes.txt"),
        ("b/.trash/003", "run.json"),
    ):
        (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / name).touch()
    (tmp_path / "c").symlink_to(tmp_path / "a")
    assert [run.relative_to(tmp_path).as_posix() for run in find_runs(tmp_path)] == [
        "a/confirm/004/seed-0",
        "a/confirm/004/seed-1",
        "b/search/000",
        "b/search/001",
        "tables/search/000",
    ]
    assert find_runs(tmp_path / "b/search/001") == [tmp_path / "b/search/001"]


def test_links_that_lead_out_or_in_circles_are_not_followed(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/run.json").touch()
    (tmp_path / "root").mkdir()
    (tmp_path / "root/out").symlink_to(tmp_path / "outside")
    (tmp_path / "root/circle").symlink_to(tmp_path / "root")
    assert find_runs(tmp_path / "root") == []


@pytest.mark.parametrize("name", ["a", "0", "pretraining_5000", "A.b-c_d", "x" * 64, "NA", "null"])
def test_plain_names_are_accepted(name):
    assert valid_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "/etc",
        "a b",
        "a\n",
        "\na",
        "=1+1",
        "-x",
        "_x",
        "x" * 65,
        "é",
        "a\0",
        "<b>",
        "a,b",
        None,
        7,
    ],
)
def test_other_names_are_refused_with_the_rule(name):
    with pytest.raises(UserError, match="cannot be a name: expected 1 to 64 characters"):
        valid_name(name)
