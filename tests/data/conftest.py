"""Fixtures of the data room's tests."""

import pytest
import torch

from data.helpers_data import CLASSES, HEIGHT, WIDTH, N, generator
from headstart.data import sources


@pytest.fixture
def read(tmp_path):
    def read(root=tmp_path / "pictures", **choices):
        return sources.folder(root, **{"size": 12, "cache": tmp_path / "cache"} | choices)

    return read


@pytest.fixture
def batch():
    """Random pictures, uint8 [N, HEIGHT, WIDTH, 3], and their labels, int64 [N]."""
    draw = generator(1)
    images = torch.randint(0, 256, (N, HEIGHT, WIDTH, 3), dtype=torch.uint8, generator=draw)
    return images, torch.randint(0, CLASSES, (N,), generator=draw)
