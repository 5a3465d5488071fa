"""Where a study's trials are stored (sqlite, journal file, database server), and the lock of a study's folder."""

import fcntl
import os
import re
import shlex
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend

from headstart.errors import OutsideFault, UserError, first_line, listed
from headstart.store import holding_lock

IN_MEMORY = "sqlite://"
SERVER_URL = "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"


_opened: dict[str, tuple[optuna.storages.BaseStorage, Callable[[], None]]] = {}  # by URL, with what closes it
_opening = threading.Lock()
closing: list[Callable[[], None]] = []  # called with the last storage: closes what else a process has of a server


def open_storage(url: str) -> optuna.storages.BaseStorage:
    """Optuna storage for a URL: sqlite:///FILE, journal:///FILE, or any SQLAlchemy URL such as postgresql+psycopg://...

    sqlite waits 60 s for other writers instead of Optuna's 5. One storage per URL and process, until `close_storages`.
    Raises UserError when the database can't be opened; the text has no password in it.
    """
    with _opening:
        if url not in _opened:
            _opened[url] = _open(url)
        return _opened[url][0]


def close_storages() -> None:
    """Close what this process opened: sqlite then puts its write-ahead log into the file, which can be copied alone."""
    while _opened:
        _, (storage, close) = _opened.popitem()
        storage.remove_session()
        close()
    for also in closing:
        also()


def _open(url: str) -> tuple[optuna.storages.BaseStorage, Callable[[], None]]:
    from sqlalchemy.exc import SQLAlchemyError

    if url.startswith("journal:///"):
        path = Path(url.removeprefix("journal:///"))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return optuna.storages.JournalStorage(JournalFileBackend(str(path), _JournalLock(path))), lambda: None
        except (OSError, ValueError) as error:
            raise UserError(f"the study's storage {url} can't be opened: {error}") from None
    arguments = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {"pool_pre_ping": True}
    try:
        if is_there(url):
            _refuse_tables_of_others(url, arguments)
        storage = optuna.storages.RDBStorage(url, engine_kwargs=arguments)
        if url.startswith("sqlite:///"):  # a write-ahead log is as durable, with one sync a commit instead of four
            with storage.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        # The wrapped one remembers finished trials; without it every look at the study reads all of them again.
        return optuna.storages.get_storage(storage), storage.engine.dispose
    except (SQLAlchemyError, ImportError, OSError) as error:
        expected = f"sqlite:///FILE, journal:///FILE, {SERVER_URL} or another URL of SQLAlchemy's"
        raise cannot_be_opened(url, error, expected) from None
    except RuntimeError as error:  # Optuna's, at tables that another version of it has made
        raise UserError(
            f"the study's storage {without_password(url)} has the tables of another version of Optuna; "
            f"{_how_to_upgrade(url) if 'storage upgrade' in str(error) else 'a newer one: pip install -U optuna'}"
        ) from None


def _refuse_tables_of_others(url: str, arguments: dict[str, Any]) -> None:
    """Look before Optuna makes its tables beside those of a program that calls its own by the same names."""
    from optuna.storages._rdb import models
    from sqlalchemy import create_engine, inspect

    engine = create_engine(url, **arguments)
    try:
        look, optunas = inspect(engine), models.BaseModel.metadata.tables
        there = set(look.get_table_names())
        found = {name: {column["name"] for column in look.get_columns(name)} for name in optunas if name in there}
    finally:
        engine.dispose()
    if found.get("version_info", set()) >= set(optunas["version_info"].columns.keys()):
        return  # Optuna has made them, in whatever version
    others = [name for name, columns in found.items() if not columns >= set(optunas[name].columns.keys())]
    if others := [*others, *({"alembic_version"} & there)]:
        raise UserError(
            f"the study's storage {without_password(url)} is the database of another program: {listed(others)} "
            f"{'is a table' if len(others) == 1 else 'are tables'} of its own that Optuna would have, too; "
            "give studies a database of their own"
        )


def _how_to_upgrade(url: str) -> str:
    """The command that brings tables up to date; a password on a command line would be read by whoever lists them."""
    if without_password(url) == url:
        return f"copy it, then type: optuna storage upgrade --storage {shlex.quote(url)}"
    return 'copy it, then type: OPTUNA_STORAGE="$HEADSTART_STORAGE" optuna storage upgrade'


@contextmanager
def readable(url: str) -> Iterator[None]:
    """Turn what Optuna raises at a storage whose content makes no sense into a sentence. Raises OutsideFault."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, AssertionError) as error:
        raise OutsideFault(
            f"the study's storage {without_password(url)} is damaged ({type(error).__name__}: {first_line(error)}).\n"
            "Put a copy of it back, or start another study by name=...; what its runs left is in their folders: "
            "headstart report shows it."
        ) from error


def is_there(url: str) -> bool:
    """Whether the file of a storage that is one exists; True for a server and for a storage in memory."""
    from sqlalchemy import make_url

    scheme, _, path = url.partition(":///")
    if scheme == "sqlite":
        parsed = make_url(url)
        return "uri" in parsed.query or Path(parsed.database or "").exists()
    return scheme != "journal" or Path(path).exists()


def cannot_be_opened(url: str, error: Exception, expected: str) -> UserError:
    """Why the storage of a URL can't be, and what was expected in its place."""
    why = first_line(error.__cause__ or error)
    return UserError(f"the study's storage {without_password(url)} can't be opened: {why}\nExpected {expected}")


def without_password(url: str) -> str:
    """The URL, even a mistyped one, with the password replaced by ***; what follows journal:/// is a path."""
    if url.startswith("journal:///"):
        return url
    url = re.sub(r"(?i)([?&][^=&]*passw[^=&]*=)[^&]*", r"\1***", url)
    head, at, tail = url.rpartition("@")
    scheme, colons, login = head.rpartition("://")
    if at and ":" in login and not login.startswith("/"):  # no host, so no login: /FOLDER/a:b@c/study.db
        return f"{scheme}{colons}{login.partition(':')[0]}:***@{tail}"
    return re.sub(r"^([^/]*://[^/:@?]+):(?!\d*(?:[/?]|$)).*", r"\1:***", url)  # where the host was forgotten


class _JournalLock:
    """The journal's writers take turns by `flock`: the kernel frees it at kill -9, where Optuna's own lock waits 30 s.

    Whoever gets it cuts a last line that a killed writer left torn: a write behind it would damage the file for good.
    """

    def __init__(self, path: Path):
        self._path = path

    def acquire(self) -> bool:
        """Wait for the lock."""
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._handle, fcntl.LOCK_EX)
        size = os.fstat(self._handle).st_size
        if size and os.pread(self._handle, 1, size - 1) != b"\n":
            os.ftruncate(self._handle, self._path.read_bytes().rfind(b"\n") + 1)
        return True

    def release(self) -> None:
        """Let the next writer in."""
        os.close(self._handle)


@contextmanager
def study_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of the study in `folder`: one decision at a time, over all processes and threads.

    Raises UserError where the folder can't be made or written.
    """
    with ExitStack() as held:
        with _explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(holding_lock(folder / ".lock"))
        yield


def make_folder(folder: Path) -> None:
    """Make the study's folder. Raises UserError where it can't be made."""
    with _explained(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"the study's folder {folder} can't be written ({error.strerror}); start headstart in a folder where "
            "it can, or name another by hydra.sweep.dir=..."
        ) from None


# ---- a study's place in it


def refuse_unknown_runs(folder: Path, arm: str, url: str) -> None:
    """A new trial 0 would take the result in search/000 for its own, whatever settings that run had."""
    if any((folder / arm / "search").glob("*/result.json")):
        raise UserError(
            f"{folder / arm} holds runs that the storage {without_password(url)} knows nothing of: it was "
            "deleted, is another one, or the folder was renamed.\n"
            f"Put it back, or move {folder} away, or start another study by name=..."
        )


def copy_in_memory(url: str, folder: Path, name: str, arms: list[str]) -> str:
    """URL of a storage in memory that holds what the study holds now: what a plan does to it stays there."""
    copy = open_storage(IN_MEMORY)
    begun = (folder / "study.json").exists() and is_there(url)
    known = set(optuna.get_all_study_names(open_storage(url))) if begun else set()
    for arm in arms:
        if f"{name}/{arm}" in known:
            optuna.copy_study(from_study_name=f"{name}/{arm}", from_storage=open_storage(url), to_storage=copy)
        else:
            refuse_unknown_runs(folder, arm, url)
    return IN_MEMORY
