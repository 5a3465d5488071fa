"""The page on a data set before anything is trained on it: index.html and samples.png in a folder."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from headstart.errors import UserError
from headstart.report.data_samples import DATA_SAMPLES, samples_svg, samples_width
from headstart.report.data_view import DataView
from headstart.report.drawing import EmbeddedFigure, embedded
from headstart.report.plots.data_samples import read_sheet, samples_caption, samples_words
from headstart.store import DataRecord, write_atomically

PAGE, PICTURE = "index.html", "samples.png"
OURS = '<meta name="generator" content="headstart">'


@dataclass(frozen=True, eq=False)
class SurveyedData:
    """A data set that was read for this page."""

    record: DataRecord
    png: bytes  # the sheet of samples
    image_size: int | None = None  # pixels a side that a network would see; None: as they are decoded

    @property
    def view(self) -> DataView:
        """The record in words and numbers."""
        return DataView(self.record, self.image_size)

    @cached_property
    def sheet(self) -> np.ndarray | None:
        """The pictures on it."""
        return read_sheet(io.BytesIO(self.png), self.record)


def check_page_folder(folder: Path) -> None:
    """Refuse a folder in which the page would replace files that are not ours. Raises UserError."""
    page, picture = folder / PAGE, folder / PICTURE
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder for the page: --to DIR")
    try:
        ours = page.is_file() and OURS in page.read_text(encoding="utf-8", errors="replace")[:5000]
    except OSError as error:
        raise UserError(f"{page} cannot be read ({error.strerror}); name another folder: --to DIR") from error
    there = [path for path in (page, picture) if path.exists()]
    if there and not ours:
        raise UserError(f"{there[0]} is not headstart's and would be replaced; name another folder: --to DIR")


def write_data_page(
    folder: Path, data: SurveyedData, source: str, refused: Sequence[str] = (), commands: Sequence[str] = ()
) -> Path:
    """Write samples.png and index.html into the folder; return the path of the page.

    source: how the data set was named; refused: why a study would not begin; commands: to type next.

    Raises:
        UserError: the folder cannot be written, or holds other files of these names.
    """
    from headstart.report.page import data_html

    check_page_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made for the page: {error.strerror}.") from error
    figures = [_figure(data)] if data.sheet is not None else []
    if figures:
        write_atomically(folder / PICTURE, data.png)
    given = dict(view=data.view, source=source, refused=refused, commands="\n".join(commands))
    write_atomically(folder / PAGE, data_html(figures=figures, **given).encode("utf-8", "replace"))
    return folder / PAGE


def _figure(data: SurveyedData) -> EmbeddedFigure:
    record = data.record
    source, width = embedded(samples_svg(record, data.png)), samples_width(record)
    words = DATA_SAMPLES.title, samples_caption(record), samples_words(record)
    return EmbeddedFigure(*words, source, PICTURE, "data", least_width=width)
