"""Pictures that all processes of a machine share: decoded once into a cache folder, checked, memory-mapped."""

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.store.cache_entry import DamagedEntry, make_entry, read_entry, seal_entry, write_array

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

IMAGES, IMAGE_FACTS = "images.npy", "facts.npz"


@dataclass(frozen=True, eq=False)
class SharedImages:
    """Pictures and what was written beside them."""

    images: "np.ndarray"  # uint8 [N, H, W, 3], memory-mapped, read-only
    facts: dict[str, "np.ndarray"]


def shared_images(cache: Path, name: str, write: Callable[[Path], None]) -> SharedImages:
    """The entry `cache/name`; made first by `write(folder)` where it is not there or damaged.

    `write` calls `write_images` and then `write_facts`. Processes that ask for the same entry wait for the one that
    makes it. Raises OSError for a folder that cannot be read or written, and what `write` raises.
    """
    kept = _read(cache / name)
    if kept is None:
        make_entry(cache / name, IMAGES, write)
        kept = _read(cache / name)
    if kept is None:
        raise OSError(f"{cache / name} does not hold what was written to it")
    return kept


def write_images(folder: Path, blocks: Iterable["np.ndarray"], shape: tuple[int, ...]) -> None:
    """Write pictures, block by block uint8 [n, H, W, 3] or one by one uint8 [H, W, 3]; shape: of all of them."""
    import numpy as np

    write_array(folder / IMAGES, blocks, np.dtype(np.uint8), shape)


def write_facts(folder: Path, **facts: "np.ndarray") -> None:
    """Write what belongs to the pictures; with it the entry is whole."""
    import numpy as np

    with open(folder / IMAGE_FACTS, "wb") as file:
        np.savez(file, **facts)
        file.flush()
        os.fsync(file.fileno())
    seal_entry(folder, (IMAGES, IMAGE_FACTS), {})


def _read(folder: Path) -> SharedImages | None:
    """The entry in `folder`; None where there is none or it is damaged, which is logged."""
    import numpy as np

    try:
        entry = read_entry(folder, IMAGES)
        if entry is None:
            return None
        with np.load(folder / IMAGE_FACTS, allow_pickle=False) as arrays:
            return SharedImages(entry.array, dict(arrays))
    except (DamagedEntry, FileNotFoundError) as damage:  # not found: another process replaces a damaged one
        log.warning("the cache %s is damaged (%s); decoding the pictures again", folder, damage)
    return None
