"""Training pictures of each class, drawn from the sheet that was kept of a data set."""

import textwrap
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.report.plots.style import drawn
from headstart.store import DataRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GAP = 0.06  # of a picture's width, between two
LONGEST_NAME = 18  # letters in a line
NAMES = 2.9  # pictures' widths left for names, which readers' fonts draw wider than matplotlib's
MOST_LINES = 2
ROW = 0.62  # inches of a square picture and the gap below


def read_sheet(file: str | Path | BytesIO, record: DataRecord) -> np.ndarray | None:
    """The pictures on a sheet, uint8 [rows, columns, height, width, 3]; None where there are none."""
    from PIL import Image

    samples = record.samples
    if samples is None or not (samples.width and samples.height and samples.classes):
        return None
    try:
        with Image.open(file, formats=("PNG",)) as image:
            if image.height != len(samples.classes) * samples.height or image.width % samples.width:
                return None
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    columns = image.width // samples.width
    grid = pixels.reshape(len(samples.classes), samples.height, columns, samples.width, 3)
    return grid.transpose(0, 2, 1, 3, 4)


@drawn
def data_samples(record: DataRecord, sheet: np.ndarray | None, ax: "Axes") -> "Axes | None":
    """Draw a row of training pictures for each class, its name and their number beside; None without a sheet."""
    if sheet is None or record.samples is None:
        return None
    ratio = record.samples.height / record.samples.width
    step, columns = ratio + GAP, sheet.shape[1]
    for i, (position, count) in enumerate(zip(record.samples.classes, record.samples.counts, strict=True)):
        top = -i * step
        name = "\n".join(textwrap.wrap(record.classes[position], LONGEST_NAME, max_lines=MOST_LINES, placeholder=" …"))
        total = f"{record.counts['train'][position]:,}" if "train" in record.counts else ""
        ax.text(-0.15, top - ratio / 2, f"{name or '?'}\n{total}".strip(), ha="right", va="center", fontsize=8)
        for j in range(min(count, columns)):
            extent = (j * (1 + GAP), j * (1 + GAP) + 1, top - ratio, top)
            ax.imshow(sheet[i, j], extent=extent, interpolation="none", aspect="equal")
    ax.set_xlim(-NAMES, columns * (1 + GAP))
    ax.set_ylim(-len(sheet) * step, GAP)
    ax.set_axis_off()
    return ax


def samples_height(record: DataRecord) -> float:
    """Inches of the figure, so that its rows fill it."""
    samples = record.samples
    if samples is None or not samples.width:
        return 1.0
    return 0.25 + ROW * len(samples.classes) * (samples.height / samples.width + GAP)


def samples_words(record: DataRecord) -> str:
    """What the figure shows, for those who can't see it."""
    samples: Any = record.samples
    counts = record.counts.get("train", ())
    rows = [
        f"{record.classes[position]}: {count} of {counts[position]:,}" if counts else record.classes[position]
        for position, count in zip(samples.classes, samples.counts, strict=True)
    ]
    return f"Training pictures of {record.name}, a row for each class. {samples_caption(record)} {'; '.join(rows)}."


def samples_caption(record: DataRecord) -> str:
    """Which pictures there are in the figure."""
    samples: Any = record.samples
    rows, classes = len(samples.classes), len(record.classes)
    some = f" {rows} of {classes} classes, those with the most training pictures." if rows < classes else ""
    return f"Drawn at random from the training part, as they are decoded.{some}"
