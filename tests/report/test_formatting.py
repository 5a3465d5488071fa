"""Numbers are written for people."""

import pandas as pd
import pytest

from headstart.report import formatting


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-3, "1e-3"), (0.1, "1e-1"), (2.5e-4, "2.5e-4"), (0.5, "0.5"), (1, "1"), (50000, "50000"), (0, "0")],
)
def test_numbers_are_written_as_they_are_typed(value, text):
    assert formatting.as_typed(value) == text


def test_numbers_are_written_for_people():
    assert [formatting.number(v) for v in (81.234, 1234.5, None, pd.NA, float("nan"))] == [
        "81.23",
        "1,234.50",
        "–",
        "–",
        "–",
    ]
    assert [formatting.significant(v) for v in (1e-3, 3.1622e-5, 0.1, "adam", 5, pd.NA)] == [
        "0.001",
        "3.16e-05",
        "0.1",
        "adam",
        "5",
        "–",
    ]
    times = [formatting.duration(v).replace("\N{NO-BREAK SPACE}", " ") for v in (0.04, 99.9, 100, 3599, 7260, pd.NA)]
    assert times == ["0.0 s", "99.9 s", "1 min 40 s", "59 min 59 s", "2 h 1 min", "–"]
    assert len(formatting.text("x" * 5000)) == formatting.LONGEST_TEXT + 1
