"""Folders as classes and parts: by whatever name, and an error where nobody can tell which is meant."""

import pytest

from data.helpers_data import draw_image, make_tree
from headstart.data.folder_tree import find, part_of
from headstart.data.label_lists import read_metadata
from headstart.data.picture_files import list_pictures
from headstart.errors import UserError

TWO = ("cat", "dog")


def tree(root, *folders, each=1):
    return make_tree(root, {folder: each for folder in folders})


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (("Train", "Val", "Test"), ("train", "val", "test")),
        (("Training", "Testing"), ("train", "test")),
        (("TRAIN", "valid"), ("train", "val")),
        (("training_set", "validation", "test_set"), ("train", "val", "test")),
        (("train", "Validation-Set"), ("train", "val")),
        (("train_images", "test_images"), ("train", "test")),
        (("train2017", "val2017"), ("train", "val")),
    ],
)
def test_folders_are_parts_by_any_usual_name(names, parts, tmp_path):
    found = find(tree(tmp_path / "x", *(f"{name}/{c}" for name in names for c in TWO), each=2))
    assert found.classes == TWO and tuple(found.parts) == parts
    for name, part in zip(names, parts, strict=True):
        assert found.parts[part] == [(f"{name}/{c}/{n:03}.png", label) for label, c in enumerate(TWO) for n in (0, 1)]


@pytest.mark.parametrize(
    "name", ["trains", "set", "data", "images", "test drive", "evaluation", "", "valley", "1", "test_1", "train12"]
)
def test_other_names_are_no_parts(name):
    assert part_of(name) is None


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["Training", "Test"], "(?s)Test and Training are parts by their names|Training and Test are parts by their"),
        (["train/cat", "train/dog", "Training/cat"], "Training and train, which both mean the train part"),
        (["train/cat", "train/dog", "val/cat", "validation/cat"], "val and validation, which both mean the val part"),
        (["cat/train", "cat/test", "dog/train", "dog/test"], r"parts within classes \(cat/test, cat/train\)"),
        (["data/cat", "data/dog"], "data.root=.*/x/data$"),
        (["data/train/cat", "data/test/cat"], "data.root=.*/x/data$"),
        (["train/cat", "train/dog", "other/cat"], "holds train and also other, which is no part"),
        (["test/cat", "test/dog", "other/cat"], "holds test and also other, which is no part"),
        (["train/cat", "train/dog", "test"], "test holds no images in class folders.*data=table"),
    ],
)
def test_what_could_be_meant_in_two_ways_is_an_error_with_what_to_type(folders, message, tmp_path):
    with pytest.raises(UserError, match=message):
        find(tree(tmp_path / "x", *folders))


@pytest.mark.parametrize(
    "folders",
    [
        ("test_1", "test_2", "test_3"),
        ("test_1/x", "test_2/x", "test_3/x"),
        ("train", "training", "car"),
        ("testing/x", "cat/x"),
        ("testing/x", "test_data", "cat"),
        ("validation1", "validation2"),
    ],
)
def test_classes_that_are_called_much_like_parts_stay_classes(folders, tmp_path):
    found = find(tree(tmp_path / "x", *folders))
    assert found.classes == tuple(sorted(folder.partition("/")[0] for folder in folders))
    assert tuple(found.parts) == ("train",) and len(found.paths) == len(folders)
    listing = list_pictures(tmp_path / "x")
    assert read_metadata(tmp_path / "x", listing) is None


def test_pictures_without_folders_are_an_error_that_counts_them(tmp_path):
    for n in range(3):
        draw_image(n).save(tmp_path / f"{n}.png")
    with pytest.raises(UserError, match="holds 3 pictures without; label them by folders, or list them in a file"):
        find(tmp_path)


@pytest.mark.parametrize(
    ("folders", "loose"), [(TWO, ["a.png"]), (["train/cat", "train/dog"], ["a.png", "train/b.png"])]
)
def test_loose_pictures_beside_class_folders_are_counted_and_named(folders, loose, tmp_path):
    root = tree(tmp_path / "x", *folders)
    for name in loose:
        draw_image(9).save(root / name)
    found = find(root)
    assert len(found.paths) == 2
    assert found.left_out.line() == f"left out, pictures in no class folder: {len(loose)} ({', '.join(loose)})"


def test_a_file_as_root_is_told_how_it_is_read(tmp_path):
    (tmp_path / "labels.csv").write_text("")
    with pytest.raises(UserError, match=r"is a file.*data=table data\.root=.*labels\.csv"):
        find(tmp_path / "labels.csv")


def test_the_name_is_the_folders_though_it_is_given_as_a_dot(tmp_path, monkeypatch):
    monkeypatch.chdir(tree(tmp_path / "my pets", *TWO))
    assert find(tmp_path.__class__(".")).name == "my_pets"


def test_only_heic_pictures_are_an_error_that_names_the_library(tmp_path, monkeypatch):
    from headstart.data import picture_files

    monkeypatch.setattr(picture_files, "suffixes", lambda: picture_files.SUFFIXES)
    for name in TWO:
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.heic").write_bytes(b"")
    with pytest.raises(UserError, match=r"Its 2 files in .heic/.heif/.hif are read with pip install pillow-heif"):
        find(tmp_path)
