"""CIFAR's files as torchvision lays them out: read, md5-checked, fetched when missing, never overwritten."""

import hashlib
import os
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.errors import UserError
from headstart.workspace import workspace


@dataclass(frozen=True)
class Layout:
    """The files of a CIFAR data set as torchvision.datasets has them: names, md5 sums, keys of the pickled dicts."""

    folder: str
    train: tuple[tuple[str, str], ...]  # (name, md5)
    test: tuple[tuple[str, str], ...]
    meta: tuple[str, str]
    names: str  # key of the class names in meta
    labels: str


# Repeated from torchvision, whose import takes longer than reading the files does; a test compares them.
LAYOUTS = {
    "CIFAR10": Layout(
        folder="cifar-10-batches-py",
        train=(
            ("data_batch_1", "c99cafc152244af753f735de768cd75f"),
            ("data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"),
            ("data_batch_3", "54ebc095f3ab1f0389bbae665268c751"),
            ("data_batch_4", "634d18415352ddfa80567beed471001a"),
            ("data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"),
        ),
        test=(("test_batch", "40351d587109b95175f43aff81a1287e"),),
        meta=("batches.meta", "5ff9c542aee3614f3951f8cda6e48888"),
        names="label_names",
        labels="labels",
    ),
    "CIFAR100": Layout(
        folder="cifar-100-python",
        train=(("train", "16019d7e3df5f24257cddd939b257f8d"),),
        test=(("test", "f0ef6b0ae62326f3e7ffdfab6717acfc"),),
        meta=("meta", "7973b15100ade9c7d40fb424638fde48"),
        names="fine_label_names",
        labels="fine_labels",
    ),
}


def read(kind: str, root: str, *, train: bool, download: bool) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Read one part of `kind` (a key of `LAYOUTS`, a class of torchvision.datasets) below `root`.

    Returns class names, images uint8 [N, 32, 32, 3] and labels int64 [N]. Every file's md5 is checked,
    before training those of the test images too.
    Raises UserError for files that are missing and cannot be fetched, or damaged.
    """
    found = _read(LAYOUTS[kind], Path(root), train)
    if found is None:
        from torchvision import datasets

        _fetch_missing(getattr(datasets, kind), Path(root), download)
        found = _read(LAYOUTS[kind], Path(root), train)
    if found is None:
        raise UserError(f"the files of {kind} below {root} change while they are read; try again when they are there.")
    return found


def _read(layout: Layout, root: Path, train: bool) -> tuple[tuple[str, ...], np.ndarray, np.ndarray] | None:
    """Return what `read` does, or None when a file is not there or not what it has to be."""
    parts = layout.train if train else layout.test
    ahead = layout.test if train else ()  # a run should not find at its end that it has no test images
    contents = {}
    for name, md5 in (layout.meta, *parts, *ahead):
        try:
            content = (root / layout.folder / name).read_bytes()
        except OSError:
            return None
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
            return None
        if (name, md5) in (layout.meta, *parts):
            contents[name] = pickle.loads(content, encoding="latin1")  # its md5 says that it is the published file
    meta, *batches = contents.values()
    pixels = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
    images = np.stack([pixels[:, channel] for channel in range(3)], axis=-1)  # three times as fast as to transpose
    labels = np.concatenate([batch[layout.labels] for batch in batches]).astype(np.int64)
    return tuple(meta[layout.names]), images, labels


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
