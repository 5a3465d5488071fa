"""What stands behind `headstart data` is a folder, a list or a name, and a sentence says what else it is."""

import shutil

import pytest
from data.helpers_data import draw_image, make_tree
from helpers_runs import make_study

from headstart.cli.paths import CIFAR, Source, find_source
from headstart.errors import UserError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_folders_lists_and_names_are_told_apart(here):
    make_tree(here / "my pets", {"cat": 1, "dog": 1})
    (here / "labels.csv").write_text("path,label\n")
    for kind, (folder, archive) in CIFAR.items():
        (here / kind / "data" / folder).mkdir(parents=True)
        (here / f"packed {kind}").mkdir()
        (here / f"packed {kind}" / archive).touch()
        (here / kind / "data" / folder / "batches.meta").touch()
        assert find_source(f"{kind}/data") == Source(kind, f"{kind}/data")
        assert find_source(f"{kind}/data/{folder}/") == Source(kind, f"{kind}/data")
        assert find_source(f"packed {kind}/{archive}") == Source(kind, f"packed {kind}")
    assert find_source("my pets").words == ["data=folder", 'data.root="my pets"']
    assert find_source("labels.csv") == Source("table", "labels.csv")
    assert find_source("digits").words == ["data=digits"]
    shutil.copytree(here / "my pets", here / "digits")
    assert find_source("digits") == Source("folder", "digits")  # what lies here is meant first


def test_what_is_no_data_set_gets_a_sentence(here):
    (here / "empty").mkdir()
    draw_image(0).save(here / "one.png")
    make_study(here / "outputs/tiny", trials=1, seeds=0)
    for kind in CIFAR.values():
        (here / "both" / kind[0]).mkdir(parents=True)
    said = {
        "nowhere": "nowhere does not exist; give a folder of pictures, a list of labels",
        "": "'' does not exist",
        "folder": "folder does not exist",
        "empty": "empty is empty",
        "one.png": "one.png is a file, and no list of labels",
        "both": "headstart data cifar10 data.root=both or headstart data cifar100 data.root=both",
        "outputs/tiny": "holds runs, .* headstart report outputs/tiny$",
        "outputs": "holds runs, .* headstart report outputs/tiny$",
        "outputs/tiny/random/search/000": "holds runs, .* headstart report outputs/tiny/random/search/000$",
    }
    for root, words in said.items():
        with pytest.raises(UserError, match=words):
            find_source(root)
