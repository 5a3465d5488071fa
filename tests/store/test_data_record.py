"""A data set's record comes back from its file as it was; what is none is left out."""

import json

import pytest

from headstart.store import (
    DataRecord,
    LeftOutFiles,
    Samples,
    find_data_record,
    keep_data_record,
    read_data_record,
    record_path,
)

RECORD = DataRecord(
    name="pets",
    classes=("cat", "dog"),
    counts={"train": (8, 6), "val": (2, 1), "test": (3, 2)},
    pixels=(64, 64),
    mean=(0.5, 0.4, 0.3),
    std=(0.2, 0.2, 0.1),
    root="/pets",
    sizes={"width": (10, 20.5, 30), "height": (11, 12.0, 13)},
    smaller=3,
    left_out={"files that are no pictures": LeftOutFiles(1, ("a.txt",))},
    notes=("labels are those of metadata.csv",),
    copies={"dropped": 1, "look_alikes": 0},
    said=("1 of 2 pictures",),
    samples=Samples((0, 1), (8, 6), 32, 32),
)


def test_a_record_comes_back_as_it_was(tmp_path):
    keep_data_record(tmp_path, "0123456789abcdef", RECORD, b"png")
    path = tmp_path / "data-0123456789ab.json"
    assert path == record_path(tmp_path, "0123456789abcdef") and read_data_record(path) == RECORD
    assert path.with_suffix(".png").read_bytes() == b"png"
    assert RECORD.total("train") == 14 and DataRecord(name="x", classes=("a",), counts={}).total("val") is None


def test_what_is_not_known_is_none():
    least = DataRecord(name="x", classes=("a", "b"), counts={"train": (1, 2)})
    assert DataRecord.of(json.loads(json.dumps(least.as_dict()))) == least


CHANGES = [dict(classes=[]), dict(counts={"train": [1]}), dict(counts={"train": [-1, 2]}), dict(counts=3)]
CHANGES += [dict(counts={"train": [True, 2]}), dict(sizes=[1]), dict(mean=[0.1]), dict(left_out={"x": 3})]
CHANGES += [dict(samples=dict(classes=[2], counts=[1], width=1, height=1)), dict(copies=[1]), dict(pixels=["a", "b"])]


@pytest.mark.parametrize("change", CHANGES)
def test_another_content_is_no_record(change, tmp_path, caplog):
    path = tmp_path / "data-0.json"
    path.write_text(json.dumps(json.loads(json.dumps(RECORD.as_dict())) | change))
    assert read_data_record(path) is None and "data-0.json is left out" in caplog.text


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"name": "x"}', "\x00"])
def test_a_damaged_file_is_no_record(text, tmp_path):
    path = tmp_path / "data-0.json"
    path.write_text(text)
    assert read_data_record(path) is None


def test_a_record_is_found_in_the_run_or_in_its_study_and_not_above(tmp_path):
    run = tmp_path / "outputs/study/arm/search/000"
    run.mkdir(parents=True)
    (tmp_path / "outputs/study/study.json").write_text("{}")
    top = tmp_path / "outputs"
    keep_data_record(top, "f" * 64, RECORD, None)
    assert find_data_record(run, top, "f" * 64) is None
    keep_data_record(tmp_path / "outputs/study", "f" * 64, RECORD, None)
    assert find_data_record(run, top, "f" * 64) == record_path(tmp_path / "outputs/study", "f" * 64)
    keep_data_record(run, "f" * 64, RECORD, None)
    assert find_data_record(run, top, "f" * 64) == record_path(run, "f" * 64)
    assert find_data_record(run, top, "e" * 64) is None
