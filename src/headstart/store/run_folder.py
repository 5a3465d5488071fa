"""What one run leaves in its folder: how it is named and found, what it says of itself, and how it ended."""

import logging
import os
import re
from pathlib import Path
from typing import Any

from headstart.errors import UserError
from headstart.store.files import as_text, parse_json
from headstart.store.run_lock import is_alive

logger = logging.getLogger(__name__)

OUTCOMES = ("COMPLETE", "CHANCE", "PRUNED", "DIVERGED")  # of training; such a trial has used its share of the budget
FINISHED = (*OUTCOMES, "FAILED")  # what result.json may say
PAUSED = "paused"  # begins the reason of a PRUNED run with which its study may go on
AT_CHANCE = "at chance level"  # in the reason of a PRUNED run that may only have been slow
RUN_MARKERS = frozenset({".hydra", "run.json", "result.json", "epochs.csv"})


def valid_name(text: str, example: str = "name=pretraining_5000") -> str:
    """Return `text` if it may name a study, an arm or a run: it becomes a folder, a table cell and a word in a page.

    example: for the message of the UserError that it raises otherwise.
    """
    if isinstance(text, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text):
        return text
    shown = repr(text) if len(repr(text)) <= 80 else repr(text)[:77] + "..."
    raise UserError(
        f"{shown} cannot be a name: expected 1 to 64 characters of A-Z a-z 0-9 . _ - and a letter or digit first,\n"
        f"such as {example}."
    )


def find_runs(root: str | Path) -> list[Path]:
    """Return the run folders at and below `root`, sorted; links to folders and what is in `tables/` are left out."""
    found = []
    for folder, folders, files in os.walk(root, onerror=lambda error: logger.warning("not searched: %s", error)):
        is_tables = os.path.basename(os.path.abspath(folder)) == "tables"
        if not is_tables and not RUN_MARKERS.isdisjoint(files + folders):
            found.append(Path(folder))
        # An arm may be called "tables" too: its runs are in search/ and confirm/.
        folders[:] = [f for f in folders if not f.startswith(".") and (not is_tables or f in ("search", "confirm"))]
    return sorted(found)


def read_run(run_dir: str | Path) -> dict[str, Any]:
    """Return the facts and results of one run with its `state` and `reason`; damaged files are named in `reason`.

    `state` is what `result.json` says (`FINISHED`), else RUNNING or INTERRUPTED by the lock. Never raises for what
    the files hold; values other than `state`, and `val_accuracy` of a COMPLETE run, are passed on as they are.
    """
    run_dir = Path(run_dir)
    result, fault = _read_result(run_dir / "result.json")
    alive = False
    if result is None:
        alive = is_alive(run_dir)
        if not alive:
            result, fault = _read_result(run_dir / "result.json")  # it may have ended between the two looks
    facts, facts_fault = _read_object(run_dir / "run.json")
    if facts is None and not facts_fault and not alive:
        facts_fault = "no run.json"
    reason = "; ".join(filter(None, (fault, facts_fault)))
    if result is None:
        return {**(facts or {}), "state": "RUNNING" if alive else "INTERRUPTED", "reason": reason}
    known = {key: value for key, value in result.items() if value is not None}
    return {**(facts or {}), **known, "reason": result.get("reason") or reason}


def read_facts(run_dir: str | Path) -> dict[str, Any]:
    """Return what was recorded of a run as it began; {} without it, or where it is damaged.

    For who holds the run's lock: `read_run` would wait, to see whether whoever has it only looks.
    """
    return _read_object(Path(run_dir) / "run.json")[0] or {}


def _read_object(path: Path) -> tuple[dict[str, Any] | None, str]:
    """Return a JSON file's object, or None and what is wrong with it ("" if there is none)."""
    if not os.path.lexists(path):
        return None, ""
    try:
        value = parse_json(path)
    except FileNotFoundError:
        return None, f"unreadable {path.name}: a link to nothing"
    except OSError as error:
        return None, f"unreadable {path.name}: {error.strerror}"
    except ValueError as error:
        return None, f"unreadable {path.name}: {error}"
    if not isinstance(value, dict):
        return None, f"unreadable {path.name}: not an object"
    return value, ""


def _read_result(path: Path) -> tuple[dict[str, Any] | None, str]:
    """Return a finished run's result; one that claims no known state, or COMPLETE without a score, counts as none."""
    result, fault = _read_object(path)
    if result is None:
        return None, fault
    state, score = result.get("state"), result.get("val_accuracy")
    if state not in FINISHED:
        return None, f"unreadable {path.name}: state={as_text(state)[:40]!r}, expected one of {', '.join(FINISHED)}"
    if state == "COMPLETE" and (type(score) not in (int, float) or not 0 <= score <= 100):
        return None, f"unreadable {path.name}: val_accuracy={as_text(score)[:40]} of a COMPLETE run"
    return result, ""


def set_aside(result: Path) -> None:
    """Rename a failed run's result, if there is one, so that it can run again; the ledger counts what was set aside."""
    if result.exists():
        number = 1 + len(list(result.parent.glob("result.failed-*.json")))
        result.rename(result.with_name(f"result.failed-{number}.json"))
