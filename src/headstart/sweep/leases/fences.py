"""Fences: a transaction of a thread whose claim was taken over is rolled back, in whatever library it was begun.

A process can be stopped at any instruction, also between asking whether a claim still holds and writing; so the
question is asked inside of the transaction that writes, and locks the claim's row until the commit.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event

Fence = Callable[[Connection], None]  # raises LostClaim

_own = threading.local()


@contextmanager
def behind(fence: Fence) -> Iterator[None]:
    """Within the block every commit of this thread, by a guarded session or `check_fences`, passes `fence` first."""
    fences = _own.__dict__.setdefault("fences", [])
    fences.append(fence)
    try:
        yield
    finally:
        fences.remove(fence)


def check_fences(connection: Connection) -> None:
    """Have the transaction pass all fences of this thread, in the order in which it came behind them."""
    for fence in list(_own.__dict__.get("fences", ())):
        fence(connection)


def guard(sessions: Any) -> None:
    """Have the commits of these sessions (SQLAlchemy's sessionmaker or scoped_session) pass the fences; once is enough.

    What a fence raises reaches whoever commits, and the session is rolled back by its owner.
    """
    if not event.contains(sessions, "before_commit", _before_commit):
        event.listen(sessions, "before_commit", _before_commit)


def _before_commit(session: Any) -> None:
    if _own.__dict__.get("fences"):
        check_fences(session.connection())
