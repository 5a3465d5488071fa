"""Seeded damage to every kind of file that studies and caches keep; then a report, and the study's command again.

Wanted of each: noticed, or without an effect on any table; no traceback; a study whose run can be trained again ends
with the rows of an undisturbed one.
"""

import os
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from commands import run, whole_study
from PIL import Image
from same import difference, tables

KINDS = ("flip", "half", "empty", "garbage", "shape", "gone", "zeros", "longer", "another")
TINY = ("model=cnn", "model.depth=1", "model.width=4", "threads=1", "precision=fp32", "augmentation=none", "epochs=2")
STUDY = (
    *(
        "-m",
        "name=study",
        *TINY,
        "data=digits",
        "data.train_size=100",
        "batch_size=50",
        "n_trials=3",
        "confirm_seeds=2",
    ),
)
ARMS = "arms={random: model=cnn, frozen: model=cnn model.weights=source model.freeze=backbone}"
SOURCE = 'hydra.sweeper.source={overrides: ["model=cnn", "lr=1e-3"]}'
STUDIES = {  # the second leaves a source run, its weights, decoded pictures and features of a frozen backbone
    "plain": STUDY,
    "source": (
        *("-m", "name=study", *TINY[1:], "data=folder", "data.size=16", "batch_size=20", ARMS, SOURCE),
        *("n_trials=2", "confirm_seeds=1"),
    ),
}
MADE_ANEW = ("tables/", "plots/", "report.html", "report.md", ".lock", ".owner", ".running", ".used")  # or empty
NOT_READ_AGAIN = ("cache/", "outputs/study/source/")  # while all runs are there; so one of them is taken away
FOREIGN = {".json": b'[{"state": "COMPLETE"}]', ".yaml": b"- 1\n- {a: b}\n", ".csv": b"a,b\n1,2\n", "": b"\x00" * 4096}
KEYS = ("study", "file", "kind", "seed")


def attempts(work: Path, seed: int) -> Iterator[tuple[tuple[str, str, str, int], Callable[[], dict[str, object]]]]:
    """(study, file, kind of damage, seed) of every case, shuffled by the seed, and what tries it."""
    draw_pictures(work / "pictures")
    found = []
    for study in STUDIES:
        _use_cache(work / study)
        whole_study(work / study, words_of(study, work))
        found += [(study, file, kind) for file in targets(work / study) for kind in KINDS]
    for number in range(1000):
        random.Random(seed + number).shuffle(found)
        for study, file, kind in found:
            case = (study, file, kind, seed + number)
            yield case, partial(try_case, work, *case)


def is_wanted(row: dict[str, str]) -> bool:
    """Whether a case ended as it has to."""
    return row["accepted"] == "False" and row["tracebacks"] == "0"


def words_of(study: str, work: Path) -> tuple[str, ...]:
    """Its command; pictures stay where they are, as a cache knows them by their inodes."""
    return (*STUDIES[study], *([f"data.root={work / 'pictures'}"] if study == "source" else []))


def draw_pictures(folder: Path) -> None:
    """40 pictures of 16 pixels of each of three classes, one brighter than the other."""
    rng = np.random.default_rng(0)
    for place, name in enumerate(("dark", "grey", "light")):
        (folder / name).mkdir(parents=True)
        for number in range(40):
            pixels = (rng.integers(120, size=(16, 16, 3)) + 60 * place).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


def targets(whole: Path) -> list[str]:
    """The first file of every kind that a study left, in its folder and in the cache."""
    found: dict[str, str] = {}
    for path in sorted(path for path in whole.rglob("*") if path.is_file()):
        name = path.relative_to(whole).as_posix()
        if name != "said.txt" and not any(part in name for part in MADE_ANEW):
            found.setdefault(re.sub(r"study/\w+/(?=search|confirm)|\d{3}|seed-\d|[0-9a-f]{8,}", "*", name), name)
    return list(found.values())


def damaged(data: bytes, kind: str, path: Path, rng: random.Random) -> bytes:
    """The content of a file after a fault of that kind; the same for the same random numbers."""
    half, changed = len(data) // 2, bytearray(data or b"\0")
    if kind == "flip":
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    elif kind == "zeros":
        place = rng.randrange(len(changed))
        changed[place : place + 512] = bytes(len(changed[place : place + 512]))
    elif kind == "another":  # the same file of another run
        others = [other for other in path.parents[1].rglob(path.name) if other != path and other.is_file()]
        return rng.choice(sorted(others)).read_bytes() if others else data[::-1]
    others = dict(
        half=data[:half], garbage=rng.randbytes(max(1, len(data))), empty=b"", longer=data + rng.randbytes(99)
    )
    return (others | dict(shape=FOREIGN.get(path.suffix, FOREIGN[""]))).get(kind, bytes(changed))


def try_case(work: Path, study: str, file: str, kind: str, seed: int) -> dict[str, object]:
    """Damage one file of a copy of the study, report it, give its command again, and compare its tables."""
    whole, folder = work / study, work / "case"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder, symlinks=True)
    _use_cache(folder)
    path, before = folder / file, tables(whole / "outputs/study")
    _damage(path, kind, random.Random(f"{seed} {file} {kind}"))
    began = time.monotonic()
    report = run(folder, "report", "outputs/study")
    reported = tables(folder / "outputs/study") if report.code == 0 else before
    unchanged = report.code == 0 and not difference(before, reported)
    named = path.name in report.text or bool(
        reported["trials"]["reason"].str.contains("unreadable|damaged|no run").any()
    )
    if file.startswith(NOT_READ_AGAIN):
        shutil.rmtree(next(folder.glob("outputs/study/frozen/confirm/*/seed-1")))
    again = run(folder, *words_of(study, work))
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


def _damage(path: Path, kind: str, rng: random.Random) -> None:
    if kind == "gone":
        path.unlink()
    else:
        path.write_bytes(damaged(path.read_bytes(), kind, path, rng))


def _use_cache(folder: Path) -> None:
    """Have commands keep decoded pictures and features in a study's own folder."""
    os.environ["HEADSTART_CACHE"] = str(folder / "cache")
