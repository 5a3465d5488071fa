"""Image files decoded to one size, once for all processes."""

import contextlib
import hashlib
import io
import logging
import os
import struct
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from headstart.data.copies import Copies
from headstart.data.folder_tree import Tree
from headstart.data.look_alikes import perceptual_hashes, small_grey
from headstart.data.picture_files import formats, shown
from headstart.data.refusals import Unreadable
from headstart.errors import UserError
from headstart.store import shared_images, write_facts, write_images

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)

CACHE_VERSION = 3  # raise it when `decode` gives other pixels, or something else is kept beside them
ORIENTATION = 0x0112  # among the EXIF tags
NAMED = 10  # files in a message
HASHED = 1000  # pictures whose perceptual hashes are computed at a time


@dataclass(frozen=True, eq=False)
class Decoded:
    """Pictures, and what was seen on decoding."""

    images: np.ndarray  # uint8 [N, size, size, 3], memory-mapped
    digests: np.ndarray  # uint8 [N, 32], sha256 of the pixels at full size
    sizes: np.ndarray  # int32 [N, 2], width and height in the file
    hashes: np.ndarray  # uint64 [N], perceptual, of the decoded picture


@dataclass(frozen=True, eq=False)
class FileFacts:
    """What is kept of a data set's files. Positions, int64 [n], count those of all parts, one after the other."""

    root: Path  # the folder that they lie in
    sizes: np.ndarray  # int32 [N, 2], width and height of each file's picture
    hashes: np.ndarray  # uint64 [N], perceptual
    same: np.ndarray  # int [N], equal for exact copies
    places: Mapping[str, np.ndarray]  # positions of the pictures used, by part: train, val, test
    left_out: Mapping[str, Sequence[str]]  # paths below the root, by kind
    notes: Sequence[str]  # how the files were understood, a sentence each
    two_classes: int  # pictures that lie in two
    repeats: Mapping[str, int]  # copies within a part, by its name
    said: Sequence[str]  # of copies and look-alikes, a sentence each

    @classmethod
    def of(cls, tree: Tree, decoded: Decoded, copies: Copies, places: Mapping[str, np.ndarray]) -> Self:
        """What is worth keeping of what was seen."""
        return cls(
            root=tree.root,
            sizes=decoded.sizes,
            hashes=decoded.hashes,
            same=copies.same.astype(np.int32),
            places=places,
            left_out={kind: paths for kind, paths in tree.left_out.paths.items() if paths},
            notes=tree.notes,
            two_classes=copies.two_classes,
            repeats=copies.repeats,
            said=tuple(copies.said),
        )


def decode_once(root: Path, paths: list[str], size: int, cache: Path) -> Decoded:
    """Decoded pictures root/path for each path, from the cache, decoding them first when they are not there.

    The key holds every file's path, size, time of modification and of change of its inode, so that a start costs a
    `stat` per file rather than reading all of them; a file altered in place gets another inode time even where its
    modification time was put back.
    Raises Unreadable for such files, by name, and UserError for a cache folder that cannot be written.
    """
    cache = cache.absolute()
    try:
        kept = shared_images(
            cache, f"folder-{_key(root, paths, size)}", lambda folder: _decode_all(root, paths, size, folder)
        )
    except OSError as error:
        raise UserError(
            f"data.cache={cache} cannot be written ({error.strerror or error}); give another folder: data.cache=FOLDER."
        ) from error
    return Decoded(kept.images, *(kept.facts[name] for name in ("digests", "sizes", "hashes")))


def decode(path: Path | io.BytesIO, size: int) -> tuple[np.ndarray, bytes, tuple[int, int]]:
    """Decode an image file, or its content: uint8 [size, size, 3], sha256 of its full-size pixels, (width, height).

    Turned upright by its EXIF tag, then to RGB: palettes resolved, grey in all channels, 16-bit scaled to 8,
    transparent pixels laid on white. The largest centred square is resized (bilinear, antialiased).
    What is odd about the file's other blocks (EXIF, profiles, comments) is no matter.
    Raises whatever Pillow raises for damaged pixels, and ValueError for more than Pillow's MAX_IMAGE_PIXELS, which is
    read from the header before anything is decoded.
    """
    try:
        picture, extent = _read(path)
    except Exception as error:
        picture, extent = _read_bare(path, error)
    digest = hashlib.sha256(struct.pack("<II", *picture.size) + picture.tobytes()).digest()
    return _square(picture, size), digest, extent


def decode_image(image: "Image", size: int) -> np.ndarray:
    """A picture of Pillow's, uint8 [size, size, 3], as `decode` gives that which lies in a file. Raises as it does."""
    return _square(_rgb(_upright(image), image.format), size)


def _square(picture: "Image", size: int) -> np.ndarray:
    """The largest centred square of a picture in RGB, uint8 [size, size, 3]."""
    from PIL.Image import Resampling

    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return np.asarray(picture.crop((left, top, left + side, top + side)).resize((size, size), Resampling.BILINEAR))


def _read_bare(path: Path | io.BytesIO, error: Exception):
    """What `_read` returns of the file without other blocks. Raises the last error, that of the pixels."""
    for content in _bare(path):
        try:
            return _read(io.BytesIO(content))
        except Exception as another:
            error = another
    raise error


def _read(file: Path | io.BytesIO):
    """The picture in RGB, upright, and width and height in the file."""
    from PIL import Image

    # Never by its path: Pillow would map such a file, and take other bytes for its pixels where it is damaged.
    opened = file.open("rb") if isinstance(file, Path) else contextlib.nullcontext(file)
    with opened as content, Image.open(content, formats=formats()) as image:
        width, height = image.size
        if width * height > Image.MAX_IMAGE_PIXELS:
            raise ValueError(f"{width} x {height} pixels; at most {Image.MAX_IMAGE_PIXELS:,} are decoded")
        image.load()
        return _rgb(_upright(image), image.format), (width, height)


def _upright(image):
    """The picture as its EXIF tag says that it was taken; as it lies in the file where the EXIF block is damaged."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
    }
    turns |= {6: Transpose.ROTATE_270, 7: Transpose.TRANSVERSE, 8: Transpose.ROTATE_90}
    try:
        turn = turns.get(image.getexif().get(ORIENTATION))
    except Exception:  # of which Pillow's parsers raise almost any
        turn = None
    return image if turn is None else image.transpose(turn)


def _bare(path: Path | io.BytesIO) -> Iterator[bytes]:
    """The file without blocks that hold no pixels: first with the EXIF block, then without that, too."""
    with contextlib.suppress(OSError, struct.error):
        content = path.getvalue() if isinstance(path, io.BytesIO) else path.read_bytes()
        if content.startswith(b"\x89PNG\r\n\x1a\n"):
            for kept in (b"eXIf", b"tRNS"):
                yield content[:8] + b"".join(_chunks(content, (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", kept)))
        elif content.startswith(b"\xff\xd8"):
            for kept in ((0xE1, 0xEE), (0xEE,), ()):  # 0xEE: Adobe's, which says how the colours are meant
                yield content[:2] + b"".join(_segments(content, kept))
        elif content[4:8] == b"ftyp":  # AVIF: of what follows, an item of another type is left alone
            head, mark, rest = content.partition(b"mdat")
            yield head.replace(b"Exif", b"none") + mark + rest


def _chunks(content: bytes, kept: tuple[bytes, ...]) -> Iterator[bytes]:
    """Chunks of a PNG file, of these kinds alone."""
    place = 8
    while place + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        end = place + 12 + length
        if kind in kept:
            yield content[place:end]
        place = end


def _segments(content: bytes, kept: tuple[int, ...]) -> Iterator[bytes]:
    """Segments of a JPEG file up to its pixels, of the applications' own and comments these alone, and the rest."""
    place = 2
    while place + 4 <= len(content):
        start, marker, length = struct.unpack(">BBH", content[place : place + 4])
        if start != 0xFF or marker == 0xDA:  # pixels begin
            break
        end = place + 2 + length
        if marker in kept or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            yield content[place:end]
        place = end
    yield content[place:]


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
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it


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
    """Write the pictures and what was seen on decoding into `folder`. Raises Unreadable."""
    log.info("decoding %d pictures in %s to %d x %d, once", len(paths), root, size, size)
    digests, sizes, greys, hashes, unreadable = [], [], [], [], {}

    def decoded() -> Iterator[np.ndarray]:
        each = pool.map(lambda path: _try_decode(root, path, size), paths)
        for path, found in zip(paths, each, strict=True):
            if isinstance(found, str):
                unreadable[path] = found
                continue
            pixels, digest, extent, grey = found
            digests.append(np.frombuffer(digest, np.uint8))
            sizes.append(extent)
            greys.append(grey)
            if len(greys) == HASHED:
                hashes.append(perceptual_hashes(np.stack(greys)))
                greys.clear()
            yield pixels

    # Closed, so that a full disk ends the decoding, too.
    with _pool() as pool, contextlib.closing(decoded()) as pictures, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow only warns of (a broken EXIF tag) is no reason to stop
        write_images(folder, pictures, (len(paths), size, size, 3))
    if unreadable:
        lines = list(unreadable.values())[:NAMED]
        lines += [f"... and {len(unreadable) - NAMED} more"] if len(unreadable) > NAMED else []
        count = f"{len(unreadable)} of {len(paths)} images in {root}"
        raise Unreadable("\n".join([f"{count} cannot be read; repair or delete them:", *lines]), list(unreadable))
    hashes += [perceptual_hashes(np.stack(greys))] if greys else []
    write_facts(folder, digests=np.stack(digests), sizes=np.array(sizes, np.int32), hashes=np.concatenate(hashes))
    names = "".join(f"{path}\n" for path in paths)  # for people: which file is row 17
    (folder / "files.txt").write_text(names, encoding="utf-8", errors="backslashreplace")


def _pool():
    return ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())


def _try_decode(root: Path, path: str, size: int) -> tuple[np.ndarray, bytes, tuple[int, int], np.ndarray] | str:
    """What `decode` returns and its `small_grey`, or what is wrong: one bad file must not hide the others."""
    try:
        pixels, digest, extent = decode(root / path, size)
        return pixels, digest, extent, small_grey(pixels)
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files; all are reported by name
        reason = "no image that Pillow knows" if type(error).__name__ == "UnidentifiedImageError" else str(error)
        return f"{shown(path)}: {reason or type(error).__name__}"
