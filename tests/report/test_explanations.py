"""Pictures under maps, and the figures of them."""

import numpy as np
from PIL import Image

from headstart.report import overlaid, write_explanations


def test_bright_places_are_where_the_map_is_high():
    picture = np.full((16, 16, 3), 100, np.uint8)
    heat = np.zeros((4, 4))
    heat[0, 0] = 1
    found = overlaid(picture, heat)
    assert found.shape == picture.shape and found.dtype == np.uint8
    assert found[0, 0].sum() > 2 * found[15, 15].sum()


def test_a_figure_per_gallery_with_words_for_those_who_cannot_see_it(tmp_path):
    row = ("arm: for what it said", [(np.zeros((8, 8, 3), np.uint8), "cat\n91 %")])
    written = write_explanations(tmp_path / "out", [[row], [row, row]])
    assert [path.name for path in written] == ["explained.png", "explained-2.png"]
    assert [path.name for path in write_explanations(tmp_path / "out", [[row]])] == ["explained.png"]
    assert not list((tmp_path / "out").glob("explained-2*"))  # of a call with more pictures
    written = write_explanations(tmp_path / "out", [[row], [row, row]])
    heights = []
    for path in written:
        with Image.open(path) as image:
            heights.append(image.height)
    assert heights[1] > 1.8 * heights[0]
    assert "arm: for what it said: cat 91 %" in (tmp_path / "out" / "explained.svg").read_text()
