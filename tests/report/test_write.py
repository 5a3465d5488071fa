"""A report is written whatever the runs left behind, and the same runs give the same files."""

import dataclasses
import json
from pathlib import Path

import pytest
from helpers_runs import make_run, make_study

from headstart.analysis import FRAMES
from headstart.analysis import load_results as load
from headstart.errors import UserError
from headstart.report import figures, write_report
from headstart.report.write import question
from headstart.store import StudyFile
from report.helpers_report import read


def test_the_same_runs_give_the_same_bytes(tmp_path, without_plots):
    root = make_study(tmp_path / "tiny", trials=2, seeds=2)
    first = {path: path.read_bytes() for path in write_report(load(root))}
    assert first == {path: path.read_bytes() for path in write_report(load(root))}


def test_all_that_is_written_is_named_and_the_page_comes_last(finished):
    known = json.loads((finished.parent / "written.json").read_text())
    written = [Path(p) for p in known["written"]]
    assert written[-1] == finished / "report.html"
    assert {str(p) for p in finished.rglob("*") if p.is_file()} - set(known["before"]) == set(known["written"])
    assert {p.name for p in written} >= {f"{name}.csv" for name in FRAMES} | {"report.md", "arms.png", "arms.svg"}


def test_a_run_on_its_way_and_a_failed_one_are_rows_with_state_and_reason(tmp_path, without_plots):
    root = make_study(tmp_path / "tiny")
    own = dict(arm="random", phase="search", seed=0, lr=1e-2)
    make_run(root, "random/search/005", number=5, state="FAILED", reason="CUDA out of memory", **own)
    make_run(root, "random/search/006", number=6, **own)
    write_report(load(root))
    words = read(root).words()
    assert "FAILED CUDA out of memory" in words and "INTERRUPTED" in words


def test_question_is_the_studys_own_or_its_files_first_comment_or_its_name(tmp_path):
    study = load(make_study(tmp_path / "tiny", trials=1, seeds=0))
    asked = {
        "Does it?": {"question": "Does it?", "experiment": "quickstart"},
        "What are features of the digits 0 to 4": {"experiment": "quickstart"},
        "tiny": {"experiment": "of_my_own", "question": 3},
    }
    for expected, found in asked.items():
        assert question(dataclasses.replace(study, study_file=StudyFile.of(found))).startswith(expected)
    for path in ("../../setup", "/etc/passwd", "", None, 5, ["x"]):
        assert question(dataclasses.replace(study, study_file=StudyFile.of({"experiment": path}))) == "tiny"


DAMAGED = [
    "",
    "{",
    "[]",
    "null",
    "3",
    "\x00\xff",
    '{"arms": 3, "common": [1]}',
    '{"arms": {"random": 5}, "spaces": []}',
]
DAMAGED += ['{"name": {}}', '{"arm_order": 7, "n_trials": "x", "command": 5, "question": [1], "experiment": {}}']
DAMAGED += ['{"arms": {"random": {}}}', '{"spaces": {"random": {"lr": 5}}, "arm_order": [1, null]}']


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_or_foreign_study_json_is_no_reason_for_no_report(tmp_path, without_plots, text):
    root = make_study(tmp_path / "tiny", trials=1, seeds=1)
    (root / "study.json").write_text(text, encoding="latin-1")
    write_report(load(root))
    assert "random" in read(root).words()


def test_half_written_missing_and_foreign_files_leave_rows_with_reasons_and_a_page(tmp_path):
    root = make_study(tmp_path / "tiny", trials=3, seeds=2)
    (root / "random/search/000/result.json").write_text('{"state": "COMP')
    (root / "random/search/001/epochs.csv").write_bytes(b"\xff\x00,epoch\n1,2")
    (root / "random/confirm/002/seed-1/result.json").write_text(
        '{"state": "COMPLETE", "val_accuracy": 5, "confusion": 3}'
    )
    (root / "random/confirm/002/seed-2/predictions.npz").write_bytes(b"PK no")
    (root / "pretrained/search/002/run.json").unlink()
    (root / "photos").mkdir()
    (root / "photos/result.json").mkdir()
    (root / "tables").mkdir()
    (root / "tables/trials.csv").write_text("mine")
    write_report(load(root))
    words = read(root).words()
    assert "unreadable result.json" in words and "INTERRUPTED" in words
    assert "Plots are missing" not in words


def test_a_study_that_has_only_begun_gives_an_empty_report(tmp_path):
    write_report(load(make_study(tmp_path, trials=0, seeds=0)))
    words = read(tmp_path).words()
    assert "There are no two arms to compare." in words and "none yet" in words


def test_a_fault_in_the_plots_costs_the_plots_and_not_the_page(tmp_path, monkeypatch, caplog):
    def broken(*_):
        raise RuntimeError("no <ink>")

    monkeypatch.setattr(figures, "draw_all", broken)
    root = make_study(tmp_path / "tiny", trials=1, seeds=1)
    write_report(load(root))
    assert "Plots are missing: drawing them failed with RuntimeError: no <ink>" in read(root).words()
    assert "no <ink>" in caplog.text


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    root = make_study(tmp_path / "tiny", trials=1, seeds=0)
    (root / "tables").write_text("in the way")
    with pytest.raises(UserError, match="tables cannot be made"):
        write_report(load(root))
