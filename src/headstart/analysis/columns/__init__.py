"""Every column of every table: pandas type, unit, meaning. The one place to add or look one up.

A module by what a row is of. Types are Int64, Float64, string and boolean; a missing value is an empty cell. Reading,
writing, computing and the data dictionary in outputs/README.md go by these lists alone.
"""

from collections.abc import Iterator

from headstart.analysis.columns.kinds import Column, Columns
from headstart.analysis.columns.of_arms import (
    ARMS,
    ARMS_SHORT,
    CORRUPTED,
    CORRUPTIONS,
    ERRORS,
    LEDGER,
    READ_FIRST,
    REPORTED,
    SCORES,
    TARGETS,
)
from headstart.analysis.columns.of_pairs import FORECAST, PAIRS, SEARCH_PAIRS, SEARCHES
from headstart.analysis.columns.of_runs import EPOCHS, SORTED_BY, THRESHOLDS, TRIALS

__all__ = [
    "ARMS",
    "ARMS_SHORT",
    "CORRUPTED",
    "CORRUPTIONS",
    "EPOCHS",
    "ERRORS",
    "FORECAST",
    "LEDGER",
    "PAIRS",
    "READ_FIRST",
    "REPORTED",
    "SCORES",
    "SEARCHES",
    "SEARCH_PAIRS",
    "SORTED_BY",
    "TABLES",
    "TARGETS",
    "THRESHOLDS",
    "TRIALS",
    "Column",
    "Columns",
    "dictionary_markdown",
]

TABLES: dict[str, Columns] = {
    "trials": TRIALS,
    "epochs": EPOCHS,
    "arms_short": ARMS_SHORT,
    "arms": ARMS,
    "pairs": PAIRS,
    "ledger": LEDGER,
    "reported": REPORTED,
    "corruptions": CORRUPTIONS,
    "searches": SEARCHES,
    "search_pairs": SEARCH_PAIRS,
    "forecast": FORECAST,
}  # by the file's name without .csv


def dictionary_markdown() -> str:
    """Return the data dictionary of all tables as Markdown, a section with a table each."""
    return "\n".join(line for name, columns in TABLES.items() for line in _section(name, columns))


def _section(name: str, columns: Columns) -> Iterator[str]:
    yield f"## {name}.csv\n"
    yield "| column | type | unit | meaning |"
    yield "| --- | --- | --- | --- |"
    for column, about in columns.items():
        yield f"| `{column}` | {about.dtype} | {about.unit} | {about.meaning.replace('|', chr(92) + '|')} |"
    if columns is TRIALS:
        yield "| `params_<key>` | by content | | the value of a swept setting `<key>`, one column each, by name |"
    yield ""
