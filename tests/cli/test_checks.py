"""What is refused before a folder is made: nothing is overwritten, and what cannot be written is named."""

import pytest
from conftest import TINY, files_below

from cli.helpers_cli import isolated, needs_unshare, refused


def test_a_folder_that_cannot_be_made_is_named(typed, tmp_path):
    (tmp_path / "outputs").write_text("a file in the way")
    refused(*typed(*TINY), r"outputs/runs can't be written")
    assert (tmp_path / "outputs").read_text() == "a file in the way"


@pytest.mark.parametrize("words", [["hydra.run.dir=outputs/mine"], ["-m", "name=mine"]], ids=str)
def test_a_file_where_the_folder_should_be_is_named(words, typed, tmp_path):
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs/mine").write_text("years of work")
    refused(*typed(*TINY, *words), r"outputs/mine is a file")
    assert files_below(tmp_path) == {"outputs/mine": b"years of work"}


TOO_LONG = "a" * 300
UNWRITABLE = [
    (["hydra.run.dir=/proc/x"], r"^headstart: /proc/x can't be written .*hydra\.run\.dir="),
    (["hydra.run.dir=/proc"], r"^headstart: /proc can't be written"),
    (["hydra.run.dir=taken/x"], r"taken can't be written"),
    ([f"hydra.run.dir=new/{TOO_LONG}"], r"can't be written \(File name too long\)"),
    (["-m", "hydra.sweep.dir=/proc/x"], r"^headstart: /proc can't be written .*hydra\.sweep\.dir="),
    (["-m", "hydra.sweep.dir=/proc"], r"^headstart: /proc can't be written"),
    (["-m", f"hydra.sweep.dir=new/{TOO_LONG}"], r"can't be written \(File name too long\)"),
    (["-m", "dry_run=true", f"hydra.sweep.dir={TOO_LONG}"], r"can't be written \(File name too long\)"),
    (["-m", "dry_run=true", "hydra.sweep.dir=taken/x"], r"taken can't be written \(Not a directory\)"),
    (["hydra.output_subdir=/proc/x"], r"hydra\.output_subdir=/proc/x: expected the name of a folder"),
    (["hydra.output_subdir=.."], r"hydra\.output_subdir=\.\.: expected"),
]


@pytest.mark.parametrize(("words", "said"), UNWRITABLE, ids=lambda value: str(value)[:50])
def test_a_place_where_nothing_can_be_written_is_named(words, said, typed, tmp_path):
    (tmp_path / "taken").touch()
    refused(*typed(*TINY, *words), said)
    assert files_below(tmp_path) == {"taken": b""}


def test_a_plan_of_a_sweep_is_made_without_its_folder(command, tmp_path):
    code, _, text = command(*TINY, "-m", "dry_run=true", "hydra.sweep.dir=new/deep/mine")
    assert code == 0 and "writes new/deep/mine" in text
    assert list(tmp_path.iterdir()) == []


@needs_unshare
def test_a_disk_that_cannot_be_written_is_named(tmp_path):
    done = isolated("mkdir disk; mount -t tmpfs -o ro none disk; cd disk; h", tmp_path)
    refused(done.returncode, done.stderr, r"outputs can't be written \(Read-only file system\)")


def test_a_folder_that_holds_something_is_left_as_it_was(typed, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    refused(*typed(*TINY, f"hydra.run.dir={folder}", "data.train_size=101"), "no multiple")
    assert files_below(folder) == {"thesis.txt": b"years of work"}
    (folder / "run.json").write_text("{}")
    refused(
        *typed(*TINY, f"hydra.run.dir={folder}"), r"holds a run already; go on with it by resume=\S+ or name another"
    )
    (folder / "result.json").write_text('{"state": "DIVERGED"}')
    refused(*typed(*TINY, f"hydra.run.dir={folder}"), r"holds a run already; name another folder by hydra\.run\.dir=")
    (folder / "result.json").unlink()
    assert set(files_below(folder)) == {"thesis.txt", "run.json"}
