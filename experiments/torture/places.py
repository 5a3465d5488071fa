"""A study, its report and a single run in places that lack something: network, files, space, a home, a clock, a locale.

Wanted of each: what an undisturbed one leaves, or a refusal in words; and the same command afterwards, nothing lacking
any more, ends with the tables of an undisturbed one.
"""

import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from commands import Ended, fault_of, run, whole_study
from damage import STUDY
from same import difference, tables

KEYS = ("place", "command")
RUN = (
    *(word for word in STUDY if not word.startswith(("-m", "name=", "n_trials=", "confirm_"))),
    "hydra.run.dir=outputs/run",
)
COMMANDS = {"study": STUDY, "run": RUN, "report": ("report", "outputs/study")}
FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
NEW_MOUNTS, NEW_USER, NEW_NETWORK = 0x00020000, 0x10000000, 0x40000000  # of unshare(2)


def attempts(work: Path, seed: int) -> Iterator[tuple[tuple[str, str], Callable[[], dict[str, object]]]]:
    """Every place with every command, and what tries it."""
    whole_study(work / "whole", STUDY)
    for command in COMMANDS:
        for place in (*WITHIN, *AROUND):
            yield (place, command), partial(try_place, work / "whole", work / "case", place, command)


def is_wanted(row: dict[str, str]) -> bool:
    """Whether a command ended as it has to."""
    return not row["wrong"] and row["again_exit"] == "0" and not row["difference"]


def try_place(whole: Path, folder: Path, place: str, command: str) -> dict[str, object]:
    """Give the command there, and then again where nothing lacks; a row of places.csv."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if command == "report":
        shutil.copytree(whole / "outputs", folder / "outputs", symlinks=True)
    (folder / "outputs").mkdir(exist_ok=True)
    began = time.monotonic()
    found = _in_a_process(partial(_visit, folder, place, command))
    differs = difference(tables(whole / "outputs/study"), tables(folder / "kept")) if found["has_tables"] else ""
    return dict(
        exit=found["exit"],
        wrong=found["wrong"],
        said=found["said"],
        again_exit=found["again_exit"],
        difference=differs,
        last_line=found["last_line"],
        seconds=round(time.monotonic() - began, 1),
    )


def _visit(folder: Path, place: str, command: str) -> dict[str, object]:
    """Give the command in the place and then without what it lacks, in one process: a disk in memory ends with it."""
    words = COMMANDS[command]
    if place in WITHIN:
        enter, leave = WITHIN[place]
        try:
            enter(folder)
        except (OSError, subprocess.CalledProcessError) as error:
            said = f"no such place can be made here: {error}"
            return dict(exit="", wrong="", said=said, again_exit=0, last_line="", has_tables=False)
        broken = run(folder, *words)
        leave(folder)
    else:
        broken = _anew(folder, words, AROUND[place])
    if command == "run" and broken.code == 0:
        again = broken  # a run of its own that has ended is not done again
    else:
        again = run(folder, *(words if command != "run" else (*words[:-1], "hydra.run.dir=outputs/again")))
    has_tables = command != "run" and again.code == 0
    if has_tables:
        shutil.copytree(folder / "outputs/study/tables", folder / "kept/tables")
    lines = broken.text.strip().splitlines() or [""]
    return dict(
        exit=broken.code,
        wrong=_fault(broken),
        said=" / ".join(lines[-2:])[:300] if broken.code else "",
        again_exit=again.code,
        last_line=(again.text.strip().splitlines() or [""])[-1][:300] if again.code else "",
        has_tables=has_tables,
    )


def _fault(ended: Ended) -> str:
    """What is wrong with how a command ended; the log of what it did before does not count as its refusal."""
    if "Traceback" in ended.text:
        return ended.text[ended.text.index("Traceback") :][-600:]
    return fault_of(ended.code, "\n".join(ended.text.splitlines()[-12:]))


def _in_a_process(visit: Callable[[], dict[str, object]]) -> dict[str, object]:
    """What a function returns in a process of its own, whose limits and disks are gone afterwards."""
    reads, writes = os.pipe()
    process = os.fork()
    if not process:
        try:
            os.write(writes, json.dumps(visit()).encode())
        finally:
            os._exit(0)
    os.close(writes)
    with open(reads, "rb") as found:
        text = found.read()
    os.waitpid(process, 0)
    return json.loads(text)


def _anew(folder: Path, words: tuple[str, ...], environment: dict[str, str]) -> Ended:
    """Give the command to a new interpreter, which reads such variables as it starts."""
    began = time.monotonic()
    command = [sys.executable, "-c", "from headstart.cli.main import main; main()", *words]
    done = subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, check=False)
    return Ended(done.returncode, (done.stdout + done.stderr).decode(errors="replace"), time.monotonic() - began)


# -------------------------------------------------------------------------------------------------------------- places


def _limited(what: int, amount: int) -> tuple[Callable[[Path], None], Callable[[Path], None]]:
    before = resource.getrlimit(what)
    return (
        lambda _: resource.setrlimit(what, (amount, before[1])),
        lambda _: resource.setrlimit(what, before),
    )


def _apart(flags: int) -> None:
    """Have namespaces of its own, as root there."""
    user, group = os.getuid(), os.getgid()
    if ctypes.CDLL(None, use_errno=True).unshare(flags | NEW_USER):
        raise OSError(ctypes.get_errno(), "unshare is not permitted here")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def _mounted(options: str, where: Callable[[Path], Path], after: str = "") -> tuple[Callable, Callable]:
    """A small disk in the place of a folder; later with other options, or gone."""

    def enter(folder: Path) -> None:
        _apart(NEW_MOUNTS)
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", where(folder)], check=True)

    def leave(folder: Path) -> None:
        if after:
            subprocess.run(["mount", "-o", f"remount,{after}", where(folder)], check=True)
        else:
            subprocess.run(["umount", where(folder)], check=True)

    return enter, leave


def _variables(**given: str | None) -> tuple[Callable, Callable]:
    before = {name: os.environ.get(name) for name in given}

    def put(values: dict[str, str | None]) -> None:
        for name, value in values.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})

    return lambda _: put(given), lambda _: put(before)


def _home(options: str) -> tuple[Callable, Callable]:
    """A home of its own on such a disk, where the cache would be."""
    mount, unmount = _mounted(options, lambda folder: folder / "home")
    ours, before = _variables(HOME="home", HEADSTART_CACHE=None)

    def enter(folder: Path) -> None:
        (folder / "home").mkdir()
        mount(folder)
        ours(folder)
        os.environ["HOME"] = str(folder / "home")

    return enter, lambda folder: (before(folder), unmount(folder))


WITHIN: dict[str, tuple[Callable[[Path], object], Callable[[Path], object]]] = {
    "no network": (lambda _: _apart(NEW_NETWORK), lambda _: None),
    "64 open files": _limited(resource.RLIMIT_NOFILE, 64),
    "20 open files": _limited(resource.RLIMIT_NOFILE, 20),
    "files of 20 kB": _limited(resource.RLIMIT_FSIZE, 20_000),
    "files of 2 kB": _limited(resource.RLIMIT_FSIZE, 2_000),
    **{
        f"a disk of {size} kB": _mounted(f"size={size}k", lambda folder: folder / "outputs", "size=50m")
        for size in (100, 300, 600, 900)
    },
    "a disk of 20 files": _mounted("nr_inodes=20", lambda folder: folder / "outputs", "nr_inodes=10000"),
    "a read-only folder": _mounted("ro", lambda folder: folder / "outputs", "rw"),
    "a read-only home": _home("ro"),
    "a home of 10 kB": _home("size=10k"),
    "no home": _variables(HOME=None),
    "a home that is a file": _variables(HOME="/dev/null", HEADSTART_CACHE=None),
    "a cache that cannot be": _variables(HEADSTART_CACHE="/dev/null/x"),
    "no temporary folder": _variables(TMPDIR="/nonexistent"),
    "one column": _variables(COLUMNS="1"),
    "nonsense for a cache's size": _variables(HEADSTART_CACHE_GB="abc"),
}
ASCII = dict(LANG="C", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
AROUND: dict[str, dict[str, str]] = {
    "LANG=C": ASCII,
    "another time zone": dict(TZ="Pacific/Kiritimati"),
    "nonsense for threads": dict(OMP_NUM_THREADS="abc"),
}
if FAKETIME is not None:
    CLOCK = dict(LD_PRELOAD=str(FAKETIME))  # the monotonic one, too: with that left out libfaketime breaks time.sleep
    AROUND |= {
        "the year 1971": CLOCK | dict(FAKETIME="@1971-01-01 00:00:00"),
        "the year 2037": CLOCK | dict(FAKETIME="@2037-12-31 23:59:59"),
        "a clock 1,000 times too fast": CLOCK | dict(FAKETIME="+0 x1000"),
    }
