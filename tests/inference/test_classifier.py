"""A run's network that classifies: the run's own numbers for every kind of picture, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from headstart.errors import UserError
from headstart.inference import Classifier, classifier
from inference.helpers_inference import CLASSES, MEAN, STD, finished

RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    finished(folder / "run")
    return folder / "run"


@pytest.mark.parametrize("option", ["cnn", "resnet18_cifar"])
def test_probabilities_are_those_of_the_runs_network_on_normalised_pictures(option, tmp_path):
    trained = finished(tmp_path / "run", option)
    pictures = RANDOM.integers(0, 256, (5, 32, 32, 3), np.uint8)
    found = Classifier.of_run(tmp_path / "run").predict(pictures)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    inputs = (torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255 - mean) / std
    with torch.no_grad():
        expected = trained.network(inputs).softmax(1).numpy()
    assert list(found) == ["class", "probability", *CLASSES] and found.index.tolist() == list("01234")
    np.testing.assert_allclose(found[list(CLASSES)].to_numpy(), expected, atol=1e-5)
    assert found["class"].tolist() == [CLASSES[place] for place in expected.argmax(1)]
    np.testing.assert_allclose(found["probability"], expected.max(1), atol=1e-5)


def test_a_long_list_gives_the_same_as_its_parts(run_dir, monkeypatch):
    model, pictures = Classifier.of_run(run_dir), list(RANDOM.integers(0, 256, (7, 32, 32, 3), np.uint8))
    whole = model.predict(pictures)
    monkeypatch.setattr(classifier, "PREDICTION_BATCH", 3)
    parts = model.predict(iter(pictures))
    assert parts["class"].tolist() == whole["class"].tolist()
    np.testing.assert_allclose(parts[list(CLASSES)], whole[list(CLASSES)], atol=1e-6)


def test_large_pictures_go_through_the_network_few_at_a_time():
    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(12, 2)).eval()
    seen = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    model = Classifier(Path("net"), network, ("a", "b"), MEAN, STD, image_size=128, picture_size=8)
    assert model.probabilities(np.zeros((20, 8, 8, 3), np.uint8)).shape == (20, 2)
    assert seen == [(16, 3, 128, 128), (4, 3, 128, 128)]


def test_files_are_turned_upright_and_cut_to_their_centred_square(run_dir, tmp_path):
    picture = RANDOM.integers(0, 256, (32, 32, 3), np.uint8)
    wide = np.concatenate([np.zeros((32, 8, 3), np.uint8), picture, np.zeros((32, 8, 3), np.uint8)], axis=1)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    lying = Image.fromarray(np.rot90(picture))
    exif = lying.getexif()
    exif[0x0112] = 6  # turn by 90 degrees to see it upright
    lying.save(tmp_path / "lying.png", exif=exif)
    found = Classifier.of_run(run_dir).predict([picture, tmp_path / "wide.png", str(tmp_path / "lying.png")])
    assert found.index.tolist() == ["0", str(tmp_path / "wide.png"), str(tmp_path / "lying.png")]
    for row in (1, 2):
        np.testing.assert_allclose(found.iloc[row, 2:].astype(float), found.iloc[0, 2:].astype(float), atol=1e-6)


def test_no_picture_gives_no_row_and_another_size_is_made_to_fit(run_dir):
    model = Classifier.of_run(run_dir)
    assert len(model.predict([])) == 0 and list(model.predict([])) == ["class", "probability", *CLASSES]
    assert len(model.predict([RANDOM.integers(0, 256, (50, 40, 3), np.uint8)])) == 1
    assert repr(model).endswith(f"of {run_dir}: cat, dog, bird>")


def test_a_folder_that_does_not_say_what_network_it_holds_is_refused(tmp_path):
    finished(tmp_path / "run")
    saved = tmp_path / "run" / ".hydra" / "config.yaml"
    saved.write_text("model: [")
    with pytest.raises(UserError, match=r"config\.yaml cannot be read"):
        Classifier.of_run(tmp_path / "run")
    saved.unlink()
    with pytest.raises(UserError, match=r"has no \.hydra/config\.yaml"):
        Classifier.of_run(tmp_path / "run")


def test_weights_that_do_not_say_their_classes_are_refused(tmp_path):
    finished(tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()  # which knows the file's sha256
    weights = tmp_path / "run" / "best.safetensors"
    save_file(load_file(weights), weights)
    with pytest.raises(UserError, match="does not say its classes, normalisation and image size"):
        Classifier.of_run(tmp_path / "run")
