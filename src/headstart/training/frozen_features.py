"""What a frozen backbone makes of pictures: computed once, kept on disk and shared by all runs with that backbone.

A backbone in eval mode gives the same features for the same picture in every epoch and trial, so training its head
needs them once, for each mirror image that the augmentation makes. They are kept in the type in which they come,
float32, or bfloat16 under autocast, so that nothing is rounded. How many pictures go through a network at once decides
the last digits: on some CPUs only below about 16, on others always. A run that computes features anew in each epoch can
differ from one that reads them in these digits; those that read them are equal.
"""

import hashlib
import importlib.metadata
import json
import logging
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from headstart.data import Dataset, Split, normalise, tensor_on
from headstart.models import Model, backbone_digest, backbone_features, halves_agree
from headstart.store import FeatureCache, FeatureEntry, NotKept, cache_limit, cache_root, shown_path, shown_size
from headstart.training import devices
from headstart.training.flips import MIRRORS, REAL, Augmentation, drawn, mirrored, needed

if TYPE_CHECKING:
    from headstart.training.trainer import Settings

log = logging.getLogger(__name__)

VERSION = 2  # raise it when the same key no longer means the same features
BATCH = 128  # pictures at a time, always as many where there are as many: the last digits of float32 depend on it
SECONDS_BETWEEN_LOOKS = 0.5
AGREEMENT = 1e-3  # of two pictures computed again, in units of the largest feature; float32 on the CPU
COARSE_AGREEMENT = 0.1  # bfloat16 has 8 bits, and a GPU may compute a batch of another size by another algorithm

_digests: WeakKeyDictionary[Split, str] = WeakKeyDictionary()

Progress = Callable[[int, int, float], None]  # images done, images in all, images/s


class Table:
    """Features of the pictures of a split, in its order, for some of their mirror images."""

    def __init__(self, entries: dict[int, FeatureEntry], device: torch.device):
        self.entries = entries  # as long as they are in use, nobody removes them
        facts = next(iter(entries.values())).facts
        self.device, self.channels_last = device, facts["channels_last"]
        self.tensors = {mirror: _mapped(entry.array, facts["dtype"]) for mirror, entry in entries.items()}
        if device.type == "cuda" and 2 * self.size < torch.cuda.mem_get_info(device)[0]:
            self.tensors = {mirror: _moved(tensor, device) for mirror, tensor in self.tensors.items()}
        else:
            for entry in entries.values():
                entry.read_ahead()

    @property
    def size(self) -> int:
        """Bytes of all features."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def rows(self, picked: Tensor, mirrors: Tensor | None = None) -> Tensor:
        """Features [n, ...] of the pictures at `picked` (int64 [n]) on the device, as the backbone would give them.

        mirrors: int64 [n], the mirror image of each (`MIRRORS`); None: as they are.
        """
        here = next(iter(self.tensors.values()))
        picked = picked.to(here.device)
        if mirrors is None:
            batch = self.tensors[0].index_select(0, picked)
        else:
            batch = here.new_empty(len(picked), *here.shape[1:])
            for mirror, tensor in self.tensors.items():
                chosen = (mirrors == mirror).nonzero()[:, 0].to(here.device)
                batch[chosen] = tensor.index_select(0, picked[chosen])
        return (batch.permute(0, 3, 1, 2) if self.channels_last else batch).to(self.device)


class Features:
    """The features of one run's backbone, while it is frozen: `prepare` them, then ask for a `batch` or a `table`."""

    def __init__(self, model: Model, settings: "Settings", augment: Augmentation, progress: Progress):
        self.model, self.settings, self.augment, self.progress = model, settings, augment, progress
        asked_for = model.freeze != "none" and cache_limit() > 0
        self.cache = FeatureCache(cache_root() / "features", cache_limit()) if asked_for else None
        self.seconds = 0.0  # spent on computing features
        self.tables: WeakKeyDictionary[Split, dict[tuple[int, ...], Table | None]] = WeakKeyDictionary()
        self.used = False  # whether anything is kept for this run
        self.train: Table | None = None
        self.labels = torch.empty(0)
        self.classes = 0

    def prepare(self, data: Dataset) -> None:
        """Find or compute what training and validation need; say so in the log, also where it cannot be kept."""
        if self.cache is None:
            log.info("features: not kept (HEADSTART_CACHE_GB=0), so the frozen backbone runs in every epoch")
            return
        self.labels, self.classes = data.train.labels, len(data.classes)
        mirrors = needed(self.augment, data.train.pictures(slice(REAL)), data.train.labels, self.classes)
        if mirrors is None:
            log.info(
                "features: this augmentation does more than mirror pictures, so the frozen backbone runs in every "
                "training step; with augmentation=none, flip or flip_hv it would run once"
            )
        else:
            self.train = self.table(data.train, mirrors)
        self.table(data.val)

    def release(self) -> None:
        """Let go of what is in use, once the backbone learns."""
        self.train = None
        self.tables.clear()

    def batch(self, picked: Tensor, generator: torch.Generator) -> Tensor | None:
        """Features [n, ...] of training pictures `picked` (int64 [n]), augmented with the next draws of the generator.

        None, with the generator as it was, where they are not kept.
        """
        if self.train is None:
            return None
        before = generator.get_state()
        mirrors = drawn(self.augment, self.labels[picked.cpu()], self.classes, generator)
        if mirrors is None or not set(mirrors.unique().tolist()) <= self.train.tensors.keys():
            generator.set_state(before)  # something so rare that `needed` did not meet it
            return None
        return self.train.rows(picked, mirrors)

    def table(self, split: Split, mirrors: tuple[int, ...] = (0,)) -> Table | None:
        """The features of a split's pictures, read or else computed now; None where they cannot be kept."""
        if self.cache is None:
            return None
        known = self.tables.setdefault(split, {})
        if mirrors not in known:
            known[mirrors] = self._table(split, mirrors)
        return known[mirrors]

    def _table(self, split: Split, mirrors: tuple[int, ...]) -> Table | None:
        what = f"{len(split.labels):,} images"
        what += f" x {len(mirrors)} mirror images" if len(mirrors) > 1 else ""
        what += f" of {self.model.name} at {self.settings.image_size} px"
        try:
            entries, seconds = self._entries(split, mirrors)
        except NotKept as error:
            log.info("features: %s are not kept: %s; the frozen backbone runs in every epoch", what, error)
            return None
        except OSError as error:
            place = shown_path(self.cache.folder)
            log.warning("features: %s cannot be used (%s); the frozen backbone runs in every epoch", place, error)
            return None
        table, self.used = Table(entries, self.settings.device), True
        place = shown_path(self.cache.folder)
        how = f", read from {place}" if seconds is None else f" in {place}, computed in {seconds:.3g} s"
        log.info("features: %s, %s%s", what, shown_size(table.size), how)
        return table

    def _entries(self, split: Split, mirrors: tuple[int, ...]) -> tuple[dict[int, FeatureEntry], float | None]:
        """What is in the cache now, and the seconds that computing it took, None where nothing was to be computed.

        Raises cache.NotKept, and OSError for a folder that cannot be written or a full disk.
        """
        first = self._compute(torch.cat([mirrored(split.pictures(slice(2)), mirror) for mirror in mirrors]))
        samples = dict(zip(mirrors, first.split(min(2, len(split.labels))), strict=True))
        names = {mirror: self._name(split, mirror) for mirror in mirrors}
        entries = {mirror: self._open(names[mirror], samples[mirror]) for mirror in mirrors}
        missing = [mirror for mirror, entry in entries.items() if entry is None]
        if missing and not self._splits(split.pictures(slice(2))):
            raise NotKept(f"{self.model.name} computes more behind its classifier")
        before = self.seconds
        for number, mirror in enumerate(missing):
            self._make(split, mirror, names[mirror], samples[mirror], number, len(missing))
            entries[mirror] = self._open(names[mirror], samples[mirror])
        if None in entries.values():
            raise NotKept("other processes removed or replaced them at once")
        return entries, self.seconds - before if self.seconds > before else None

    def _open(self, name: str, sample: Tensor) -> FeatureEntry | None:
        """The entry of that name whose first pictures are what the network makes of them now."""
        entry = self.cache.open(name)
        exact = self.settings.precision == "fp32" and self.settings.device.type == "cpu"
        if entry is None or _agrees(entry, sample, AGREEMENT if exact else COARSE_AGREEMENT):
            return entry
        log.warning("features: %s holds others than this network computes", shown_path(self.cache.folder / name))
        del entry  # which holds it
        self.cache.remove(name)
        return None

    def _make(self, split: Split, mirror: int, name: str, sample: Tensor, number: int, missing: int) -> None:
        """Compute and write one entry, the one at `number` of those missing, unless another process does."""
        channels_last = _is_channels_last(sample)
        facts = dict(
            model=self.model.name, images=len(split.labels), image_size=self.settings.image_size,
            precision=self.settings.precision, mirror=MIRRORS[mirror], dtype=_name_of(sample.dtype),
            channels_last=channels_last,
        )  # fmt: skip
        blocks = self._blocks(split, mirror, channels_last, number, missing)
        self.cache.make(
            name, blocks, len(split.labels), facts, copies=missing - number,
            waiting=lambda: log.info("features: another process is computing them; waiting for it"),
        )  # fmt: skip

    def _blocks(
        self, split: Split, mirror: int, channels_last: bool, number: int, missing: int
    ) -> Iterator[np.ndarray]:
        """Features of all pictures in order, batch by batch, as numpy has them; shows how far it is."""
        count, begin = len(split.labels), time.monotonic()
        looked = begin
        for start in range(0, count, BATCH):
            first = max(0, min(start, count - BATCH))  # the last batch is a full one too, and starts before
            found = self._compute(mirrored(split.pictures(slice(first, first + BATCH)), mirror))[start - first :]
            yield _as_numpy(found, channels_last)
            now, done = time.monotonic(), min(count, start + BATCH)
            if now - looked > SECONDS_BETWEEN_LOOKS:
                looked = now
                self.progress(number * count + done, missing * count, done / (now - begin))
        took = max(time.monotonic() - begin, 1e-9)
        self.seconds += took
        self.progress((number + 1) * count, missing * count, count / took)

    @torch.inference_mode()
    def _compute(self, images: Tensor) -> Tensor:
        """Features of pictures uint8 [n, H, W, 3], in eval mode, as training and validation compute them."""
        self.model.network.eval()
        with devices.autocast(self.settings.device, self.settings.precision):
            return backbone_features(self.model, self._normalised(images))

    def _splits(self, images: Tensor) -> bool:
        with devices.autocast(self.settings.device, self.settings.precision):
            return halves_agree(self.model, self._normalised(images))

    def _normalised(self, images: Tensor) -> Tensor:
        settings = self.settings
        return normalise(images.to(settings.device), settings.mean, settings.std, size=settings.image_size)

    # ---- what features depend on

    def _name(self, split: Split, mirror: int) -> str:
        """A name for features that differs as soon as anything differs that they depend on."""
        settings, device = self.settings, devices.device_name(self.settings.device)
        key = dict(
            version=VERSION, backbone=self.backbone, image_size=settings.image_size, mean=settings.mean,
            std=settings.std, precision=settings.precision, batch=BATCH, pictures=_digest(split), mirror=mirror,
            device=f"{device} {torch.backends.cpu.get_cpu_capability()}" if device == "cpu" else device,
            **{name: importlib.metadata.version(name) for name in ("torch", "timm", "torchvision")},
        )  # fmt: skip
        return hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=16).hexdigest()

    @cached_property
    def backbone(self) -> str:
        """Digest of the backbone; asked for only while it is frozen."""
        return backbone_digest(self.model)


def _digest(split: Split) -> str:
    """Digest of a split's pictures, computed once per process."""
    if split not in _digests:
        shape = (len(split.labels), *split.source.shape[1:])
        digest = hashlib.blake2b(repr(shape).encode(), digest_size=16)
        for pictures in split.blocks(BATCH):
            digest.update(pictures.numpy().data)
        _digests[split] = digest.hexdigest()
    return _digests[split]


def _agrees(entry: FeatureEntry, sample: Tensor, tolerance: float) -> bool:
    """Whether the first pictures of an entry are, but for rounding, what the network makes of them now."""
    if entry.facts["dtype"] != _name_of(sample.dtype) or entry.facts["channels_last"] != _is_channels_last(sample):
        return False
    if entry.array.shape[1:] != _as_numpy(sample, entry.facts["channels_last"]).shape[1:]:
        return False
    kept = _mapped(entry.array[: len(sample)].copy(), entry.facts["dtype"])
    sample = sample.permute(0, 2, 3, 1) if entry.facts["channels_last"] else sample
    now, kept = sample.cpu().double(), kept.double()
    return torch.allclose(kept, now, rtol=0, atol=tolerance * float(now.abs().max()), equal_nan=True)


def _is_channels_last(found: Tensor) -> bool:
    return found.dim() == 4 and found.is_contiguous(memory_format=torch.channels_last) and not found.is_contiguous()


def _as_numpy(found: Tensor, channels_last: bool) -> np.ndarray:
    """Features in the order in which they lie in memory; bfloat16, which numpy lacks, as uint16 of the same bits."""
    found = (found.permute(0, 2, 3, 1) if channels_last else found).contiguous().cpu()
    return (found.view(torch.uint16) if found.dtype == torch.bfloat16 else found).numpy()


def _mapped(array: np.ndarray, dtype: str) -> Tensor:
    """A tensor on a memory-mapped array, to be read only."""
    return tensor_on(array).view(getattr(torch, dtype))


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    moved = torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
    for start in range(0, len(tensor), BATCH):
        moved[start : start + BATCH] = tensor[start : start + BATCH].to(device)
    return moved


def _name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
