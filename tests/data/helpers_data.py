"""What tests of the data room share: CIFAR-10 where it is, trees of small images, what is in a split."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

ROOT = Path(os.environ.get("HEADSTART_DATA", "nowhere"))
BATCHES = ROOT / "cifar-10-batches-py"
needs_cifar10 = pytest.mark.skipif(not BATCHES.is_dir(), reason="needs CIFAR-10 in the folder named by HEADSTART_DATA")

N, HEIGHT, WIDTH, CLASSES = 24, 32, 28, 5  # of the fixture `batch`


def positions(split):
    return set(split.indices.tolist())


def counts(split):
    return torch.bincount(split.labels).tolist()


def linked_cifar10(root):
    folder = root / BATCHES.name
    folder.mkdir()
    for path in BATCHES.iterdir():
        (folder / path.name).symlink_to(path)
    return folder


def draw_image(seed, size=(12, 12), mode="RGB"):
    shape = (size[1], size[0], len(mode)) if len(mode) > 1 else (size[1], size[0])
    return Image.fromarray(np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8), mode=None)


def make_tree(root, layout):
    """layout: {"train/cat": 5, ...} pictures, all different."""
    seed = 0
    for folder, count in layout.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            draw_image(seed).save(root / folder / f"{i:03}.png")
            seed += 1
    return root


THREE = {f"{part}/{name}": n for part, n in (("train", 8), ("val", 3), ("test", 4)) for name in ("cat", "dog")}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def chw(image):
    return image.permute(2, 0, 1)
