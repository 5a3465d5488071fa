"""What one run leaves in its folder: how it is named and found, what it says of itself, and how it ended."""

import itertools
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headstart.errors import UserError
from headstart.store.files import as_text
from headstart.store.run_lock import is_alive
from headstart.store.run_record import digest_of, read_record

logger = logging.getLogger(__name__)

OUTCOMES = ("COMPLETE", "CHANCE", "PRUNED", "DIVERGED")  # of training; such a trial has used its share of the budget
FINISHED = (*OUTCOMES, "FAILED")  # what result.json may say
PAUSED = "paused"  # begins the reason of a PRUNED run with which its study may go on
PREDICTIONS = "predictions.npz"
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


def find_runs(root: str | Path, most: int | None = None) -> list[Path]:
    """Return the run folders at and below `root`, sorted; links to folders and what is in `tables/` are left out.

    most: end the search with so many, `root` itself first; None: with all.
    """
    return sorted(itertools.islice(_runs_below(root), most))


def _runs_below(root: str | Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root, onerror=lambda error: logger.warning("not searched: %s", error)):
        is_tables = os.path.basename(os.path.abspath(folder)) == "tables"
        if not is_tables and not RUN_MARKERS.isdisjoint(files + folders):
            yield Path(folder)
        # An arm may be called "tables" too: its runs are in search/ and confirm/.
        folders[:] = [f for f in folders if not f.startswith(".") and (not is_tables or f in ("search", "confirm"))]


def read_run(run_dir: str | Path, *, whole: bool = True) -> dict[str, Any]:
    """Return the facts and results of one run with its `state` and `reason`; damaged files are named in `reason`.

    `state` is what `result.json` says (`FINISHED`), else RUNNING or INTERRUPTED by the lock. A result that is not what
    was written, or of other types than a result has, counts as none; where a file beside it is not what the run left,
    `damaged` names it. Never raises for what the files hold.
    whole: whether epochs.csv and the predictions on the test split have to be what the run left, too.
    """
    run_dir = Path(run_dir)
    result, vouched, fault, damaged = _read_result(run_dir, whole)
    alive = False
    if result is None:
        alive = is_alive(run_dir)
        if not alive:
            result, vouched, fault, damaged = _read_result(run_dir, whole)  # it may have ended between the two looks
    facts, _, facts_fault = read_record(run_dir / "run.json")
    if facts is None and not facts_fault and not alive:
        facts_fault = "no run.json"
    reason = "; ".join(filter(None, (fault, facts_fault)))
    if result is None:
        found = {**(facts or {}), "state": "RUNNING" if alive else "INTERRUPTED", "reason": reason}
        return found | ({"damaged": damaged} if damaged else {})
    known = {key: value for key, value in result.items() if value is not None}
    if vouched:  # for all that the run began with, too
        return {**known, "reason": result.get("reason") or ""}
    return {**(facts or {}), **known, "reason": result.get("reason") or reason}


def read_facts(run_dir: str | Path) -> dict[str, Any]:
    """Return what was recorded of a run as it began; {} without it, or where it is damaged.

    For who holds the run's lock: `read_run` would wait, to see whether whoever has it only looks.
    """
    return read_record(Path(run_dir) / "run.json")[0] or {}


def _read_result(run_dir: Path, whole: bool) -> tuple[dict[str, Any] | None, bool, str, str]:
    """Return a finished run's result and whether it has a digest; or None, what is wrong, and with which file of it."""
    path = run_dir / "result.json"
    result, digests, fault = read_record(path)
    if result is None:
        return None, False, fault, ""
    if fault := _of_no_result(result):
        return None, False, f"unreadable {path.name}: {fault}", ""
    if digests is None and read_record(run_dir / "run.json")[1] is not None:
        return None, False, f"unreadable {path.name}: it has no SHA-256, as the run.json beside it has", ""
    for name in (digests or {}).keys() & _read_by_reports(run_dir, result) if whole else ():
        if digest_of(run_dir / name) != digests[name]:
            return None, False, f"damaged {name}: it is not what the run left", name
    return result, digests is not None, "", ""


def _read_by_reports(run_dir: Path, result: dict[str, Any]) -> set[str]:
    """Files beside a result that tables and figures are made of; predictions may be deleted, and are, by a search."""
    has_predictions = result.get("test_accuracy") is not None and os.path.lexists(run_dir / PREDICTIONS)
    return {"epochs.csv"} | ({PREDICTIONS} if has_predictions else set())


def _of_no_result(result: dict[str, Any]) -> str:
    """What speaks against a record being that of a run that has ended; "" where nothing does."""
    state, score = result.get("state"), result.get("val_accuracy")
    if state not in FINISHED:
        return f"state={as_text(state)[:40]!r}, expected one of {', '.join(FINISHED)}"
    if state == "COMPLETE" and score is None:
        return f"val_accuracy={as_text(score)[:40]} of a COMPLETE run"
    may_read = state in ("COMPLETE", "CHANCE") and result.get("phase") in ("run", "confirm")
    if may_read and result.get("test_reads") and result.get("test_accuracy") is None:
        return "test_accuracy=null of a run that read the test split"
    return ""


def is_damaged(run_dir: Path) -> bool:
    """Whether the run has a result that cannot be trusted, and no process of its own."""
    return os.path.lexists(run_dir / "result.json") and read_run(run_dir)["state"] == "INTERRUPTED"


def set_aside(result: Path, what: str = "failed") -> None:
    """Rename a run's result, if there is one, so that it can run again; the ledger counts those that failed."""
    if os.path.lexists(result):
        number = 1 + len(list(result.parent.glob(f"result.{what}-*.json")))
        result.rename(result.with_name(f"result.{what}-{number}.json"))


def put_aside(run_dir: Path) -> Path:
    """Rename a run's folder so that no report reads it, and return its new name: the study has another result of it."""
    number = 1 + len(list(run_dir.parent.glob(f".{run_dir.name}.superseded-*")))
    return run_dir.rename(run_dir.with_name(f".{run_dir.name}.superseded-{number}"))


def discard(run_dir: Path) -> None:
    """Have a run that cannot be trusted begin anew: its result is kept beside, its epochs and checkpoints go."""
    set_aside(run_dir / "result.json", "damaged")
    for path in (run_dir / "epochs.csv", *run_dir.glob("last.ckpt*")):
        path.unlink(missing_ok=True)
