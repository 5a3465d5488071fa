"""200 pieces of harmful text in every text of a study's files, each with the report made anew from them.

Wanted of each: a page with the tags and attributes of one that holds a harmless word; no traceback.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import batches
from batches import KEYS, TAKEN, is_wanted  # noqa: F401
from commands import answer, fault_of, whole_study
from damage import STUDY

from headstart.store import read_record, write_record

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

TEXTS = (
    "model",
    "weights",
    "freeze",
    "stem",
    "device",
    "precision",
    "torch_version",
    "git_commit",
    "processor",
    "reason",
)
TEXTS += ("data", "optimizer", "schedule", "augmentation", "normalisation", "command")
OF_STUDY = ("question", "command", "name", "experiment")


def attempts(work: Path, seed: int) -> Iterator[tuple[tuple[str, int], Callable[[], dict[str, object]]]]:
    """Every batch and what tries it."""
    from report.test_page import PAYLOADS

    whole_study(work / "whole", STUDY)
    structure(work, "word")  # once, before processes are forked
    yield from batches.attempts(work, 0, len(PAYLOADS), ("payload",), try_payload, size=20)


def try_payload(work: Path, kind: str, number: int) -> str:
    """Make the report of a study that says it everywhere."""
    from report.test_page import PAYLOADS

    payload = PAYLOADS[number]
    code, text, found = _reported(work, payload)
    if fault := fault_of(code, text):
        return f"{payload}: {fault}"
    return TAKEN if digest(found) == structure(work, "word") else f"{payload}: another structure"


@cache
def structure(work: Path, word: str) -> str:
    """Tags and attributes of the page of a study that says this word everywhere."""
    (found,), end, _ = batches.in_a_process(lambda _: digest(_reported(work, word)[2]), range(1))
    if end:
        raise RuntimeError(f"the report of a study that says {word} everywhere: {end}")
    return found


def digest(found: object) -> str:
    """Of a page's structure, as a text that two processes can compare."""
    return hashlib.sha256(repr(found).encode()).hexdigest()


def _reported(work: Path, word: str) -> tuple[int, str, object]:
    from report.helpers_report import Page

    folder = work / "spoilt"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(work / "whole/outputs/study", folder / "study")
    for path in folder.rglob("r*.json"):
        if path.name in ("run.json", "result.json"):
            record = read_record(path)[0]
            spoilt = {key: word for key in TEXTS if isinstance(record.get(key), str)}
            classes = {"classes": [f"{word} {name}" for name in record["classes"]]} if "classes" in record else {}
            write_record(path, record | spoilt | classes, ("epochs.csv", "predictions.npz"))
    study = json.loads((folder / "study/study.json").read_text())
    (folder / "study/study.json").write_text(json.dumps(study | dict.fromkeys(OF_STUDY, word)))
    code, text = answer(folder, "report", "study")
    return code, text, Page((folder / "study/report.html").read_text()).structure() if code == 0 else None
