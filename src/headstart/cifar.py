"""CIFAR's files as torchvision lays them out: read, md5-checked, fetched when missing, never overwritten."""

import os
from pathlib import Path

import numpy as np

from headstart.errors import UserError
from headstart.workspace import workspace


def read(kind: str, root: str, *, train: bool, download: bool) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Read one part of `kind` (a class of torchvision.datasets: CIFAR10, CIFAR100).

    Returns class names, images uint8 [N, 32, 32, 3] and labels int64 [N]. torchvision checks every file's md5.
    Raises UserError for files that are missing and cannot be fetched, or damaged.
    """
    import torchvision

    source = getattr(torchvision.datasets, kind)
    try:
        data = source(root, train=train)
    except (RuntimeError, OSError):
        _fetch_missing(source, Path(root), download)
        data = source(root, train=train)
    return tuple(data.classes), data.data, np.asarray(data.targets, dtype=np.int64)


def _fetch_missing(source: type, root: Path, download: bool) -> None:
    """Put the missing files of a CIFAR data set into place. Raises UserError; leaves files that are there alone."""
    wanted = [*source.train_list, *source.test_list, (source.meta["filename"], source.meta["md5"])]
    folder = root / source.base_folder
    for name, md5 in wanted:
        _refuse_damaged(folder / name, md5)
    _refuse_damaged(root / source.filename, source.tgz_md5)
    if not download:
        raise UserError(_what_to_put(source, root, "data.download=false"))
    try:
        with workspace(root, source.base_folder) as scratch:
            if all((folder / name).exists() for name, _ in wanted):
                return  # another process fetched them while this one waited
            _download(source, root, scratch)
            folder.mkdir(exist_ok=True)
            for name, _ in wanted:
                if not (folder / name).exists():
                    os.replace(scratch / source.base_folder / name, folder / name)
    except OSError as error:
        raise UserError(_what_to_put(source, root, error.strerror or str(error))) from error


def _refuse_damaged(path: Path, md5: str) -> None:
    from torchvision.datasets.utils import check_integrity

    try:
        if not path.exists() or check_integrity(path, md5):
            return
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    raise UserError(
        f"{path} is truncated or altered ({size:,} bytes, its md5 is not {md5}).\n"
        "It was left as it is; delete it to download it again."
    )


def _download(source: type, root: Path, scratch: Path) -> None:
    """Unpack the archive, from `root` if it lies there, else from the network, into `scratch`."""
    import socket
    from http.client import HTTPException
    from urllib.error import HTTPError

    archive = root / source.filename
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(60)  # urllib has none: a silent server would hang the study
    try:
        if archive.exists():
            (scratch / source.filename).symlink_to(archive.resolve())
        source(scratch, download=True)
    except (OSError, RuntimeError, HTTPException, EOFError) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise UserError(_what_to_put(source, root, f"{error}")) from error
    finally:
        socket.setdefaulttimeout(before)


def _what_to_put(source: type, root: Path, why: str) -> str:
    return (
        f"{source.__name__} is not in {root.absolute()} and was not downloaded ({why}).\n"
        f"Put the folder {source.base_folder} or the archive {source.filename} ({source.url}) there,\n"
        "or name the folder that holds it: export HEADSTART_DATA=FOLDER, or data.root=FOLDER."
    )
