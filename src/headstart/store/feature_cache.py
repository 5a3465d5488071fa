"""Features of frozen backbones on disk: written once, locked while in use, bounded; `headstart cache` lists them.

An entry is a folder `features/<name>/` with `features.npy` and `facts.json`, whose time of modification says when it
was last used. While it is written it is `.<name>.unfinished/`, renamed when all of it is on disk, and the one who
writes holds `.<name>.lock`. Those who read it share the lock of `.<name>.used`, so that nobody removes it.
"""

import contextlib
import errno
import io
import itertools
import json
import logging
import mmap
import os
import shutil
import weakref
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.store.cache_paths import GB, shown_path, shown_size
from headstart.store.locks import acquire, close_locked, holding_lock
from headstart.store.run_folder import write_json
from headstart.store.scratch import lock_of, scratch_folder, scratch_of

log = logging.getLogger(__name__)

BLOCK = 2**24  # bytes read at a time for a checksum
MADV_POPULATE_READ = 22  # of Linux since 5.14; Python names it from 3.14 on


@dataclass(frozen=True, eq=False)
class FeatureEntry:
    """Features in use: nobody removes them from the disk while this object lives."""

    array: np.ndarray  # read-only, memory-mapped
    facts: dict[str, Any]
    path: Path

    def read_ahead(self) -> None:
        """Have the file read into memory in one go: ten times as fast as rows at random, and nothing when it is there.

        Only where Linux can and half of the free memory is enough; otherwise rows are read when they are asked for.
        """
        with contextlib.suppress(OSError), open(self.path, "rb") as file:
            if 2 * self.array.nbytes < _free_memory():
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                    mapped.madvise(MADV_POPULATE_READ)


@dataclass(frozen=True)
class Listed:
    """An entry as a list shows it."""

    name: str
    facts: dict[str, Any]  # empty: not readable
    size: int  # bytes on disk
    used: float  # seconds since the epoch
    held: bool  # a process is using or writing it


class NotKept(Exception):
    """Why features cannot be kept, such as that they do not fit when all that nobody uses is removed."""


class _Damaged(Exception):
    """What is wrong with an entry."""


class FeatureCache:
    """The entries in a folder, `limit` bytes at most, and never more than half of what the disk has free."""

    def __init__(self, folder: Path, limit: int):
        self.folder, self.limit = folder, limit

    def open(self, name: str) -> FeatureEntry | None:
        """The entry of that name; None where there is none or it is damaged, which is logged.

        Raises OSError where the folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = acquire(self._in_use(name), shared=True)
        entry = None
        try:
            entry = self._read(name)
        except _Damaged as damage:
            log.warning(
                "features: %s is damaged (%s) and will be computed again", shown_path(self.folder / name), damage
            )
        finally:
            if entry is None:
                close_locked(descriptor)
            else:
                weakref.finalize(entry, close_locked, descriptor)
        return entry

    def make(
        self, name: str, blocks: Iterator[np.ndarray], rows: int, facts: dict[str, Any], *, copies: int = 1,
        waiting: Callable[[], None] | None = None,
    ) -> bool:  # fmt: skip
        """Write the entry unless another process has done so meanwhile; returns whether this one did.

        blocks: its rows in order, [n, ...] each, `rows` in all; not touched when there is nothing to do.
        copies: how many of this size are still to be written, this one included; there has to be room for all.
        waiting: called once when another process is writing it, before waiting for that.
        Raises NotKept, and OSError where the disk is full or cannot be written; nothing is left behind then.
        """
        with scratch_folder(self.folder, name, waiting) as scratch:
            with contextlib.suppress(_Damaged):
                if self._read(name) is not None:
                    return False
            self._write(scratch, blocks, rows, facts, copies)
            shutil.rmtree(self.folder / name, ignore_errors=True)  # damaged; who has it mapped keeps what is mapped
            os.rename(scratch, self.folder / name)
            _sync(self.folder)
        return True

    def _write(
        self, scratch: Path, blocks: Iterator[np.ndarray], rows: int, facts: dict[str, Any], copies: int
    ) -> None:
        first = next(blocks)
        header, path, written = io.BytesIO(), scratch / "features.npy", 0
        described = {"descr": first.dtype.str, "fortran_order": False, "shape": (rows, *first.shape[1:])}
        np.lib.format.write_array_header_1_0(header, described)
        with open(path, "wb") as file:
            self._reserve(file.fileno(), header.tell() + rows * first[0].nbytes, copies)
            file.write(header.getbuffer())
            checksum = zlib.crc32(header.getbuffer())
            for block in itertools.chain([first], blocks):
                data = np.ascontiguousarray(block).reshape(-1).view(np.uint8).data
                file.write(data)
                checksum = zlib.crc32(data, checksum)
                written += len(block)
            file.flush()
            os.fsync(file.fileno())
        if written != rows:
            raise ValueError(f"{written} rows of features for {rows} pictures")
        write_json(scratch / "facts.json", facts | dict(crc32=checksum, identity=_identity(path)))

    def _read(self, name: str) -> FeatureEntry | None:
        """Map an entry whose content is as it was written; None where there is none. Raises _Damaged.

        Reading gigabytes for their checksum is spared where size, inode and its time are still those of the file that
        was written: the time of the inode changes with every write, and nobody can set it back.
        """
        folder = self.folder / name
        path = folder / "features.npy"
        if not folder.exists():
            return None
        try:
            facts = json.loads((folder / "facts.json").read_bytes())
            now, written = _identity(path), facts["identity"]
            if now[0] != written[0]:
                raise _Damaged(f"{now[0]:,} bytes instead of {written[0]:,}")
            if now != written:
                if _checksum(path) != facts["crc32"]:
                    raise _Damaged("its checksum differs")
                write_json(folder / "facts.json", facts | dict(identity=now))  # a copy, and a good one
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            os.utime(folder / "facts.json")
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise _Damaged(str(error)) from error
        return FeatureEntry(array, facts, path)

    # ---- room

    def _reserve(self, descriptor: int, size: int, copies: int) -> None:
        """Take the disk space now, so that the disk cannot fill up on the way and others see what is taken."""
        with holding_lock(self.folder / ".room.lock"):
            self.remove_leftovers()
            self._make_room(size * copies)
            try:
                os.posix_fallocate(descriptor, 0, size)
            except (OSError, AttributeError) as error:  # macOS has no such call, some file systems cannot
                if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise NotKept(f"the disk has no {shown_size(size)} left") from error
                os.ftruncate(descriptor, size)

    def _make_room(self, size: int) -> None:
        """Remove entries, of those that nobody uses the ones used least recently, until `size` bytes fit.

        Raises NotKept, with nothing removed, when all of them are not enough.
        """
        used = sum(size_on_disk(path) for path in self.folder.iterdir() if path.is_dir())
        free = shutil.disk_usage(self.folder).free
        victims = []
        for entry in reversed(self.entries()):
            if self._fits(size, used, free):
                break
            if not entry.held:
                victims.append(entry)
                used, free = used - entry.size, free + entry.size
        if not self._fits(size, used, free):
            most = max(0, min(self.limit - used, free // 2))
            raise NotKept(
                f"they need {shown_size(size)}, and {shown_size(most)} can be had in {shown_path(self.folder)} "
                f"(HEADSTART_CACHE_GB={self.limit / GB:g}, and half of the disk's free space)"
            )
        for entry in victims:
            if not self.remove(entry.name):  # somebody uses it since
                return self._make_room(size)
            log.info("features: removed those of %s, not used for the longest time", describe_features(entry.facts))

    def _fits(self, size: int, used: int, free: int) -> bool:
        return used + size <= self.limit and size <= free / 2

    def remove_leftovers(self) -> None:
        """Remove what killed processes were writing or removing."""
        for scratch in self.folder.glob(".*.unfinished"):
            name = scratch.name.removeprefix(".").removesuffix(".unfinished")
            with holding_lock(lock_of(self.folder, name), wait=False) as had:
                if had:
                    shutil.rmtree(scratch, ignore_errors=True)

    def remove(self, name: str) -> bool:
        """Remove an entry from the disk unless somebody uses or writes it; returns whether it is gone."""
        scratch = scratch_of(self.folder, name)
        locks = self._in_use(name), lock_of(self.folder, name)
        with holding_lock(locks[0], wait=False) as unused, holding_lock(locks[1], wait=False) as unwritten:
            if not (unused and unwritten):
                return False
            shutil.rmtree(scratch, ignore_errors=True)
            with contextlib.suppress(FileNotFoundError):
                os.rename(self.folder / name, scratch)
            shutil.rmtree(scratch, ignore_errors=True)
            for lock in locks:
                lock.unlink()
        return True

    def _in_use(self, name: str) -> Path:
        return self.folder / f".{name}.used"

    def entries(self) -> list[Listed]:
        """All entries, the one used last first; [] where there is no cache."""
        if not self.folder.is_dir():
            return []
        found = [self._listed(path) for path in self.folder.iterdir() if not path.name.startswith(".")]
        return sorted(filter(None, found), key=lambda entry: -entry.used)

    def _listed(self, path: Path) -> Listed | None:
        facts: Any = None
        try:
            used, size = path.stat().st_mtime, size_on_disk(path)
            with contextlib.suppress(OSError, ValueError):
                facts = json.loads((path / "facts.json").read_bytes())
                used = (path / "facts.json").stat().st_mtime
        except (FileNotFoundError, NotADirectoryError):  # removed in this moment, or nothing of ours
            return None
        with holding_lock(self._in_use(path.name), wait=False) as had:
            return Listed(path.name, facts if isinstance(facts, dict) else {}, size, used, not had)


def describe_features(facts: dict[str, Any]) -> str:
    """What an entry holds, in one line."""
    if not {"model", "image_size", "precision", "images", "mirror"} <= facts.keys():
        return "unreadable features"
    return "{model} at {image_size} px in {precision}, {images:,} images, {mirror}".format_map(facts)


def _identity(path: Path) -> list[int]:
    """Size first, then what changes when the file is written to or replaced."""
    facts = os.stat(path)
    return [facts.st_size, facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns]


def _checksum(path: Path) -> int:
    """crc32 of a file."""
    value = 0
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            value = zlib.crc32(block, value)
    return value


def size_on_disk(folder: Path) -> int:
    """Bytes on disk of the files in a folder."""
    total = 0
    with contextlib.suppress(FileNotFoundError):  # renamed or removed in this moment
        for entry in os.scandir(folder):
            total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total


def _free_memory() -> int:
    """Bytes that processes can have without others losing theirs; 0 where nobody tells."""
    with contextlib.suppress(OSError), open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    return 0


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
