"""Image files decoded to one size, once for all processes."""

import hashlib
import logging
import os
import struct
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.errors import UserError
from headstart.store import shared_images, write_facts, write_images

log = logging.getLogger(__name__)

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # nothing that starts a program, such as EPS
CACHE_VERSION = 2  # raise it when `decode` gives other pixels


@dataclass(frozen=True, eq=False)
class Decoded:
    """Pictures, and what was seen on decoding."""

    images: np.ndarray  # uint8 [N, size, size, 3], memory-mapped
    digests: np.ndarray  # uint8 [N, 32], sha256 of the pixels at full size
    sizes: np.ndarray  # int32 [N, 2], width and height in the file


def decode_once(root: Path, paths: list[str], size: int, cache: Path) -> Decoded:
    """Decoded pictures root/path for each path, from the cache, decoding them first when they are not there.

    The key holds every file's path, size, time of modification and of change of its inode, so that a start costs a
    `stat` per file rather than reading all of them; a file altered in place gets another inode time even where its
    modification time was put back.
    Raises UserError for unreadable files, by name, and for a cache folder that cannot be written.
    """
    cache = cache.expanduser().absolute()
    if cache.resolve().is_relative_to(root.resolve()):
        raise UserError(f"data.cache={cache} lies among the pictures in {root}; give a folder outside.")
    try:
        kept = shared_images(
            cache, f"folder-{_key(root, paths, size)}", lambda folder: _decode_all(root, paths, size, folder)
        )
    except OSError as error:
        raise UserError(
            f"data.cache={cache} cannot be written ({error.strerror or error}); give another folder: data.cache=FOLDER."
        ) from error
    return Decoded(kept.images, kept.facts["digests"], kept.facts["sizes"])


def decode(path: Path, size: int) -> tuple[np.ndarray, bytes, tuple[int, int]]:
    """Decode one image file to uint8 [size, size, 3]; also the sha256 of its full-size pixels, and (width, height).

    Turned upright by its EXIF tag, then to RGB: palettes resolved, grey in all channels, 16-bit scaled to 8,
    transparent pixels laid on white. The largest centred square is resized (bilinear, antialiased).
    Raises whatever Pillow raises for a damaged file, and ValueError for more than Pillow's MAX_IMAGE_PIXELS, which is
    read from the header before anything is decoded.
    """
    from PIL import Image, ImageOps

    with Image.open(path, formats=FORMATS) as image:
        width, height = image.size
        if width * height > Image.MAX_IMAGE_PIXELS:
            raise ValueError(f"{width} x {height} pixels; at most {Image.MAX_IMAGE_PIXELS:,} are decoded")
        picture = _rgb(ImageOps.exif_transpose(image), image.format)
    digest = hashlib.sha256(struct.pack("<II", *picture.size) + picture.tobytes()).digest()
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(square), digest, (width, height)


def _rgb(image, kind: str | None):
    from PIL import Image

    if image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PNG", "PPM")):
        values = np.asarray(image).astype(np.int64)
        return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError("32-bit pixels, whose range is unknown; save it with 8 or 16 bits")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _key(root: Path, paths: list[str], size: int) -> str:
    digest = hashlib.sha256(f"{CACHE_VERSION} {size} ".encode() + os.fsencode(root.resolve()))
    for path in paths:
        try:
            facts = os.stat(root / path)
            what = f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns}"
        except OSError:  # a dangling link, which decoding will report by name
            what = "unreadable"
        digest.update(os.fsencode(path) + f"\0{what}\n".encode())
    return digest.hexdigest()[:24]


def _decode_all(root: Path, paths: list[str], size: int, folder: Path) -> None:
    """Write the pictures and what was seen on decoding into `folder`. Raises UserError that names unreadable files."""
    log.info("decoding %d pictures in %s to %d x %d, once", len(paths), root, size, size)
    digests, sizes, unreadable = [], [], []

    def decoded() -> Iterator[np.ndarray]:
        for found in pool.map(lambda path: _try_decode(root, path, size), paths):
            if isinstance(found, str):
                unreadable.append(found)
                continue
            pixels, digest, extent = found
            digests.append(np.frombuffer(digest, np.uint8))
            sizes.append(extent)
            yield pixels

    # Closed, so that a full disk ends the decoding, too.
    with _pool() as pool, closing(decoded()) as pictures, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow only warns of (a broken EXIF tag) is no reason to stop
        write_images(folder, pictures, (len(paths), size, size, 3))
    if unreadable:
        lines = [*unreadable[:10], *([f"... and {len(unreadable) - 10} more"] if len(unreadable) > 10 else [])]
        count = f"{len(unreadable)} of {len(paths)} images in {root}"
        raise UserError("\n".join([f"{count} cannot be read; repair or delete them:", *lines]))
    write_facts(folder, digests=np.stack(digests), sizes=np.array(sizes, np.int32))
    names = "".join(f"{path}\n" for path in paths)  # for people: which file is row 17
    (folder / "files.txt").write_text(names, encoding="utf-8", errors="backslashreplace")


def _pool():
    return ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())


def _try_decode(root: Path, path: str, size: int) -> tuple[np.ndarray, bytes, tuple[int, int]] | str:
    """What `decode` returns, or what is wrong with the file: one bad file must not hide the others."""
    try:
        return decode(root / path, size)
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files; all are reported by name
        reason = "no image that Pillow knows" if type(error).__name__ == "UnidentifiedImageError" else str(error)
        return f"{shown(path)}: {reason or type(error).__name__}"


def shown(path: str) -> str:
    """A file's name as it can be printed on one line."""
    return path if path.isprintable() else ascii(path)
