"""A frozen backbone's features are computed once, by whoever comes first, and are those of that backbone alone."""

import logging
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from headstart.data import Dataset, Split, augmentation
from headstart.models import Model
from headstart.training import frozen_features
from headstart.training.flips import flipped
from headstart.training.frozen_features import BATCH, FrozenFeatures
from training import slow_backbone
from training.helpers_training import AUGMENTATIONS, frozen_network, noise, prepared, recomputing, settings, trainer


@pytest.fixture(autouse=True)
def said(caplog):
    caplog.set_level(logging.INFO)
    return caplog


class Counter:
    """Counts the pictures that a network's backbone sees."""

    def __init__(self, model: Model):
        self.seen = 0
        next(model.network.children()).register_forward_hook(self.count)

    def count(self, module, inputs, output):
        self.seen += len(inputs[0])


def test_the_backbone_sees_each_flip_once_in_all_epochs_and_trials(pictures, tmp_path):
    seen = []
    for number, lr in enumerate((1e-3, 1e-2)):
        model = frozen_network("cnn")
        counter = Counter(model)
        trainer(pictures, tmp_path / str(number), model=model, augment=augmentation.flip_hv, lr=lr).run()
        seen.append(counter.seen)
    probes = 2 * 4 + 2  # two pictures are computed again to see that the features are this network's
    assert seen == [4 * 80 + 60 + probes + 4 + 4, probes]  # and two, twice for each part, to see that it splits


def test_an_augmentation_less_shares_what_the_other_computed(pictures, tmp_path, kept):
    for augment, entries in (("flip", 3), ("none", 3), ("flip_hv", 5)):
        trainer(pictures, tmp_path / augment, model=frozen_network("cnn"), augment=augment, epochs=1).run()
        assert len(kept.entries()) == entries


def test_what_changes_features_changes_their_name():
    split, model = noise(10), frozen_network("cnn")
    settings = [{}, dict(image_size=40), dict(precision="bf16"), dict(mean=(0.4,) * 3), dict(std=(0.3,) * 3)]
    names = [prepared(model, **options)._name(split, 0) for options in settings]
    names += [prepared(model)._name(*what) for what in ((split, 1), (noise(10, 1), 0), (noise(9), 0))]
    changed = frozen_network("cnn")
    changed.network.activation2 = nn.LeakyReLU(0.2)  # no tensor differs
    others = (changed, frozen_network("cnn", seed=1), frozen_network("test_resnet"))
    names += [prepared(other)._name(split, 0) for other in others]
    assert len(set(names)) == len(names) == 11


def test_what_does_not_change_features_does_not_change_their_name():
    split, model, other = noise(10), frozen_network("cnn"), frozen_network("cnn")
    with torch.no_grad():
        other.network.classifier.weight.add_(1)
    other.weights, other.name = "elsewhere.safetensors", "another"
    again = prepared(other, augment=augmentation.horizontal_flip, seed=3, batch_size=8, epochs=9)
    copy = Split(split.source.clone(), split.labels + 1, split.indices)
    assert prepared(model)._name(split, 0) == again._name(copy, 0)


@pytest.mark.parametrize("count", [1, 2, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH - 5])
def test_every_picture_has_its_own_features_wherever_batches_end(count):
    check_features("cnn", count)


@pytest.mark.parametrize("count", [15, 16, 17, 50])
def test_large_pictures_have_theirs_in_smaller_batches(count):
    assert check_features("test_resnet", count, image_size=128).at_once() == 16


def check_features(network: str, count: int, **options: int) -> FrozenFeatures:
    """Each picture has what the backbone makes of it, mirrored both ways, too."""
    model, split = frozen_network(network), noise(count)
    features = prepared(model, **options)
    table = features.table(split, (0, 3))
    picked = torch.randperm(count)[: 2 * BATCH]
    which = torch.randint(2, (len(picked),)) * 3
    pairs = zip(split.images[picked], which.tolist(), strict=True)
    images = torch.cat([flipped(picture[None], flip) for picture, flip in pairs])
    assert torch.allclose(table.rows(picked, which), features.compute(images), atol=1e-5)
    assert torch.equal(table.rows(picked), table.rows(picked, torch.zeros_like(picked)))
    return features


def test_features_of_another_network_under_the_right_name_are_refused(said, kept):
    model, split = frozen_network("cnn"), noise(20)
    name = prepared(model)._name(split, 0)
    expected = prepared(model).table(split).rows(torch.arange(20))
    entry = kept.open(name)
    wrong, facts = entry.array + 0.1, entry.facts
    del entry
    assert kept.remove(name)
    kept.make(name, iter([wrong]), 20, facts)
    assert torch.equal(prepared(model).table(split).rows(torch.arange(20)), expected)
    assert "holds others than this network computes" in said.text


def test_progress_reaches_the_watcher(monkeypatch):
    monkeypatch.setattr(frozen_features, "SECONDS_BETWEEN_LOOKS", 0)
    told = []
    augment = AUGMENTATIONS["flip"]
    source = FrozenFeatures(frozen_network("cnn"), settings(), augment, lambda *progress: told.append(progress[:2]))
    source.table(noise(200), (0, 1))
    assert told == [(128, 400), (200, 400), (200, 400), (328, 400), (400, 400), (400, 400)]


def started(seconds: float) -> subprocess.Popen:
    """A process that waits for `go` and then gets the features of 3 batches in 2 flips."""
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
    words = [sys.executable, "-c", f"from training import slow_backbone; slow_backbone.child({seconds})"]
    variables = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables)
    assert process.stdout.readline() == "ready\n"
    return process


def test_of_two_processes_one_computes_and_the_other_waits_for_it(kept):
    processes = [started(0.3) for _ in range(2)]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert sum(output.count("batch") for output in outputs) == 2 * 3
    assert "another process is computing them; waiting" in "".join(outputs)
    sums = {output.splitlines()[-1] for output in outputs}
    assert len(sums) == 1 and sums.pop().startswith("sum")
    assert len(kept.entries()) == 2


def test_after_kill_9_in_the_middle_of_writing_the_next_process_computes_the_same(kept):
    process = started(0.5)
    process.stdin.write("go\n")
    process.stdin.flush()
    for _ in range(5):  # the first flip is there, the second half written
        assert process.stdout.readline() == "batch\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    (scratch,) = kept.folder.glob(".*.unfinished")
    assert (scratch / "features.npy").stat().st_size > 0
    assert len(kept.entries()) == 1
    source, picked = slow_backbone.source(0), torch.arange(3 * BATCH)
    rows = source.table(noise(3 * BATCH), (0, 1)).rows(picked, picked % 2)
    images = noise(3 * BATCH).images
    images[1::2] = images[1::2].flip(2)
    assert torch.equal(rows, source.compute(images))
    assert not list(kept.folder.glob(".*.unfinished"))
    assert len(kept.entries()) == 2


@pytest.fixture
def frozen_run(run):
    """As `run`, with a backbone that never learns."""
    return partial(run, "model.freeze=backbone")


def test_a_search_neither_reads_nor_keeps_the_test_split_and_a_run_keeps_it(frozen_run, kept, monkeypatch):
    with monkeypatch.context() as sealed:
        sealed.setattr(Dataset, "test", lambda self: pytest.fail("the test split was read"))
        first, _ = frozen_run("augmentation=flip", reads_test=False)
    assert sorted(entry.facts["images"] for entry in kept.entries()) == [100, 100, 287]
    second, folder = frozen_run("augmentation=flip")
    assert sorted(entry.facts["images"] for entry in kept.entries()) == [100, 100, 287, 360]
    third, recomputed = recomputing(monkeypatch, lambda: frozen_run("augmentation=flip"))
    assert first["val_loss"] == second["val_loss"] == third["val_loss"]
    assert second["test_accuracy"] == third["test_accuracy"] and second["test_reads"] == 1
    kept_, again = (np.load(f / "predictions.npz")["test_probabilities"] for f in (folder, recomputed))
    np.testing.assert_allclose(kept_, again, rtol=0, atol=1e-6)  # kept ones come in other batches


def test_the_time_that_features_take_is_told_apart_from_training(frozen_run, monkeypatch):
    first, _ = frozen_run("augmentation=flip")
    second, _ = frozen_run("augmentation=flip")
    third, _ = frozen_run("augmentation=flip", "model.freeze=none")
    assert first["seconds_features"] > 0 == second["seconds_features"]
    assert third["seconds_features"] is None
    assert recomputing(monkeypatch, lambda: frozen_run("augmentation=flip"))[0]["seconds_features"] is None
