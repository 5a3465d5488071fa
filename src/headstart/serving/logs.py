"""A line of JSON for each request and event. No pictures, no keys, no names of files."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime

log = logging.getLogger("headstart.serving")


class JsonLines(logging.Formatter):
    """A record as one line: its time, its level, its text as `event`, and what `extra={"facts": ...}` says."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": time.replace("+00:00", "Z"), "level": record.levelname.lower(), "event": record.getMessage()}
        line |= getattr(record, "facts", {})
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            where = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
            line |= {"error": f"{type(error).__name__}: {error}", "where": where[-5:]}
        return json.dumps(line)


class _Stdout(logging.StreamHandler):
    """To wherever stdout leads; a reader that has gone is no reason to stop."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)

    def handleError(self, record: logging.LogRecord) -> None:
        """Of a line that cannot be written."""


def log_as_json() -> None:
    """From now on this process logs lines of JSON to stdout, of libraries what is worth a line.

    python-multipart warns of every form that is damaged, which is the client's business and gets an answer.
    """
    handler = _Stdout()
    handler.setFormatter(JsonLines())
    for name, level in (
        ("headstart", "INFO"),
        ("uvicorn", "WARNING"),
        ("asyncio", "WARNING"),
        ("python_multipart", "ERROR"),
    ):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
