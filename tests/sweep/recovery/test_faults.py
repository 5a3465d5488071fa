"""A fault from outside ends the sweep with a sentence; no trial fails by it, and the same command goes on."""

import errno
import sqlite3

import pytest
import sqlalchemy
import toy

from headstart.errors import GaveOut, OutsideFault, UserError
from headstart.store import read_run
from headstart.sweep.recovery import explained_faults, outside_fault

SWEEP = ["name=s", "model=cnn", "n_trials=3", "confirm_seeds=1", "search=decades"]


def caught(cause: BaseException) -> Exception:
    """An exception of a library with this cause."""
    try:
        raise RuntimeError("could not commit") from cause
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a/log"), "disk full: a/log could not be written"),
        (caught(OSError(errno.EDQUOT, "Quota exceeded")), "disk full: a file could not be written"),
        (OSError(errno.EROFS, "Read-only file system", "a"), "Read-only file system: a could not be written"),
        (MemoryError(), "out of memory"),
        (caught(OutsideFault("the GPU is gone")), "the GPU is gone"),
    ],
)
def test_a_fault_from_outside_is_known_wherever_it_stands(error, said):
    assert str(outside_fault(error)).startswith(said)
    with pytest.raises(OutsideFault, match=said), explained_faults():
        raise error


@pytest.mark.parametrize("error", [RuntimeError("no"), OSError(errno.ENOENT, "gone", "a"), UserError("lr=x"), None])
def test_no_other_is_one(error):
    assert outside_fault(error) is None
    if error is not None:
        with pytest.raises(type(error)), explained_faults():
            raise error


def test_a_damaged_database_and_a_full_one_are_told_apart(tmp_path):
    (tmp_path / "study.db").write_bytes(b"no database" * 100)
    with pytest.raises(OutsideFault, match="the study's database is damaged"), explained_faults():
        sqlalchemy.create_engine(f"sqlite:///{tmp_path}/study.db").connect().exec_driver_sql("SELECT 1 FROM t")
    full = sqlalchemy.exc.OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))
    assert "disk full: the study's database could not be written" in str(outside_fault(caught(full)))
    gone = sqlalchemy.exc.OperationalError("SELECT", {}, sqlite3.OperationalError("server closed the connection"))
    assert "it goes on, and no trial is lost" in str(outside_fault(gone))


def breaking(monkeypatch, run, error, times):
    """Have the toy raise this error in that run, so many times."""
    left = iter(range(times))

    def broken(name):
        if name == run and next(left, None) is not None:
            raise error

    monkeypatch.setattr(toy, "break_if_asked", broken)


@pytest.mark.parametrize("run", ["cnn:1:search", "cnn:2:confirm"])
def test_a_full_disk_ends_the_sweep_and_the_same_command_goes_on_to_the_same_end(run, sweep, monkeypatch, tmp_path):
    breaking(monkeypatch, run, OSError(errno.ENOSPC, "No space left on device", "log"), 1)
    code, text = sweep(*SWEEP)
    assert code == 1 and text.count("disk full: log could not be written") == 1 and "Traceback" not in text
    folders = [path.parent for path in (tmp_path / "outputs/s").rglob("run.json")]
    assert "FAILED" not in {read_run(folder)["state"] for folder in folders}
    assert sweep(*SWEEP)[0] == 0
    states = [read_run(path.parent)["state"] for path in (tmp_path / "outputs/s").rglob("run.json")]
    assert states == ["COMPLETE"] * 4


def test_memory_that_gives_out_again_under_the_same_run_is_the_runs_own_fault(sweep, monkeypatch, tmp_path):
    breaking(monkeypatch, "cnn:1:search", GaveOut("out of GPU memory; give a smaller batch_size"), 2)
    code, text = sweep(*SWEEP)
    assert code == 1 and "out of GPU memory" in text and not (tmp_path / "outputs/s/cnn/search/002").exists()
    assert sweep(*SWEEP)[0] == 0
    run = read_run(tmp_path / "outputs/s/cnn/search/001")
    assert (run["state"], run["reason"]) == (
        "FAILED",
        "out of GPU memory; give a smaller batch_size, for the second time",
    )
