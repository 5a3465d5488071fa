"""A table as the page, Markdown and the terminal show it, made column by column from rows of a frame."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pandas as pd

from headstart.report.formatting import interval, is_missing, number, text

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """A table's cell: its text, and the link below it if there is one."""

    text: str
    link: str | None = None


@dataclass(frozen=True)
class DisplayTable:
    """A table as the templates draw it; the first cell of a row names it."""

    caption: str
    columns: list[str]
    numeric: list[bool]
    rows: list[list[Cell]]


@dataclass(frozen=True)
class DisplayColumn:
    """A column: its heading, what it shows of a row, and whether that is a number, which stands on the right."""

    heading: str
    show: Callable[[Row], str | Cell]
    numeric: bool = True


def table(caption: str, rows: Iterable[Row], columns: Sequence[DisplayColumn]) -> DisplayTable:
    """Return the rows as a table."""
    cells = [[cell if isinstance(cell := c.show(row), Cell) else Cell(cell) for c in columns] for row in rows]
    return DisplayTable(caption, [c.heading for c in columns], [c.numeric for c in columns], cells)


def value_of(name: str, heading: str, show: Callable[[Any], str] = number) -> DisplayColumn:
    """A column of the frame, its numbers formatted by `show`."""
    return DisplayColumn(heading, lambda row: show(row[name]))


def text_of(name: str, heading: str) -> DisplayColumn:
    """A column of the frame, as it is."""
    return DisplayColumn(heading, lambda row: text(row[name]), numeric=False)


def interval_of(low: str, high: str, heading: str = "95 % interval") -> DisplayColumn:
    """Two columns of the frame: an interval's ends."""
    return DisplayColumn(heading, lambda row: interval(row[low], row[high]))


def difference_columns(heading: str) -> list[DisplayColumn]:
    """The difference on the test images with its interval, that interval's level, and p."""
    return [
        value_of("difference", heading),
        interval_of("ci_low", "ci_high", "Interval"),
        value_of("level", "Its level", lambda level: number(None) if is_missing(level) else f"{100 * level:.4g} %"),
        value_of("p_holm", "p, Holm", lambda p: number(None) if is_missing(p) else f"{p:.2g}"),
    ]


def study_column(frame: pd.DataFrame) -> list[DisplayColumn]:
    """The study's name, where there are several."""
    return [text_of("study", "Study")] if frame["study"].nunique() > 1 else []


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame, its values as Python's own."""
    return [] if frame.empty else frame.astype(object).to_dict("records")


def link(folder: Any) -> str | None:
    """A relative link to a folder; every character that could make it anything else is escaped."""
    return None if is_missing(folder) else "./" + quote(str(folder), errors="replace") + "/"
