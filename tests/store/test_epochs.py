"""epochs.csv: rows come back as they were, whatever became of the file."""

import os

import pytest

from headstart.store.epochs import append_epoch, read_epochs, truncate_epochs
from store.helpers_store import epoch_row, python


def rows_in(folder):
    return [row._asdict() for row in read_epochs(folder).rows]


def test_epochs_come_back_with_their_types_and_all_digits(tmp_path):
    rows = [epoch_row(1, lr=0.1 + 0.2, val_loss=None), epoch_row(2, train_loss=1e-300)]
    for row in rows:
        append_epoch(tmp_path, row)
    assert rows_in(tmp_path) == rows
    assert all(type(row["steps"]) is int and type(row["lr"]) is float for row in rows_in(tmp_path))


def test_the_header_is_stable_and_written_once(tmp_path):
    append_epoch(tmp_path, {"epoch": 1, "val_accuracy": 50})
    append_epoch(tmp_path, {"val_accuracy": 60, "epoch": 2})
    assert (tmp_path / "epochs.csv").read_text() == (
        "epoch,steps,images,lr,train_loss,train_accuracy,val_loss,val_accuracy,seconds_train,images_per_second,"
        "seconds_total\n1,,,,,,,50.0,,,\n2,,,,,,,60.0,,,\n"
    )


def test_unknown_epoch_columns_are_refused(tmp_path):
    with pytest.raises(ValueError, match="test_accuracy"):
        append_epoch(tmp_path, epoch_row(1, test_accuracy=99))
    assert not (tmp_path / "epochs.csv").exists()


def test_wherever_the_last_line_is_torn_the_whole_rows_survive_and_appending_goes_on(tmp_path):
    rows = [epoch_row(epoch, seconds_total=12.25 * epoch) for epoch in (1, 2, 3)]
    for row in rows:
        append_epoch(tmp_path, row)
    path, whole = tmp_path / "epochs.csv", (tmp_path / "epochs.csv").read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        survived = max(0, whole[:size].count(b"\n") - 1)
        assert rows_in(tmp_path) == rows[:survived]
        append_epoch(tmp_path, rows[survived])
        assert rows_in(tmp_path) == rows[: survived + 1]
    assert path.read_bytes() == whole


def test_a_torn_line_longer_than_the_row_that_follows_it_is_gone(tmp_path):
    append_epoch(tmp_path, epoch_row(1))
    whole = (tmp_path / "epochs.csv").read_bytes()
    (tmp_path / "epochs.csv").write_bytes(whole + b"2," * 500)
    append_epoch(tmp_path, {"epoch": 2})
    assert (tmp_path / "epochs.csv").read_bytes() == whole + b"2,,,,,,,,,,\n"


def test_epochs_after_the_checkpoint_are_dropped_on_resume(tmp_path):
    for epoch in (1, 2, 3):
        append_epoch(tmp_path, epoch_row(epoch))
    truncate_epochs(tmp_path, keep=2)
    assert [row["epoch"] for row in rows_in(tmp_path)] == [1, 2]
    append_epoch(tmp_path, epoch_row(3, lr=0.7))
    assert rows_in(tmp_path)[2]["lr"] == 0.7
    truncate_epochs(tmp_path, keep=0)
    assert rows_in(tmp_path) == []


def test_truncating_without_a_file_does_nothing(tmp_path):
    truncate_epochs(tmp_path, 3)
    assert os.listdir(tmp_path) == []


def test_an_epoch_that_stands_twice_counts_as_it_was_the_last_time(tmp_path, caplog):
    for row in (epoch_row(1), epoch_row(2, lr=0.5), epoch_row(2, lr=0.7)):
        append_epoch(tmp_path, row)
    assert [row["lr"] for row in rows_in(tmp_path)] == [0.1, 0.7]
    assert "1 lines are damaged or double" in caplog.text


def test_a_file_with_other_columns_keeps_the_known_ones_when_it_is_appended_to(tmp_path):
    (tmp_path / "epochs.csv").write_text("val_accuracy,note,epoch\n50.0,hello,1\n")
    append_epoch(tmp_path, epoch_row(2))
    first, second = rows_in(tmp_path)
    assert (first["epoch"], first["val_accuracy"], first["lr"]) == (1, 50.0, None)
    assert second == epoch_row(2)


def test_an_appended_epoch_survives_the_kill_that_follows(tmp_path):
    script = """
import os, signal, sys
from headstart.store import append_epoch
for epoch in (1, 2, 3):
    append_epoch(sys.argv[1], dict(epoch=epoch))
os.kill(os.getpid(), signal.SIGKILL)
"""
    python(script, tmp_path).communicate(timeout=60)
    assert [row["epoch"] for row in rows_in(tmp_path)] == [1, 2, 3]


@pytest.mark.parametrize(("old", "new"), [("", ""), ("0.5", "nan"), ("0.5", ""), ("\n2,", "\n0_2,"), ("\n", "\r\n")])
def test_lines_are_given_only_where_they_are_plain_numbers_that_say_what_the_rows_do(tmp_path, old, new):
    for epoch in (1, 2):
        append_epoch(tmp_path, epoch_row(epoch, val_loss=0.5))
    file = tmp_path / "epochs.csv"
    written = file.read_bytes()
    file.write_bytes(written.replace(old.encode(), new.encode()) if old else written)
    epochs = read_epochs(tmp_path)
    assert [row.epoch for row in epochs.rows] == [1, 2]
    assert epochs.lines == (None if old else written.decode().splitlines()[1:])
