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


@needs_unshare
def test_a_disk_that_cannot_be_written_is_named(tmp_path):
    done = isolated("mkdir disk; mount -t tmpfs -o ro none disk; cd disk; h", tmp_path)
    refused(done.returncode, done.stderr, r"outputs/runs can't be written \(Read-only file system\)")


def test_a_folder_that_holds_something_is_left_as_it_was(typed, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    refused(*typed(*TINY, f"hydra.run.dir={folder}", "data.train_size=101"), "no multiple")
    assert files_below(folder) == {"thesis.txt": b"years of work"}
    (folder / "run.json").write_text("{}")
    refused(*typed(*TINY, f"hydra.run.dir={folder}"), "holds a run already")
    assert set(files_below(folder)) == {"thesis.txt", "run.json"}
