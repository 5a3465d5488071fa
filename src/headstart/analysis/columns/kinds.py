"""What a column is, and the kinds that there are: pandas type and unit."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One column: pandas type, unit, meaning."""

    dtype: str
    unit: str
    meaning: str


Columns = dict[str, Column]  # of one table, in order


def text(meaning: str, unit: str = "") -> Column:
    """A text."""
    return Column("string", unit, meaning)


def integer(unit: str, meaning: str) -> Column:
    """A whole number."""
    return Column("Int64", unit, meaning)


def count(meaning: str) -> Column:
    """How many."""
    return integer("count", meaning)


def number(unit: str, meaning: str) -> Column:
    """A number."""
    return Column("Float64", unit, meaning)


def percent(meaning: str) -> Column:
    """A percentage, 0 to 100."""
    return number("percent", meaning)


def points(meaning: str) -> Column:
    """A difference of percentages."""
    return number("points", meaning)


def seconds(meaning: str) -> Column:
    """A duration."""
    return number("seconds", meaning)


def flag(meaning: str) -> Column:
    """Whether something is so."""
    return Column("boolean", "", meaning)
