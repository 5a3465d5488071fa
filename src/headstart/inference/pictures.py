"""Which pictures are meant by paths, folders, patterns and what lies in memory; and each of them decoded."""

import glob
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from headstart.data import decode, decode_image, list_pictures, shown
from headstart.errors import UserError
from headstart.store import expanded

if TYPE_CHECKING:
    from PIL.Image import Image

STDIN = "-"
PREDICTION_BATCH = 256  # pictures at a time
Source: TypeAlias = "Path | io.BytesIO | np.ndarray | Image"


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture that is to be classified."""

    name: str  # its path as it was given, or its position in the list
    source: Source


def find_pictures(given: Any, stdin: io.BufferedIOBase | None = None) -> list[Picture]:
    """Return the pictures that are meant, those of a folder in the order of their names.

    given: a path of a file, of a folder (all pictures in it and below), a pattern such as `shots/*.png`, a picture of
    Pillow's, an array uint8 [H, W, 3] or [N, H, W, 3], or a list of these. stdin: what the path `-` is read from.

    Raises:
        UserError: a path does not exist, a folder or a pattern holds no picture, or it is something else.
    """
    items = [given] if _is_one(given) else given
    if isinstance(items, Mapping) or not isinstance(items, Iterable):
        raise UserError(
            f"{type(given).__name__} is no picture; give a path, a folder, a picture of Pillow's or an array"
        )
    found: list[Picture] = []
    for item in items:
        if isinstance(item, str | os.PathLike):
            found += _at(os.fspath(item), stdin)
        else:
            found.append(Picture(str(len(found)), _checked(item)))
    return found


def _is_one(given: Any) -> bool:
    is_array = isinstance(given, np.ndarray) and given.ndim == 3
    return is_array or isinstance(given, str | os.PathLike) or _is_pillows(given)


def _is_pillows(item: Any) -> bool:
    from PIL.Image import Image

    return isinstance(item, Image)


def _checked(item: Any) -> Source:
    if _is_pillows(item):
        return item
    array = np.asarray(item)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise UserError(
            f"a picture is {array.dtype} {list(array.shape)}; expected uint8 [height, width, 3], or a path."
        )
    return array


def _at(given: str, stdin: io.BufferedIOBase | None) -> list[Picture]:
    if given == STDIN and stdin is not None:
        if not (content := stdin.read()):
            raise UserError("the standard input holds no picture; it can be read once, by one -")
        return [Picture(STDIN, io.BytesIO(content))]
    path = expanded(given)
    if path.is_dir():
        below = ["/".join(names) for names in sorted(list_pictures(path).pictures)]
        if not below:
            raise UserError(f"{given} holds no pictures")
        return [Picture(os.path.join(given, name), path / name) for name in below]
    if os.path.lexists(path):
        return [Picture(given, path)]
    if not glob.has_magic(given):
        raise UserError(f"{given} does not exist; give a picture, a folder of pictures or a pattern")
    matching = sorted(glob.glob(str(path), recursive=True))
    if not matching:
        raise UserError(f"{given} matches no file")
    files = {match: None for match in matching if not os.path.isdir(match)}
    folders = [] if "**" in given else [match for match in matching if os.path.isdir(match)]
    found = [Picture(match, Path(match)) for match in files]
    found += [picture for folder in folders if list_pictures(Path(folder)).pictures for picture in _at(folder, None)]
    if not found:
        raise UserError(f"{given} matches no picture")
    return found


def in_batches(
    pictures: Sequence[Picture], size: int, batch: int = PREDICTION_BATCH
) -> Iterator[tuple[Sequence[Picture], list[np.ndarray | str]]]:
    """So many pictures at a time, with what `decode_pictures` makes of them, so that a long list fits into memory."""
    for start in range(0, len(pictures), batch):
        some = pictures[start : start + batch]
        yield some, decode_pictures(some, size)


def decode_pictures(pictures: Iterable[Picture], size: int) -> list[np.ndarray | str]:
    """Each picture as `data=folder` decodes it, uint8 [size, size, 3]; or, where it can't be, the reason."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda picture: decode_picture(picture.source, size), pictures))


def decode_picture(source: Source, size: int) -> np.ndarray | str:
    """One picture as `decode_pictures` gives it, or the reason why it can't be decoded."""
    from PIL import Image

    try:
        if isinstance(source, Path | io.BytesIO):
            return decode(source, size)[0]
        return decode_image(Image.fromarray(source) if isinstance(source, np.ndarray) else source, size)
    except Exception as error:  # Pillow raises almost anything for a damaged file
        unknown = type(error).__name__ == "UnidentifiedImageError"  # whose text repeats the path
        return "no image that Pillow knows" if unknown else shown(str(error) or type(error).__name__)
