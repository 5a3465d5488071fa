"""Pictures that all processes of a machine share: written once into a cache folder, checked, memory-mapped."""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.store.scratch import scratch_folder

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Mapped:
    """Pictures and what was written beside them."""

    images: np.ndarray  # uint8 [N, H, W, 3], memory-mapped, read-only
    facts: dict[str, np.ndarray]


def shared_images(cache: Path, name: str, write: Callable[[Path], None]) -> Mapped:
    """The entry `cache/name`; made first by `write(folder)` where it is not there or damaged.

    `write` calls `write_images` and then `write_facts`. Processes that ask for the same entry wait for the one that
    makes it. Raises OSError for a folder that cannot be read or written, and what `write` raises.
    """
    kept = _read(cache / name)
    if kept is not None:
        return kept
    with scratch_folder(cache, name) as scratch:
        kept = _read(cache / name)  # another process may have made it while this one waited
        if kept is None:
            write(scratch)
            shutil.rmtree(cache / name, ignore_errors=True)
            os.rename(scratch, cache / name)
            kept = _read(cache / name)
    if kept is None:
        raise OSError(f"{cache / name} does not hold what was written to it")
    return kept


def write_images(folder: Path, blocks: Iterable[np.ndarray], shape: tuple[int, ...]) -> None:
    """Write pictures, block by block uint8 [n, H, W, 3] or one by one uint8 [H, W, 3]; shape: of all of them."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with open(folder / "images.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            file.write(np.ascontiguousarray(block).data)
        file.flush()
        os.fsync(file.fileno())


def write_facts(folder: Path, **facts: np.ndarray) -> None:
    """Write what belongs to the pictures, and their checksum, which says that the entry is whole."""
    with open(folder / "images.npy", "rb") as file:
        whole = np.frombuffer(hashlib.file_digest(file, "sha256").digest(), np.uint8)
    with open(folder / "facts.npz", "wb") as file:
        np.savez(file, images_sha256=whole, **facts)
        file.flush()
        os.fsync(file.fileno())


def _read(folder: Path) -> Mapped | None:
    """The entry in `folder`; None where there is none or it is damaged, which is logged."""
    try:
        with open(folder / "facts.npz", "rb") as stored, np.load(stored, allow_pickle=False) as arrays:
            facts = dict(arrays)
        expected = facts.pop("images_sha256").tobytes()
        with open(folder / "images.npy", "rb") as file:
            intact = hashlib.file_digest(file, "sha256").digest() == expected
        if intact:
            return Mapped(np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False), facts)
    except FileNotFoundError:
        return None
    except OSError:
        raise  # says nothing about what the file holds
    except Exception as error:  # a damaged zip or npy raises almost anything; the pictures are decoded again
        log.warning("%s", error)
    log.warning("the cache %s is damaged; decoding the pictures again", folder)
    return None
