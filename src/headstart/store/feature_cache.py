"""Features of frozen backbones on disk: written once, locked while in use, bounded; `headstart cache` lists them.

An entry is that of `cache_entry` with `features.npy`; when its `facts.json` was touched, it was last used. The one who
writes it holds `.<name>.lock`. Those who read it share the lock of `.<name>.used`, so that nobody removes it.
"""

import contextlib
import errno
import itertools
import logging
import mmap
import os
import shutil
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.store.cache_entry import FACTS, CacheEntry, DamagedEntry, make_entry, read_entry, seal_entry, write_array
from headstart.store.cache_paths import GB, shown_path, shown_size
from headstart.store.files import parse_json
from headstart.store.locks import acquire, close_locked, holding_lock
from headstart.store.scratch import lock_of, scratch_of

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

FEATURES = "features.npy"
MADV_POPULATE_READ = 22  # of Linux since 5.14; Python names it from 3.14 on


@dataclass(frozen=True, eq=False)
class FeatureEntry(CacheEntry):
    """Features in use: nobody removes them from the disk while this object lives."""

    def read_ahead(self) -> None:
        """Have the file read into memory in one go: ten times as fast as rows at random, and nothing when it is there.

        Only where Linux can and half of the free memory is enough; otherwise rows are read when they are asked for.
        """
        with contextlib.suppress(OSError), open(self.path, "rb") as file:
            if 2 * self.array.nbytes < _free_memory():
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                    mapped.madvise(MADV_POPULATE_READ)


@dataclass(frozen=True)
class ListedEntry:
    """An entry as a list shows it."""

    name: str
    facts: dict[str, Any]  # empty: not readable
    size: int  # bytes on disk
    used: float  # seconds since the epoch
    held: bool  # a process is using or writing it


class NotKept(Exception):
    """Why features cannot be kept, such as that they do not fit when all that nobody uses is removed."""


class FeatureCache:
    """The entries in a folder, `limit` bytes at most, and never more than half of what the disk has free."""

    def __init__(self, folder: Path, limit: int):
        self.folder, self.limit = folder, limit

    def open(self, name: str) -> FeatureEntry | None:
        """The entry of that name; None where there is none or it is damaged, which is logged.

        Raises OSError where the folder cannot be written, or the entry not be read now.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = acquire(self._in_use(name), shared=True)
        entry = None
        try:
            found = read_entry(self.folder / name, FEATURES)
            if found is not None:
                with contextlib.suppress(OSError):  # used all the same
                    os.utime(self.folder / name / FACTS)
                entry = FeatureEntry(found.array, found.facts, found.path)
        except DamagedEntry as damage:
            place = shown_path(self.folder / name)
            log.warning("features: %s is damaged (%s) and will be computed again", place, damage)
        finally:
            if entry is None:
                close_locked(descriptor)
            else:
                weakref.finalize(entry, close_locked, descriptor)
        return entry

    def make(
        self,
        name: str,
        blocks: Iterator["np.ndarray"],
        rows: int,
        facts: dict[str, Any],
        *,
        copies: int = 1,
        waiting: Callable[[], None] | None = None,
    ) -> bool:
        """Write the entry unless another process has done so meanwhile; returns whether this one did.

        blocks: its rows in order, [n, ...] each, `rows` in all; not touched when there is nothing to do.
        copies: how many of this size are still to be written, this one included; there has to be room for all.
        waiting: called once when another process is writing it, before waiting for that.
        Raises NotKept, and OSError where the disk is full or cannot be written; nothing is left behind then.
        """

        def write(scratch: Path) -> None:
            first = next(blocks)
            shape = (rows, *first.shape[1:])
            found = write_array(
                scratch / FEATURES,
                itertools.chain([first], blocks),
                first.dtype,
                shape,
                reserve=lambda descriptor, size: self._reserve(descriptor, size, copies),
            )
            if found != first[0].nbytes * rows:
                raise ValueError(f"{found // first[0].nbytes} rows of features for {rows} pictures")
            seal_entry(scratch, [FEATURES], facts)

        return make_entry(self.folder / name, FEATURES, write, waiting)

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

    def entries(self) -> list[ListedEntry]:
        """All entries, the one used last first; [] where there is no cache."""
        if not self.folder.is_dir():
            return []
        found = [self._listed(path) for path in self.folder.iterdir() if not path.name.startswith(".")]
        return sorted(filter(None, found), key=lambda entry: -entry.used)

    def _listed(self, path: Path) -> ListedEntry | None:
        facts: Any = None
        try:
            used, size = path.stat().st_mtime, size_on_disk(path)
            with contextlib.suppress(OSError, ValueError):
                facts = parse_json(path / FACTS)
                used = (path / FACTS).stat().st_mtime
        except (FileNotFoundError, NotADirectoryError):  # removed in this moment, or nothing of ours
            return None
        with holding_lock(self._in_use(path.name), wait=False) as had:
            return ListedEntry(path.name, facts if isinstance(facts, dict) else {}, size, used, not had)


def describe_features(facts: dict[str, Any]) -> str:
    """What an entry holds, in one line."""
    known = {"model", "image_size", "precision", "images", "flip"} <= facts.keys()
    if not known or not isinstance(facts["images"], int):
        return "unreadable features"
    return "{model} at {image_size} px in {precision}, {images:,} images, {flip}".format_map(facts)


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
