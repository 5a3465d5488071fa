"""Plots as files: the same at every drawing, readable by ear, whatever is written in them."""

from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from headstart.errors import UserError
from headstart.report import plots
from headstart.report.drawing import DrawnFigure
from headstart.report.figures import draw_all
from headstart.report.galleries import gallery
from headstart.report.save_figures import save
from report.helpers_report import study


def test_odd_class_names_are_drawn_as_they_are(tmp_path):
    odd = ["$x_{$", '<b>&"', "猫", "_hidden"]
    first, second = Figure().subplots(2)
    gallery([("", [(np.zeros((2, 2, 3), np.uint8), "also $y_{$")])], second)
    plots.per_class({"a": [dict(confusion=np.eye(4, dtype=int).tolist(), classes=odd)]}, first)
    picture = DrawnFigure("odd", "Ünïcode 猫", "c.", 'says "<b>"', first.figure)
    _, svg = save(picture, tmp_path)
    root = ElementTree.parse(svg).getroot()
    assert {*odd, "also $y_{$"} <= {e.text for e in root.iter() if e.tag.endswith("text")}
    assert root.get("aria-label") == 'says "<b>"'


def test_files_are_the_same_at_every_drawing_and_their_ids_their_own(tmp_path):
    frames = study("a")
    saved = [[save(p, tmp_path / str(i))[1] for p in draw_all(frames)[:3]] for i in range(2)]
    for one, other in zip(*saved, strict=True):
        assert one.read_bytes() == other.read_bytes()
    for svg in saved[0]:
        elements = list(ElementTree.parse(svg).iter())
        ids = [e.get("id") for e in elements if e.get("id")]
        used = {e.get(key)[1:] for e in elements for key in e.attrib if key.endswith("href")}
        assert len(ids) == len(set(ids)) and used and used <= set(ids)


def test_a_folder_that_cannot_be_made_is_an_error_of_one_line(tmp_path, ax):
    (tmp_path / "plots").write_text("a file")
    with pytest.raises(UserError, match="cannot be made"):
        save(DrawnFigure("p", "t", "c", "a", ax.figure), tmp_path / "plots")
