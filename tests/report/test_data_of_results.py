"""What a report says of the data: the record that runs left, or what the tables say."""

import dataclasses
import shutil

import numpy as np
from helpers_runs import make_run, make_study, write_predictions

from headstart.analysis import load_results as load
from headstart.report import Material, write_report
from headstart.report.data_of_results import data_of, kept_data
from headstart.store import keep_data_record
from report.helpers_data_record import RECORD, sheet
from report.helpers_report import read

SHA = "1" * 64  # of the runs that `make_study` makes


def test_the_page_has_a_section_on_the_data_after_the_answer(tmp_path):
    root = make_study(tmp_path / "tiny", trials=1, seeds=1)
    keep_data_record(root, SHA, RECORD, sheet())
    written = write_report(load(root))
    page = read(root)
    words = page.words()
    assert words.index("Verdict on every pair") < words.index("The pictures") < words.index("How fast they learn")
    assert "cat 1,080 20 30 1,130" in words and "files that are no pictures: 5 (a.txt, b.txt, ...)" in words
    assert "#data" in [a.get("href") for a in page.all("a")]
    assert [a["alt"] for a in page.all("img") if "cat: 10 of 1,080" in a["alt"]]
    assert root / "plots/data_samples.png" in written
    assert "not at hand" not in words


def test_a_folder_that_is_gone_is_said_and_the_record_stays(tmp_path):
    root = make_study(tmp_path / "tiny", trials=1, seeds=0)
    keep_data_record(root, SHA, dataclasses.replace(RECORD, root=str(tmp_path / "gone")), None)
    write_report(load(root))
    words = read(root).words()
    assert "The pictures are not at hand: " in words and f"{tmp_path / 'gone'} is not there" in words
    assert "cat 1,080 20 30 1,130" in words and not (root / "plots/data_samples.png").exists()


def test_without_a_record_the_tables_and_the_kept_answers_speak(tmp_path):
    root = make_study(tmp_path / "tiny", {"a": 80.0}, trials=1, seeds=0)
    facts = dict(phase="confirm", number=0, seed=1, arm="a", study="tiny", state="COMPLETE", val_accuracy=80.0)
    facts |= dict(test_accuracy=70.0, train_images=1234, val_images=56, test_images=5)
    run = make_run(root, "a/confirm/000/seed-1", **facts)
    labels = np.array([0, 0, 1, 1, 1])
    write_predictions(run, labels, np.eye(2)[labels], classes=np.array(["cat", "dog"]))
    said, views = data_of(load(root)).said, data_of(load(root)).views
    assert said[0].startswith("No record of the pictures is at hand")
    assert "digits: 1,234 training, 56 validation, 5 test pictures." in said
    assert [[cell.text for cell in row] for row in views[0].counts.rows][:2] == [["cat", "2", "2"], ["dog", "3", "3"]]
    (run / "predictions.npz").unlink()
    assert data_of(load(root)).views == []
    write_report(load(root))
    assert "No record of the pictures is at hand" in read(root).words()


def test_a_damaged_record_is_none(tmp_path):
    root = make_study(tmp_path / "tiny", trials=1, seeds=0)
    (root / f"data-{SHA[:12]}.json").write_text("{")
    assert kept_data(load(root)) == [] and data_of(load(root)).said


def test_folds_are_one_data_set_and_other_sizes_others(tmp_path):
    root = make_study(tmp_path / "tiny", {"a": 80.0}, trials=1, seeds=0)
    counts = {"1": (1080, 6), "2": (1079, 7), "3": (500, 6)}
    for digit, train in counts.items():
        sha = digit * 64
        record = dataclasses.replace(RECORD, counts=RECORD.counts | {"train": train})
        keep_data_record(root, sha, record, sheet())
        make_run(root, f"a/search/01{digit}", phase="search", number=10 + int(digit), arm="a", data_sha256=sha)
    assert [kept.record.counts["train"] for kept in kept_data(load(root))] == [(1080, 6), (500, 6)]
    record = dataclasses.replace(RECORD, pixels=(16, 16))
    keep_data_record(root, "4" * 64, record, sheet())
    made = make_run(root, "a/search/014", phase="search", number=14, arm="a", data_sha256="4" * 64)
    assert [kept.record.pixels for kept in kept_data(load(root))] == [(8, 8), (8, 8), (16, 16)]
    shutil.rmtree(made)
    material = Material(load(root))
    assert material.data[0].sheet.shape == (2, 10, 8, 8, 3)
    (root / f"data-{'1' * 12}.png").unlink()
    assert Material(load(root)).data[0].sheet is None


def test_folds_are_one_data_set_though_copies_leave_beside_some_of_them(tmp_path):
    root = make_study(tmp_path / "tiny", {"b": 80.0}, trials=1, seeds=0)
    for fold, (train, dropped) in enumerate([((60, 6), 0), ((59, 6), 1), ((57, 6), 3)]):
        sha = str(fold + 1) * 64
        counts, copies = RECORD.counts | {"train": train}, RECORD.copies | {"dropped": dropped}
        keep_data_record(root, sha, dataclasses.replace(RECORD, counts=counts, copies=copies), sheet())
        of_arm = dict(phase="confirm", number=0, seed=fold + 1, arm="a", folds=3, fold=fold)
        make_run(root, f"a/confirm/000/seed-{fold + 1}", data_sha256=sha, **of_arm)
    assert len(kept_data(load(root))) == 1  # that of arm b has no record
