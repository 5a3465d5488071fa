"""Which files a data set was read from: kept beside what began with them, so that a later change can be counted."""

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from headstart.store.files import LARGEST_RECORD, write_atomically

DIGEST = 8  # bytes kept of each file's digest; a change goes unseen once in 2 to the power of 64
NAMED = 3  # files that a sentence names of each kind


@dataclass(frozen=True, eq=False)
class FileListing:
    """Names of files, as they are below a data set's root, with the first `DIGEST` bytes of what identifies each."""

    names: Sequence[str]
    digests: bytes  # one after the other

    @cached_property
    def key(self) -> str:
        """12 hexadecimal digits: equal for the same files."""
        names = hashlib.sha256(os.fsencode("\0".join(self.names))).digest()
        return hashlib.sha256(names + self.digests).hexdigest()[:12]

    def by_name(self) -> dict[str, str]:
        """What identifies each file, as hexadecimal digits."""
        digits, width = self.digests.hex(), 2 * DIGEST
        return {name: digits[i * width : (i + 1) * width] for i, name in enumerate(self.names)}


def keep_listing(folder: Path, listing: FileListing) -> None:
    """Leave the listing in a folder, once: 60,000 files are a megabyte. Raises UserError where it can't be written."""
    path = _path(folder, listing.key)
    if not path.exists():
        content = json.dumps(listing.by_name()).encode()
        write_atomically(path, gzip.compress(content, compresslevel=1, mtime=0))


def changes_since(folder: Path, key: Any, now: FileListing) -> str | None:
    """What became of the files that were listed in `folder` under that key, counted, with the first few of each kind.

    None where that listing is not there or damaged.
    """
    before = _read(_path(folder, str(key)))
    if before is None:
        return None
    after = now.by_name()
    kinds = {
        "added": sorted(after.keys() - before.keys()),
        "gone": sorted(before.keys() - after.keys()),
        "changed": sorted(name for name in before.keys() & after.keys() if before[name] != after[name]),
    }
    if not any(kinds.values()):
        return f"all {len(after):,} files are as they were, but are read or split in another way"
    counts = ", ".join(f"{len(names):,} {kind}" for kind, names in kinds.items())
    listed = "; ".join(f"{kind}: {_first(names)}" for kind, names in kinds.items() if names)
    return f"{counts} of {len(before):,} files ({listed})"


def _path(folder: Path, key: str) -> Path:
    return folder / f"files-{key}.json.gz"


def _first(names: Sequence[str]) -> str:
    shown = [name if name.isprintable() else ascii(name) for name in names[:NAMED]]
    return ", ".join(shown) + (", ..." if len(names) > NAMED else "")


def _read(path: Path) -> dict[str, str] | None:
    try:
        with gzip.open(path) as file:
            content = file.read(LARGEST_RECORD + 1)
        found = json.loads(content) if len(content) <= LARGEST_RECORD else None
    except (OSError, EOFError, zlib.error, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and all(isinstance(value, str) for value in found.values()) else None
