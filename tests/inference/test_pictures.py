"""Which pictures are meant: files, folders, patterns, what lies in memory; and what is none."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from headstart.data import decode
from headstart.errors import UserError
from headstart.inference import find_pictures
from headstart.inference.pictures import decode_pictures

RANDOM = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("b.png", "a.jpg", "below/c.png", ".hidden/d.png"):
        path = tmp_path / "shots" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RANDOM.integers(0, 256, (20, 30, 3), np.uint8)).save(path)
    (tmp_path / "shots" / "notes.txt").write_text("no picture")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "shots"


def names(given) -> list[str]:
    return [picture.name for picture in find_pictures(given)]


def test_files_folders_and_patterns_name_their_pictures_as_they_were_given(folder):
    assert names("shots/b.png") == ["shots/b.png"]
    assert names("shots") == ["shots/a.jpg", "shots/b.png", "shots/below/c.png"]
    assert names("shots/*.png") == ["shots/b.png"]
    assert names(["shots/b.png", folder / "a.jpg"]) == ["shots/b.png", str(folder / "a.jpg")]
    assert len(names("shots/**/*.png")) == 2 and len(names("shots/**")) == 4  # with the text, which cannot be decoded
    (folder / "empty").mkdir()
    assert len(names("shots/[be]*")) == 2


def test_a_name_with_the_signs_of_a_pattern_is_that_file(folder):
    os.rename(folder / "b.png", folder / "b[1].png")
    assert names("shots/b[1].png") == ["shots/b[1].png"]


def test_what_lies_in_memory_is_numbered(folder):
    array = RANDOM.integers(0, 256, (4, 20, 30, 3), np.uint8)
    assert names(array) == list("0123")
    assert names(array[0]) == ["0"] and names(Image.fromarray(array[0])) == ["0"]
    assert names([array[0], "shots/b.png", Image.fromarray(array[1])]) == ["0", "shots/b.png", "2"]


def test_the_standard_input_is_one_picture(folder):
    with open(folder / "b.png", "rb") as file:
        found = find_pictures(["-"], file)
    assert [picture.name for picture in found] == ["-"]
    np.testing.assert_array_equal(decode_pictures(found, 16)[0], decode(folder / "b.png", 16)[0])
    with pytest.raises(UserError, match="can be read once"):
        find_pictures(["-", "-"], io.BytesIO((folder / "b.png").read_bytes()))


def test_a_picture_is_decoded_alike_wherever_it_comes_from(folder):
    content = (folder / "b.png").read_bytes()
    with Image.open(folder / "b.png") as image:
        image.load()
    given = [folder / "b.png", image, np.asarray(image)]
    decoded = [
        *decode_pictures(find_pictures(given), 12),
        *decode_pictures(find_pictures("-", io.BytesIO(content)), 12),
    ]
    for array in decoded:
        np.testing.assert_array_equal(array, decode(folder / "b.png", 12)[0])


def test_what_cannot_be_decoded_is_its_reason_and_the_rest_goes_on(folder):
    (folder / "broken.png").write_bytes((folder / "b.png").read_bytes()[:200])
    found = decode_pictures(find_pictures([folder / "broken.png", folder / "notes.txt", folder / "b.png"]), 12)
    assert isinstance(found[0], str) and found[1] == "no image that Pillow knows"
    assert found[2].shape == (12, 12, 3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nowhere.png", "nowhere.png does not exist"),
        ("nowhere/*.png", "matches no file"),
        ("empty", "empty holds no pictures"),
        ({"a": 1}, "dict is no picture"),
        (3, "int is no picture"),
        ([np.zeros((5, 5), np.uint8)], "a picture is uint8 .5, 5."),
        ([np.zeros((5, 5, 3), np.float32)], "expected uint8 .height, width, 3."),
    ],
)
def test_what_is_no_picture_is_refused(folder, given, said):
    (folder.parent / "empty").mkdir()
    with pytest.raises(UserError, match=said):
        find_pictures(given)
