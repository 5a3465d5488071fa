"""The figure of a data set, with runs and without."""

import base64
import dataclasses
import io
import xml.etree.ElementTree as ElementTree

import numpy as np
from PIL import Image

from headstart.report.data_samples import DATA_SAMPLES, samples_svg, samples_width
from report.helpers_data_record import RECORD, sheet

SVG = "{http://www.w3.org/2000/svg}"


def test_the_svg_has_every_picture_of_the_sheet_beside_its_class():
    drawn = ElementTree.fromstring(samples_svg(RECORD, sheet()))
    assert [text.text for text in drawn.iter(f"{SVG}text")] == ["cat", "1,080", "dog", "6"]
    boxes = [[int(n) for n in cell.get("viewBox").split()] for cell in drawn.iter(f"{SVG}svg") if cell is not drawn]
    expected = [[8 * c, 8 * r, 8, 8] for r, n in enumerate(RECORD.samples.counts) for c in range(n)]
    assert boxes == expected and int(drawn.get("width")) == samples_width(RECORD)
    (image,) = drawn.iter(f"{SVG}image")
    content = base64.b64decode(image.get("href").partition("base64,")[2])
    with Image.open(io.BytesIO(content)) as found, Image.open(io.BytesIO(sheet())) as ours:
        assert np.array_equal(found, ours) and found.size == (int(image.get("width")), int(image.get("height")))


def test_names_are_only_text_and_end_somewhere():
    record = dataclasses.replace(RECORD, classes=("<b>&\x1b", "a name of more letters than there is room for"))
    names = [t.text for t in ElementTree.fromstring(samples_svg(record, sheet())).iter(f"{SVG}text")][::2]
    assert names == ["<b>&?", "a name of more …"]
    assert DATA_SAMPLES.needs
