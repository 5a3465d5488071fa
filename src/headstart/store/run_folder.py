"""What one run leaves on disk: written so that a kill or a full disk costs nothing finished, read without trust."""

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import math
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from operator import lt
from pathlib import Path
from typing import Any, Self

from headstart.errors import UserError
from headstart.store.locks import acquire, close_locked, open_locked

logger = logging.getLogger(__name__)

EPOCH_FIELDS = (
    "epoch",
    "steps",
    "images",
    "lr",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "seconds_train",
    "images_per_second",
    "seconds_total",
)
INTEGER_FIELDS = 3  # the first three count something
OUTCOMES = ("COMPLETE", "CHANCE", "PRUNED", "DIVERGED")  # of training; such a trial has used its share of the budget
FINISHED = (*OUTCOMES, "FAILED")  # what result.json may say
RUN_MARKERS = frozenset({".hydra", "run.json", "result.json", "epochs.csv"})
LARGEST_RECORD = 64 * 2**20  # bytes; a foreign file of this size is not read into memory
LARGEST_COUNT = 2**53  # exact as a float too


# ---------------------------------------------------------------------------------------------------- names and folders


def valid_name(text: str) -> str:
    """Return `text` if it may name a study, an arm or a run: it becomes a folder, a table cell and a word in a page."""
    if isinstance(text, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text):
        return text
    shown = repr(text) if len(repr(text)) <= 80 else repr(text)[:77] + "..."
    raise UserError(
        f"{shown} cannot be a name: expected 1 to 64 characters of A-Z a-z 0-9 . _ - and a letter or digit first,\n"
        "such as name=pretraining_5000."
    )


def find_runs(root: str | Path) -> list[Path]:
    """Return the run folders at and below `root`, sorted; links to folders and what is in `tables/` are left out."""
    found = []
    for folder, folders, files in os.walk(root, onerror=lambda error: logger.warning("not searched: %s", error)):
        is_tables = os.path.basename(os.path.abspath(folder)) == "tables"
        if not is_tables and not RUN_MARKERS.isdisjoint(files + folders):
            found.append(Path(folder))
        # An arm may be called "tables" too: its runs are in search/ and confirm/.
        folders[:] = [f for f in folders if not f.startswith(".") and (not is_tables or f in ("search", "confirm"))]
    return sorted(found)


# ---------------------------------------------------------------------------------------------------------------- files


def write_atomically(path: str | Path, data: bytes) -> None:
    """Replace the file `path` by `data`, on disk when this returns; killed at any moment, the old or the new is there.

    A killed writer leaves at most `<path>.tmp`, which the next write takes over. Several writers take turns.

    Raises:
        UserError: the disk is full or the folder cannot be written; the old file is untouched.
    """
    _replace(Path(path), (data,))


def _replace(path: Path, parts: Iterable[bytes], previous: Path | None = None) -> None:
    """Write `parts` to `path` as `write_atomically` does; the file that was there is kept as `previous`, if given."""
    temporary = path.with_name(path.name + ".tmp")
    with _explained(path):
        # Locked against other writers; one that waited finds the name moved away and opens it anew.
        descriptor = acquire(temporary, flags=os.O_NOFOLLOW)
        try:
            os.ftruncate(descriptor, 0)
            for part in parts:
                _write_all(descriptor, part)
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
        _sync_folder(path.parent)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # some network file systems sync no folders
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn the errors of writing `path` that a user can do something about into a `UserError`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"disk full: {path} could not be written ({error.strerror}); what was there before is kept.\n"
                "Free some space and give the same command again, it goes on where it stopped."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise UserError(
                f"{path} cannot be written ({error.strerror}).\n"
                f"Make {path.parent} writable, or choose another folder for the results."
            ) from error
        raise


def _read_bytes(path: Path, largest: int | None = None) -> bytes:
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
    write_atomically(path, (json.dumps(_plain(value), indent=1, ensure_ascii=False) + "\n").encode())


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy and torch, without importing them
        return _plain(value.tolist())
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return _plain(os.fspath(value))
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()  # a file name that is not UTF-8 must not stop the last write
    return value


def as_text(value: Any) -> str:
    """Return a value read from JSON as text: a text as it is, everything else as JSON."""
    try:
        return value if isinstance(value, str) else json.dumps(value)
    except RecursionError:  # just shallow enough to be read
        return "nested too deeply"


def read_json(path: str | Path) -> Any:
    """Return what the JSON file `path` holds.

    Raises:
        UserError: there is no such file, or it is not JSON in UTF-8.
    """
    try:
        return json.loads(_read_bytes(Path(path), LARGEST_RECORD).decode("utf-8-sig"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}.") from error


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --------------------------------------------------------------------------------------------------------------- epochs


def append_epoch(run_dir: str | Path, row: dict[str, float | int | None]) -> None:
    """Append one epoch to `epochs.csv` and wait until it is on disk; a line that a killed writer left torn is cut off.

    Raises:
        ValueError: `row` has keys outside `EPOCH_FIELDS`, or no epoch.
        UserError: the disk is full or the folder cannot be written; the rows before are untouched.
    """
    if unknown := sorted(row.keys() - set(EPOCH_FIELDS)):
        raise ValueError(f"epochs.csv has no columns {unknown}; expected {list(EPOCH_FIELDS)}")
    path = Path(run_dir) / "epochs.csv"
    line = _epoch_line([row["epoch"] if field == "epoch" else row.get(field) for field in EPOCH_FIELDS])
    with _explained(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            written = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
            if written.startswith(_HEADER):
                _write_at(descriptor, written.rfind(b"\n") + 1, line)
                return
        finally:
            os.close(descriptor)
    # New, torn in the header, or the columns of another version: the whole file is written again.
    _replace(path, (_HEADER, *map(_epoch_line, read_epoch_rows(run_dir)), line))


def _write_at(descriptor: int, position: int, data: bytes) -> None:
    """Cut the file at `position` and write `data` there, or leave it cut there."""
    os.ftruncate(descriptor, position)
    os.lseek(descriptor, position, os.SEEK_SET)
    try:
        _write_all(descriptor, data)
        os.fsync(descriptor)
    except BaseException:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, position)
        raise


_HEADER = (",".join(EPOCH_FIELDS) + "\n").encode()


def _epoch_line(values: Iterable[Any]) -> bytes:
    cells = [
        "" if value is None else str(int(value)) if place < INTEGER_FIELDS else repr(float(value))
        for place, value in enumerate(values)
    ]
    return (",".join(cells) + "\n").encode()


def read_epochs(run_dir: str | Path) -> list[dict[str, float | int | None]]:
    """Return the rows of `epochs.csv`, by epoch; [] without a file. Torn and damaged lines are left out."""
    return [dict(zip(EPOCH_FIELDS, row, strict=True)) for row in read_epoch_rows(run_dir)]


def read_epoch_rows(run_dir: str | Path) -> list[tuple[float | int | None, ...]]:
    """Return what `read_epochs` does as tuples in the order of `EPOCH_FIELDS` (for speed)."""
    return read_epoch_lines(run_dir)[0]


def read_epoch_lines(run_dir: str | Path) -> tuple[list[tuple[float | int | None, ...]], list[str] | None]:
    """Return `read_epoch_rows`, and the file's lines where these are nothing but numbers that say the same, else None.

    Who copies a hundred thousand rows saves writing their numbers anew, which takes longer than to read them.
    """
    path = Path(run_dir) / "epochs.csv"
    try:
        data = _read_bytes(path, LARGEST_RECORD)
    except FileNotFoundError:
        return [], None
    except (OSError, ValueError) as error:
        logger.warning("%s is left out: %s", path, error)
        return [], None
    text = data.decode("utf-8", "replace")
    # What stands behind the last line end is torn: even a number that looks whole may lack its last digits.
    header, *lines = [line.removesuffix("\r") for line in text.split("\n")[:-1]] or [""]
    names = header.split(",")
    if "epoch" not in names or len(set(names)) != len(names):
        if header:
            logger.warning("%s is left out: its first line is not a header", path)
        return [], None
    places = None if tuple(names) == EPOCH_FIELDS else [names.index(f) if f in names else -1 for f in EPOCH_FIELDS]
    if places is None and (whole := _parse_whole(lines)) is not None:
        is_plain = not data.removeprefix(_HEADER).translate(None, b"0123456789.,+-e\n")
        return whole, lines if is_plain else None
    rows = {}
    for line in lines:
        row = _parse_epoch(line.split(","), len(names), places)
        if row is not None:
            rows[row[0]] = row  # an epoch that was run again counts as it was the last time
    if damaged := sum(map(bool, lines)) - len(rows):
        logger.warning("%s: %d lines are damaged or double and left out", path, damaged)
    return [rows[epoch] for epoch in sorted(rows)], None


def _parse_whole(lines: list[str]) -> list[tuple[float | int | None, ...]] | None:
    """Return what `_parse_epoch` gives of every line, column by column (twice as fast), or None if a line needs it."""
    width = len(EPOCH_FIELDS)
    if not lines or any(line.count(",") != width - 1 for line in lines):
        return None
    cells = ",".join(lines).split(",")
    try:
        columns = [list(map(int if place < INTEGER_FIELDS else float, cells[place::width])) for place in range(width)]
    except ValueError:
        return None
    epochs, *counts = columns[:INTEGER_FIELDS]
    rising = all(map(lt, epochs, epochs[1:]))
    if not (rising and epochs[0] > 0 and epochs[-1] < LARGEST_COUNT):
        return None
    if any(min(values) < 0 or max(values) >= LARGEST_COUNT for values in counts):
        return None
    return list(zip(*columns, strict=True))


def _parse_epoch(cells: list[str], width: int, places: list[int] | None) -> tuple[float | int | None, ...] | None:
    """Return one line's numbers in the order of `EPOCH_FIELDS`, or None if the line is damaged."""
    if len(cells) != width:
        return None
    if places is not None:
        cells = ["" if place < 0 else cells[place] for place in places]
    try:
        epoch, steps, images = int(cells[0]), int(cells[1]), int(cells[2])
        row: tuple[float | int | None, ...] = (epoch, steps, images, *map(float, cells[3:]))
    except ValueError:
        row = tuple(_number(cell, place < INTEGER_FIELDS) for place, cell in enumerate(cells))
        epoch, steps, images = (count or 0 for count in row[:INTEGER_FIELDS])
    if 0 < epoch < LARGEST_COUNT and 0 <= steps < LARGEST_COUNT and 0 <= images < LARGEST_COUNT:
        return row
    return None


def _number(cell: str, integer: bool) -> float | int | None:
    try:
        return int(cell) if integer else float(cell)
    except ValueError:
        return None


def truncate_epochs(run_dir: str | Path, keep: int) -> None:
    """Drop the epochs after `keep` (those that a resumed run does again); without a file nothing is to be done."""
    path = Path(run_dir) / "epochs.csv"
    if path.exists():
        _replace(path, (_HEADER, *(_epoch_line(row) for row in read_epoch_rows(run_dir) if row[0] <= keep)))


# ---------------------------------------------------------------------------------------------------------- checkpoints


def _checkpoint_header(payload: memoryview | bytes) -> bytes:
    return b"headstart-checkpoint 1 " + hashlib.sha256(payload).hexdigest().encode() + b"\n"


def write_checkpoint(path: str | Path, payload: bytes) -> None:
    """Write `payload` under a header with its SHA-256; the checkpoint that was there is kept as `<path>.previous`.

    Raises:
        UserError: the disk is full or the folder cannot be written; the old checkpoint is untouched.
    """
    path = Path(path)
    _replace(path, (_checkpoint_header(payload), payload), previous=_previous(path))


def _previous(path: Path) -> Path:
    return path.with_name(path.name + ".previous")


def read_checkpoint(run_dir: str | Path) -> bytes | None:
    """Return the payload of the newest intact checkpoint `last.ckpt`, or of the one before it; None if there is none.

    A damaged file loads without complaint (a flipped bit passes through safetensors and torch in 9 of 10 cases), so
    the SHA-256 is checked. A damaged checkpoint is replaced by the intact one before it: left there, it would be what
    the next write keeps.

    Raises:
        UserError: there are checkpoints and none is intact.
    """
    path = Path(run_dir) / "last.ckpt"
    faults = {}
    for candidate in (path, _previous(path)):
        try:
            data = _read_bytes(candidate)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            faults[candidate.name] = str(error)
            continue
        header, payload = data[: len(_checkpoint_header(b""))], memoryview(data)[len(_checkpoint_header(b"")) :]
        if header == _checkpoint_header(payload):
            if candidate != path:
                logger.warning("%s is %s; going on from the one before it", path, faults.get(path.name, "missing"))
                with contextlib.suppress(OSError):
                    os.replace(candidate, path)
            return bytes(payload)
        faults[candidate.name] = "damaged (its SHA-256 differs)"
    if faults:
        listed = ", ".join(f"{name} is {why}" for name, why in faults.items())
        raise UserError(
            f"no checkpoint in {run_dir} can be used: {listed}.\n"
            "Delete these files and give the same command again: the run starts anew."
        )
    return None


# ----------------------------------------------------------------------------------------------------------------- lock


class RunLock:
    """The sign that a run's process is alive: a shared `flock`, which the kernel drops however the process ends."""

    def __init__(self, descriptor: int):
        self._descriptor = descriptor
        self._owner = os.getpid()

    def release(self) -> None:
        """Give the lock back; a second call, and one in a forked child, changes nothing."""
        if self._owner == os.getpid():
            self._owner = -1
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            close_locked(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def lock_run(run_dir: str | Path) -> RunLock:
    """Lock the run's folder until `release`, the end of the `with` block or of this process (not of its children).

    Raises:
        UserError: the folder cannot be written, or its file system has no locks.
    """
    path = Path(run_dir) / ".lock"
    with _explained(path):
        descriptor = open_locked(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except OSError as error:
        close_locked(descriptor)
        raise UserError(
            f"{path} cannot be locked ({error.strerror}); without locks a trial could run twice.\n"
            "Choose a folder for the results on a file system that has flock."
        ) from error
    return RunLock(descriptor)


def is_alive(run_dir: str | Path) -> bool:
    """Tell whether a process holds the run's lock; when that cannot be told (no permission), it counts as alive."""
    path = Path(run_dir) / ".lock"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        logger.warning("%s counts as running: %s", run_dir, error)
        return True
    try:
        # Another process that asks the same question holds the lock for a moment, hence more than one try.
        return not any(_can_lock(descriptor, wait) for wait in (0, 0.001, 0.002, 0.004, 0.008))
    finally:
        os.close(descriptor)


def _can_lock(descriptor: int, wait: float) -> bool:
    time.sleep(wait)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


# -------------------------------------------------------------------------------------------------------------- the run


def read_run(run_dir: str | Path) -> dict[str, Any]:
    """Return the facts and results of one run with its `state` and `reason`; damaged files are named in `reason`.

    `state` is what `result.json` says (`FINISHED`), else RUNNING or INTERRUPTED by the lock. Never raises for what
    the files hold; values other than `state`, and `val_accuracy` of a COMPLETE run, are passed on as they are.
    """
    run_dir = Path(run_dir)
    result, fault = _read_result(run_dir / "result.json")
    alive = False
    if result is None:
        alive = is_alive(run_dir)
        if not alive:
            result, fault = _read_result(run_dir / "result.json")  # it may have ended between the two looks
    facts, facts_fault = _read_object(run_dir / "run.json")
    if facts is None and not facts_fault and not alive:
        facts_fault = "no run.json"
    reason = "; ".join(filter(None, (fault, facts_fault)))
    if result is None:
        return {**(facts or {}), "state": "RUNNING" if alive else "INTERRUPTED", "reason": reason}
    known = {key: value for key, value in result.items() if value is not None}
    return {**(facts or {}), **known, "reason": result.get("reason") or reason}


def _read_object(path: Path) -> tuple[dict[str, Any] | None, str]:
    """Return a JSON file's object, or None and what is wrong with it ("" if there is none)."""
    if not os.path.lexists(path):
        return None, ""
    try:
        value = json.loads(_read_bytes(path, LARGEST_RECORD).decode("utf-8-sig"))
    except FileNotFoundError:
        return None, f"unreadable {path.name}: a link to nothing"
    except OSError as error:
        return None, f"unreadable {path.name}: {error.strerror}"
    except (ValueError, RecursionError) as error:
        return None, f"unreadable {path.name}: {error}"
    if not isinstance(value, dict):
        return None, f"unreadable {path.name}: not an object"
    return value, ""


def _read_result(path: Path) -> tuple[dict[str, Any] | None, str]:
    """Return a finished run's result; one that claims no known state, or COMPLETE without a score, counts as none."""
    result, fault = _read_object(path)
    if result is None:
        return None, fault
    state, score = result.get("state"), result.get("val_accuracy")
    if state not in FINISHED:
        return None, f"unreadable {path.name}: state={as_text(state)[:40]!r}, expected one of {', '.join(FINISHED)}"
    if state == "COMPLETE" and (type(score) not in (int, float) or not 0 <= score <= 100):
        return None, f"unreadable {path.name}: val_accuracy={as_text(score)[:40]} of a COMPLETE run"
    return result, ""


def set_aside(result: Path) -> None:
    """Rename a failed run's result, if there is one, so that it can run again; the ledger counts what was set aside."""
    if result.exists():
        number = 1 + len(list(result.parent.glob("result.failed-*.json")))
        result.rename(result.with_name(f"result.failed-{number}.json"))
