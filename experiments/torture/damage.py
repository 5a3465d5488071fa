"""Seeded damage to every kind of file that runs and studies leave; then the same command, and the report.

Wanted of each: noticed, or without an effect on any table; no traceback; a study whose run can be trained again ends
with the rows of an undisturbed one.
"""

import random
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from commands import run, whole_study
from same import difference, tables

KINDS = ("flip", "half", "empty", "garbage", "shape")
STUDY = (
    *("-m", "name=study", "model=cnn", "model.depth=1", "model.width=4", "data=digits", "data.train_size=100"),
    *("epochs=2", "batch_size=50", "threads=1", "precision=fp32", "augmentation=none", "n_trials=3", "confirm_seeds=2"),
)
FOREIGN = {".json": b'[{"state": "COMPLETE"}]', ".yaml": b"- 1\n- {a: b}\n", ".csv": b"a,b\n1,2\n", "": b"\x00" * 4096}
KEYS = ("file", "kind", "seed")


def attempts(work: Path, seed: int) -> Iterator[tuple[tuple[str, str, int], Callable[[], dict[str, object]]]]:
    """(file, kind of damage, seed) of every case, and what tries it."""
    whole_study(work / "whole", STUDY)
    for case in cases(work / "whole", 1000, seed):
        yield case, partial(try_case, work / "whole", work / "case", *case)


def is_wanted(row: dict[str, str]) -> bool:
    """Whether a case ended as it has to."""
    return row["accepted"] == "False" and row["tracebacks"] == "0"


def damaged(data: bytes, kind: str, suffix: str, rng: random.Random) -> bytes:
    """The content of a file after a fault of that kind; the same for the same random numbers."""
    if kind == "flip":
        changed = bytearray(data or b"\0")
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        return bytes(changed)
    if kind == "half":
        return data[: len(data) // 2]
    if kind == "garbage":
        return rng.randbytes(max(1, len(data)))
    return b"" if kind == "empty" else FOREIGN.get(suffix, FOREIGN[""])


def targets(study: Path) -> list[Path]:
    """One file of every kind in a study's folder, of a search trial and of a confirmation each."""
    names = ("study.json", "study.db", "data-*.json", "data-*.png", ".study")
    found = [path for name in names for path in sorted(study.glob(name))[:1]]
    for place in ("*/search/001", "*/confirm/*/seed-1"):
        (folder,) = list(study.glob(place))[:1]
        found += [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in (".lock", ".owner")]
    return found


def cases(whole: Path, series: int, seed: int) -> Iterator[tuple[str, str, int]]:
    """(file, kind of damage, seed) of every case, `series` of each."""
    for number in range(series):
        for path in targets(whole / "outputs/study"):
            for kind in KINDS:
                yield path.relative_to(whole).as_posix(), kind, seed + number


def try_case(whole: Path, folder: Path, file: str, kind: str, seed: int) -> dict[str, object]:
    """Damage one file of a copy of the study, report it, give its command again, and compare its tables."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder, symlinks=True)
    rng = random.Random(f"{seed} {file} {kind}")
    path, before = folder / file, tables(whole / "outputs/study")
    path.write_bytes(damaged(path.read_bytes(), kind, path.suffix, rng))
    began = time.monotonic()
    report = run(folder, "report", "outputs/study")
    reported = tables(folder / "outputs/study") if report.code == 0 else before
    unchanged = report.code == 0 and not difference(before, reported)
    named = path.name in report.text or bool(reported["trials"]["reason"].str.contains("unreadable|damaged").any())
    again = run(folder, *STUDY)
    healed = again.code == 0 and not (different := difference(before, tables(folder / "outputs/study")))
    said = path.name in again.text or "damaged" in again.text or "the storage" in again.text
    return dict(
        report_exit=report.code,
        report_same=unchanged,
        report_named=named,
        again_exit=again.code,
        again_same=healed,
        said=said,
        tracebacks=report.text.count("Traceback") + again.text.count("Traceback"),
        accepted=not (unchanged or named or report.code) or not (healed or said or again.code),
        difference="" if again.code else different,
        last_line=(again.text.strip().splitlines() or [""])[-1][:200] if again.code else "",
        seconds=round(time.monotonic() - began, 1),
    )
