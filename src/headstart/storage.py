"""Where a study's trials are stored: sqlite, journal file or database server, opened from a URL."""

from functools import lru_cache
from pathlib import Path

import optuna

from headstart.errors import UserError


@lru_cache(maxsize=8)
def open_storage(url: str) -> optuna.storages.BaseStorage:
    """Optuna storage for a URL: sqlite:///FILE, journal:///FILE, or any SQLAlchemy URL such as postgresql+psycopg://...

    sqlite waits 60 s for other writers instead of Optuna's 5. One storage per URL and process. Raises UserError when
    the database can't be opened; the text has no password in it.
    """
    from sqlalchemy.exc import SQLAlchemyError

    if url.startswith("journal:///"):
        path = url.removeprefix("journal:///")
        _trim_journal(Path(path))
        backend = optuna.storages.journal.JournalFileBackend(path)
        return optuna.storages.JournalStorage(backend)
    arguments = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {"pool_pre_ping": True}
    try:
        return optuna.storages.RDBStorage(url, engine_kwargs=arguments)
    except (SQLAlchemyError, ImportError, OSError) as error:
        cause = str(error.__cause__ or error).strip().splitlines()[0]
        raise UserError(f"the study's storage {without_password(url)} can't be opened: {cause}") from None


def without_password(url: str) -> str:
    """The URL with the password replaced by ***."""
    head, at, tail = url.rpartition("@")
    scheme, colons, login = head.partition("://")
    return f"{scheme}{colons}{login.partition(':')[0]}:***@{tail}" if at and ":" in login else url


def _trim_journal(path: Path) -> None:
    """Cut a last line that a killed writer left unfinished; a write behind it would damage the journal for good."""
    if path.exists() and (data := path.read_bytes()) and not data.endswith(b"\n"):
        path.write_bytes(data[: data.rfind(b"\n") + 1])
