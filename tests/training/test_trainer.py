"""The epoch loop on a small network: what runs share, settings that have an effect, and how training ends."""

import dataclasses
import itertools
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from headstart.data import normalise
from headstart.models import Model
from headstart.store import read_epochs
from headstart.training.batches import ORDER, random_stream
from headstart.training.schedules import cosine
from training.helpers_training import trainer, whole


def test_every_step_has_the_learning_rate_of_its_schedule(pictures, tmp_path):
    run = trainer(pictures, tmp_path, schedule="cosine", lr=0.1)
    run.run()
    assert [row.lr for row in read_epochs(tmp_path).rows] == pytest.approx(
        [0.1 * cosine((3 * epoch - 1) / 12, warmup=0.2) for epoch in (1, 2, 3, 4)]
    )


def test_same_seed_same_bytes_and_another_seed_others(pictures, tmp_path):
    runs = [whole(pictures, tmp_path / str(n), augment="crop_flip", seed=seed) for n, seed in enumerate((0, 0, 1))]
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[2][0]


class Recorder(nn.Module):
    """Keeps what each training batch looks like when it reaches the network."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.classifier, self.batches = inner, []

    def forward(self, batch):
        if self.training:
            self.batches.append(batch.clone())
        return self.classifier(batch)


def test_two_networks_see_the_same_pictures_in_the_same_order_with_the_same_augmentation(pictures, tmp_path):
    seen = []
    for width in (8, 64):  # more or fewer random numbers for the initial weights and dropout
        layers = nn.Sequential(nn.Flatten(), nn.Linear(3072, width), nn.Dropout(0.5), nn.Linear(width, 10))
        network = Recorder(layers)
        trainer(pictures, tmp_path / str(width), augment="crop_flip", model=Model(network, "classifier")).run()
        seen.append(torch.cat(network.batches))
    assert torch.equal(*seen)
    first, second = seen[0][:80], seen[0][80:160]
    assert not torch.equal(first, second)  # each epoch draws anew


@pytest.mark.parametrize(
    "options",
    [
        dict(label_smoothing=0.2),
        dict(clip_grad_norm=0.01),
        dict(optimizer="adamw"),
        dict(schedule="cosine"),
        dict(augment="mixup"),
        dict(lr=1e-3),
        dict(precision="bf16"),
        dict(freeze="backbone_then_none"),
    ],
    ids=str,
)
def test_every_setting_has_an_effect(options, pictures, tmp_path):
    assert whole(pictures, tmp_path / "plain")[0] != whole(pictures, tmp_path / "other", **options)[0]


def test_clipping_bounds_the_step_of_plain_gradient_descent(pictures, tmp_path):
    run = trainer(pictures, tmp_path, clip_grad_norm=1e-3, lr=1.0, epochs=1, batch_size=80)
    run.state.optimizer = torch.optim.SGD(run.network.parameters(), lr=1.0)
    before = [p.detach().clone() for p in run.network.parameters()]
    run.run()
    moved = torch.cat(
        [(p.detach() - b).flatten() for p, b in zip(run.network.parameters(), before, strict=True)]
    ).norm()
    assert moved == pytest.approx(1e-3, rel=1e-3)


def test_the_loss_of_a_row_is_that_of_torch_on_the_whole_epoch(pictures, tmp_path):
    run = trainer(pictures, tmp_path, epochs=1, batch_size=80, label_smoothing=0.1)
    images = normalise(pictures.train.images, pictures.mean, pictures.std, size=32)
    torch.manual_seed(5)
    order = torch.randperm(80, generator=random_stream(0, 1, ORDER))
    logits = run.network(images[order])
    expected = nn.functional.cross_entropy(logits, pictures.train.labels[order], label_smoothing=0.1)
    hits = (logits.argmax(1) == pictures.train.labels[order]).float().mean()
    run.network.norm.reset_running_stats()
    torch.manual_seed(5)
    run.run()
    row = read_epochs(tmp_path).rows[0]
    assert row.train_loss == pytest.approx(expected.item(), rel=1e-6)
    assert row.train_accuracy == pytest.approx(100 * hits.item())
    assert (row.images, row.steps) == (80, 1)


UNEVEN = tuple(0.25 * (k + 1) for k in range(10))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_class_weights_are_those_of_torchs_cross_entropy_over_the_number_of_pictures(smoothing, pictures, tmp_path):
    weighted = dataclasses.replace(pictures, class_weights=UNEVEN)
    run = trainer(weighted, tmp_path, epochs=1, batch_size=80, label_smoothing=smoothing)
    images = normalise(pictures.train.images, pictures.mean, pictures.std, size=32)
    torch.manual_seed(5)
    order = torch.randperm(80, generator=random_stream(0, 1, ORDER))
    loss = nn.CrossEntropyLoss(torch.tensor(UNEVEN), label_smoothing=smoothing, reduction="sum")
    expected = loss(run.network(images[order]), pictures.train.labels[order]) / 80
    run.network.norm.reset_running_stats()
    torch.manual_seed(5)
    run.run()
    assert read_epochs(tmp_path).rows[0].train_loss == pytest.approx(expected.item(), rel=1e-6)


def test_equal_class_weights_change_nothing_and_others_do_with_mixup_too(pictures, tmp_path):
    one, _, uneven = (
        whole(dataclasses.replace(pictures, class_weights=weights), tmp_path / str(n), augment="mixup")
        for n, weights in enumerate((None, (1.0,) * 10, UNEVEN))
    )
    assert one[0] != uneven[0]
    rows = [read_epochs(tmp_path / str(n)).rows[0].train_loss for n in (0, 1)]
    assert rows[0] == pytest.approx(rows[1], rel=1e-6)


def test_the_best_epoch_is_kept_and_ties_go_to_the_earliest(pictures, tmp_path):
    run = trainer(pictures, tmp_path, optimizer="sgd", lr=0.2, epochs=8)
    outcome = run.run()
    accuracies = [row.val_accuracy for row in read_epochs(tmp_path).rows]
    assert outcome.val_accuracy == max(accuracies)
    assert outcome.best_epoch == 1 + accuracies.index(max(accuracies))
    assert outcome.best_epoch < 8, "choose another learning rate: this test needs a best epoch that is not the last"
    probabilities, loss = run.predict(pictures.val)
    right = (probabilities.argmax(1) == pictures.val.labels).double().mean().item()
    assert 100 * right == outcome.val_accuracy
    assert loss == pytest.approx(outcome.val_loss, rel=1e-6)


def test_patience_ends_a_run_that_gets_no_better(pictures, tmp_path):
    run = trainer(pictures, tmp_path, lr=1e-12, epochs=9, patience=2, freeze="backbone")
    outcome = run.run()
    assert (outcome.state, outcome.epochs_run, outcome.best_epoch) == ("COMPLETE", 3, 1)
    assert "2 epochs" in outcome.reason


@pytest.mark.parametrize("epochs_before", [0, 2])
def test_an_infinite_loss_ends_as_diverged(epochs_before, pictures, tmp_path):
    run = trainer(pictures, tmp_path, optimizer="sgd")
    harmless = run.augment
    calls = itertools.count()

    def poison(images, labels, **options):
        images, labels = harmless(images, labels, **options)
        return (images.float() * math.inf if next(calls) >= 3 * epochs_before else images), labels

    run.augment = poison
    outcome = run.run()
    assert outcome.state == "DIVERGED"
    assert f"epoch {epochs_before + 1}" in outcome.reason
    assert outcome.epochs_run == epochs_before
    assert outcome.best_epoch == (None if not epochs_before else pytest.approx(1.5, abs=0.5))


def test_a_last_batch_of_one_picture_is_left_out(pictures, tmp_path):
    run = trainer(pictures, tmp_path, batch_size=79, epochs=1)
    run.run()
    assert read_epochs(tmp_path).rows[0].images == 79


def test_training_imports_neither_torchs_compiler_nor_scikit_learn(tmp_path):
    script = (
        "import sys, training.helpers_training as t, headstart.training.run\nfrom pathlib import Path\n"
        "from headstart.data import Split\n"
        "split = Split(t.torch.zeros(8, 32, 32, 3, dtype=t.torch.uint8), t.torch.arange(8), t.torch.arange(8))\n"
        "data = t.Dataset('', tuple('0123456789'), split, split, '', (0,) * 3, (1,) * 3, lambda: split)\n"
        "for name in ('adam', 'adamw', 'sgd'):\n"
        "    assert t.trainer(data, Path(name), optimizer=name).run().epochs_run == 4\n"
        "heavy = ('torch._dynamo', 'sklearn', 'timm', 'torchvision')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    words = [sys.executable, "-c", script]
    paths = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])}
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path, env=paths)
    assert done.stdout == "[]\n", done.stderr
