"""The epoch loop on a small network: schedules, resume to the byte, early stopping, settings that have an effect."""

import contextlib
import hashlib
import itertools
import math
import os
import subprocess
import sys
from collections import OrderedDict
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from headstart import store as records
from headstart.data import Dataset, augmentation, normalise
from headstart.data.sources import digits
from headstart.errors import UserError
from headstart.models.builders import Model
from headstart.training import trainer as training
from headstart.training import trial_context as current
from headstart.training.trainer import Settings, Trainer, constant, cosine, onecycle

OPTIMIZERS = {
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, weight_decay=0.01),
    "sgd": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
}
SCHEDULES = {"constant": constant, "cosine": partial(cosine, warmup=0.2), "onecycle": onecycle}
AUGMENTATIONS = {
    "none": augmentation.none,
    "crop_flip": partial(augmentation.crop_flip, padding=4),
    "mixup": partial(augmentation.mixup, alpha=0.2, padding=4),
}


class Onlooker:
    """A watcher that keeps what it is told."""

    def __init__(self):
        self.rows = []

    def step(self, *_):
        pass

    def epoch(self, row):
        self.rows.append(row)

    def features(self, *_):
        pass


class Cut(Exception):
    """Stands for a kill: nothing of the run's process goes on after it."""


def cut_at(call: int, function):
    """Raise Cut at that call, counted from 1, of an augmentation: in the middle of an epoch."""
    calls = itertools.count(1)

    def cutting(*arguments, **options):
        if next(calls) == call:
            raise Cut
        return function(*arguments, **options)

    return cutting


@pytest.fixture(scope="module")
def pictures() -> Dataset:
    """80 digits to train on, a batch of 32 and a batch of 16 at the end of each epoch, 60 to validate on."""
    whole = digits(train_size=80)
    val = whole.val.choose(slice(60))
    return Dataset(whole.name, whole.classes, whole.train, val, whole.sha256, whole.mean, whole.std, whole.load_test)


def small_network(freeze: str = "none") -> Model:
    """Batch norm and dropout, whose statistics and random numbers a resume has to bring back."""
    torch.manual_seed(0)
    layers = OrderedDict(
        convolution=nn.Conv2d(3, 4, 3, stride=4), norm=nn.BatchNorm2d(4), activation=nn.ReLU(), flatten=nn.Flatten(),
        dropout=nn.Dropout(0.3), classifier=nn.Linear(256, 10),
    )  # fmt: skip
    unfreeze_epoch = 3 if freeze == "backbone_then_none" else None
    return Model(nn.Sequential(layers), "classifier", freeze=freeze, unfreeze_epoch=unfreeze_epoch)


def trainer(data: Dataset, folder: Path, optimizer="adam", schedule="constant", augment="none", **options) -> Trainer:
    """A run of 4 epochs in `folder`; options: of Settings, and model, freeze, lr, identity, cut (at that batch)."""
    torch.set_num_threads(1)
    model = options.pop("model", None) or small_network(options.pop("freeze", "none"))
    cut, lr, identity = options.pop("cut", 0), options.pop("lr", 3e-3), options.pop("identity", "same")
    folder.mkdir(exist_ok=True)
    augment = cut_at(cut, AUGMENTATIONS.get(augment, augment))
    settings = Settings(**(
        dict(epochs=4, batch_size=32, seed=0, device=torch.device("cpu"), precision="fp32", image_size=32,
             normalisation="data", mean=data.mean, std=data.std) | options
    ))  # fmt: skip
    return Trainer(
        model=model, data=data, settings=settings, optimizer_factory=OPTIMIZERS[optimizer],
        schedule=SCHEDULES[schedule], augment=augment, run_dir=folder, watcher=Onlooker(),
        identity=identity, lr=lr,
    )  # fmt: skip


def fingerprint(run: Trainer, outcome) -> tuple:
    """Everything that a resumed run has to share: weights to the byte, predictions, rows and outcome without times."""
    weights = hashlib.sha256()
    for name, tensor in run.network.state_dict().items():
        weights.update(name.encode() + tensor.contiguous().numpy().tobytes())
    probabilities, _ = run.predict(run.data.val)
    timed = ("seconds_train", "images_per_second", "seconds_total")
    rows = [row._replace(**dict.fromkeys(timed)) for row in records.read_epochs(run.run_dir).rows]
    ended = (outcome.state, outcome.reason, outcome.epochs_run, outcome.best_epoch, outcome.val_accuracy)
    return weights.hexdigest(), probabilities.numpy().tobytes(), rows, (*ended, outcome.val_loss, outcome.images)


def whole(data, folder, **options) -> tuple:
    run = trainer(data, folder, **options)
    return fingerprint(run, run.run())


def interrupted(data, folder, cuts, **options) -> tuple:
    """The same run, cut at each of `cuts` (batches counted within one life) and started again, then left to end."""
    for cut in cuts:
        with contextlib.suppress(Cut):  # patience may have ended the run before that batch
            trainer(data, folder, cut=cut, **options).run()
    return whole(data, folder, **options)


# ---- schedules


def rates_of_torch(make, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_cosine_is_that_of_torch():
    expected = rates_of_torch(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=50), 50)
    assert [cosine(step / 50) for step in range(50)] == pytest.approx(expected, abs=1e-12)


def test_cosine_rises_linearly_through_its_warmup():
    assert [cosine(p, warmup=0.2) for p in (0.0, 0.05, 0.1, 0.2)] == pytest.approx([0, 0.25, 0.5, 1])
    assert cosine(0.6, warmup=0.2) == pytest.approx(0.5)
    assert cosine(1.0, warmup=0.2) == pytest.approx(0)


def test_onecycle_is_that_of_torch_up_to_its_counting_of_steps():
    # torch puts the peak at step 0.3 * total - 1 and the end at the last step; ours are shares of all steps.
    total = 10_000
    make = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=1.0, total_steps=total, cycle_momentum=False)
    expected = rates_of_torch(make, total - 1)
    ours = [onecycle(step / total) for step in range(total - 1)]
    assert max(abs(a - b) for a, b in zip(ours, expected, strict=True)) < 1e-3
    assert (onecycle(0.0), onecycle(0.3), onecycle(1.0)) == pytest.approx((0.04, 1.0, 4e-6))


@pytest.mark.parametrize("schedule", [cosine, onecycle])
@pytest.mark.parametrize("warmup", [1, 2, -1, math.nan, math.inf, "0.1", None])
def test_a_warmup_that_is_no_share_is_refused(schedule, warmup):
    with pytest.raises(UserError, match=f"schedule.warmup={warmup} is no share of the training; give 0 or more, below"):
        schedule(0.5, warmup=warmup)


def test_every_step_has_the_learning_rate_of_its_schedule(pictures, tmp_path):
    run = trainer(pictures, tmp_path, schedule="cosine", lr=0.1)
    run.run()
    assert [row.lr for row in records.read_epochs(tmp_path).rows] == pytest.approx(
        [0.1 * cosine((3 * epoch - 1) / 12, warmup=0.2) for epoch in (1, 2, 3, 4)]
    )


# ---- resume

EVERY = list(itertools.product(OPTIMIZERS, SCHEDULES, AUGMENTATIONS, ("none", "backbone_then_none"), (None, 2)))
SOME = [
    ("adam", "constant", "crop_flip", "none", None),
    ("adam", "onecycle", "mixup", "backbone_then_none", None),
    ("adamw", "cosine", "none", "backbone_then_none", 2),
    ("adamw", "constant", "mixup", "none", 2),
    ("sgd", "cosine", "crop_flip", "backbone_then_none", None),
    ("sgd", "onecycle", "none", "none", 2),
]


def resumes_to_the_same_bytes(data, folder, optimizer, schedule, augment, freeze, patience, cuts):
    options = dict(optimizer=optimizer, schedule=schedule, augment=augment, freeze=freeze, patience=patience)
    expected = whole(data, folder / "whole", **options)
    for cut in cuts:
        assert interrupted(data, folder / f"cut-{cut}", cut, **options) == expected, f"cut at {cut}"


@pytest.mark.parametrize("combination", SOME, ids=str)
def test_a_run_cut_in_any_epoch_ends_with_identical_bytes(combination, pictures, tmp_path):
    resumes_to_the_same_bytes(pictures, tmp_path, *combination, cuts=[(1,), (4,), (11,), (5, 5, 2)])


@pytest.mark.slow
@pytest.mark.parametrize("combination", EVERY, ids=str)
def test_a_run_cut_at_any_batch_ends_with_identical_bytes(combination, pictures, tmp_path):
    resumes_to_the_same_bytes(pictures, tmp_path, *combination, cuts=[(n,) for n in range(1, 13)] + [(6, 6), (2, 5, 3)])


def test_a_run_cut_while_an_epoch_is_announced_ends_with_identical_bytes(pictures, tmp_path):
    expected = whole(pictures, tmp_path / "whole", augment="crop_flip")
    for last in (1, 2, 3, 4):
        folder, run = tmp_path / f"cut-{last}", None
        folder.mkdir()
        run = trainer(pictures, folder, augment="crop_flip")
        run.watcher.epoch = lambda row, last=last: (_ for _ in ()).throw(Cut) if row["epoch"] == last else None
        with pytest.raises(Cut):
            run.run()
        assert whole(pictures, folder, augment="crop_flip") == expected


def test_large_checkpoints_are_written_only_as_often_as_their_cost_allows(pictures, tmp_path, monkeypatch):
    expected = whole(pictures, tmp_path / "whole")
    monkeypatch.setattr(training, "CHEAP_CHECKPOINT", 0)
    for share, reached in ((1e6, 3), (1e-6, 1)):  # of the time: as often as epochs end, and once in this test
        monkeypatch.setattr(training, "CHECKPOINT_SHARE", share)
        folder = tmp_path / str(reached)
        with pytest.raises(Cut):
            trainer(pictures, folder, cut=10).run()  # three epochs of three batches are done
        run = trainer(pictures, folder)
        assert fingerprint(run, run.run()) == expected
        assert [row["epoch"] for row in run.watcher.rows] == list(range(reached, 5))


def test_a_process_told_to_stop_keeps_the_epoch_that_it_ends_with(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHEAP_CHECKPOINT", 0)
    monkeypatch.setattr(training, "CHECKPOINT_SHARE", 1e-6)
    batches = itertools.count(1)

    def told_in_the_second_epoch(images, labels, *, classes, generator):
        monkeypatch.setattr(current, "stop", next(batches) >= 4)
        return images, labels

    with pytest.raises(SystemExit):
        trainer(pictures, tmp_path, augment=told_in_the_second_epoch).run()
    monkeypatch.setattr(current, "stop", False)
    run = trainer(pictures, tmp_path)
    run.run()
    assert [row["epoch"] for row in run.watcher.rows] == [2, 3, 4]


def test_a_damaged_checkpoint_is_refused_and_the_one_before_it_used(pictures, tmp_path, caplog):
    expected = whole(pictures, tmp_path / "whole")
    folder = tmp_path / "damaged"
    with pytest.raises(Cut):
        trainer(pictures, folder, cut=10).run()  # three epochs of three batches are done
    checkpoint = folder / "last.ckpt"
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)
    run = trainer(pictures, folder)
    assert fingerprint(run, run.run()) == expected
    assert "going on from the one before it" in caplog.text
    assert [row["epoch"] for row in run.watcher.rows] == [2, 3, 4]


def test_a_checkpoint_of_another_configuration_is_refused(pictures, tmp_path):
    with pytest.raises(Cut):
        trainer(pictures, tmp_path, cut=5).run()
    with pytest.raises(UserError, match="another configuration"):
        trainer(pictures, tmp_path, identity="other").run()


# ---- what runs share, and what makes them differ


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
    [dict(label_smoothing=0.2), dict(clip_grad_norm=0.01), dict(optimizer="adamw"), dict(schedule="cosine"),
     dict(augment="mixup"), dict(lr=1e-3), dict(precision="bf16"), dict(freeze="backbone_then_none")],
    ids=str,
)  # fmt: skip
def test_every_setting_has_an_effect(options, pictures, tmp_path):
    assert whole(pictures, tmp_path / "plain")[0] != whole(pictures, tmp_path / "other", **options)[0]


def test_clipping_bounds_the_step_of_plain_gradient_descent(pictures, tmp_path):
    run = trainer(pictures, tmp_path, clip_grad_norm=1e-3, lr=1.0, epochs=1, batch_size=80)
    run.optimizer = torch.optim.SGD(run.network.parameters(), lr=1.0)
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
    order = torch.randperm(80, generator=run._generator(1, 0))
    logits = run.network(images[order])
    expected = nn.functional.cross_entropy(logits, pictures.train.labels[order], label_smoothing=0.1)
    hits = (logits.argmax(1) == pictures.train.labels[order]).float().mean()
    run.network.norm.reset_running_stats()
    torch.manual_seed(5)
    run.run()
    row = records.read_epochs(tmp_path).rows[0]
    assert row.train_loss == pytest.approx(expected.item(), rel=1e-6)
    assert row.train_accuracy == pytest.approx(100 * hits.item())
    assert (row.images, row.steps) == (80, 1)


# ---- how training ends


def test_the_best_epoch_is_kept_and_ties_go_to_the_earliest(pictures, tmp_path):
    run = trainer(pictures, tmp_path, optimizer="sgd", lr=0.2, epochs=8)
    outcome = run.run()
    rows = records.read_epochs(tmp_path).rows
    accuracies = [row.val_accuracy for row in rows]
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
    assert records.read_epochs(tmp_path).rows[0].images == 79


def test_training_imports_neither_torchs_compiler_nor_scikit_learn(tmp_path):
    script = (
        "import sys, training.test_trainer as t, headstart.training.run\nfrom pathlib import Path\n"
        "from headstart.data import Split\n"
        "split = Split(t.torch.zeros(8, 32, 32, 3, dtype=t.torch.uint8), t.torch.arange(8), t.torch.arange(8))\n"
        "data = t.Dataset('', tuple('0123456789'), split, split, '', (0,) * 3, (1,) * 3, lambda: split)\n"
        "for name in t.OPTIMIZERS:\n    assert t.trainer(data, Path(name), optimizer=name).run().epochs_run == 4\n"
        "heavy = ('torch._dynamo', 'sklearn', 'timm', 'torchvision')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    words = [sys.executable, "-c", script]
    paths = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])}
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path, env=paths)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_our_step_is_the_optimizers_own(name):
    from headstart.training.devices import optimizer_step

    results = []
    for step in (lambda o: o.step(), optimizer_step):
        weight = nn.Parameter(torch.tensor([1.0, -2.0]))
        optimizer = OPTIMIZERS[name]([weight], lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            (weight**3).sum().backward()
            step(optimizer)
        results.append(weight.detach().clone())
    assert torch.equal(*results)


# ------------------------------------------------------------------------------------------------------------- compiled


def plain_network() -> Model:
    """Batch norm, whose statistics compiling ahead must not touch, and no dropout, whose numbers it draws elsewhere."""
    torch.manual_seed(0)
    layers = OrderedDict(
        convolution=nn.Conv2d(3, 4, 3, stride=4, bias=False), norm=nn.BatchNorm2d(4), activation=nn.ReLU(),
        flatten=nn.Flatten(), classifier=nn.Linear(256, 10),
    )  # fmt: skip
    return Model(nn.Sequential(layers), "classifier")


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_a_compiled_network_learns_the_same(pictures, tmp_path, monkeypatch, backend):
    calls, compiling = [], torch.compile

    def counted(network, mode, dynamic):
        made = compiling(network, backend=backend, dynamic=dynamic)
        return lambda images: calls.append(len(images)) or made(images)

    monkeypatch.setattr(torch, "compile", counted)
    found = {}
    for compiled in (False, True):
        run = trainer(pictures, tmp_path / str(compiled), "sgd", model=plain_network(), compile=compiled)
        run.run()
        found[compiled] = records.read_epochs(run.run_dir).rows
    assert set(calls[:2]) == {32, 16}  # ahead of the clock, in either order
    assert calls[2:] == 4 * [32, 32, 16]  # and never to evaluate
    for plain, row in zip(found[False], found[True], strict=True):
        assert (row.train_loss, row.val_loss) == pytest.approx((plain.train_loss, plain.val_loss), rel=1e-4)


@pytest.mark.slow
def test_without_a_compiler_compiling_is_refused_with_the_way_out(tmp_path):
    words = [
        sys.executable,
        "-c",
        "from headstart.cli.main import main; main()",
        "data=digits",
        "compile=on",
        "epochs=1",
    ]
    environment = os.environ | dict(CXX=str(tmp_path / "no-such-compiler"), TORCHINDUCTOR_CACHE_DIR=str(tmp_path))
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "compile=on: torch cannot compile" in done.stderr and "Use compile=off." in done.stderr


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_a_checkpoint_of_a_device_with_another_memory_format_goes_on_the_same(
    pictures, tmp_path, monkeypatch, optimizer
):
    OPTIMIZERS["fused"] = partial(OPTIMIZERS[optimizer], fused=True)
    whole = trainer(pictures, tmp_path / "whole", "fused", model=plain_network(), lr=0.01, epochs=3)
    whole.run()
    with monkeypatch.context() as as_on_a_gpu:
        place = "headstart.training.trainer.place"
        as_on_a_gpu.setattr(place, lambda network, device: network.to(device, memory_format=torch.channels_last))
        begun = trainer(
            pictures, tmp_path / "begun", "fused", model=plain_network(), lr=0.01, epochs=3, augment="none", cut=5
        )
        with contextlib.suppress(Cut):
            begun.run()
    assert begun.epoch == 1
    resumed = trainer(pictures, tmp_path / "begun", "fused", model=plain_network(), lr=0.01, epochs=3)
    resumed.run()
    del OPTIMIZERS["fused"]
    for one, other in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
