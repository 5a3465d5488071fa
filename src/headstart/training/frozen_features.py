"""What a frozen backbone makes of images: computed once, kept on disk and shared by all runs with that backbone.

A backbone in eval mode gives the same features for the same image in every epoch and trial, so training its head needs
them once, for each flip that the augmentation draws. They are kept in the type in which they come, float32, or
bfloat16 under autocast, so that nothing is rounded. How many images go through a network at once decides the last
digits: on some CPUs only below about 16, on others always. A run that computes features anew in each epoch can differ
from one that reads them in these digits; those that read them are equal.
"""

import hashlib
import importlib.metadata
import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from headstart.data import Dataset, Split, normalise
from headstart.models import Model, backbone_digest, backbone_features, evaluation_batch, halves_agree
from headstart.store import FeatureCache, FeatureEntry, NotKept, cache_limit, cache_root, shown_path, shown_size
from headstart.training.devices import autocast, device_name
from headstart.training.feature_table import FeatureTable, Layout, agrees
from headstart.training.flips import FLIPS, REAL_IMAGES, Augmentation, drawn_flips, flipped, needed_flips
from headstart.training.settings import Settings

log = logging.getLogger(__name__)

VERSION = 2  # raise it when the same key no longer means the same features
BATCH = 128  # images at a time at most, always as many for a size: the last digits of float32 depend on it
SECONDS_BETWEEN_LOOKS = 0.5
AGREEMENT = 1e-3  # of two images computed again, in units of the largest feature; float32 on the CPU
COARSE_AGREEMENT = 0.1  # bfloat16 has 8 bits, and a GPU may compute a batch of another size by another algorithm

_digests: WeakKeyDictionary[Split, str] = WeakKeyDictionary()

Progress = Callable[[int, int, float], None]  # images done, images in all, images/s


@dataclass(frozen=True)
class MissingEntry:
    """Features of a split's images in one flip that are yet to be computed."""

    split: Split
    flip: int
    name: str
    layout: Layout
    position: int  # among those that are missing, from 0
    of: int  # how many are missing


class FrozenFeatures:
    """The features of one run's backbone, while it is frozen: `prepare` them, then ask for a `batch` or a `table`."""

    def __init__(self, model: Model, settings: Settings, augment: Augmentation, progress: Progress):
        self.model, self.settings, self.augment, self.progress = model, settings, augment, progress
        asked_for = model.freeze != "none" and cache_limit() > 0
        self.cache = FeatureCache(cache_root() / "features", cache_limit()) if asked_for else None
        self.seconds = 0.0  # spent on computing features
        self.tables: WeakKeyDictionary[Split, dict[tuple[int, ...], FeatureTable | None]] = WeakKeyDictionary()
        self.used = False  # whether anything is kept for this run
        self.train: FeatureTable | None = None
        self.labels = torch.empty(0)
        self.classes = 0

    def prepare(self, data: Dataset) -> None:
        """Find or compute what training and validation need; say so in the log, also where it cannot be kept."""
        if self.cache is None:
            log.info("features: not kept (HEADSTART_CACHE_GB=0), so the frozen backbone runs in every epoch")
            return
        self.labels, self.classes = data.train.labels, len(data.classes)
        flips = needed_flips(self.augment, data.train.pictures(slice(REAL_IMAGES)), self.labels, self.classes)
        if flips is None:
            log.info(
                "features: this augmentation does more than flip images, so the frozen backbone runs in every "
                "training step; with augmentation=none, flip or flip_hv it would run once"
            )
        else:
            self.train = self.table(data.train, flips)
        self.table(data.val)

    def missing(self, data: Dataset) -> int | None:
        """How many images of training and validation, mirror images counted, are yet to be computed; None: kept never.

        The pictures and labels of `data` are those of `prepare`, which need not have been called.
        """
        labels, classes = data.train.labels, len(data.classes)
        flips = needed_flips(self.augment, data.train.pictures(slice(REAL_IMAGES)), labels, classes)
        if self.cache is None or flips is None:
            return None
        wanted = [(data.val, 0), *((data.train, flip) for flip in flips)]
        return sum(len(split.labels) for split, flip in wanted if self.cache.open(self._name(split, flip)) is None)

    def release(self) -> None:
        """Let go of what is in use, once the backbone learns."""
        self.train = None
        self.tables.clear()

    def batch(self, picked: Tensor, generator: torch.Generator) -> Tensor | None:
        """Features [n, ...] of training images `picked` (int64 [n]), augmented with the next draws of the generator.

        None, with the generator as it was, where they are not kept.
        """
        if self.train is None:
            return None
        before = generator.get_state()
        flips = drawn_flips(self.augment, self.labels[picked.cpu()], self.classes, generator)
        if flips is None or not set(flips.unique().tolist()) <= self.train.tensors.keys():
            generator.set_state(before)  # something so rare that `needed_flips` did not meet it
            return None
        return self.train.rows(picked, flips)

    def table(self, split: Split, flips: tuple[int, ...] = (0,)) -> FeatureTable | None:
        """The features of a split's images, read or else computed now; None where they cannot be kept."""
        if self.cache is None:
            return None
        known = self.tables.setdefault(split, {})
        if flips not in known:
            known[flips] = self._table(split, flips)
        return known[flips]

    @torch.inference_mode()
    def compute(self, images: Tensor) -> Tensor:
        """Features [n, ...] of images uint8 [n, H, W, 3], in eval mode, as training and validation compute them."""
        self.model.network.eval()
        with autocast(self.settings.device, self.settings.precision):
            return backbone_features(self.model, self._normalised(images))

    @property
    def _source(self) -> str:
        """What the features are of, in words."""
        return self.model.name if self.model.cut is None else f"{self.model.name} up to {self.model.cut.stage}"

    @cached_property
    def backbone(self) -> str:
        """Digest of the backbone; asked for only while it is frozen."""
        return backbone_digest(self.model)

    # ---- the entries of a table

    def _table(self, split: Split, flips: tuple[int, ...]) -> FeatureTable | None:
        what = f"{len(split.labels):,} images"
        what += f" x {len(flips)} flips" if len(flips) > 1 else ""
        what += f" of {self._source} at {self.settings.image_size} px"
        place = shown_path(self.cache.folder)
        try:
            entries, seconds = self._entries(split, flips)
        except NotKept as error:
            log.info("features: %s are not kept: %s; the frozen backbone runs in every epoch", what, error)
            return None
        except OSError as error:
            log.warning("features: %s cannot be used (%s); the frozen backbone runs in every epoch", place, error)
            return None
        table, self.used = FeatureTable(entries, self.settings.device), True
        how = f", read from {place}" if seconds is None else f" in {place}, computed in {seconds:.3g} s"
        log.info("features: %s, %s%s", what, shown_size(table.size), how)
        return table

    def _entries(self, split: Split, flips: tuple[int, ...]) -> tuple[dict[int, FeatureEntry], float | None]:
        """What is in the cache now, and the seconds that computing it took, None where nothing was to be computed.

        Raises NotKept, and OSError for a folder that cannot be written or a full disk.
        """
        first = self.compute(torch.cat([flipped(split.pictures(slice(2)), flip) for flip in flips]))
        samples = dict(zip(flips, first.split(min(2, len(split.labels))), strict=True))
        names = {flip: self._name(split, flip) for flip in flips}
        entries = {flip: self._open(names[flip], samples[flip]) for flip in flips}
        missing = [flip for flip, entry in entries.items() if entry is None]
        if missing and not self._splits(split.pictures(slice(2))):
            raise NotKept(f"{self.model.name} computes more behind its classifier")
        before = self.seconds
        for position, flip in enumerate(missing):
            self._make(MissingEntry(split, flip, names[flip], Layout.of(samples[flip]), position, len(missing)))
            entries[flip] = self._open(names[flip], samples[flip])
        if None in entries.values():
            raise NotKept("other processes removed or replaced them at once")
        return entries, self.seconds - before if self.seconds > before else None

    def _open(self, name: str, sample: Tensor) -> FeatureEntry | None:
        """The entry of that name whose first features are what the network makes of these images now."""
        entry = self.cache.open(name)
        exact = self.settings.precision == "fp32" and self.settings.device.type == "cpu"
        if entry is None or agrees(entry, sample, AGREEMENT if exact else COARSE_AGREEMENT):
            return entry
        log.warning("features: %s holds others than this network computes", shown_path(self.cache.folder / name))
        del entry  # which holds it
        self.cache.remove(name)
        return None

    def _make(self, missing: MissingEntry) -> None:
        """Compute and write one entry, unless another process does."""
        images = len(missing.split.labels)
        facts = dict(
            model=self._source,
            images=images,
            image_size=self.settings.image_size,
            precision=self.settings.precision,
            flip=FLIPS[missing.flip],
            **asdict(missing.layout),
        )
        copies = missing.of - missing.position
        self.cache.make(missing.name, self._blocks(missing), images, facts, copies=copies, waiting=_say_who_computes)

    def _blocks(self, missing: MissingEntry) -> Iterator[np.ndarray]:
        """Features of all images in order, batch by batch, as numpy has them; shows how far it is."""
        split, begin = missing.split, time.monotonic()
        count = len(split.labels)
        before, total, last_look = missing.position * count, missing.of * count, begin
        at_once = self.at_once()
        for start in range(0, count, at_once):
            first = max(0, min(start, count - at_once))  # the last batch is a full one too, and starts before
            images = flipped(split.pictures(slice(first, first + at_once)), missing.flip)
            yield missing.layout.to_numpy(self.compute(images)[start - first :])
            now, done = time.monotonic(), min(count, start + at_once)
            if now - last_look > SECONDS_BETWEEN_LOOKS:
                last_look = now
                self.progress(before + done, total, done / (now - begin))
        seconds = max(time.monotonic() - begin, 1e-9)
        self.seconds += seconds
        self.progress(before + count, total, count / seconds)

    def at_once(self) -> int:
        """How many pictures go through the backbone together."""
        return min(BATCH, evaluation_batch(self.settings.image_size, self.settings.device))

    def _splits(self, images: Tensor) -> bool:
        with autocast(self.settings.device, self.settings.precision):
            return halves_agree(self.model, self._normalised(images))

    def _normalised(self, images: Tensor) -> Tensor:
        settings = self.settings
        return normalise(images.to(settings.device), settings.mean, settings.std, size=settings.image_size)

    def _name(self, split: Split, flip: int) -> str:
        """A name for features that differs as soon as anything differs that they depend on."""
        settings = self.settings
        key = dict(
            version=VERSION,
            backbone=self.backbone,
            image_size=settings.image_size,
            mean=settings.mean,
            std=settings.std,
            precision=settings.precision,
            batch=self.at_once(),
            pictures=_digest(split),
            flip=flip,
            device=_computed_by(settings.device),
            **{name: importlib.metadata.version(name) for name in ("torch", "timm", "torchvision")},
        )
        return hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=16).hexdigest()


def _computed_by(device: torch.device) -> str:
    """A GPU's name, or the kind of instructions that the CPU has: each rounds in its own way."""
    name = device_name(device)
    return f"{name} {torch.backends.cpu.get_cpu_capability()}" if name == "cpu" else name


def _say_who_computes() -> None:
    log.info("features: another process is computing them; waiting for it")


def _digest(split: Split) -> str:
    """Digest of a split's images, computed once per process."""
    if split not in _digests:
        shape = (len(split.labels), *split.source.shape[1:])
        digest = hashlib.blake2b(repr(shape).encode(), digest_size=16)
        for images in split.blocks(BATCH):
            digest.update(images.numpy().data)
        _digests[split] = digest.hexdigest()
    return _digests[split]
