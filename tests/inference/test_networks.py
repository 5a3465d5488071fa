"""A file given away becomes a classifier again: the same network, the same probabilities."""

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from headstart.errors import UserError
from headstart.inference import Classifier, export_run
from headstart.inference.networks import chosen, fitting, made, size_that_fits
from headstart.models import from_file, read_metadata
from inference.helpers_inference import CLASSES, finished

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)


@pytest.mark.parametrize(("option", "changes"), [("cnn", {}), ("resnet9", {}), ("timm", {"name": "test_resnet"})])
@pytest.mark.parametrize("to", ["exported", "exported.safetensors"])
def test_what_is_exported_classifies_as_the_run_does(tmp_path, option, changes, to):
    finished(tmp_path / "run", option, **changes)
    expected = Classifier.of_run(tmp_path / "run").predict(PICTURES)
    export_run(tmp_path / "run", tmp_path / to)
    found = Classifier.of_file(tmp_path / to)
    assert found.classes == CLASSES
    np.testing.assert_array_equal(found.predict(PICTURES)[list(CLASSES)], expected[list(CLASSES)])


def renamed(source, target, **metadata) -> None:
    """A copy of a weights file with other metadata."""
    told = read_metadata(source.read_bytes()) | metadata
    save_file(load_file(source), target, {key: value for key, value in told.items() if value is not None})


def test_a_network_of_chosen_keys_is_found_by_what_the_file_says(tmp_path):
    finished(tmp_path / "run", "cnn", depth=2)
    loaded = from_file(tmp_path / "run" / "best.safetensors")
    words = ("model=cnn", "model.depth=2")
    assert fitting(loaded) == [list(words)]
    assert size_that_fits(loaded, chosen(words)) == 32
    assert made(loaded, chosen(words), 32, weights=loaded.origin).weights == loaded.origin


@pytest.mark.parametrize(
    "network",
    [
        None,  # of a file written before it was told
        "model=cnn model.depth=4",
        "model=cnn",  # which has three convolutions
        "model=cnn model.depth=100000",
        "model=cnn model.pooling=x",
        "model=nosuch",
        "data=digits",
        "model=cnn model._target_=os.system",
        "model=cnn model.depth=${oc.env:HOME}",
    ],
)
def test_what_the_file_says_is_believed_where_it_fits_alone(tmp_path, network):
    finished(tmp_path / "run", "cnn", depth=2)
    renamed(tmp_path / "run" / "best.safetensors", tmp_path / "two.safetensors", network=network)
    said = "fits no network of conf/model" if network is None else "which is no network here, or has other tensors"
    with pytest.raises(UserError, match=said):
        Classifier.of_file(tmp_path / "two.safetensors")


def test_a_network_that_is_not_told_is_named_and_one_of_other_keys_is_not_taken_for_another(tmp_path, caplog):
    finished(tmp_path / "run", "cnn", pooling="average")
    renamed(tmp_path / "run" / "best.safetensors", tmp_path / "old.safetensors", network=None)
    Classifier.of_file(tmp_path / "old.safetensors")
    assert "does not say what network it is of; it is taken for model=cnn" in caplog.text
    told = "model=mine model.pooling=average"  # an option of a folder that is not here
    renamed(tmp_path / "run" / "best.safetensors", tmp_path / "own.safetensors", network=told)
    with pytest.raises(UserError, match=r"is of model=mine model\.pooling=average, which is no network here"):
        Classifier.of_file(tmp_path / "own.safetensors")


@pytest.mark.parametrize("classes", ['"abc"', '["a", "a", "b"]', '{"a": 0, "b": 1, "c": 2}'])
def test_classes_that_are_no_list_of_different_names_are_refused(tmp_path, classes):
    finished(tmp_path / "run")
    renamed(tmp_path / "run" / "best.safetensors", tmp_path / "odd.safetensors", classes=classes)
    with pytest.raises(UserError, match="classes are a list of names, each another"):
        Classifier.of_file(tmp_path / "odd.safetensors")


def test_a_file_that_says_too_little_is_refused(tmp_path):
    finished(tmp_path / "run")
    save_file(load_file(tmp_path / "run" / "best.safetensors"), tmp_path / "bare.safetensors")
    with pytest.raises(UserError, match="does not say its classes, normalisation and image size"):
        Classifier.of_file(tmp_path / "bare.safetensors")
