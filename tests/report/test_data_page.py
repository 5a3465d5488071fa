"""The page on a data set: its numbers are in it, it needs nothing else, and nobody's files are replaced."""

import dataclasses

import pytest

from headstart.errors import UserError
from headstart.report import SurveyedData, check_page_folder, write_data_page
from report.helpers_data_record import RECORD, sheet
from report.helpers_report import Page


def test_the_page_has_the_numbers_the_picture_and_the_commands(tmp_path):
    command = "headstart data=folder 'data.root=\"my pets\"'"
    path = write_data_page(tmp_path / "a/b", SurveyedData(RECORD, sheet()), "'my pets'", commands=[command])
    assert sorted(p.name for p in path.parent.iterdir()) == ["index.html", "samples.png"]
    page = Page(path.read_text())
    words = page.words()
    assert not page.wrong and not page.open
    for said in ("cat 1,080 20 30 1,130", "all classes 1,086", "mean 0.500 0.400 0.300", "a.txt, b.txt", command):
        assert said in words
    assert "would refuse" not in words and "Verdict" not in words
    assert not page.all("script", "link", "iframe") and [a["href"] for a in page.all("a")] == ["#main", "samples.png"]
    (image,) = page.all("img")
    assert "cat: 10 of 1,080" in image["alt"] and image["src"].startswith("data:image/svg+xml;base64,")
    text = path.read_text()
    assert "prefers-color-scheme: dark" in text and "default-src 'none'" in text
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids)) and {
        a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a
    } <= set(ids)


def test_refusals_stand_on_top_and_names_are_only_text(tmp_path):
    record = dataclasses.replace(RECORD, classes=("<b>cat</b>", "{{ 1 }}"), name="<script>")
    path = write_data_page(tmp_path, SurveyedData(record, b""), "<i>", refused=["3 of 4 images <u>"], commands=["<p>"])
    page = Page(path.read_text())
    assert not page.all("b", "script", "i", "u", "img") and not (tmp_path / "samples.png").exists()
    words = page.words()
    assert "<b>cat</b> 1,080" in words and "{{ 1 }}" in words and "<script>: 1,139 pictures" in words
    assert words.index("3 of 4 images <u>") < words.index("<b>cat</b>")


def test_a_page_of_ours_is_replaced_and_other_files_are_not(tmp_path):
    data = SurveyedData(RECORD, sheet())
    first = write_data_page(tmp_path / "page", data, "x").read_text()
    assert write_data_page(tmp_path / "page", data, "x").read_text() == first
    for name in ("index.html", "samples.png"):
        folder = tmp_path / name.replace(".", "_")
        folder.mkdir()
        (folder / name).write_text("mine")
        with pytest.raises(UserError, match=f"{name} is not headstart's"):
            write_data_page(folder, data, "x")
        assert [(p.name, p.read_text()) for p in folder.iterdir()] == [(name, "mine")]
    with pytest.raises(UserError, match="is a file"):
        check_page_folder(tmp_path / "page/index.html")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be made"):
        write_data_page(tmp_path / "file/page", data, "x")
