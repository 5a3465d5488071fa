"""Pictures of one's own from the command line to the row: what is said of them, and what stands in the tables."""

import shutil

import pandas as pd
import pytest
from data.helpers_data import draw_image, make_tree

from cli.helpers_cli import refused

SMALL = ["data.size=16", "data.cache=cache", "model=decision_tree", "threads=1"]


@pytest.fixture
def pets(tmp_path):
    root = make_tree(tmp_path / "pets", {"Training/cat": 60, "Training/dog": 40, "Test/cat": 20, "Test/dog": 20})
    shutil.copy(root / "Training/cat/000.png", root / "Test/cat/copy.png")
    draw_image(999).save(root / "loose.png")
    return root


def test_counts_copies_and_what_is_left_out_are_said_and_stand_in_the_row(command, pets, tmp_path):
    code, _, said = command("data=folder", "data.root=pets", "hydra.run.dir=run", *SMALL)
    assert code == 0, said
    assert "99 pictures to train and validate on are few: fold 0 of 0 to 2 validates (data.folds=null: a quar" in said
    assert "pets, 140 pictures: 66 train, 33 validation (±17.1 points), 41 test (±15.3 points)\n" in said
    assert "left out, pictures in no class folder: 1 (loose.png)\n" in said
    assert "1 of 41 test pictures of pets are exact copies of training pictures (Test/cat/copy.png): 1 of 100" in said
    assert command("report", "run")[0] == 0
    row = pd.read_csv(tmp_path / "run/tables/trials.csv").iloc[0]
    assert [row[name] for name in ("train_images", "val_images", "test_images")] == [66, 33, 41]
    assert [row[name] for name in ("copies_dropped", "copies_kept")] == [1, 0] and row["train_size"] == 66
    assert [row[name] for name in ("folds", "fold")] == [3, 0] and "data.folds" not in row["command"]


def test_a_study_says_it_before_it_begins(command, pets):
    code, _, said = command("-m", "data=folder", "data.root=pets", "dry_run=true", *SMALL)
    assert code == 0, said
    assert "repeated with 6 to 15 seeds over 3 folds" in said
    assert "few pictures: each of 3 folds of them validates in turn (data.folds=null: one split)" in said
    assert "multiple" not in said and said.count("fold 0 of 0 to 2 validates") == 1
    assert said.count("pets, 140 pictures: 66 train, 33 validation (±17.1 points), 41 test (±15.3 points)") == 1


def test_a_study_without_folds_says_on_how_many_it_validates(command, pets):
    code, _, said = command("-m", "data=folder", "data.root=pets", "data.folds=null", "dry_run=true", *SMALL)
    assert code == 0, said
    assert "validating on 24 of 99 pictures, as a tenth would be 10 (data.validation_size=... chooses)" in said
    assert "; data.folds=3 validates on all of them in turn\n" in said and "loose.png" in said
    assert said.count("pets, 140 pictures: 75 train, 24 validation (±20.0 points), 41 test (±15.3 points)") == 1


def test_a_list_of_labels_is_read(command, pets, tmp_path):
    rows = [f"pets/{p.relative_to(pets)},{p.parent.name}" for p in sorted(pets.rglob("Training/*/*.png"))]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows]))
    code, _, said = command("data=table", "data.root=labels.csv", *SMALL)
    assert (
        code == 0 and "labels, 100 pictures: 53 train, 27 validation (±18.9 points), 20 test (±21.9 points)\n" in said
    ), said


def test_refusals_are_sentences_with_what_to_type(typed, pets, tmp_path):
    refused(*typed("data=table", "data.root=pets", *SMALL), "is a folder; .*data=folder data.root=pets")
    refused(
        *typed("data=folder", "data.root=pets", "data.duplicates=refuse", *SMALL), "data.duplicates=drop to leave 1"
    )
    refused(*typed("data=folder", "data.root=pets", "data.allow_duplicates=true", *SMALL), "data.duplicates")
    shutil.copy(pets / "Training/cat/001.png", pets / "Training/dog/copy.png")
    refused(*typed("data=folder", "data.root=pets", *SMALL), "2 of 142 pictures of pets lie in two classes")
    (tmp_path / "pets/Train").mkdir()
    refused(*typed("data=folder", "data.root=pets", *SMALL), "Train and Training, which both mean the train part")


def test_classes_of_different_sizes_are_named_and_what_counts_them_alike_stands_in_the_tables(command, tmp_path):
    make_tree(tmp_path / "pets", {"cat": 90, "dog": 40, "emu": 50})
    code, _, said = command("data=folder", "data.root=pets", "hydra.run.dir=run", *SMALL)
    largest = "classes differ in size, from cat (57 training pictures) to dog (25)"
    assert code == 0 and f"{largest}: balanced accuracy counts every class alike; " in said, said
    code, _, said = command(
        "data=folder", "data.root=pets", "hydra.run.dir=run2", "data.class_weights=balanced", *SMALL
    )
    assert code == 0 and f"{largest}: rare classes weigh more (data.class_weights=balanced)" in said, said
    rows = []
    for run in ("run", "run2"):
        assert command("report", run)[0] == 0
        rows.append(pd.read_csv(tmp_path / run / "tables/trials.csv").iloc[0])
        page = (tmp_path / run / "report.html").read_text()
        assert "Balanced accuracy, %" in page and "Macro F1, %" in page
    assert pd.isna(rows[0]["class_weights"]) and rows[1]["class_weights"] == "balanced"
    assert rows[0]["class_ratio"] == pytest.approx(57 / 25)
    for row in rows:
        assert row["test_balanced_accuracy"] == pytest.approx(row["test_recall_macro"])
    assert "data.class_weights=balanced" in rows[1]["command"] and rows[0]["config_hash"] != rows[1]["config_hash"]


def test_nothing_is_said_of_classes_of_about_the_same_size(command, tmp_path):
    make_tree(tmp_path / "pets", {"cat": 60, "dog": 45})
    code, _, said = command("data=folder", "data.root=pets", "hydra.run.dir=run", *SMALL)
    assert code == 0 and "classes differ" not in said
    assert command("report", "run")[0] == 0
    assert "Balanced accuracy, %" not in (tmp_path / "run/report.html").read_text()
