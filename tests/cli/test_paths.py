"""Folders and files that are not there, or hold something else: said before torch is imported or a download tried."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from cli.helpers_cli import refused


@pytest.fixture
def pics(tmp_path) -> Path:
    for name in ("cat", "dog"):
        (tmp_path / "pics" / name).mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(tmp_path / "pics" / name / "a.PNG")
    return tmp_path / "pics"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("data=folder data.root=/none", r"data\.root=/none is no folder; give one that holds train/CLASS/"),
        ("data=folder", r"data\.root=\S* is no folder"),
        ("data.root=pics lr=1", "holds pictures, and no cifar10, .*headstart data=folder data.root=pics lr=1"),
        ("data=cifar100 data.root=pics", "holds pictures, and no cifar100, .*: headstart data=folder data.root=pics$"),
        ("data.root=/none", r"is no folder; cifar10 is downloaded there with data=cifar10, and\nfor pictures of your"),
        ("data=digits model.weights=./x.pth", r"model\.weights='./x\.pth' does not exist; give a file, 'imagenet' or"),
        ("data=digits model.weights=x.ckpt", "model.weights='x.ckpt' does not exist"),
        ("-m data.root=pics model=cnn,fan", "holds pictures, and no cifar10"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_before_anything_is_written(words, said, typed, pics, monkeypatch):
    monkeypatch.delenv("HEADSTART_DATA", raising=False)
    refused(*typed(*words.split()), said)
    assert [path.name for path in pics.parent.iterdir()] == ["pics"]


@pytest.mark.parametrize("words", ["data.root=~nobodyhere/x", "data=folder data.root=~nobodyhere/x"])
def test_a_home_folder_that_is_not_there_is_said_in_one_line(words, headstart):
    done = headstart(*words.split())
    assert done.stderr.splitlines() == [
        "headstart: ~nobodyhere/x: Could not determine home directory; give the folder itself."
    ]


def test_a_study_of_ones_own_that_ours_hides_is_named_on_stderr(headstart, tmp_path):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "quickstart.yaml").write_text("lr: 1")
    done = headstart("experiments=quickstart", "--cfg", "job")
    assert len(done.stderr.splitlines()) == 1 and "experiments=./experiments/quickstart.yaml" in done.stderr


def test_an_empty_folder_is_called_so(typed, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(*typed("data=folder", "data.root=empty"), r"data\.root=empty is empty; give a folder that holds")


def test_such_a_refusal_imports_no_torch(pics):
    code = "import sys\nfrom headstart.cli.main import main\ntry: main()\nfinally: print('torch' in sys.modules)"
    for words in (["data=folder", "data.root=/none"], ["data.root=pics"], ["data=digits", "model.weights=x.pth"]):
        command = [sys.executable, "-c", code, *words]
        done = subprocess.run(command, cwd=pics.parent, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, "False\n"), done.stderr


def test_own_pictures_are_announced_at_once(headstart, pics):
    done = headstart("data=folder", "data.root=pics", "epochs=1")
    assert done.stderr.splitlines()[0] == "data=folder: reading the pictures in pics"


@pytest.mark.parametrize(
    "words",
    ["data=folder,digits data.root=/none", "model.weights=x.pth,null", "arms={a:[data=folder]} data.root=/none"],
)
def test_what_lists_and_arms_set_is_left_to_their_runs(words, typed, tmp_path, monkeypatch):
    monkeypatch.setattr("headstart.cli.main._call_hydra", lambda words: None)
    assert typed("-m", *words.split())[0] == 0
