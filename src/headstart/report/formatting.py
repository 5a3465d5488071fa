"""Numbers, times and texts as a reader sees them, in tables and plots alike."""

import math
from typing import Any

import pandas as pd

ABSENT = "–"
LONGEST_TEXT = 300  # characters; a reason can be a whole traceback


def is_missing(value: Any) -> bool:
    """Whether there is no value: None, NA or NaN."""
    return value is None or value is pd.NA or value != value


def number(value: Any, digits: int = 2) -> str:
    """`81.23`; a dash where there is no value."""
    return ABSENT if is_missing(value) else f"{value:,.{digits}f}"


def percent(value: Any) -> str:
    """`81.23 %`, as a sentence says it."""
    return "not known" if is_missing(value) else f"{value:.2f} %"


def significant(value: Any) -> str:
    """A learning rate or another swept value, in as few digits as say it: `0.001`, `3.16e-05`."""
    return ABSENT if is_missing(value) else f"{value:.3g}" if isinstance(value, float) else str(value)


def as_typed(value: float) -> str:
    """A number as one types it: 1e-3, 0.05, 50000; powers of 10 below 1 always as 1e-1."""
    if 0 < value < 1 and math.isclose(math.log10(value) % 1, 0, abs_tol=1e-9):
        return f"1e{math.log10(value):.0f}"
    if 0 < abs(value) < 0.01:
        mantissa, _, exponent = f"{value:.2e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:.3g}" if not 1e3 <= abs(value) < 1e6 else f"{value:.0f}"


def text(value: Any) -> str:
    """Anything as a cell's text; what has no end is cut."""
    shown = ABSENT if is_missing(value) else str(value)
    return shown if len(shown) <= LONGEST_TEXT else shown[:LONGEST_TEXT] + "…"


def count(value: Any) -> str:
    """`1,234`."""
    return ABSENT if is_missing(value) else f"{value:,}"


def duration(seconds: Any) -> str:
    """`45.3 s`, `12 min 5 s`, `3 h 20 min`, which no line break divides."""
    if is_missing(seconds):
        return ABSENT
    if seconds < 100:
        return unbroken(f"{seconds:.1f} s")
    minutes, rest = divmod(round(seconds), 60)
    return unbroken(f"{minutes} min {rest} s" if minutes < 100 else f"{minutes // 60:,} h {minutes % 60} min")


def interval(low: Any, high: Any) -> str:
    """`93.86 to 94.56`."""
    return ABSENT if is_missing(low) or is_missing(high) else f"{low:.2f} to {high:.2f}"


def unbroken(words: str) -> str:
    """Words that no line break divides."""
    return words.replace(" ", "\N{NO-BREAK SPACE}")
