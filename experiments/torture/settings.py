"""Every key of the configuration with 30 hostile values, typed for a single run, a plan and a sweep of one trial.

Wanted of each: taken, or refused in a few lines; no traceback, no hang, nothing executed, nothing written elsewhere.
Which values a key may take is held by tests/cli/test_every_key.py, whose keys these are.
"""

import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import batches
import numpy as np
from batches import KEYS, REFUSED, TAKEN, is_wanted  # noqa: F401
from commands import answer, fault_of
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

CANARY = "executed"
WAYS = ("run", "plan", "sweep")
VALUES = (
    *(
        "'",
        '"',
        "{",
        "]",
        "[[[[[[[[1]]]]]]]]",
        "${oc.env:HOME}",
        "${lr}",
        "${",
        "${nonsense:1}",
        "../../x",
        "/dev/zero",
    ),
    *(
        "a" * 5_000,
        "9" * 400,
        "1e-400",
        "-inf",
        "0x10",
        "2.5",
        "💥",
        "a\nb",
        "\x1b[31m",
        "$(touch executed)",
        "null,null",
    ),
    *("interval(1,0)", "choice()", "range(0,1e9)", "tag(log, interval(0, 1))", "{_target_: os.system}", "/etc/passwd"),
    *("1e308", "-9223372036854775809"),
)


def attempts(work: Path, seed: int) -> Iterator[tuple[tuple[str, int], Callable[[], dict[str, object]]]]:
    """Every batch and what tries it."""
    count = len(combinations(seed))
    make_pictures(work / "data")
    yield from batches.attempts(
        work, 0, count, ("value",), lambda place, _, number: try_value(place, seed, number), size=40
    )


@cache
def combinations(seed: int) -> list[tuple[str, tuple[str, ...], str, str]]:
    """(key, words that bring it, value, way) of every case, shuffled by the seed."""
    from cli.test_every_key import CASES

    found = [(key, words, value, way) for key, words in CASES for value in VALUES for way in WAYS]
    random.Random(seed).shuffle(found)
    return found


def make_pictures(folder: Path) -> None:
    """What data=folder and data=table read."""
    shutil.rmtree(folder, ignore_errors=True)
    rng = np.random.default_rng(0)
    for name in "ab":
        (folder / name).mkdir(parents=True)
        for number in range(60):
            Image.fromarray(rng.integers(256, size=(8, 8, 3), dtype=np.uint8)).save(folder / name / f"{number}.png")
    rows = [f"{name}/{number}.png,{name}" for name in "ab" for number in range(60)]
    (folder / "labels.csv").write_text("\n".join(["path,label", *rows]))


def try_value(work: Path, seed: int, number: int) -> str:
    """Type one."""
    from cli.helpers_cli import tiny
    from cli.test_every_key import SMALL

    key, words, value, way = combinations(seed)[number]
    os.environ["HEADSTART_DATA"] = str(work / "data")
    folder = work / "typed"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "data").symlink_to(work / "data")
    before = set(work.rglob("*"))
    more = (
        () if way == "run" else ("-m", "n_trials=1", "confirm_seeds=0", "dry_run=true" if way == "plan" else "epochs=1")
    )
    given = tiny(*words, *(extra for word in words for extra in SMALL.get(word, [])), *more)
    typed = [word for word in given if word.partition("=")[0] != key] + [f"{key}={value}"]
    try:
        code, text = answer(folder, *typed)
    except ValueError as error:
        return str(error)
    strange = {path for path in set(work.rglob("*")) - before if not path.is_relative_to(folder / "outputs")}
    if any(path.name == CANARY for path in strange) or any(path.parent == work for path in strange):
        return f"{way} {' '.join(words)} {key}={value[:40]}: made {sorted(strange)[:3]}"
    if fault := fault_of(code, text):
        return f"{way} {' '.join(words)} {key}={value[:40]}: {fault}"
    return TAKEN if code == 0 else REFUSED
