"""Lines of the log are JSON, whatever is in them."""

import json
import logging
import sys

from headstart.serving.logs import JsonLines


def line(text: str, error: bool = False, **facts) -> dict:
    info = None
    if error:
        try:
            raise ValueError("two\nlines")
        except ValueError:
            info = sys.exc_info()
    record = logging.LogRecord("headstart.serving", logging.INFO, __file__, 1, text, (), info)
    record.facts = facts
    written = JsonLines().format(record)
    assert "\n" not in written
    return json.loads(written)


def test_a_line_has_time_level_event_and_facts():
    found = line("request", status=200)
    assert found["time"].endswith("Z") and len(found["time"]) == 24
    assert {name: found[name] for name in ("level", "event", "status")} == dict(
        level="info", event="request", status=200
    )


def test_an_error_is_one_line_with_its_places():
    found = line("mistake", error=True)
    assert found["error"] == "ValueError: two\nlines" and "test_logs.py:" in found["where"][-1]
