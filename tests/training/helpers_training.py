"""Small runs for the tests of training: networks that learn in seconds, cuts that stand for kills, fingerprints."""

import contextlib
import hashlib
import itertools
from collections import OrderedDict
from functools import partial
from pathlib import Path

import torch
from torch import nn

from headstart.data import Dataset, Split, augmentation
from headstart.models import Model, builders
from headstart.store import read_epochs
from headstart.training.frozen_features import FrozenFeatures
from headstart.training.optimizers import muon
from headstart.training.schedules import constant, cosine, onecycle
from headstart.training.settings import Settings
from headstart.training.trainer import NetworkTrainer

NUMBERS = {"convolution2": 2, "layer2": 3, "backbone.layer2": 3, "blocks.1": 3}
OPTIMIZERS = {
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, weight_decay=0.01),
    "sgd": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "muon": partial(muon, lr=0.02),
}
SCHEDULES = {"constant": constant, "cosine": partial(cosine, warmup=0.2), "onecycle": onecycle}
AUGMENTATIONS = {
    "none": augmentation.none,
    "flip": augmentation.horizontal_flip,
    "flip_hv": augmentation.flip_hv,
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

    def fit(self, *_):
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


def named(**layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


def small_network(freeze: str = "none") -> Model:
    """Batch norm and dropout, whose statistics and random numbers a resume has to bring back."""
    torch.manual_seed(0)
    convolution, norm = nn.Conv2d(3, 4, 3, stride=4), nn.BatchNorm2d(4)
    backbone = dict(convolution=convolution, norm=norm, activation=nn.ReLU(), flatten=nn.Flatten())
    layers = named(**backbone, dropout=nn.Dropout(0.3), classifier=nn.Linear(256, 10))
    unfreeze_epoch = 3 if freeze == "backbone_then_none" else None
    return Model(layers, "classifier", freeze=freeze, unfreeze_epoch=unfreeze_epoch)


def plain_network() -> Model:
    """Batch norm, whose statistics compiling ahead must not touch, and no dropout, whose numbers it draws elsewhere."""
    torch.manual_seed(0)
    convolution, norm = nn.Conv2d(3, 4, 3, stride=4, bias=False), nn.BatchNorm2d(4)
    backbone = dict(convolution=convolution, norm=norm, activation=nn.ReLU(), flatten=nn.Flatten())
    return Model(named(**backbone, classifier=nn.Linear(256, 10)), "classifier")


def settings(**options) -> Settings:
    """Those of an epoch of batches of 32 at 32 px on the CPU, and what `options` say."""
    usual = dict(epochs=1, batch_size=32, seed=0, device=torch.device("cpu"), precision="fp32", image_size=32)
    normalised = dict(normalisation="data", mean=(0.5,) * 3, std=(0.25,) * 3)
    return Settings(**usual | normalised | options)


def frozen_network(name: str, seed: int = 0, **options) -> Model:
    """A network of ours or timm's with a backbone that never learns, unless `options` say when it does.

    "... up to STAGE": that learns above that stage.
    """
    torch.manual_seed(seed)
    name, _, stage = name.partition(" up to ")
    shape = dict(classes=10, class_names=tuple("0123456789"), image_size=32)
    given = dict(weights=None, keep_classifier=False, unfreeze_epoch=None, backbone_lr_factor=1, freeze="backbone")
    given |= shape | options | (dict(freeze=f"backbone_until:{NUMBERS[stage]}") if stage else {})
    if name == "cnn":
        return builders.cnn(**given)
    if name == "test_resnet with a head":  # on feature maps, with batch norm and dropout
        return builders.timm_with_head(name="test_resnet", **given)
    return builders.timm_model(name=name, stem="imagenet", **given)


def prepared(model: Model, augment=augmentation.none, **options) -> FrozenFeatures:
    return FrozenFeatures(model, settings(**options), augment, lambda *_: None)


def noise(count: int, seed: int = 0) -> Split:
    """Random images of 32 px."""
    random = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (count, 32, 32, 3), dtype=torch.uint8, generator=random)
    return Split(images, torch.arange(count) % 10, torch.arange(count))


def recomputing(monkeypatch, do):
    """What `do()` gives when no features are kept."""
    with monkeypatch.context() as patch:
        patch.setenv("HEADSTART_CACHE_GB", "0")
        return do()


class Pausing:
    """A trial of a study with rungs: it pauses after so many epochs, and may be gone on with."""

    def __init__(self, after: int):
        self.after, self.facts = after, {}

    def guesses_up_to(self, accuracy: float) -> None:
        """Compare it with nobody."""

    def report(self, value: float, step: int) -> str | None:
        """The reason for which the run should end here."""
        return f"paused after epoch {step}" if step >= self.after else None

    def pauses_after(self, epoch: int) -> bool:
        """Whether a checkpoint has to stay of that epoch."""
        return epoch >= self.after


def trainer(
    data: Dataset, folder: Path, optimizer="adam", schedule="constant", augment="none", **options
) -> NetworkTrainer:
    """A run of 4 epochs in `folder`; options: of Settings, and model, freeze, lr, identity, cut (at that batch)."""
    torch.set_num_threads(1)
    folder.mkdir(exist_ok=True)
    freeze, cut = options.pop("freeze", "none"), options.pop("cut", 0)
    own = dict(lr=options.pop("lr", 3e-3), identity=options.pop("identity", "same"))
    model = options.pop("model", None) or small_network(freeze)
    augment = cut_at(cut, AUGMENTATIONS.get(augment, augment))
    given = settings(**dict(epochs=4, mean=data.mean, std=data.std) | options)
    parts = (OPTIMIZERS.get(optimizer, optimizer), SCHEDULES[schedule], augment)
    return NetworkTrainer(model, data, given, *parts, folder, Onlooker(), **own)


def fingerprint(run: NetworkTrainer, outcome) -> tuple:
    """Everything that a resumed run has to share: weights to the byte, predictions, rows and outcome without times."""
    weights = hashlib.sha256()
    for name, tensor in run.network.state_dict().items():
        weights.update(name.encode() + tensor.contiguous().numpy().tobytes())
    probabilities, _ = run.predict(run.data.val)
    timed = ("seconds_train", "images_per_second", "seconds_total")
    rows = [row._replace(**dict.fromkeys(timed)) for row in read_epochs(run.run_dir).rows]
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
