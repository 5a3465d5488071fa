"""Configuration files of the user's own that are odd: one sentence with the file's name, never a traceback."""

import sys

import pytest

from headstart.config import expand_config_dir
from headstart.config.own_files import check_own_files
from headstart.errors import UserError

ODD = {
    "a: [b": "cannot be read as YAML: line 2, did not find expected",
    "a: 1\na: 2": "cannot be read as YAML: line 2, found duplicate key a",
    "a: ${b": "cannot be read as YAML: ",
    "\xff\xfe\x00": "is no text; a configuration file is YAML in UTF-8",
    "defaults: [odd]": "inherits from itself: its defaults lead back to it",
    "defaults: [second]": "inherits from itself",
    "defaults: [nowhere]": "its defaults name model=nowhere, which is unknown",
    "defaults: [{/data: zzz}]": "its defaults name data=zzz, which is unknown",
}


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "second.yaml").write_text("defaults: [odd]")
    monkeypatch.setattr(sys, "argv", ["headstart", *expand_config_dir([f"--config-dir={tmp_path}"])])
    return tmp_path / "model" / "odd.yaml"


@pytest.mark.parametrize("content", ODD)
def test_an_odd_file_is_named_with_what_is_wrong(own, content):
    own.write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError) as caught:
        check_own_files(["-m", "model=cnn,odd"])
    assert str(caught.value).startswith(str(own)) and ODD[content] in str(caught.value)
    check_own_files(["model=cnn"])  # what nobody chose is not looked at


@pytest.mark.parametrize(
    "content",
    [
        *("", "[1, 2]", "defaults: 3", "defaults: [cnn, _self_]", "defaults: [{override /search: qmc}, {/data: null}]"),
        *("defaults: [/model/cnn, _self_]", "defaults: [sub/base]", "defaults: [{/data: sub/base}]"),
    ],
)
def test_files_that_can_be_read_are_left_to_hydra(own, content):
    own.write_text(content)
    check_own_files(["model=odd", "lr=1", "data=odd", "model=" + "x" * 300])
