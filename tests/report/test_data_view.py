"""A data set in words: the numbers of its record, and nothing about what is not known."""

import dataclasses

from headstart.report.data_view import FEW_CLASSES, DataView
from headstart.store import DataRecord
from report.helpers_data_record import RECORD


def texts(view):
    return [[cell.text for cell in row] for row in view.counts.rows]


def test_counts_have_a_row_for_each_class_and_the_sum():
    view = DataView(RECORD)
    assert view.counts.columns == ["Class", "Training", "Validation", "Test", "All"]
    assert texts(view)[:2] == [["cat", "1,080", "20", "30", "1,130"], ["dog", "6", "1", "2", "9"]]
    assert texts(view)[2:] == [["all classes", "1,086", "21", "32", "1,139"]]
    assert view.title == "pets: 1,139 pictures of 2 classes" and not view.is_long


def test_lines_say_what_is_on_record():
    said = DataView(RECORD, image_size=96).lines
    assert dict(said)["Classes"] == "from 6 training pictures (dog) to 1,080 (cat), 180 times as many"
    sizes = "10 to 30 pixels wide (median 20.5), 11 to 13 high (median 12), decoded to 8 x 8, 3 are smaller than that, "
    assert dict(said)["Sizes"] == sizes + "resized to 96 x 96 for the network"
    assert "±21.4 points (validation) and ±17.3 points (test)" in dict(said)["Can show"]
    copies = [text for label, text in said if label == "Copies"]
    assert copies == ["1 of 2 pictures", "training and validation pictures that look like one of another class: 4"]
    assert ("Left out", "files that are no pictures: 5 (a.txt, b.txt, ...)") in said
    assert ("Labels", "labels are those of metadata.csv") in said
    assert [cell.text for row in DataView(RECORD, 96).facts.rows for cell in row] == [t for line in said for t in line]


def test_copies_without_sentences_are_counted_and_none_is_said():
    counted = dataclasses.replace(RECORD, said=(), copies={"within_train": 2, "look_alikes": 0})
    assert ("Copies", "copies within the training part: 2") in DataView(counted).lines
    none = dataclasses.replace(counted, copies={"within_train": 0})
    assert ("Copies", "none across parts or classes, and no look-alikes") in DataView(none).lines


def test_what_is_not_known_is_not_said():
    view = DataView(DataRecord(name="x", classes=("a", "b"), counts={"test": (3, 4)}))
    assert texts(view)[-1] == ["all classes", "7", "7"]
    assert [label for label, _ in view.lines] == ["Can show", "Copies"]
    assert DataView(DataRecord(name="x", classes=("a",), counts={})).title == "x: 1 classes"


def test_many_classes_are_folded_and_pictures_that_are_gone_are_missed(tmp_path):
    names = tuple(f"c{i}" for i in range(FEW_CLASSES + 1))
    assert DataView(DataRecord(name="x", classes=names, counts={"train": (1,) * len(names)})).is_long
    there, gone = (dataclasses.replace(RECORD, root=str(tmp_path / name)) for name in ("", "gone"))
    assert DataView(there).away() is None and DataView(gone).away().endswith("gone")
    assert DataView(dataclasses.replace(RECORD, root=None)).away() is None
