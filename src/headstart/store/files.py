"""Files written so that a kill or a full disk costs nothing that was there, and read without trust."""

import contextlib
import errno
import hashlib
import json
import math
import os
import stat
import struct
import uuid
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from headstart.errors import OutsideFault, UserError
from headstart.store.locks import WITHOUT_LOCKS, acquire, close_locked, open_locked

LARGEST_RECORD = 64 * 2**20  # bytes; a foreign file of this size is not read into memory
DEEPEST = 50  # levels of brackets in JSON; a configuration has ten
# What numpy, zipfile and zlib raise at damaged .npz files; a header may ask for an array that no memory holds.
UNREADABLE_ARRAYS = (OSError, ValueError, KeyError, EOFError, IndexError, TypeError, OverflowError, MemoryError)
UNREADABLE_ARRAYS += (NotImplementedError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error)
WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".pth.tar")  # of files of weights


def write_atomically(path: str | Path, data: bytes) -> None:
    """Replace the file `path` by `data`, on disk when this returns; killed at any moment, the old or the new is there.

    A killed writer leaves at most `<path>.tmp`, which the next write takes over. Several writers take turns.

    Raises:
        UserError: the disk is full or the folder cannot be written; the old file is untouched.
    """
    replace_file(Path(path), (data,))


def replace_file(path: Path, parts: Iterable[bytes], previous: Path | None = None) -> None:
    """Write `parts` to `path` as `write_atomically` does; the file that was there is kept as `previous`, if given."""
    with explained_errors(path):
        temporary, descriptor = _open_temporary(path)
        try:
            os.ftruncate(descriptor, 0)
            for part in parts:
                write_all(descriptor, part)
            os.fsync(descriptor)
            if previous is not None:
                with contextlib.suppress(FileNotFoundError):
                    os.replace(path, previous)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        finally:
            close_locked(descriptor)
        sync_folder(path.parent)


def _open_temporary(path: Path) -> tuple[Path, int]:
    """A file to write before it takes the name `path`, and its descriptor, for `close_locked`."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        # Locked against other writers; one that waited finds the name moved away and opens it anew.
        return temporary, acquire(temporary, flags=os.O_NOFOLLOW)
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
        temporary.unlink(missing_ok=True)
        temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")  # which no other writer has
        return temporary, open_locked(temporary, os.O_EXCL)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, where `os.write` may stop after a part."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk, what was renamed to its new name above all."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # some network file systems sync no folders
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def explained_errors(path: Path) -> Iterator[None]:
    """Turn the errors of writing `path` that a user can do something about into a `UserError`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutsideFault(
                f"disk full: {path} could not be written ({error.strerror}); what was there before is kept.\n"
                "Free some space; then a study goes on by its command, and a single run by headstart resume=FOLDER."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise OutsideFault(
                f"{path} cannot be written ({error.strerror}).\n"
                f"Make {path.parent} writable, or choose another folder for the results."
            ) from error
        raise


def read_regular_file(path: Path, largest: int | None = None) -> bytes:
    """Read a regular file; a pipe, folder or device of that name is refused (reading a pipe would wait for ever)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a regular file")
        if largest is not None and status.st_size > largest:
            raise ValueError(f"{status.st_size} bytes, too large")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as JSON, atomically; arrays and their scalars become lists and numbers, NaN and infinity null."""
    write_atomically(path, as_json(value))


def as_json(value: Any) -> bytes:
    """Return what `write_json` writes."""
    return (json.dumps(as_plain(value), indent=1, ensure_ascii=False) + "\n").encode()


def as_plain(value: Any) -> Any:
    """Return a value as JSON has it: arrays as lists, NaN and infinity as null, keys and paths as texts."""
    if isinstance(value, dict):
        return {str(key): as_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy and torch, without importing them
        return as_plain(value.tolist())
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return as_plain(os.fspath(value))
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()  # a file name that is not UTF-8 must not stop the last write
    return value


def as_text(value: Any) -> str:
    """Return a value read from JSON as text: a text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def read_json(path: str | Path) -> Any:
    """Return what the JSON file `path` holds.

    Raises:
        UserError: there is no such file, or it is not JSON in UTF-8.
    """
    try:
        return parse_json(Path(path))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}.") from error


def parse_json(path: Path) -> Any:
    """Return what the JSON file `path` holds. Raises OSError, and ValueError for what is no JSON."""
    return json_of(read_regular_file(path, LARGEST_RECORD).decode("utf-8-sig"))


def json_of(text: str) -> Any:
    """Return what a JSON text says. Raises ValueError where it is none, or nested more than DEEPEST levels."""
    too_deep = f"nested more than {DEEPEST} levels deep"
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(too_deep) from None
    # Whoever copies, compares or prints what is a little less deep would run into the same end. Few texts need a look.
    level = [value] if text.count("[") + text.count("{") > DEEPEST else []
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _inner(outer)]
    if level:
        raise ValueError(too_deep)
    return value


def _inner(value: Any) -> Iterable[Any]:
    """The lists and objects directly in a value read from JSON."""
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (inner for inner in values if isinstance(inner, list | dict))


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
