"""The picture of a data set on the page: training pictures of each class."""

import base64
import html
import textwrap
from typing import Any

from headstart.errors import printable
from headstart.report import plots
from headstart.report.drawing import Plot, given
from headstart.report.plots.data_samples import samples_caption, samples_height, samples_words
from headstart.store import DataRecord

SIDE, GAP, NAMES = 56, 3, 150  # pixels of the SVG: a picture's width, between two, and of the names beside them
LONGEST_NAME = 20  # letters

DATA_SAMPLES = Plot(
    name="data_samples",
    section="data",
    function=plots.data_samples,
    given=lambda m: given(m.data[0].record, m.data[0].sheet) if m.data else given(None, None),
    is_there=lambda m: bool(m.data and m.data[0].sheet is not None),
    height=lambda m: samples_height(m.data[0].record),
    title="Training pictures",
    caption=lambda m: samples_caption(m.data[0].record),
    words=lambda m, _: samples_words(m.data[0].record),
    needs="a record of the pictures, which runs leave when they begin",
)


def samples_svg(record: DataRecord, sheet: bytes) -> bytes:
    """The same of a data set without runs: an SVG around the sheet of samples, a PNG, with the names in text.

    matplotlib, which takes longer to import and to draw than a thousand pictures to decode, is left out.
    """
    samples: Any = record.samples
    ratio, counts = samples.height / samples.width, record.counts.get("train", ())
    step, tall = SIDE * ratio + GAP, SIDE * ratio
    size = [int.from_bytes(sheet[start : start + 4], "big") for start in (16, 20)]  # as a PNG's header has it
    source = f"data:image/png;base64,{base64.b64encode(sheet).decode()}"
    parts = [f'<defs><image id="s" width="{size[0]}" height="{size[1]}" href="{source}"/></defs>']
    for row, (position, shown) in enumerate(zip(samples.classes, samples.counts, strict=True)):
        name = textwrap.shorten(record.classes[position], LONGEST_NAME, placeholder=" …") or record.classes[position]
        lines = [printable(name[:LONGEST_NAME]) or "?", *([f"{counts[position]:,}"] if counts else [])]
        middle = row * step + tall / 2 + (5 if len(lines) == 1 else -3)
        for line, text in enumerate(lines):
            parts.append(f'<text x="{NAMES - 8}" y="{middle + 15 * line:.1f}">{html.escape(text)}</text>')
        for column in range(shown):
            box = f"{column * samples.width} {row * samples.height} {samples.width} {samples.height}"
            place = f'x="{NAMES + column * (SIDE + GAP)}" y="{row * step:.1f}" width="{SIDE}" height="{tall:.1f}"'
            parts.append(f'<svg {place} viewBox="{box}" preserveAspectRatio="none"><use href="#s"/></svg>')
    width, height = samples_width(record), len(samples.classes) * step
    looks = 'font-family="sans-serif" font-size="12" text-anchor="end" fill="#222222" image-rendering="pixelated"'
    whole = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:.0f}" {looks}>'
    return "".join([whole, f'<rect width="{width}" height="{height:.0f}" fill="white"/>', *parts, "</svg>"]).encode()


def samples_width(record: DataRecord) -> int:
    """Pixels of that SVG."""
    samples: Any = record.samples
    return NAMES + max(samples.counts) * (SIDE + GAP)
