"""CIFAR's files as torchvision lays them out: read, md5-checked, fetched when missing, never overwritten."""

import hashlib
import logging
import os
import pickle
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.errors import UserError
from headstart.store import (
    DIGEST,
    FileListing,
    cache_limit,
    cache_root,
    scratch_folder,
    shared_images,
    write_facts,
    write_images,
)

log = logging.getLogger(__name__)

Arrays = tuple[tuple[str, ...], np.ndarray, np.ndarray]  # class names, images, labels

TEST_IMAGES = 10_000  # as many of each class
CACHE_VERSION = 2  # raise it when `_decoded` gives other arrays


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


def read_part(kind: str, root: str, *, train: bool, download: bool) -> Arrays:
    """Read one part of `kind` (a key of `LAYOUTS`, a class of torchvision.datasets) below `root`.

    Returns class names, images uint8 [N, 32, 32, 3] and labels int64 [N]. Every file's md5 is checked,
    before training those of the test images too. The images are memory-mapped from $HEADSTART_CACHE, where the first
    process puts them, so that others need no memory for them.
    Raises UserError for files that are missing and cannot be fetched, or damaged.
    """
    layout, folder = LAYOUTS[kind], Path(root) / LAYOUTS[kind].folder
    files = (layout.meta, *(layout.train if train else ()), *layout.test)
    if not all(_is_published(folder / name, md5) for name, md5 in files):
        from torchvision import datasets

        _fetch_missing(getattr(datasets, kind), Path(root), download)
    return _shared(kind, layout, folder, train) or _decoded(layout, folder, train)


def listing(kind: str) -> FileListing:
    """The files that `read_part` reads of `kind`, which are as they were published or refused."""
    layout = LAYOUTS[kind]
    names, sums = zip(*layout.train, *layout.test, layout.meta, strict=True)
    return FileListing(names, b"".join(bytes.fromhex(md5)[:DIGEST] for md5 in sums))


def _shared(kind: str, layout: Layout, folder: Path, train: bool) -> Arrays | None:
    """Return what `read_part` does, the pictures shared by all processes of this machine; None where that cannot be."""
    files = layout.train if train else layout.test
    content = hashlib.sha256(repr((CACHE_VERSION, layout.meta, files)).encode()).hexdigest()

    def write(entry: Path) -> None:
        names, images, labels = _decoded(layout, folder, train)
        write_images(entry, [images], images.shape)
        write_facts(entry, labels=labels, names=np.array(names))

    why = "HEADSTART_CACHE_GB=0"
    if cache_limit() > 0:
        try:
            kept = shared_images(_cache(), f"{kind.lower()}-{'train' if train else 'test'}-{content[:16]}", write)
            return tuple(kept.facts["names"].tolist()), kept.images, kept.facts["labels"]
        except OSError as error:
            why = str(error)
    log.info("each process reads its own copy of %s's pictures, none is shared (%s)", kind, why)
    return None


def _decoded(layout: Layout, folder: Path, train: bool) -> Arrays:
    files = (layout.meta, *(layout.train if train else layout.test))
    meta, *batches = (_contents(folder / name, md5) for name, md5 in files)
    pixels = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
    images = np.stack([pixels[:, channel] for channel in range(3)], axis=-1)  # three times as fast as to transpose
    labels = np.concatenate([batch[layout.labels] for batch in batches]).astype(np.int64)
    return tuple(meta[layout.names]), images, labels


def _contents(path: Path, md5: str) -> dict:
    with suppress(OSError):
        content = path.read_bytes()
        if hashlib.md5(content, usedforsecurity=False).hexdigest() == md5:
            return pickle.loads(content, encoding="latin1")  # its md5 says that it is the published file
    raise UserError(f"{path} changes while it is read; try again when it is there.")


def _is_published(path: Path, md5: str) -> bool:
    with suppress(OSError), open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest() == md5
    return False


def _cache() -> Path:
    try:
        return cache_root()
    except RuntimeError as error:  # named nowhere, not even by a home folder
        raise OSError(str(error)) from error


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
        with scratch_folder(root, source.base_folder) as scratch:
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
