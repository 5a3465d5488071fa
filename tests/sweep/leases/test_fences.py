"""Fences on real transactions: who is behind one that doesn't hold has written nothing."""

import threading

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import scoped_session, sessionmaker

from headstart.sweep.leases import LostClaim
from headstart.sweep.leases.fences import behind, check_fences, guard


@pytest.fixture
def sessions(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/x.db")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE written (by text)"))
    made = scoped_session(sessionmaker(engine))
    guard(made)
    guard(made)
    yield made
    made.remove()
    engine.dispose()


def write(sessions, by: str) -> None:
    try:
        sessions().execute(text("INSERT INTO written VALUES (:by)"), dict(by=by))
        sessions().commit()
    finally:
        sessions().rollback()


def written(sessions) -> list[str]:
    return list(sessions().execute(text("SELECT by FROM written")).scalars())


def refuse(connection):
    raise LostClaim("too late")


def test_what_is_written_behind_a_fence_that_does_not_hold_is_rolled_back(sessions):
    write(sessions, "before")
    with behind(refuse), pytest.raises(LostClaim, match="too late"):
        write(sessions, "behind")
    write(sessions, "after")
    assert written(sessions) == ["before", "after"]


def test_a_fence_is_asked_within_the_transaction_once_each_commit(sessions):
    asked = []
    with behind(lambda connection: asked.append(connection.execute(text("SELECT count(*) FROM written")).scalar())):
        write(sessions, "one")
        write(sessions, "two")
    assert asked == [1, 2]


def test_a_fence_is_its_threads_own_and_the_first_one_is_asked_first(sessions):
    with behind(refuse):
        other = threading.Thread(target=write, args=(sessions, "another thread"))
        other.start()
        other.join()
    assert written(sessions) == ["another thread"]
    order = []
    with behind(lambda _: order.append(1)), behind(lambda _: order.append(2)):
        check_fences(sessions().connection())
    check_fences(sessions().connection())
    assert order == [1, 2]
