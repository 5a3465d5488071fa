"""Which files are pictures, and that whatever is left out is counted and named in one line."""

import os
import sys

import pytest

from data.helpers_data import draw_image, make_tree
from headstart.data import picture_files
from headstart.data.picture_files import formats, list_pictures, suffixes
from headstart.errors import UserError


def listed(root):
    return sorted("/".join(path) for path in list_pictures(root).pictures)


@pytest.mark.parametrize("place", ["@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN", ".thumbnails", "lost+found"])
def test_folders_of_systems_are_no_pictures_of_anybody(place, tmp_path):
    make_tree(tmp_path, {"cat": 1, f"cat/{place}": 1, f"{place}/dog": 1})
    found = list_pictures(tmp_path)
    assert found.pictures == [("cat", "000.png")] and found.folders == [("cat",)]
    line = found.left_out.line()
    assert line.startswith("left out, hidden files and folders, and those of a system: 2 (")
    assert f"{place}/" in line and f"cat/{place}/" in line and "\n" not in line


def test_a_class_may_begin_with_two_underscores(tmp_path):
    make_tree(tmp_path, {"__other__": 1, "@home": 1, "_x": 1})
    assert listed(tmp_path) == ["@home/000.png", "__other__/000.png", "_x/000.png"]


def test_links_to_folders_are_followed_and_none_for_ever(tmp_path):
    make_tree(tmp_path / "elsewhere", {"more": 2})
    root = make_tree(tmp_path / "pictures", {"cat": 1, "dog": 1})
    (root / "cat/linked").symlink_to(tmp_path / "elsewhere/more")
    (root / "dog/back").symlink_to(root)
    (root / "dog/loop").symlink_to(root / "dog/loop")
    assert listed(root) == ["cat/000.png", "cat/linked/000.png", "cat/linked/001.png", "dog/000.png"]
    assert "links back to a folder above: 2 (dog/back, dog/loop)" in list_pictures(root).left_out.line()


def test_what_is_left_out_is_counted_by_kind_and_named(tmp_path):
    make_tree(tmp_path, {"cat": 1})
    for name in ("Thumbs.db", ".DS_Store", "cat/._000.png", "notes.txt", "a\nb.txt", "1.txt", "2.md", "3.md"):
        (tmp_path / name).write_text("")
    assert list_pictures(tmp_path).left_out.line() == (
        "left out, hidden files and folders, and those of a system: 3 (.DS_Store, Thumbs.db, cat/._000.png); "
        "files that are no pictures: 5 (1.txt, 2.md, 3.md, ...)"
    )


def test_nothing_left_out_is_nothing_said(tmp_path):
    make_tree(tmp_path, {"cat": 1})
    assert list_pictures(tmp_path).left_out.line() is None


@pytest.mark.parametrize("suffix", ["jfif", "JPG", "avif", "jp2", "qoi", "tga", "webp", "tiff", "bmp", "mpo"])
def test_pictures_are_known_by_their_suffix(suffix, tmp_path):
    (tmp_path / f"x.{suffix}").write_bytes(b"")
    assert listed(tmp_path) == [f"x.{suffix}"]


@pytest.mark.parametrize("there", [True, False])
def test_heic_is_read_where_its_library_is(there, tmp_path, monkeypatch):
    (tmp_path / "x.heic").write_bytes(b"")
    monkeypatch.setattr(picture_files, "_reads_heif", lambda: there)
    suffixes.cache_clear()
    try:
        assert listed(tmp_path) == (["x.heic"] if there else [])
        assert there or "HEIC pictures, which pip install pillow-heif makes readable: 1 (x.heic)" in (
            list_pictures(tmp_path).left_out.line()
        )
    finally:
        suffixes.cache_clear()


def test_a_heic_picture_is_decoded():
    pytest.importorskip("pillow_heif")
    assert "HEIF" in formats() and ".heic" in suffixes()


@pytest.mark.skipif(os.geteuid() == 0 and sys.platform != "win32", reason="root may read everything")
def test_a_locked_folder_is_an_error(tmp_path):
    make_tree(tmp_path, {"cat/locked": 1})
    (tmp_path / "cat/locked").chmod(0)
    with pytest.raises(UserError, match="locked cannot be read"):
        list_pictures(tmp_path)


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    make_tree(tmp_path, {"cat": 1})

    def locked(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(picture_files.os, "scandir", locked)
    with pytest.raises(UserError, match=r"cannot be read .Permission denied.; its images would be missing"):
        list_pictures(tmp_path)


def test_a_dangling_link_is_listed_so_that_decoding_reports_it(tmp_path):
    (tmp_path / "x.png").symlink_to(tmp_path / "nowhere.png")
    draw_image(0).save(tmp_path / "y.png")
    assert listed(tmp_path) == ["x.png", "y.png"]
