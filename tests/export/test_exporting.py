"""What is said where a tracker's library or the folder is missing, and what was done."""

from pathlib import Path

import pytest
from helpers_runs import make_study

import headstart as hs
from headstart.errors import UserError
from headstart.export import TARGETS, Exported, export, exporting


class Shelf:
    """A store in memory."""

    opened_by = "look"

    def __init__(self):
        self.runs = {}

    def digest_of(self, run):
        return self.runs.get(run.key)

    def remove(self, run):
        del self.runs[run.key]

    def write(self, run):
        assert run.key not in self.runs
        self.runs[run.key] = run.digest


def test_a_run_that_is_there_is_left_alone_and_one_that_is_there_in_part_is_written_anew(tmp_path, monkeypatch):
    shelf, root = Shelf(), make_study(tmp_path / "tiny", trials=2, seeds=0)
    monkeypatch.setattr(exporting.Target, "open", lambda *_: shelf)
    first = export(hs.load(root), "mlflow")
    assert (first.new, first.changed, first.as_before) == (4, 0, 0) and first.folder == root / "export/mlflow"
    shelf.runs["tiny/random/search/000"] = ""
    again = export(hs.load(root), "mlflow", Path("elsewhere"))
    assert (again.new, again.changed, again.as_before) == (0, 1, 3) and again.folder == Path("elsewhere")
    assert str(again) == (
        "Runs in elsewhere: 1 written anew, as they have gone on, 3 there already.\nTo look at them: look"
    )


def test_a_missing_library_is_a_sentence_with_the_command_that_brings_it(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "find_spec", lambda _: None)
    for name, target in TARGETS.items():
        with pytest.raises(UserError, match=f"--to {name} is written by .*: pip install {target.library}$"):
            target.open(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_library_that_lacks_what_it_needs_is_a_sentence(tmp_path):
    broken = exporting.Target("mlflow", "json", "headstart.export.no_such_module")
    with pytest.raises(UserError, match=r"json cannot be used .*pip install -U json"):
        broken.open(tmp_path / "out")


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    for place in ("file", "file/below"):
        with pytest.raises(UserError, match="cannot be made for the export"):
            exporting.Target("mlflow", "json", "json").open(tmp_path / place)


def test_nothing_to_export_is_said():
    assert str(Exported(Path("x"), "look", 0, 0, 0)).startswith("Runs in x: none.")
