"""The password of a study's database: in no file, output, table or process list, whatever goes wrong with the database.

What does go wrong is one sentence, and once it is mended the same command goes on.
"""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest
from conftest import files_below

from headstart.sweep.storage import close_storages, open_storage
from sweep.postgres import Server, needs_server
from sweep.test_kills import COMMON, TOY, begun, children, finish, start, wait_for

pytestmark = needs_server
WORDS = ["name=s", "n_trials=1", "confirm_seeds=0"]
NUMBERS = itertools.count()


@pytest.fixture
def database(server: Server) -> str:
    """The name of a new one."""
    name = f"secrets_{next(NUMBERS)}"
    server.execute(f"CREATE DATABASE {name}")
    return name


@dataclass(frozen=True)
class Fault:
    """Something wrong with a database: how it comes about, what is said of it, and how it is mended."""

    said: str
    begin: Callable[[Server, str], object] = lambda server, name: None
    mend: Callable[[Server, str], object] = lambda server, name: None
    password: str | None = None  # that is typed first


def statements(*texts: str) -> Callable[[Server, str], object]:
    return lambda server, name: server.execute(*texts, database=name)


def with_version(version: str) -> Callable[[Server, str], object]:
    """Has Optuna make its tables, and then says that they are of another version."""

    def begin(server: Server, name: str) -> None:
        open_storage(server.url(name))
        close_storages()
        statements("ALTER TABLE alembic_version ADD was text", "UPDATE alembic_version SET was=version_num")(
            server, name
        )
        statements(f"UPDATE alembic_version SET version_num='{version}'")(server, name)

    return begin


as_it_was = statements("UPDATE alembic_version SET version_num=was")
FAULTS = {
    "a wrong password": Fault("password authentication failed for user", password="no-s3cr3t-hunter2"),
    "no server": Fault("Connection refused", lambda server, _: server.stop(), lambda server, _: server.start()),
    "no such database": Fault(
        "does not exist",
        lambda server, name: server.execute(f"DROP DATABASE {name}"),
        lambda server, name: server.execute(f"CREATE DATABASE {name}"),
    ),
    "a table of another program": Fault(
        "is the database of another program: studies is a table of its own",
        statements("CREATE TABLE studies (id integer, title text)"),
        statements("DROP TABLE studies"),
    ),
    "another program's versions": Fault(
        "is the database of another program: alembic_version is a table of its own",
        statements("CREATE TABLE alembic_version (version_num text)", "INSERT INTO alembic_version VALUES ('ae1')"),
        statements("DROP TABLE alembic_version"),
    ),
    "tables of an older Optuna": Fault(
        '; copy it, then type: OPTUNA_STORAGE="$HEADSTART_STORAGE" optuna storage upgrade',
        with_version("v2.6.0.a"),
        as_it_was,
    ),
    "tables of a newer Optuna": Fault("a newer one: pip install -U optuna", with_version("v9.0.0.a"), as_it_was),
}


def tables(server: Server, database: str) -> dict[str, list[tuple]]:
    """All rows that a database holds, by table."""
    import psycopg

    address = server.url(database).replace("+psycopg", "")
    with psycopg.connect(address) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname='public'").fetchall()
        return {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for (name,) in names}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_of_a_database_is_a_sentence_and_once_mended_the_same_command_goes_on(
    sweep, server, database, without_plots, fault
):
    fault.begin(server, database)
    is_there = "exist" not in fault.said and "refused" not in fault.said
    before = tables(server, database) if is_there else None
    try:
        code, text = sweep(*WORDS, HEADSTART_STORAGE=server.url(database, fault.password))
        assert code == 1 and fault.said in text and server.password not in text, text
        assert text.startswith("headstart: ") and len(text.splitlines()) <= 2 and "Traceback" not in text
        assert not is_there or tables(server, database) == before
    finally:
        fault.mend(server, database)
    code, again = sweep(*WORDS, HEADSTART_STORAGE=server.url(database))
    assert code == 0, again
    assert server.password not in again + repr(tables(server, database))
    left = files_below(Path("."))
    assert "outputs/s/cnn/search/000/.hydra/hydra.yaml" in left and "outputs/s/report.html" in left
    assert [name for name, content in left.items() if server.password.encode() in content] == []


@contextmanager
def command_lines(parent: int) -> Iterator[dict[int, bytes]]:
    """What the list of processes shows meanwhile, by process, of all that there are below `parent`, and of itself."""
    seen: dict[int, bytes] = {}
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            for pid in (parent, *children(parent)):
                try:
                    seen[pid] = Path(f"/proc/{pid}/cmdline").read_bytes() or seen.get(pid, b"")
                except OSError:  # it has ended
                    continue

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def test_a_database_that_goes_down_meanwhile_loses_no_trial_and_its_password_is_nowhere(
    server, database, tmp_path, monkeypatch
):
    monkeypatch.setenv("HEADSTART_STORAGE", server.url(database))
    monkeypatch.setenv("TOY_COMMANDS", "1")
    words = [*COMMON, "epochs=3", "n_trials=4", "confirm_seeds=1"]
    process = start(tmp_path, TOY, *words, "jobs=2", seconds=0.4)
    with command_lines(process.pid) as seen:
        wait_for(lambda: begun(tmp_path) >= 2, 200)
        server.stop()
        try:
            assert process.wait(200) == 1
        finally:
            server.start()
    worker = next(words for pid, words in seen.items() if pid != process.pid and b"jobs=2" in words)
    assert b"toy.py" in worker and b"HEADSTART_STORAGE" not in worker
    said = (tmp_path / "output").read_text()
    assert "the study's database cannot be used" in said and "goes on, and no trial is lost" in said
    finish(tmp_path, TOY, *words)
    study = optuna.load_study(study_name="s/cnn", storage=open_storage(server.url(database)))
    assert [t.number for t in study.trials if t.state.name == "COMPLETE"] == [*range(4)]
    close_storages()
    marker, left = server.password.encode(), files_below(tmp_path)
    assert {"output", "outputs/s/worker-1.log", "outputs/s/report.html", "outputs/s/cnn/search/000/log"} <= left.keys()
    assert [name for name, content in left.items() if marker in content] == []
    logs_of_runs = {name for name in left if name.endswith("/log")}  # where Hydra writes what a job ended with
    assert [name for name in left.keys() - logs_of_runs if b"Traceback" in left[name]] == []
    assert [words for words in seen.values() if marker in words] == []
    assert server.password not in repr(tables(server, database))
