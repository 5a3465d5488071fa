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
        "model=nosuch",
        "data=digits",
        "model=cnn model._target_=os.system",
        "model=cnn model.depth=${oc.env:HOME}",
    ],
)
def test_what_the_file_says_is_believed_where_it_fits_alone(tmp_path, network):
    finished(tmp_path / "run", "cnn", depth=2)
    renamed(tmp_path / "run" / "best.safetensors", tmp_path / "two.safetensors", network=network)
    with pytest.raises(UserError, match="fits no network of conf/model"):
        Classifier.of_file(tmp_path / "two.safetensors")


def test_a_file_that_says_too_little_is_refused(tmp_path):
    finished(tmp_path / "run")
    save_file(load_file(tmp_path / "run" / "best.safetensors"), tmp_path / "bare.safetensors")
    with pytest.raises(UserError, match="does not say its classes, normalisation and image size"):
        Classifier.of_file(tmp_path / "bare.safetensors")
