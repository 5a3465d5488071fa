"""The samples of a data set: a row a class, its name and number beside it, the pictures those of the sheet."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from headstart.report.plots.data_samples import ROW, data_samples, read_sheet, samples_height, samples_words
from headstart.store import Samples
from report.helpers_data_record import RECORD, sheet


def test_every_class_has_its_row_of_pictures_and_its_number(ax):
    cells = read_sheet(io.BytesIO(sheet()), RECORD)
    assert data_samples(RECORD, cells, ax) is ax
    assert [text.get_text() for text in ax.texts] == ["cat\n1,080", "dog\n6"]
    pixels = np.asarray(Image.open(io.BytesIO(sheet())))
    assert len(ax.images) == 16
    assert np.array_equal(ax.images[0].get_array(), pixels[:8, :8])
    assert np.array_equal(ax.images[10].get_array(), pixels[8:, :8])  # the first of the second class


def test_without_a_sheet_nothing_is_drawn(ax, tmp_path):
    assert data_samples(RECORD, None, ax) is None
    assert read_sheet(tmp_path / "none.png", RECORD) is None
    (tmp_path / "bad.png").write_bytes(b"junk")
    assert read_sheet(tmp_path / "bad.png", RECORD) is None
    assert read_sheet(io.BytesIO(sheet()[:200]), RECORD) is None
    other = dataclasses.replace(RECORD, samples=Samples((0,), (3,), 8, 8))
    assert read_sheet(io.BytesIO(sheet()), other) is None
    assert read_sheet(io.BytesIO(sheet()), dataclasses.replace(RECORD, samples=None)) is None


def test_more_classes_than_are_shown_are_said_and_the_figure_grows():
    words = samples_words(RECORD)
    assert "cat: 10 of 1,080; dog: 6 of 6" in words and "those with the most" not in words
    three = dataclasses.replace(RECORD, classes=("cat", "dog", "emu"), counts={"train": (9, 8, 1)})
    assert "2 of 3 classes, those with the most training pictures" in samples_words(three)
    taller = dataclasses.replace(RECORD, samples=Samples((0, 1), (10, 6), 8, 16))
    assert samples_height(taller) == pytest.approx(samples_height(RECORD) + ROW * 2)
