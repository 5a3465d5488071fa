"""The tables of repeated searches, and of figures that others reported."""

from typing import Any

from headstart.analysis import Results
from headstart.report.display_tables.frame import (
    DisplayColumn,
    DisplayTable,
    Row,
    difference_columns,
    interval_of,
    records,
    table,
    text_of,
    value_of,
)
from headstart.report.formatting import count, is_missing, number, significant, text
from headstart.store import METRICS


def searches(results: Results) -> DisplayTable | None:
    """Searches that were repeated with other seeds; None where none was."""
    frame = results.searches
    if frame.empty:
        return None
    return table(
        "Searches repeated with other seeds",
        records(frame),
        [
            text_of("search", "Search"),
            value_of("repeats", "Repeats", count),
            *([value_of("led_nowhere", "Led nowhere", count)] if frame["led_nowhere"].any() else []),
            value_of("trials", "Trials", count),
            value_of("epochs_searched", "Epochs searched, mean", lambda epochs: number(epochs, 0)),
            value_of("val_mean", "Validation, mean %"),
            value_of("val_lowest", "lowest"),
            value_of("test_mean", "Test, mean %"),
            interval_of("test_ci_low", "test_ci_high"),
            value_of("test_lowest", "lowest"),
            DisplayColumn("Best learning rates", lambda row: _between(row["best_lr_low"], row["best_lr_high"])),
        ],
    )


def _between(low: Any, high: Any) -> str:
    return significant(low) if is_missing(low) or low == high else f"{significant(low)} to {significant(high)}"


def search_pairs(results: Results) -> DisplayTable | None:
    """Per pair of repeated searches: the differences with their intervals; None where there are none."""
    if results.search_pairs.empty:
        return None
    return table(
        "Differences between repeated searches, paired by the studies' seeds",
        records(results.search_pairs),
        [
            DisplayColumn("Searches", lambda row: f"{text(row['search_a'])} − {text(row['search_b'])}", numeric=False),
            value_of("repeats", "Repeats", count),
            value_of("val_difference", "Validation, points"),
            interval_of("val_ci_low", "val_ci_high"),
            *difference_columns("Test, points"),
        ],
    )


def reported(results: Results) -> DisplayTable | None:
    """Figures of others beside ours; None where the study has none."""
    if results.reported.empty:
        return None
    return table(
        "What others reported for these arms, and what this study measured",
        records(results.reported),
        [
            text_of("arm", "Arm"),
            DisplayColumn("Figure", lambda row: METRICS[row["metric"]], numeric=False),
            DisplayColumn("Reported", lambda row: _figure(row, row["reported"])),
            DisplayColumn("Here", _ours),
            interval_of("ci_low", "ci_high"),
            text_of("source", "Reported by"),
            text_of("note", "Why they may differ"),
        ],
    )


def _figure(row: Row, value: Any) -> str:
    is_count = row["metric"].startswith("parameters")
    return count(value if is_missing(value) else int(value)) if is_count else number(value)


def _ours(row: Row) -> str:
    figure = _figure(row, row["ours"])
    return figure if is_missing(row["ours_is"]) else f"{figure} ({row['ours_is']})"


def reported_lines(results: Results) -> list[str]:
    """The same as lines for the terminal."""
    return [
        f"{row['arm']}, {METRICS[row['metric']]}: {_figure(row, row['reported'])} reported by {row['source']}, "
        f"{_ours(row)} here"
        for row in records(results.reported)
    ]
