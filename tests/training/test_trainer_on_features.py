"""Training on the kept features of a frozen backbone changes no number, and does without them where it has to."""

import logging

import pytest
import torch
from torch import nn

from headstart.data import augmentation
from headstart.models import Model
from headstart.training import flips
from training.helpers_training import AUGMENTATIONS, Onlooker, fingerprint, frozen_network, recomputing, trainer


@pytest.fixture(autouse=True)
def said(caplog):
    caplog.set_level(logging.INFO)
    return caplog


@pytest.mark.parametrize(
    ("name", "augment", "precision"),
    [
        ("cnn", "none", "fp32"),
        ("cnn", "flip", "fp32"),
        ("cnn", "flip_hv", "bf16"),
        ("resnet18", "flip", "fp32"),
        ("test_resnet with a head", "flip_hv", "bf16"),
        ("test_resnet with a head", "flip_hv", "fp32"),
        ("test_resnet", "flip_hv", "bf16"),
        ("test_resnet", "flip_hv", "fp32"),
        ("test_vit", "flip_hv", "fp32"),
        ("cnn up to convolution2", "flip_hv", "fp32"),
        ("resnet18 up to layer2", "flip", "fp32"),
        ("test_efficientnet up to blocks.1", "flip_hv", "fp32"),
        ("test_efficientnet up to blocks.1", "flip", "bf16"),
        ("test_resnet with a head up to backbone.layer2", "flip", "fp32"),
        ("test_vit up to blocks.1", "flip_hv", "fp32"),
    ],
)
def test_training_on_kept_features_is_recomputing_to_the_last_digit(
    name, augment, precision, pictures, tmp_path, monkeypatch, said
):
    def result(folder: str):
        options = dict(augment=AUGMENTATIONS[augment], precision=precision, epochs=3)
        run = trainer(pictures, tmp_path / folder, model=frozen_network(name), **options)
        return fingerprint(run, run.run()), run.features.used

    expected, used = recomputing(monkeypatch, lambda: result("recomputed"))
    assert not used and "HEADSTART_CACHE_GB=0" in said.text
    assert result("computed") == (expected, True)
    assert result("read") == (expected, True)
    copies = {"none": "", "flip": " x 2 flips", "flip_hv": " x 4 flips"}[augment]
    assert said.text.count(f"features: 80 images{copies} of {name} at 32 px, ") == 2
    assert said.text.count("computed in") == said.text.count("read from") == 2  # training and validation


@pytest.mark.parametrize("name", ["cnn", "test_resnet"])
def test_the_backbone_runs_anew_from_the_epoch_in_which_it_learns(name, pictures, tmp_path, monkeypatch):
    def result(folder: str):
        model = frozen_network(name, freeze="backbone_then_none", unfreeze_epoch=3)
        run = trainer(pictures, tmp_path / folder, model=model, augment=augmentation.flip_hv, schedule="cosine")
        return fingerprint(run, run.run())

    expected = recomputing(monkeypatch, lambda: result("recomputed"))
    assert result("computed") == result("read") == expected


def test_compiling_what_kept_features_replace_is_said_to_do_nothing(pictures, tmp_path, monkeypatch, said):
    monkeypatch.setattr(torch, "compile", lambda network, **options: network)
    for number, (augment, idle) in enumerate(((augmentation.none, True), (augmentation.crop_flip, False))):
        said.clear()
        options = dict(augment=augment, compile=True, epochs=1)
        trainer(pictures, tmp_path / str(number), model=frozen_network("cnn"), **options).run()
        assert ("compile=on has nothing to do" in said.text) == idle


def test_features_are_let_go_when_the_backbone_learns(pictures, tmp_path, kept):
    held = []

    class Looking(Onlooker):
        def epoch(self, row):
            held.append([entry.held for entry in kept.entries()])

    model = frozen_network("cnn", freeze="backbone_then_none", unfreeze_epoch=3)
    run = trainer(pictures, tmp_path, model=model, augment=augmentation.horizontal_flip)
    run.watcher = Looking()
    run.run()
    assert held == 2 * [[True] * 3] + 2 * [[False] * 3]
    assert run.features.used


def test_the_best_epoch_before_unfreezing_predicts_from_kept_features_and_a_later_one_does_not(pictures, tmp_path):
    for lr, frozen in ((1e-12, True), (1e-3, False)):
        model = frozen_network("cnn", freeze="backbone_then_none", unfreeze_epoch=2)
        run = trainer(pictures, tmp_path / str(lr), model=model, lr=lr, augment=augmentation.horizontal_flip, epochs=6)
        assert (run.run().best_epoch < 2) == frozen
        assert run.frozen == frozen
        split = pictures.val.choose(slice(None))
        probabilities, _ = run.predict(split)
        run.frozen = False
        assert torch.equal(run.predict(split)[0], probabilities)


def rare_flip(images, labels, *, classes, generator):
    """Upside down once in twenty pictures."""
    return augmentation.flip(images, torch.rand(len(images), generator=generator) < 0.05, axis=1), labels


def test_a_flip_that_was_not_foreseen_is_computed_when_it_is_drawn(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(flips, "PROBE_COUNTS", (1,))

    def result(folder: str):
        run = trainer(pictures, tmp_path / folder, model=frozen_network("cnn"), augment=rare_flip)
        return fingerprint(run, run.run()), set(run.features.train.tensors) if run.features.train else None

    expected, _ = recomputing(monkeypatch, lambda: result("recomputed"))
    assert result("kept") == (expected, {0})


def test_an_augmentation_that_does_more_runs_the_backbone_in_training_and_says_which_would_not(
    pictures, tmp_path, monkeypatch, said, kept
):
    def result(folder: str):
        run = trainer(pictures, tmp_path / folder, model=frozen_network("cnn"), augment=AUGMENTATIONS["crop_flip"])
        return fingerprint(run, run.run())

    expected = recomputing(monkeypatch, lambda: result("recomputed"))
    assert result("kept") == expected
    assert said.text.count("does more than flip images") == 1
    (line,) = [line for line in said.messages if "does more than flip" in line]
    assert "augmentation=none, flip or flip_hv" in line
    assert [entry.facts["images"] for entry in kept.entries()] == [60]  # validation


@pytest.mark.parametrize("trouble", ["no room", "no folder"])
def test_where_nothing_can_be_kept_training_goes_on_as_before_and_says_so_once(
    trouble, pictures, tmp_path, monkeypatch, said
):
    def result(folder: str):
        run = trainer(pictures, tmp_path / folder, model=frozen_network("cnn"), augment="flip", epochs=3)
        return fingerprint(run, run.run()), run.features.used

    expected = recomputing(monkeypatch, lambda: result("recomputed"))
    said.clear()
    if trouble == "no room":
        monkeypatch.setenv("HEADSTART_CACHE_GB", "0.0001")
    else:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "file"))
    assert result("kept") == expected
    texts = [line for line in said.messages if "the frozen backbone runs in every epoch" in line]
    assert (len(texts) == 2 and "features: 80 images" in texts[0]) or "cannot be used" in texts[0]


def test_a_network_that_computes_more_behind_its_classifier_is_not_split(pictures, tmp_path, said):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.flatten, self.classifier = nn.Flatten(), nn.Linear(3072, 10)

        def forward(self, images):
            return 2 * self.classifier(self.flatten(images))

    run = trainer(pictures, tmp_path, model=Model(Scaled(), "classifier", freeze="backbone"), epochs=1)
    run.run()
    assert not run.features.used and "computes more behind its classifier" in said.text
