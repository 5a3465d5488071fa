"""Features of a split's images as they lie in memory or on disk, and how a batch of them is read."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from headstart.data import tensor_on
from headstart.store import FeatureEntry

COPIED_ROWS = 128  # that go to the device at a time


@dataclass(frozen=True)
class Layout:
    """How features lie in a file: numpy has neither bfloat16 nor memory formats."""

    dtype: str  # torch's name of it
    channels_last: bool

    @classmethod
    def of(cls, features: Tensor) -> Self:
        """That of features as a backbone gives them."""
        last = features.dim() == 4 and features.is_contiguous(memory_format=torch.channels_last)
        return cls(str(features.dtype).removeprefix("torch."), last and not features.is_contiguous())

    @classmethod
    def of_entry(cls, entry: FeatureEntry) -> Self:
        """That in which the features of an entry were written."""
        return cls(entry.facts["dtype"], entry.facts["channels_last"])

    def to_numpy(self, features: Tensor) -> np.ndarray:
        """Features in the order in which they lie in memory; bfloat16 as uint16 of the same bits."""
        stored = (features.permute(0, 2, 3, 1) if self.channels_last else features).contiguous().cpu()
        return (stored.view(torch.uint16) if stored.dtype == torch.bfloat16 else stored).numpy()

    def to_tensor(self, array: np.ndarray) -> Tensor:
        """A tensor on an array of `to_numpy`, in the same order; where it is mapped from a file, to be read only."""
        return tensor_on(array).view(getattr(torch, self.dtype))


class FeatureTable:
    """Features of the images of a split, in its order, for some of their flips."""

    def __init__(self, entries: dict[int, FeatureEntry], device: torch.device):
        """entries: by flip; in use, so not removed, as long as the table is. On a GPU with room they are copied."""
        self.entries, self.device = entries, device
        self.layout = Layout.of_entry(next(iter(entries.values())))
        self.tensors = {flip: self.layout.to_tensor(entry.array) for flip, entry in entries.items()}
        if device.type == "cuda" and 2 * self.size < torch.cuda.mem_get_info(device)[0]:
            self.tensors = {flip: _copied(tensor, device) for flip, tensor in self.tensors.items()}
        else:
            for entry in entries.values():
                entry.read_ahead()

    @property
    def size(self) -> int:
        """Bytes of all features."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def rows(self, picked: Tensor, flips: Tensor | None = None) -> Tensor:
        """Features [n, ...] of the images at `picked` (int64 [n]) on the device, as the backbone would give them.

        flips: int64 [n], the flip of each (`FLIPS`); None: as they are.
        """
        first = next(iter(self.tensors.values()))
        picked = picked.to(first.device)
        if flips is None:
            batch = self.tensors[0].index_select(0, picked)
        else:
            batch = first.new_empty(len(picked), *first.shape[1:])
            for flip, tensor in self.tensors.items():
                chosen = (flips == flip).nonzero()[:, 0].to(first.device)
                batch[chosen] = tensor.index_select(0, picked[chosen])
        return (batch.permute(0, 3, 1, 2) if self.layout.channels_last else batch).to(self.device)


def agrees(entry: FeatureEntry, computed: Tensor, tolerance: float) -> bool:
    """Whether the first features of an entry are those `computed` now, but for rounding.

    tolerance: largest difference, in units of the largest feature. What is not finite has to be equal.
    """
    layout = Layout.of_entry(entry)
    now = layout.to_numpy(computed) if layout == Layout.of(computed) else None
    if now is None or entry.array.shape[1:] != now.shape[1:]:
        return False
    kept, now = (layout.to_tensor(array).double() for array in (entry.array[: len(now)].copy(), now))
    finite = now[now.isfinite()].abs()
    largest = float(finite.max()) if len(finite) else 0.0
    return torch.allclose(kept, now, rtol=0, atol=tolerance * largest, equal_nan=True)


def _copied(tensor: Tensor, device: torch.device) -> Tensor:
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
    for start in range(0, len(tensor), COPIED_ROWS):
        copy[start : start + COPIED_ROWS] = tensor[start : start + COPIED_ROWS].to(device)
    return copy
