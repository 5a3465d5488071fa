"""An entry of a cache: a folder with an array and what is known about it, there as a whole or not at all.

It is written in the scratch folder `.<name>.unfinished/` and renamed when all of it is on disk. `facts.json`, written
last, says of each of its files the checksum, and the size, inode and times. Where these are still the same, the file
need not be read for its checksum: the time of the inode changes with every write, and nobody can set it back.
"""

import contextlib
import io
import math
import os
import shutil
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import UserError
from headstart.store.files import as_json, parse_json, sync_folder, write_json
from headstart.store.scratch import scratch_folder

if TYPE_CHECKING:
    import numpy as np  # imported where arrays are written and read: the commands that do neither start without

FACTS = "facts.json"
BLOCK = 2**24  # bytes read at a time for a checksum


@dataclass(frozen=True, eq=False)
class CacheEntry:
    """An entry whose files are as they were written."""

    array: "np.ndarray"  # read-only, memory-mapped
    facts: dict[str, Any]
    path: Path  # of the array


class DamagedEntry(Exception):
    """What is wrong with an entry."""


def make_entry(
    folder: Path, array_name: str, write: Callable[[Path], None], waiting: Callable[[], None] | None = None
) -> bool:
    """Make the entry `folder` unless it is there by now, whole; return whether this process made it.

    `write(scratch)` puts the files into a scratch folder, `seal_entry` last. Processes that make the same entry take
    turns; waiting: called once when another process is at work.
    Raises OSError where the disk is full or cannot be written, and what `write` raises; nothing is left behind then.
    """
    with scratch_folder(folder.parent, folder.name, waiting) as scratch:
        with contextlib.suppress(DamagedEntry):
            if read_entry(folder, array_name) is not None:
                return False
        write(scratch)
        shutil.rmtree(folder, ignore_errors=True)  # damaged; who has it mapped keeps what is mapped
        os.rename(scratch, folder)
        sync_folder(folder.parent)
    return True


def write_array(
    path: Path,
    blocks: Iterable["np.ndarray"],
    dtype: "np.dtype",
    shape: tuple[int, ...],
    reserve: Callable[[int, int], None] | None = None,
) -> int:
    """Write an array as an .npy file, block by block in order; return how many bytes the blocks had.

    reserve: called with the file's descriptor and size in bytes before anything is written.
    """
    import numpy as np

    header, written = io.BytesIO(), 0
    np.lib.format.write_array_header_1_0(header, {"descr": dtype.str, "fortran_order": False, "shape": shape})
    with open(path, "wb") as file:
        if reserve is not None:
            reserve(file.fileno(), header.tell() + math.prod(shape) * dtype.itemsize)
        file.write(header.getbuffer())
        for block in blocks:
            written += file.write(np.ascontiguousarray(block).reshape(-1).view(np.uint8).data)
        file.flush()
        os.fsync(file.fileno())
    return written


def seal_entry(folder: Path, files: Iterable[str], facts: dict[str, Any]) -> None:
    """Write down what is known about an entry, and what its files are now: from here on they must stay so."""
    known = {name: dict(crc32=_checksum(folder / name), identity=_identity(folder / name)) for name in files}
    with open(folder / FACTS, "wb") as file:
        file.write(as_json(facts | dict(files=known)))
        file.flush()
        os.fsync(file.fileno())


def read_entry(folder: Path, array_name: str) -> CacheEntry | None:
    """Map the file `array_name` of an entry that is as it was written; None where there is no entry.

    Raises DamagedEntry, and OSError where it cannot be read now, which says nothing about what it holds.
    """
    import numpy as np

    if not folder.exists():
        return None
    try:
        facts = parse_json(folder / FACTS)
        files = {name: _checked(folder / name, written) for name, written in facts["files"].items()}
        if array_name not in files:
            raise DamagedEntry(f"{FACTS} says nothing of {array_name}")
        entry = CacheEntry(np.load(folder / array_name, mmap_mode="r", allow_pickle=False), facts, folder / array_name)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise DamagedEntry(str(error)) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:  # facts.json is damaged
        raise DamagedEntry(str(error)) from error
    if files != facts["files"]:  # a copy, and a good one
        with contextlib.suppress(OSError, UserError):  # one that can only be read is read whole every time
            write_json(folder / FACTS, facts | dict(files=files))
    return entry


def _checked(path: Path, written: dict[str, Any]) -> dict[str, Any]:
    """Return what `facts.json` should say of a file whose content is as it was written. Raises DamagedEntry."""
    now, before = _identity(path), written["identity"]
    if now == before:
        return written
    if now[0] != before[0]:
        raise DamagedEntry(f"{path.name}: {now[0]:,} bytes instead of {before[0]:,}")
    if _checksum(path) != written["crc32"]:
        raise DamagedEntry(f"{path.name}: its checksum differs")
    return dict(crc32=written["crc32"], identity=now)


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
