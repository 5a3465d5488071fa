"""The statements on the tables of leases, on a real server."""

import threading

import pytest
from sqlalchemy import create_engine

from headstart.sweep.leases import table
from headstart.sweep.leases.server import server_of
from headstart.sweep.leases.table import Here, Key
from sweep.postgres import needs_server

pytestmark = needs_server
HERE, THERE = Here("machine", "folder", "here:/x"), Here("other", "another", "there:/x")
RESULT = dict(outcome="COMPLETE", digest="abc", val_size=30)


@pytest.fixture
def connection(postgres):
    with server_of(postgres).engine.connect() as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def key(request):
    return Key(f"{request.node.name}/a", "search/000")


def test_a_run_is_handed_out_under_a_token_that_grows_once_its_lease_has_run_out(connection, key):
    assert table.take(connection, key, "me", 60, HERE, forced=False) == 1
    assert table.take(connection, key, "you", 60, THERE, forced=False) is None
    assert table.holds(connection, key, 1) and table.renew(connection, key, 1, -1)
    assert not table.row_of(connection, key).alive
    assert table.renew(connection, key, 1, -1)  # nobody wanted it
    assert table.take(connection, key, "you", 60, THERE, forced=False) == 2
    assert not table.renew(connection, key, 1, 60) and not table.holds(connection, key, 1)
    assert table.take(connection, key, "me", 60, HERE, forced=True) == 3


def test_a_job_adopts_its_owners_run_alone(connection, key):
    token = table.take(connection, key, "me", 60, HERE, forced=False)
    assert table.adopt(connection, key, "you", 60, "machine") is None
    assert table.adopt(connection, key, "me", 60, "node7") == token
    assert table.row_of(connection, key).machine == "node7"
    assert not table.seize(connection, key, forced=False)
    table.free(connection, key, token)
    assert table.seize(connection, key, forced=False)
    assert table.adopt(connection, key, "me", 60, "machine") is None and not table.holds(connection, key, token)


def test_a_run_that_nobody_ever_claimed_can_be_seized(connection, key):
    assert table.seize(connection, key, forced=False)


def test_a_result_is_noted_by_the_last_token_or_under_the_studys_lock(connection, key):
    old = table.take(connection, key, "me", -1, HERE, forced=False)
    token = table.take(connection, key, "you", 60, THERE, forced=False)
    assert not table.end(connection, key, RESULT, HERE, old)
    assert table.row_of(connection, key).outcome is None
    assert table.end(connection, key, RESULT, THERE, token)
    name = key.study.partition("/")[0]
    (row,) = table.rows_ended(connection, name)
    assert (row.outcome, row.digest, row.val_size, row.folder, row.place) == (*RESULT.values(), *THERE[1:])
    table.reopen(connection, key)
    assert table.rows_ended(connection, name) == []
    other = key._replace(run="confirm/after-006/seed-1")
    assert table.end(connection, other, RESULT, HERE)
    assert {row.run for row in table.rows_at_work(connection, name)} == {key.run, other.run}


def test_studies_whose_names_begin_alike_are_told_apart(connection):
    for name in ("s", "s_1", "s2", "%"):
        table.end(connection, Key(f"{name}/a", "search/000"), RESULT, HERE)
    assert [row.study for row in table.rows_ended(connection, "s")] == ["s/a"]
    assert [row.study for row in table.rows_ended(connection, "%")] == ["%/a"]


def test_tables_are_made_once_by_any_number_of_processes(postgres, server):
    server.execute("CREATE DATABASE made_together")
    engine, failed = create_engine(server.url("made_together")), []

    def make():
        try:
            with engine.begin() as connection:
                table.wait_for_making(connection)
                table.make_tables(connection)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.dispose()
    assert failed == []


def test_settings_are_kept_beside_the_token_of_the_lock(connection, key):
    assert table.settings_of(connection, key.study) is None
    first = table.next_token_of_lock(connection, key.study)
    table.keep_settings(connection, key.study, "{}")
    assert table.has_lock(connection, key.study, first)
    assert table.next_token_of_lock(connection, key.study) == first + 1
    assert not table.has_lock(connection, key.study, first)
    assert table.settings_of(connection, key.study) == "{}"
