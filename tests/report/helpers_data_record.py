"""A data set's record, and the sheet of its samples."""

import io

import numpy as np
from PIL import Image

from headstart.store import DataRecord, LeftOutFiles, Samples

RECORD = DataRecord(
    name="pets",
    classes=("cat", "dog"),
    counts={"train": (1080, 6), "val": (20, 1), "test": (30, 2)},
    pixels=(8, 8),
    mean=(0.5, 0.4, 0.3),
    std=(0.2, 0.2, 0.1),
    sizes={"width": (10, 20.5, 30), "height": (11, 12, 13)},
    smaller=3,
    left_out={"files that are no pictures": LeftOutFiles(5, ("a.txt", "b.txt"))},
    notes=("labels are those of metadata.csv",),
    copies={"dropped": 1, "look_alikes_of_another_class": 4},
    said=("1 of 2 pictures",),
    samples=Samples((0, 1), (10, 6), 8, 8),
)


def sheet():
    """Ten columns of 8 x 8 pixels, as `RECORD` says."""
    content = io.BytesIO()
    Image.fromarray(np.random.RandomState(0).randint(0, 255, (16, 80, 3)).astype(np.uint8)).save(content, "PNG")
    return content.getvalue()
