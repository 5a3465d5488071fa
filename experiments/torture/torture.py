"""Kills and damage, seeded and by the hour: `make torture`. Every figure is a line of outputs/torture/*.csv.

    python experiments/torture/torture.py [--minutes 20] [--seed 0] [--only kills|damage] [--folder outputs/torture]

The same command goes on where the last one was stopped, with seeds that were not tried yet. It exits 1 where a series
ended otherwise than wanted.
"""

import argparse
import csv
import itertools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from commands import run, warm_up
from damage import STUDY, cases, try_case
from kills import STUDIES, try_series


def whole_study(place: Path, words: tuple[str, ...]) -> float:
    """Run a study that nobody disturbs; return the seconds that it took."""
    place.mkdir(parents=True)
    ended = run(place, *words)
    if ended.code:
        sys.exit(f"the undisturbed study ended with {ended.code}:\n{ended.text[-2000:]}")
    return ended.seconds


def kills(work: Path, seed: int) -> Iterator[tuple[tuple[str, ...], Callable[[], dict[str, object]]]]:
    """(what identifies it, how it is tried) of every series of kills, the studies in turn."""
    seconds: dict[str, float] = {}
    for number, study in ((number, study) for number in itertools.count(seed) for study in STUDIES):

        def attempt(study: str = study, number: int = number) -> dict[str, object]:
            if study not in seconds:
                seconds[study] = whole_study(work / study, STUDIES[study])
            return try_series(work / study, work / "killed", study, number, seconds[study])

        yield (study, str(number)), attempt


def damage(work: Path, seed: int) -> Iterator[tuple[tuple[str, ...], Callable[[], dict[str, object]]]]:
    """The same of every case of damage."""
    whole_study(work / "whole", STUDY)
    for file, kind, number in cases(work / "whole", 1000, seed):
        yield (
            (file, kind, str(number)),
            lambda f=file, k=kind, n=number: try_case(work / "whole", work / "case", f, k, n),
        )


PARTS = {"kills": (kills, ("study", "seed")), "damage": (damage, ("file", "kind", "seed"))}


def is_wanted(part: str, row: dict[str, str]) -> bool:
    """Whether a series ended as it has to."""
    if int(row["tracebacks"]):
        return False
    if part == "kills":
        return row["same"] == "True" and row["lost"] == "0"
    return row["accepted"] == "False"


def known(path: Path) -> list[dict[str, str]]:
    """The lines that are there already."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def torture(part: str, folder: Path, seed: int, until: float) -> list[dict[str, str]]:
    """Try what was not tried yet until that time on the monotonic clock; return all lines that there are then."""
    path, (make, keys) = folder / f"{part}.csv", PARTS[part]
    done = {tuple(row[key] for key in keys) for row in known(path)}
    work = Path(tempfile.mkdtemp(prefix="headstart-torture-"))
    try:
        for identity, attempt in make(work, seed):
            if time.monotonic() > until:
                break
            if identity in done:
                continue
            row = attempt()
            begins = not path.exists()
            with open(path, "a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, row)
                if begins:
                    writer.writeheader()
                writer.writerow(row)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return known(path)


def main() -> int:
    """Torture for so many minutes, half of them each part; print what came of it; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    parser.add_argument("--folder", type=Path, default=Path("outputs/torture"))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    os.environ["HEADSTART_CACHE"] = tempfile.mkdtemp(prefix="headstart-torture-cache-")
    warm_up()
    chosen, code = [given.only] if given.only else list(PARTS), 0
    for part in chosen:
        began = time.monotonic()
        rows = torture(part, given.folder, given.seed, began + 60 * given.minutes / len(chosen))
        bad = [row for row in rows if not is_wanted(part, row)]
        print(f"{part}: {len(rows)} tried, {len(bad)} of them not as wanted ({given.folder / f'{part}.csv'})")
        for row in bad[:20]:
            print("  ", {key: value for key, value in row.items() if value})
        code = max(code, int(bool(bad)))
    shutil.rmtree(os.environ["HEADSTART_CACHE"], ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
