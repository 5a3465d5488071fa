"""Checkpoints of training: the newest and the one before it, each with its SHA-256, so that one is always intact."""

import contextlib
import hashlib
import logging
import os
from pathlib import Path

from headstart.errors import Damaged
from headstart.store.files import read_regular_file, replace_file

logger = logging.getLogger(__name__)


def _checkpoint_header(payload: memoryview | bytes) -> bytes:
    return b"headstart-checkpoint 1 " + hashlib.sha256(payload).hexdigest().encode() + b"\n"


def write_checkpoint(path: str | Path, payload: bytes) -> None:
    """Write `payload` under a header with its SHA-256; the checkpoint that was there is kept as `<path>.previous`.

    Raises:
        UserError: the disk is full or the folder cannot be written; the old checkpoint is untouched.
    """
    path = Path(path)
    replace_file(path, (_checkpoint_header(payload), payload), previous=_previous(path))


def _previous(path: Path) -> Path:
    return path.with_name(path.name + ".previous")


def read_checkpoint(run_dir: str | Path) -> bytes | None:
    """Return the payload of the newest intact checkpoint `last.ckpt`, or of the one before it; None if there is none.

    A damaged file loads without complaint (a flipped bit passes through safetensors and torch in 9 of 10 cases), so
    the SHA-256 is checked. A damaged checkpoint is replaced by the intact one before it: left there, it would be what
    the next write keeps.

    Raises:
        Damaged: there are checkpoints and none is intact.
    """
    path = Path(run_dir) / "last.ckpt"
    faults = {}
    for candidate in (path, _previous(path)):
        try:
            data = read_regular_file(candidate)
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
        raise Damaged(
            f"no checkpoint in {run_dir} can be used: {listed}.\n"
            "Delete these files and give the same command again: the run starts anew."
        )
    return None
