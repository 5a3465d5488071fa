"""A fault at every system call with which one trial, and one report, write: a kill, or an error of the disk, by strace.

Wanted of each: no traceback; where the command ends as if all were well, and names no file, its tables are those of an
undisturbed one; and the same command again, the fault gone, ends with them, no trial lost or doubled.
"""

import contextlib
import os
import random
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from commands import Ended, begin, finish, run, whole_study
from same import difference, tables

STUDY = (
    *("-m", "name=study", "model=cnn", "model.depth=1", "model.width=4", "data=digits", "data.train_size=100"),
    *("epochs=2", "batch_size=50", "threads=1", "precision=fp32", "augmentation=none", "n_trials=1", "confirm_seeds=1"),
)
COMMANDS = {"trial": STUDY, "report": ("report", "outputs/study")}  # a study of one trial, begun anew; its report alone
MAKE = ("openat", "mkdir", "rename", "unlink", "rmdir")  # what changes a folder
FILL = ("write", "pwrite64", "ftruncate", "fsync", "fdatasync")  # what changes a file
FAULTS = {  # and the calls that may meet it
    "SIGKILL": (*MAKE, *FILL, "flock"),
    "ENOSPC": ("openat", "mkdir", "rename", *FILL),
    "EIO": (*MAKE, *FILL),
    "EROFS": MAKE,
    "EMFILE": ("openat",),
}
CALLS = FAULTS["SIGKILL"]
KEYS = ("command", "fault", "call", "number", "file")
LINE = re.compile(r"\d+ +(?P<call>\w+)\((?P<rest>.*)")


@dataclass(frozen=True)
class Point:
    """A system call of a command: the `number`th of its name, counted from 1, and the file that it is about."""

    call: str
    number: int
    file: str
    writes: bool  # an openat that may make or change the file; True of all other calls


def traced(folder: Path, words: tuple[str, ...], options: list[str], notes: Path) -> Ended:
    """Run a command under strace with those options from its first call on; strace writes to `notes`."""
    log, began = folder / "said.txt", time.monotonic()
    ready, go = os.pipe()
    process = begin(folder, list(words), log, before=lambda: os.read(ready, 1))
    command = ["strace", "-f", "-y", "-qq", "-o", str(notes), "-p", str(process), *options]
    tracer = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while tracer.poll() is None and not _is_traced(process):
        time.sleep(0.005)
    os.write(go, b"!")
    ended = finish(process, log, began)
    for end in (ready, go):
        os.close(end)
    tracer.wait()
    return ended


def _is_traced(process: int) -> bool:
    with contextlib.suppress(OSError):
        return "\nTracerPid:\t0\n" not in Path(f"/proc/{process}/status").read_text()
    return True


def points(whole: Path, folder: Path, command: str) -> list[Point]:
    """Every call of an undisturbed command that is about a file of its own or about what it prints."""
    begin_with(whole, folder, command)
    notes = folder / "calls.txt"
    ended = traced(folder, COMMANDS[command], ["-e", "trace=" + ",".join(CALLS)], notes)
    if ended.code:
        raise RuntimeError(f"{command} under strace ended with {ended.code}:\n{ended.text[-2000:]}")
    counts, found = Counter(), []
    lines = notes.read_text(errors="replace").splitlines()
    own = lines[0].split()[0]  # not what it starts, such as git, whose calls are counted by themselves
    for line in lines:
        if (match := LINE.match(line)) and line.split()[0] == own:
            call, rest = match["call"], match["rest"]
            counts[call] += 1
            file = _file_of(rest, call)
            if file != Path() and not _is_elsewhere(file, folder):
                writes = call != "openat" or "O_CREAT" in rest or "O_WRONLY" in rest or "O_RDWR" in rest
                found.append(Point(call, counts[call], _short(file, folder), writes))
    return found


def _file_of(line: str, call: str) -> Path:
    """The file that a call is about, as strace writes it down; an empty path where it is about none."""
    found = re.findall(r'"([^"]*)"' if call in MAKE else r"<([^>]*)>", line)
    return Path(found[0] if found else "")


def _is_elsewhere(file: Path, folder: Path) -> bool:
    """Whether a file is Python's, or the machine's; the command runs in its own folder, from which names may begin."""
    places = (folder, Path(os.environ["HEADSTART_CACHE"]))
    return file.is_absolute() and not any(file.is_relative_to(place) for place in places)


def _short(file: Path, folder: Path) -> str:
    """A file's name without where this study lies and without what differs from time to time."""
    inside = file.relative_to(folder) if file.is_relative_to(folder) else file
    return re.sub(r"\d{4}-\d\d-\d\d[^/]*|[0-9a-f]{12,}|tmp\w{8}", "*", inside.as_posix())


def begin_with(whole: Path, folder: Path, command: str) -> None:
    """A folder as the command finds it: empty for the trial, an ended study for the report."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if command == "report":
        shutil.copytree(whole / "outputs", folder / "outputs", symlinks=True)
        shutil.rmtree(folder / "outputs/study/tables")


def attempts(work: Path, seed: int) -> Iterator[tuple[tuple[object, ...], Callable[[], dict[str, object]]]]:
    """(command, fault, call, its number, file) of every case, in an order that the seed shuffles, and what tries it."""
    if shutil.which("strace") is None:
        print("calls: there is no strace here, which brings the faults about; nothing is tried")
        return
    whole, folder = work / "whole", work / "case"
    whole_study(whole, STUDY)
    found = [
        (command, fault, point)
        for command in COMMANDS
        for point in points(whole, folder, command)
        for fault, calls in FAULTS.items()
        if point.call in calls and (point.writes or fault in ("SIGKILL", "EIO", "EMFILE"))
    ]
    random.Random(seed).shuffle(found)
    for command, fault, point in found:
        names = (command, fault, point.call, point.number, point.file)
        yield names, partial(try_case, whole, folder, command, fault, point)


def is_wanted(row: dict[str, str]) -> bool:
    """Whether a case ended as it has to; a call that another moment did not come to has nothing to show."""
    died = row["exit"] == "-9" and row["fault"] != "SIGKILL"
    return row["again_same"] == "True" and not row["wrong"] and not died and row["tracebacks"] == "0"


def try_case(whole: Path, folder: Path, command: str, fault: str, point: Point) -> dict[str, object]:
    """Give the command with that fault, then again without; a row of calls.csv."""
    begin_with(whole, folder, command)
    kind = "signal=KILL" if fault == "SIGKILL" else f"error={fault}"
    options = ["-e", f"trace={point.call}", "-e", f"inject={point.call}:{kind}:when={point.number}"]
    began, notes = time.monotonic(), folder / "calls.txt"
    broken = traced(folder, COMMANDS[command], options, notes)
    met = [line for line in notes.read_text(errors="replace").splitlines() if line.endswith("(INJECTED)")]
    expected = tables(whole / "outputs/study")
    noticed = broken.code or (met and _file_of(met[0], point.call).name in broken.text)
    wrong = "" if noticed else difference(expected, tables(folder / "outputs/study"))
    again = run(folder, *STUDY)
    differs = difference(expected, tables(folder / "outputs/study")) if again.code == 0 else ""
    lines = broken.text.strip().splitlines() or [""]
    return dict(
        hit=bool(met) or (fault == "SIGKILL" and broken.code == -9),
        exit=broken.code,
        wrong=wrong,
        said=" / ".join(lines[-2:])[:300] if broken.code > 0 else "",
        again_exit=again.code,
        again_same=again.code == 0 and not differs,
        difference=differs,
        last_line=(again.text.strip().splitlines() or [""])[-1][:200] if again.code else "",
        tracebacks=broken.text.count("Traceback") + again.text.count("Traceback"),
        seconds=round(time.monotonic() - began, 1),
    )
