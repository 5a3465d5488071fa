"""Which files in a folder are pictures, and what is left out beside them: counted, named, said in one line."""

import errno
import os
from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from headstart.errors import UserError

# What Pillow decodes by itself, tried in this order: nothing that starts a program, such as EPS. MPO comes with JPEG.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "AVIF", "DIB", "JPEG2000", "QOI", "TGA")
SUFFIXES = (".apng", ".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo", ".pbm")
SUFFIXES += (".pgm", ".png", ".pnm", ".ppm", ".qoi", ".tga", ".tif", ".tiff", ".webp")
HEIF = (".heic", ".heif", ".hif")  # with pillow-heif
SYSTEMS = {  # folders and files that systems leave behind, in small letters: thumbnails, bins, views
    *("@eadir", "#recycle", "#snapshot", "$recycle.bin", "__macosx", "__pycache__", "lost+found"),
    *("desktop.ini", "ehthumbs.db", "icon\r", "picasa.ini", "system volume information", "thumbs.db"),
}
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")  # of Hugging Face's imagefolder

LOOSE = "pictures in no class folder"
UNLABELLED = "metadata files without file_name and label"
UNLISTED = "pictures that no metadata file lists"
OTHERS = "files that are no pictures"
UNREAD = "HEIC pictures, which pip install pillow-heif makes readable"
OF_SYSTEMS = "hidden files and folders, and those of a system"
LOOPS = "links back to a folder above"
REPEATED = "rows that repeat another"
NAMED = 3  # of each kind, in the line


@lru_cache(maxsize=1)
def formats() -> tuple[str, ...]:
    """The formats that are decoded, by Pillow's names: HEIC where pillow-heif is installed."""
    if not _reads_heif():
        return FORMATS
    from pillow_heif import register_heif_opener

    register_heif_opener()
    return (*FORMATS, "HEIF")


@lru_cache(maxsize=1)
def suffixes() -> tuple[str, ...]:
    """The ends of names, in small letters, by which a file is taken for a picture."""
    return (*SUFFIXES, *HEIF) if _reads_heif() else SUFFIXES


def _reads_heif() -> bool:
    return find_spec("pillow_heif") is not None


def shown(path: str) -> str:
    """A file's name as it can be printed on one line."""
    return path if path.isprintable() else ascii(path)


@dataclass
class LeftOut:
    """What is left out of a data set, by kind, as paths below its root."""

    paths: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def line(self) -> str | None:
        """One line that counts and names; None where nothing is left out."""
        said = [f"{kind}: {len(paths)} ({_named(paths)})" for kind, paths in self.paths.items() if paths]
        return f"left out, {'; '.join(said)}" if said else None


def _named(paths: list[str]) -> str:
    return ", ".join(map(shown, sorted(paths)[:NAMED])) + (", ..." if len(paths) > NAMED else "")


@dataclass
class Listing:
    """What lies in a folder and below, links followed: each path as the names on the way to it."""

    pictures: list[tuple[str, ...]] = field(default_factory=list)
    folders: list[tuple[str, ...]] = field(default_factory=list)  # with the empty ones
    metadata: list[tuple[str, ...]] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)


def list_pictures(root: Path) -> Listing:
    """Everything below `root`, without what is hidden or a system's own. Raises UserError for a folder that is locked.

    A link is followed wherever it leads, but not back to a folder that it lies in.
    """
    found = Listing()
    waiting = [((), frozenset[tuple[int, int]]())]
    while waiting:
        names, above = waiting.pop()
        folder = os.path.join(root, *names)
        try:
            facts = os.stat(folder)
            inode = (facts.st_dev, facts.st_ino)
            entries = [] if inode in above else sorted(os.scandir(folder), key=lambda entry: entry.name)
            inner = [(*names, entry.name) for entry in entries if _is_folder(entry, names, found)]
        except OSError as error:
            raise UserError(
                f"{error.filename} cannot be read ({error.strerror}); its images would be missing in silence."
            ) from error
        if inode in above:
            found.left_out.paths[LOOPS].append("/".join(names))
            continue
        if names:
            found.folders.append(names)
        waiting += [(path, above | {inode}) for path in reversed(inner)]
    return found


def _is_folder(entry: os.DirEntry, names: tuple[str, ...], found: Listing) -> bool:
    """Whether to look into it; a file is put where it belongs."""
    path, lower, left = (*names, entry.name), entry.name.lower(), found.left_out.paths
    try:
        is_folder = entry.is_dir()
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        left[LOOPS].append("/".join(path))
        return False
    if lower.startswith(".") or lower in SYSTEMS:
        left[OF_SYSTEMS].append("/".join(path) + "/" * is_folder)
        return False
    if is_folder:
        return True
    if lower in METADATA:
        found.metadata.append(path)
    elif lower.endswith(suffixes()):
        found.pictures.append(path)
    else:
        left[UNREAD if lower.endswith(HEIF) else OTHERS].append("/".join(path))
    return False
