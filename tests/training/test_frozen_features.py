"""A frozen backbone's features are computed once, by whoever comes first, and training on them changes no number."""

import io
import json
import logging
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import slow_backbone
import torch
from conftest import configured
from slow_backbone import noise, prepared, settings
from torch import nn

from headstart import store as records
from headstart.data import Split, augmentation
from headstart.data import sources as data
from headstart.errors import UserError
from headstart.models import builders as models
from headstart.models.model import Model
from headstart.store import cache_paths as places
from headstart.store import feature_cache as cache
from headstart.training import flips as mirrors
from headstart.training import frozen_features as features
from headstart.training import progress_bar as console
from headstart.training import run as job
from headstart.training.frozen_features import BATCH, Features
from training import test_trainer as test_training
from training.test_trainer import Cut, Onlooker, fingerprint, trainer

pictures = test_training.pictures  # a fixture
AUGMENTATIONS = {
    "none": augmentation.none,
    "flip": augmentation.horizontal_flip,
    "flip_hv": augmentation.flip_hv,
    "crop_flip": partial(augmentation.crop_flip, padding=4),
}
WITHOUT = dict(weights=None, keep_classifier=False, unfreeze_epoch=None, backbone_lr_factor=1, freeze="backbone")


@pytest.fixture(autouse=True)
def said(caplog):
    caplog.set_level(logging.INFO)
    return caplog


@pytest.fixture
def kept() -> cache.FeatureCache:
    """The cache that this test's runs use."""
    return cache.FeatureCache(places.cache_root() / "features", places.cache_limit())


def network(name: str, seed: int = 0, **options) -> Model:
    torch.manual_seed(seed)
    shape = dict(classes=10, class_names=tuple("0123456789"), image_size=32)
    if name == "cnn":
        return models.cnn(**shape, **WITHOUT | options)
    if name == "test_resnet with a head":  # on feature maps, with batch norm and dropout
        return models.timm_with_head(name="test_resnet", **shape, **WITHOUT | options)
    return models.timm_model(name=name, stem="imagenet", **shape, **WITHOUT | options)


def recomputing(monkeypatch, do):
    """What `do()` gives when nothing is kept."""
    with monkeypatch.context() as patch:
        patch.setenv("HEADSTART_CACHE_GB", "0")
        return do()


# ---- the same numbers


@pytest.mark.parametrize(
    ("name", "augment", "precision"),
    [("cnn", "none", "fp32"), ("cnn", "flip", "fp32"), ("cnn", "flip_hv", "bf16"), ("resnet18", "flip", "fp32"),
     ("test_resnet with a head", "flip_hv", "bf16"), ("test_resnet with a head", "flip_hv", "fp32"),
     ("test_resnet", "flip_hv", "bf16"), ("test_resnet", "flip_hv", "fp32"), ("test_vit", "flip_hv", "fp32")],
)  # fmt: skip
def test_training_on_kept_features_is_recomputing_to_the_last_digit(
    name, augment, precision, pictures, tmp_path, monkeypatch, said
):
    def result(folder: str):
        options = dict(augment=AUGMENTATIONS[augment], precision=precision, epochs=3)
        run = trainer(pictures, tmp_path / folder, model=network(name), **options)
        return fingerprint(run, run.run()), run.kept.used

    expected, used = recomputing(monkeypatch, lambda: result("recomputed"))
    assert not used and "HEADSTART_CACHE_GB=0" in said.text
    assert result("computed") == (expected, True)
    assert result("read") == (expected, True)
    copies = {"none": "", "flip": " x 2 mirror images", "flip_hv": " x 4 mirror images"}[augment]
    assert said.text.count(f"features: 80 images{copies} of {name} at 32 px, ") == 2
    assert said.text.count("computed in") == said.text.count("read from") == 2  # training and validation


@pytest.mark.parametrize("name", ["cnn", "test_resnet"])
def test_the_backbone_runs_anew_from_the_epoch_in_which_it_learns(name, pictures, tmp_path, monkeypatch):
    def result(folder: str):
        model = network(name, freeze="backbone_then_none", unfreeze_epoch=3)
        run = trainer(pictures, tmp_path / folder, model=model, augment=augmentation.flip_hv, schedule="cosine")
        return fingerprint(run, run.run())

    expected = recomputing(monkeypatch, lambda: result("recomputed"))
    assert result("computed") == result("read") == expected


def test_compiling_what_kept_features_replace_is_said_to_do_nothing(pictures, tmp_path, monkeypatch, said):
    monkeypatch.setattr(torch, "compile", lambda network, **options: network)
    for number, (augment, idle) in enumerate(((augmentation.none, True), (augmentation.crop_flip, False))):
        said.clear()
        run = trainer(pictures, tmp_path / str(number), model=network("cnn"), augment=augment, compile=True, epochs=1)
        run.run()
        assert ("compile=on has nothing to do" in said.text) == idle


def test_features_are_let_go_when_the_backbone_learns(pictures, tmp_path, kept):
    held = []

    class Looking(Onlooker):
        def epoch(self, row):
            held.append([entry.held for entry in kept.entries()])

    model = network("cnn", freeze="backbone_then_none", unfreeze_epoch=3)
    run = trainer(pictures, tmp_path, model=model, augment=augmentation.horizontal_flip)
    run.watcher = Looking()
    run.run()
    assert held == 2 * [[True] * 3] + 2 * [[False] * 3]
    assert run.kept.used


def test_the_best_epoch_before_unfreezing_predicts_from_kept_features_and_a_later_one_does_not(pictures, tmp_path):
    for lr, frozen in ((1e-12, True), (1e-3, False)):
        model = network("cnn", freeze="backbone_then_none", unfreeze_epoch=2)
        run = trainer(pictures, tmp_path / str(lr), model=model, lr=lr, augment=augmentation.horizontal_flip, epochs=6)
        assert (run.run().best_epoch < 2) == frozen
        assert run.frozen == frozen
        split = pictures.val.choose(slice(None))
        probabilities, _ = run.predict(split)
        run.frozen = False
        assert torch.equal(run.predict(split)[0], probabilities)


@pytest.mark.parametrize("freeze", ["backbone", "backbone_then_none"])
def test_a_run_cut_anywhere_ends_with_the_same_bytes_whatever_is_kept(freeze, pictures, tmp_path, monkeypatch):
    def one(folder: str, cut: int = 0):
        options = dict(unfreeze_epoch=3 if freeze == "backbone_then_none" else None)
        model = network("cnn", freeze=freeze, **options)
        run = trainer(pictures, tmp_path / folder, model=model, augment=augmentation.flip_hv, cut=cut)
        return fingerprint(run, run.run())

    expected = recomputing(monkeypatch, lambda: one("whole"))
    for cut in (1, 6, 9, 13):
        with pytest.raises(Cut):
            one(f"cut-{cut}", cut)
        assert one(f"cut-{cut}") == expected
    with pytest.raises(Cut):
        recomputing(monkeypatch, lambda: one("mixed", 6))
    assert one("mixed") == expected


def test_a_checkpoint_holds_the_head_alone_and_refuses_another_backbone(pictures, tmp_path):
    def begun(seed: int, **options):
        return trainer(pictures, tmp_path, model=network("cnn", seed), augment="none", **options)

    with pytest.raises(Cut):
        begun(0, cut=9).run()
    size = (tmp_path / "last.ckpt").stat().st_size
    head = sum(p.nbytes for p in network("cnn").network.classifier.parameters())
    assert 4 * head < size < 4 * head + 20_000  # itself, the best one, and Adam's two moments
    with pytest.raises(UserError, match=r"last\.ckpt belongs to another frozen backbone than that .*weights=None now"):
        begun(1).run()
    begun(0).run()


def test_a_checkpoint_that_holds_the_whole_network_goes_on_too(pictures, tmp_path):
    def begun(folder: str, **options):
        return trainer(pictures, tmp_path / folder, model=network("cnn"), augment="none", **options)

    run = begun("whole")
    expected = fingerprint(run, run.run())
    run = begun("cut", cut=9)
    with pytest.raises(Cut):
        run.run()
    state = torch.load(io.BytesIO(records.read_checkpoint(run.run_dir)), weights_only=True)
    for part in (state, state["best"]):
        part["network"] = run.network.state_dict() | part["network"]
    del state["backbone"], state["seconds_features"]
    torch.save(state, buffer := io.BytesIO())
    records.write_checkpoint(run.run_dir / "last.ckpt", buffer.getvalue())
    run = begun("cut")
    assert fingerprint(run, run.run()) == expected


def rare_flip(images, labels, *, classes, generator):
    """Upside down once in twenty pictures."""
    return augmentation.flip(images, torch.rand(len(images), generator=generator) < 0.05, axis=1), labels


def test_a_mirror_image_that_was_not_foreseen_is_computed_when_it_is_drawn(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(mirrors, "TRIES", (1,))

    def result(folder: str):
        run = trainer(pictures, tmp_path / folder, model=network("cnn"), augment=rare_flip)
        return fingerprint(run, run.run()), set(run.kept.train.tensors) if run.kept.train else None

    expected, _ = recomputing(monkeypatch, lambda: result("recomputed"))
    assert result("kept") == (expected, {0})


# ---- computed once


class Counter:
    """Counts the pictures that a network's backbone sees."""

    def __init__(self, model: Model):
        self.seen = 0
        next(model.network.children()).register_forward_hook(self.count)

    def count(self, module, inputs, output):
        self.seen += len(inputs[0])


def test_the_backbone_sees_each_mirror_image_once_in_all_epochs_and_trials(pictures, tmp_path):
    seen = []
    for number, lr in enumerate((1e-3, 1e-2)):
        model = network("cnn")
        counter = Counter(model)
        trainer(pictures, tmp_path / str(number), model=model, augment=augmentation.flip_hv, lr=lr).run()
        seen.append(counter.seen)
    probes = 2 * 4 + 2  # two pictures are computed again to see that the features are this network's
    assert seen == [4 * 80 + 60 + probes + 4 + 4, probes]  # and two, twice for each part, to see that it splits


def test_an_augmentation_less_shares_what_the_other_computed(pictures, tmp_path, kept):
    for augment, entries in (("flip", 3), ("none", 3), ("flip_hv", 5)):
        trainer(pictures, tmp_path / augment, model=network("cnn"), augment=AUGMENTATIONS[augment], epochs=1).run()
        assert len(kept.entries()) == entries


def test_what_changes_features_changes_their_name():
    split, model = noise(10), network("cnn")
    names = [
        prepared(model)._name(split, 0), prepared(model)._name(split, 1), prepared(model)._name(noise(10, 1), 0),
        prepared(model)._name(noise(9), 0), prepared(model, image_size=40)._name(split, 0),
        prepared(model, precision="bf16")._name(split, 0), prepared(model, mean=(0.4,) * 3)._name(split, 0),
        prepared(model, std=(0.3,) * 3)._name(split, 0), prepared(network("cnn", seed=1))._name(split, 0),
        prepared(network("test_resnet"))._name(split, 0),
    ]  # fmt: skip
    changed = network("cnn")
    changed.network.activation2 = nn.LeakyReLU(0.2)  # no tensor differs
    names.append(prepared(changed)._name(split, 0))
    assert len(set(names)) == len(names)


def test_what_does_not_change_features_does_not_change_their_name():
    split, model, other = noise(10), network("cnn"), network("cnn")
    with torch.no_grad():
        other.network.classifier.weight.add_(1)
    other.weights, other.name = "elsewhere.safetensors", "another"
    again = prepared(other, augment=augmentation.horizontal_flip, seed=3, batch_size=8, epochs=9)
    copy = Split(split.source.clone(), split.labels + 1, split.indices)
    assert prepared(model)._name(split, 0) == again._name(copy, 0)


@pytest.mark.parametrize("count", [1, 2, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH - 5])
def test_every_picture_has_its_own_features_wherever_batches_end(count):
    model, split = network("cnn"), noise(count)
    table = prepared(model).table(split, (0, 3))
    picked = torch.randperm(count)[: 2 * BATCH]
    which = torch.randint(2, (len(picked),)) * 3
    pairs = zip(split.images[picked], which.tolist(), strict=True)
    images = torch.cat([mirrors.mirrored(picture[None], mirror) for picture, mirror in pairs])
    expected = prepared(model)._compute(images)
    assert torch.allclose(table.rows(picked, which), expected, atol=1e-5)
    assert torch.equal(table.rows(picked), table.rows(picked, torch.zeros_like(picked)))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_feature_maps_come_back_as_the_backbone_gave_them(precision):
    torch.manual_seed(0)
    layers = nn.Sequential()
    layers.backbone = nn.Sequential(nn.Conv2d(3, 5, 3, stride=4), nn.BatchNorm2d(5)).to(
        memory_format=torch.channels_last
    )
    layers.classifier = nn.Sequential(nn.Conv2d(5, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    split, source = noise(40), prepared(Model(layers, "classifier", freeze="backbone"), precision=precision)
    rows, direct = source.table(split).rows(torch.arange(40)), source._compute(split.images)
    assert torch.equal(rows, direct) and rows.dtype == direct.dtype and rows.stride() == direct.stride()
    assert rows.dtype == (torch.bfloat16 if precision == "bf16" else torch.float32)


# ---- what cannot be kept


def test_an_augmentation_that_does_more_runs_the_backbone_in_training_and_says_which_would_not(
    pictures, tmp_path, monkeypatch, said, kept
):
    def result(folder: str):
        run = trainer(pictures, tmp_path / folder, model=network("cnn"), augment=AUGMENTATIONS["crop_flip"])
        return fingerprint(run, run.run())

    expected = recomputing(monkeypatch, lambda: result("recomputed"))
    assert result("kept") == expected
    assert said.text.count("does more than mirror pictures") == 1
    (line,) = [line for line in said.messages if "does more than mirror" in line]
    assert "augmentation=none, flip or flip_hv" in line
    assert [entry.facts["images"] for entry in kept.entries()] == [60]  # validation


@pytest.mark.parametrize("trouble", ["no room", "no folder"])
def test_where_nothing_can_be_kept_training_goes_on_as_before_and_says_so_once(
    trouble, pictures, tmp_path, monkeypatch, said
):
    def result(folder: str):
        run = trainer(pictures, tmp_path / folder, model=network("cnn"), augment=augmentation.horizontal_flip, epochs=3)
        return fingerprint(run, run.run()), run.kept.used

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
    assert not run.kept.used and "computes more behind its classifier" in said.text


def test_features_of_another_network_under_the_right_name_are_refused(said, kept):
    model, split = network("cnn"), noise(20)
    name = prepared(model)._name(split, 0)
    expected = prepared(model).table(split).rows(torch.arange(20))
    entry = kept.open(name)
    wrong, facts = entry.array + 0.1, entry.facts
    del entry
    assert kept.remove(name)
    kept.make(name, iter([wrong]), 20, facts)
    assert torch.equal(prepared(model).table(split).rows(torch.arange(20)), expected)
    assert "holds others than this network computes" in said.text


# ---- processes


def started(seconds: float) -> subprocess.Popen:
    """A process that waits for `go` and then gets the features of 3 batches in 2 mirror images."""
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
    words = [sys.executable, "-c", f"import slow_backbone; slow_backbone.child({seconds})"]
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
    for _ in range(5):  # the first mirror image is there, the second half written
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
    assert torch.equal(rows, source._compute(images))
    assert not list(kept.folder.glob(".*.unfinished"))
    assert len(kept.entries()) == 2


# ---- in a run


@pytest.fixture
def run(tmp_path, monkeypatch):
    """`run(*overrides)` does one run in a new folder; returns its result."""
    monkeypatch.chdir(tmp_path)
    threads, folders = torch.get_num_threads(), iter(range(100))

    def once(*overrides: str, reads_test: bool = True):
        run_config = configured("model.freeze=backbone", *overrides)
        folder = tmp_path / f"run-{next(folders)}"
        folder.mkdir()
        watcher = console.Lines(run_config.values.epochs)
        job.train_run(run_config, folder, reads_test=reads_test, watcher=watcher)
        return json.loads((folder / "result.json").read_text()), folder

    yield once
    torch.set_num_threads(threads)


def test_a_search_neither_reads_nor_keeps_the_test_split_and_a_run_keeps_it(run, kept, monkeypatch):
    with monkeypatch.context() as sealed:
        sealed.setattr(data.Dataset, "test", lambda self: pytest.fail("the test split was read"))
        first, _ = run("augmentation=flip", reads_test=False)
    assert sorted(entry.facts["images"] for entry in kept.entries()) == [100, 100, 287]
    second, folder = run("augmentation=flip")
    assert sorted(entry.facts["images"] for entry in kept.entries()) == [100, 100, 287, 360]
    third, recomputed = recomputing(monkeypatch, lambda: run("augmentation=flip"))
    assert first["val_loss"] == second["val_loss"] == third["val_loss"]
    assert second["test_accuracy"] == third["test_accuracy"] and second["test_reads"] == 1
    kept_, again = (np.load(f / "predictions.npz")["test_probabilities"] for f in (folder, recomputed))
    np.testing.assert_allclose(kept_, again, rtol=0, atol=1e-6)  # kept ones come in other batches


def test_the_time_that_features_take_is_told_apart_from_training(run, monkeypatch):
    first, _ = run("augmentation=flip")
    second, _ = run("augmentation=flip")
    third, _ = run("augmentation=flip", "model.freeze=none")
    assert first["seconds_features"] > 0 == second["seconds_features"]
    assert third["seconds_features"] is None
    assert recomputing(monkeypatch, lambda: run("augmentation=flip"))[0]["seconds_features"] is None


def test_the_time_that_features_took_survives_a_kill(pictures, tmp_path):
    run = trainer(pictures, tmp_path, model=network("cnn"), augment=augmentation.horizontal_flip, cut=9)
    with pytest.raises(Cut):
        run.run()
    assert records.read_epochs(tmp_path).rows
    again = trainer(pictures, tmp_path, model=network("cnn"), augment=augmentation.horizontal_flip)
    again.run()
    assert again.kept.seconds == run.kept.seconds > 0


# ---- what a person sees


def test_lines_tell_now_and_then_how_far_features_are(said, monkeypatch):
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", 0)
    lines = console.Lines(3)
    lines.features(1_500, 20_000, 35.0)
    lines.features(20_000, 20_000, 35.0)
    assert said.messages == ["features: 1,500 of 20,000 images, 35 images/s, 00:08:48 left"]


def test_the_time_left_for_epochs_does_not_count_what_features_took(said, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    lines = console.Lines(3)
    clock[0] = 600.0
    lines.features(10, 10, 1.0)
    clock[0] = 601.0
    lines.epoch(dict(epoch=1, train_loss=1.0, train_accuracy=50, val_accuracy=50, images_per_second=9.0))
    assert "00:00:02 left" in said.messages[-1]


def test_the_bar_shows_features_beside_the_epochs_and_drops_them_when_they_are_there():
    bar = console.Bar(3, "cnn")
    bar.features(30, 100, 10.0)
    shown = [(task.description, task.completed, task.total) for task in bar.progress.tasks]
    assert shown == [("cnn", 0, 3), ("features", 30, 100)]
    bar.features(100, 100, 10.0)
    assert [task.description for task in bar.progress.tasks] == ["cnn"]
    bar.features(1, 360, 10.0)
    assert len(bar.progress.tasks) == 2


def test_progress_reaches_the_watcher(monkeypatch):
    monkeypatch.setattr(features, "SECONDS_BETWEEN_LOOKS", 0)
    told = []
    source = Features(
        network("cnn"), settings(), augmentation.horizontal_flip, lambda *progress: told.append(progress[:2])
    )
    source.table(noise(200), (0, 1))
    assert told == [(128, 400), (200, 400), (200, 400), (328, 400), (400, 400), (400, 400)]
