"""20,000 hostile pictures: whole ones of every format, damaged in seeded ways, and files made to harm.

Wanted of each: pixels of the size asked for, the same from a file and from memory, or an exception, which `data=folder`
says by the file's name; no crash, no hang, and no more memory than the largest picture that may be decoded takes.
"""

import io
import random
import resource
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import batches
import numpy as np
from batches import KEYS, REFUSED, TAKEN, is_wanted  # noqa: F401
from PIL import Image

from headstart.data import decode
from headstart.inference.pictures import decode_picture

TOTAL, SIZE = 20_000, 16  # cases; pixels a side that is asked for
MOST_MEMORY = 2_000  # MB more than the process had before: the largest picture that is decoded, in its mode and in RGB
WHOLE = {  # format: modes that it is saved in
    "PNG": ("RGB", "RGBA", "L", "LA", "P", "I;16", "1"),
    "JPEG": ("RGB", "L", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("P", "L"),
    "TIFF": ("RGB", "L", "RGBA", "CMYK", "I;16", "F", "1"),
    "BMP": ("RGB", "L", "1"),
    "PPM": ("RGB", "L", "1"),
    "ICO": ("RGBA",),
    "TGA": ("RGB", "L"),
    "JPEG2000": ("RGB", "L"),
    "AVIF": ("RGB",),
    "QOI": ("RGB",),
    "DIB": ("RGB",),
    "MPO": ("RGB",),
}
SUFFIXES = {"JPEG": "jpg", "JPEG2000": "jp2", "TIFF": "tif"}
ENDS = (0, 1, 0x7F, 0x80, 0xFF)


def damage_numbers(content: bytearray, rng: random.Random) -> bytes:
    """Numbers of two or four bytes near the head replaced by the largest, by zero or by any."""
    for _ in range(rng.randint(1, 4)):
        place, width = rng.randrange(min(len(content), 200)), rng.choice((2, 4))
        content[place : place + width] = bytes(rng.choice(ENDS) for _ in range(width))
    return bytes(content)


def flip_bits(content: bytearray, rng: random.Random) -> bytes:
    """Bits flipped, one or many."""
    for _ in range(rng.choice((1, 4, 32, 256))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def cut(content: bytearray, rng: random.Random) -> bytes:
    """The end is missing, or a part in the middle."""
    place = rng.randrange(len(content))
    return bytes(content[:place] + (content[place + rng.randrange(200) :] if rng.random() < 0.5 else b""))


def splice(content: bytearray, rng: random.Random) -> bytes:
    """The head of one file before the body of another, or a part of it doubled."""
    other, place = whole(*_kind(rng), rng.randrange(4)), rng.randrange(len(content))
    if rng.random() < 0.5:
        return bytes(content[:place]) + other[rng.randrange(len(other)) :]
    return bytes(content[:place]) + bytes(content[max(0, place - rng.randrange(500)) :])


def tags(content: bytearray, rng: random.Random) -> bytes:
    """An EXIF block of random entries: types, counts and offsets that do not fit."""
    entries = b"".join(
        struct.pack("<HHII", rng.choice((0x0112, 0x8769, 0x0100, rng.randrange(65_536))), *numbers)
        for numbers in (
            (rng.randrange(15), rng.choice((0, 1, 2**31, 2**32 - 1)), rng.randrange(2**32)) for _ in range(9)
        )
    )
    block = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 9) + entries + b"\0\0\0\0"
    file = io.BytesIO()
    kind = rng.choice(("PNG", "JPEG", "WEBP", "TIFF"))
    with Image.open(io.BytesIO(whole("PNG", "RGB", 1))) as image, warnings.catch_warnings(action="ignore"):
        image.save(file, kind, **({} if kind == "TIFF" else {"exif": block}))
    return file.getvalue()


def bomb(content: bytearray, rng: random.Random) -> bytes:
    """Few bytes of many pixels, of many frames, or a size that the file has no pixels for."""
    width, height = rng.choice(
        ((30_000, 30_000), (2**31 - 1, 1), (1, 9_000_000), (65_535, 65_535), (0, 5), (8_000, 8_000))
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, rng.choice((1, 8, 16)), rng.choice((0, 2, 3, 6)), 0, 0, 0)
    )
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(rng.choice((10, 20_000_000)))))
    pixels = chunk(b"IDAT", zlib.compress(bytes(rng.choice((0, 1_000, 5_000_000)))))
    return b"\x89PNG\r\n\x1a\n" + head + (text if rng.random() < 0.3 else b"") + pixels + chunk(b"IEND", b"")


@cache
def _zeros(count: int) -> bytes:
    return zlib.compress(bytes(count))


KINDS = dict(numbers=damage_numbers, flips=flip_bits, cut=cut, splice=splice, tags=tags, bomb=bomb)
IN_TURN = ("numbers", "flips", "cut", "splice") * 4 + ("tags", "bomb")


def attempts(work: Path, seed: int) -> Iterator[tuple[tuple[str, int], Callable[[], dict[str, object]]]]:
    """Every batch and what tries it."""
    for kind, mode in ((kind, mode) for kind, modes in WHOLE.items() for mode in modes):
        whole(kind, mode, 0)  # made once, before processes are forked
    return batches.attempts(work, seed, TOTAL, IN_TURN, try_picture)


def try_picture(work: Path, kind: str, seed: int) -> str:
    """Decode one, from a file and from memory."""
    _memory_before()
    rng = random.Random(f"{seed} {kind}")
    form = _kind(rng)
    content = KINDS[kind](bytearray(whole(*form, rng.randrange(4))), rng)
    path = work / f"x.{SUFFIXES.get(form[0], form[0].lower())}"
    path.write_bytes(content)
    with warnings.catch_warnings(action="ignore"):
        try:
            pixels, _, extent = decode(path, SIZE)
        except Exception as error:
            said = str(error)
            pixels = None
        again = decode_picture(io.BytesIO(content), SIZE)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024 - _memory_before()
    if memory > MOST_MEMORY:
        return f"{memory} MB of memory"
    if pixels is None:
        return REFUSED if isinstance(again, str) else f"refused from a file ({said}), taken from memory"
    if isinstance(again, str):
        return f"taken from a file, refused from memory: {again}"
    if pixels.shape != (SIZE, SIZE, 3) or pixels.dtype != np.uint8 or min(extent) < 1:
        return f"{pixels.dtype} {pixels.shape} of {extent}"
    return TAKEN if np.array_equal(pixels, again) else "other pixels from memory than from a file"


@cache
def _memory_before() -> int:
    """MB that the process had at its peak when it was asked first."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _kind(rng: random.Random) -> tuple[str, str]:
    kind = rng.choice(sorted(WHOLE))
    return kind, rng.choice(WHOLE[kind])


@cache
def whole(kind: str, mode: str, number: int) -> bytes:
    """A picture of that format, 24 x 20 pixels, its colours by `number`."""
    pixels = np.random.default_rng(number).integers(256, size=(20, 24, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()
