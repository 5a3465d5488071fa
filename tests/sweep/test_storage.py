"""Storages: Optuna's own tests on ours, kills in mid-write, and a real PostgreSQL server."""

import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optuna.testing.pytest_storages import StorageTestCase

from headstart.config.resolvers import study_storage
from headstart.errors import UserError
from headstart.sweep.storage import _JournalLock, close_storages, is_there, open_storage, study_lock, without_password
from sweep.helpers_sweep import open_scheduler
from sweep.postgres import needs_server
from sweep.test_kills import TOY, TOY_WORDS, begun, finish, start, table, wait_for


class OurStorages(StorageTestCase):
    @pytest.fixture(autouse=True)
    def fresh(self):
        yield
        close_storages()


@pytest.mark.slow
class TestSqlite(OurStorages):
    @pytest.fixture
    def storage(self, tmp_path):
        return open_storage(f"sqlite:///{tmp_path}/study.db")


class TestJournal(OurStorages):
    @pytest.fixture
    def storage(self, tmp_path):
        return open_storage(f"journal:///{tmp_path}/study.log")


@pytest.fixture(scope="module")
def on_postgres(server):
    server.execute("CREATE DATABASE borrowed")
    yield open_storage(server.url("borrowed"))
    close_storages()


@needs_server
class TestPostgres(StorageTestCase):
    """On one database, emptied before each test: a new one takes Optuna as long as a test."""

    @pytest.fixture
    def storage(self, server, on_postgres):
        server.execute("TRUNCATE studies, trials CASCADE", database="borrowed")
        return on_postgres


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://me:secret@host:5432/db", "postgresql+psycopg://me:***@host:5432/db"),
        ("postgresql://me:a@b@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://me:a/b?c#d:e@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:secret@host:port/db", "postgresql://me:***@host:port/db"),
        ("postgresql+psycopg:me:secret@host/db", "postgresql+psycopg:***@host/db"),
        ("me:secret@host/db", "me:***@host/db"),
        ("postgresql://me:secret", "postgresql://me:***"),
        ("postgresql://me:12345secret/db", "postgresql://me:***"),
        ("postgresql://host:5432/db", "postgresql://host:5432/db"),
        ("postgresql://host/db?sslpassword=secret&x=a:b", "postgresql://host/db?sslpassword=***&x=a:b"),
        ("nonsense", "nonsense"),
        ("sqlite:///outputs/s/study.db", "sqlite:///outputs/s/study.db"),
        ("sqlite:////a:b@c/study.db", "sqlite:////a:b@c/study.db"),
        ("journal:////a:b@c/what?password=d/study.log", "journal:////a:b@c/what?password=d/study.log"),
    ],
)
def test_urls_are_shown_without_their_password(url, shown):
    assert without_password(url) == shown


@pytest.mark.parametrize("key", ["password", "PASSWD"])
def test_a_password_among_the_options_of_a_url_is_hidden_too(key):
    assert without_password(f"postgresql+psycopg://h/db?user=me&{key}=hunter2&x=1").endswith(f"user=me&{key}=***&x=1")


def test_a_storage_that_cannot_be_opened_is_named_without_its_password(tmp_path):
    with pytest.raises(UserError, match=r"somebody:\*\*\*@") as error:
        open_storage("postgresql+psycopg://somebody:secret@127.0.0.1:1/none")
    assert "secret" not in str(error.value)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't be opened"):
        open_storage(f"sqlite:///{tmp_path}/file/study.db")


@pytest.mark.parametrize("name", ["what?", "a?mode=memory&uri=true", "50%20", "a#b", "a{b}{0}", "it's ß", "me:x@y"])
@pytest.mark.parametrize("scheme", ["sqlite", "journal"])
def test_a_storage_lies_in_a_folder_of_any_name_and_nowhere_else(tmp_path, monkeypatch, name, scheme):
    monkeypatch.delenv("HEADSTART_STORAGE", raising=False)
    path = tmp_path / name / "study"
    url = study_storage(str(path)) if scheme == "sqlite" else f"journal:///{path}"
    assert without_password(url) == url
    assert not is_there(url)
    path.parent.mkdir()
    optuna.create_study(storage=open_storage(url), study_name="s")
    assert is_there(url) and path.is_file()
    assert list(tmp_path.iterdir()) == [path.parent]


def test_options_of_a_url_are_no_part_of_the_files_name(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db?timeout=9"
    assert not is_there(url)
    (tmp_path / "study.db").touch()
    assert is_there(url)
    for elsewhere in ("sqlite://", "sqlite:///file:x?mode=memory&uri=true", "postgresql://host/db"):
        assert is_there(elsewhere)


def test_a_journals_torn_last_line_is_cut_before_the_next_write(tmp_path):
    url = f"journal:///{tmp_path}/study.log"
    study = optuna.create_study(storage=open_storage(url), study_name="s")
    study.ask()
    with open(tmp_path / "study.log", "ab") as file:
        file.write(b'{"op_code": 4, "wor')
    close_storages()
    again = optuna.load_study(storage=open_storage(url), study_name="s")
    again.ask()
    close_storages()
    assert len(optuna.load_study(storage=open_storage(url), study_name="s").trials) == 2


def test_an_ended_sweep_leaves_its_database_in_one_file(sweep, tmp_path, monkeypatch):
    """Which can be copied alone, also while the process that swept lives on, as that of a notebook does."""
    monkeypatch.setattr("sweep.conftest.close_storages", lambda: None)  # the sweep closes them by itself
    assert sweep("name=s", "model=cnn", "n_trials=2", "confirm_seeds=1")[0] == 0
    assert [path.name for path in sorted(Path("outputs/s").glob("study.db*"))] == ["study.db"]
    shutil.copy("outputs/s/study.db", tmp_path / "copy.db")
    copied = optuna.load_study(study_name="s/cnn", storage=f"sqlite:///{tmp_path / 'copy.db'}")
    assert [trial.state.name for trial in copied.trials].count("COMPLETE") == 2


def test_a_killed_writer_of_the_journal_blocks_nobody(tmp_path):
    path = tmp_path / "study.log"
    program = f"import time; from pathlib import Path; from headstart.sweep.storage import _JournalLock as L; \
L(Path({str(path)!r})).acquire(); print('held', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    with holder:
        assert holder.stdout.readline().strip() == "held"
        holder.kill()
    begin = time.monotonic()
    lock = _JournalLock(path)
    lock.acquire()
    lock.release()
    assert time.monotonic() - begin < 1


def test_one_process_at_a_time_holds_the_studys_lock(tmp_path):
    program = f"from pathlib import Path; from headstart.sweep.storage import study_lock\n\
with study_lock(Path({str(tmp_path)!r})): print('held', flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with holder:
        assert holder.stdout.readline().strip() == "held"
        begin = time.monotonic()
        time.sleep(0.3)
        holder.kill()
        with study_lock(tmp_path):
            assert time.monotonic() - begin >= 0.3


@needs_server
def test_arms_are_searched_on_postgresql_and_two_folders_never_share_a_study(postgres, tmp_path):
    from sweep.helpers_sweep import open_scheduler, table, work

    study = open_scheduler(tmp_path, url=postgres, name="shared")
    work(study)
    local = open_scheduler(tmp_path / "local")
    work(local)
    assert table(study) == table(local)
    with pytest.raises(Exception, match="another by name="):
        open_scheduler(tmp_path / "elsewhere", url=postgres, name="shared")


@needs_server
@pytest.mark.parametrize("processes", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_sweep_on_postgresql_is_killed_and_completes_and_its_password_is_nowhere(
    postgres, tmp_path, monkeypatch, processes
):
    words = [w if w != "name=s" else f"name=s{processes}" for w in TOY_WORDS]
    monkeypatch.setenv("HEADSTART_STORAGE", postgres)
    folder = tmp_path
    running = [start(folder, TOY, *words, seconds=0.1) for _ in range(processes)]
    wait_for(lambda: len(list(folder.glob("outputs/*/cnn/search/*/epochs.csv"))) >= 2)
    for process in running:
        process.send_signal(signal.SIGKILL)
        process.wait()
    running = [start(folder, TOY, *words, seconds=0) for _ in range(processes)]
    assert [p.wait(200) for p in running] == [0] * processes, (folder / "output").read_text()[-3000:]
    study = optuna.load_study(study_name=f"s{processes}/cnn", storage=open_storage(postgres))
    assert [(t.number, t.state.name) for t in study.trials] == [(n, "COMPLETE") for n in range(7)]
    for path in folder.rglob("*"):
        assert not path.is_file() or b"hunter2" not in path.read_bytes(), path


def test_a_sweep_in_a_journal_is_killed_and_completes(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_STORAGE", "journal:///outputs/s/study.log")
    process = start(tmp_path, TOY, *TOY_WORDS, seconds=0.1)
    wait_for(lambda: begun(tmp_path) >= 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finish(tmp_path, TOY, *TOY_WORDS)
    assert {r["state"] for r in table(tmp_path)} == {"COMPLETE"}
    assert len(table(tmp_path)) == 9


@pytest.mark.parametrize("place", ["/proc/x", "taken/study", "a" * 300])
def test_a_study_whose_folder_cannot_be_made_is_refused_in_a_sentence(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("taken").touch()
    said = f"the study's folder {place} can't be written .*hydra.sweep.dir="
    with pytest.raises(UserError, match=said), study_lock(Path(place)):
        pass


def test_processes_that_start_together_make_one_database(tmp_path):
    program = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path; from sweep.helpers_sweep import open_scheduler
open_scheduler(Path({str(tmp_path)!r}), arms=['a'], url='sqlite:///{tmp_path}/study.db', n_trials=1)
"""
    together = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(4)]
    assert [p.wait(120) for p in together] == [0] * 4


@pytest.mark.parametrize(
    "line", ["garbage", '{"op_code": 99}', '{"op_code": 4}', "[]", "null", '{"op_code": 4, "worker_id": 3}']
)
def test_a_journal_with_a_line_that_makes_no_sense_is_a_sentence(line, tmp_path):
    open_scheduler(tmp_path)
    path = tmp_path / "study.log"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:3], f"{line}\n", *lines[3:]]))
    close_storages()
    with pytest.raises(UserError, match=r"journal:///.* (is damaged|can't be opened)"):
        open_scheduler(tmp_path)
    close_storages()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE trial_user_attributes SET value_json='{'",
        "UPDATE trial_system_attributes SET value_json='\"'",
        "UPDATE trials SET state='WON'",
        "UPDATE study_directions SET direction='SIDEWAYS'",
    ],
)
def test_a_database_whose_content_makes_no_sense_is_a_sentence(change, tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    open_scheduler(tmp_path, url=url)
    close_storages()
    with sqlite3.connect(tmp_path / "study.db") as database:
        database.execute(change)
    database.close()
    with pytest.raises(UserError, match=r"sqlite:///.*study.db is damaged"):
        open_scheduler(tmp_path, url=url)
    close_storages()
