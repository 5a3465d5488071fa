"""Kills, faults, damage and hostile input, seeded and by the hour: `make torture`.

    python experiments/torture/torture.py [--minutes 20] [--seed 0] [--only calls kills] [--again] [--folder DIR]

Every figure is a line of outputs/torture/PART.csv. The same command goes on where the last one was stopped, with cases
that were not tried yet. It exits 1 where one ended otherwise than wanted.
"""

import argparse
import csv
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

os.environ.setdefault("OMP_NUM_THREADS", "1")

import calls
import damage
import kills
import pages
import pictures
import places
import records
import resume
import settings
import weight_files
import words
from commands import warm_up

# Each has KEYS, the columns that tell its cases apart, attempts(work, seed), which yields the values of these and what
# tries the case and returns its row, and is_wanted(row).
PARTS: dict[str, ModuleType] = {
    module.__name__: module
    for module in (calls, resume, kills, damage, records, pictures, weight_files, pages, words, settings, places)
}


def known(path: Path) -> list[dict[str, str]]:
    """The lines that are there already."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def torture(part: str, folder: Path, seed: int, until: float) -> list[dict[str, str]]:
    """Try what was not tried yet until that time on the monotonic clock; return all lines that there are then."""
    path, module = folder / f"{part}.csv", PARTS[part]
    done = {tuple(row[key] for key in module.KEYS) for row in known(path)}
    work = Path(tempfile.mkdtemp(prefix="headstart-torture-", dir=fast_disk()))
    (work / "cache").mkdir()
    os.environ["HEADSTART_CACHE"] = str(work / "cache")
    try:
        with open(path, "a", newline="", encoding="utf-8") as file:
            for identity, attempt in module.attempts(work, seed):
                if time.monotonic() > until:
                    break
                if tuple(map(str, identity)) in done:
                    continue
                row = dict(zip(module.KEYS, identity, strict=True)) | attempt()
                writer = csv.DictWriter(file, row)
                if not file.tell():
                    writer.writeheader()
                writer.writerow(row)
                file.flush()
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return known(path)


def forget_bad(part: str, path: Path) -> None:
    """Leave only those lines that are as wanted."""
    rows = known(path)
    if rows:
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(row for row in rows if PARTS[part].is_wanted(row))


def fast_disk() -> str | None:
    """In memory, where there is such a place: studies wait for the disk most of their time."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def tell(part: str, rows: list[dict[str, str]], path: Path) -> bool:
    """Print what came of a part; return whether all is as wanted."""
    bad = [row for row in rows if not PARTS[part].is_wanted(row)]
    print(f"{part}: {len(rows)} tried, {len(bad)} of them not as wanted ({path})", flush=True)
    for column in {"tried", "taken", "refused", "cuts"} & rows[0].keys() if rows else ():  # of a line that is a batch
        print("  ", column, sum(int(row[column]) for row in rows))
    for row in bad[:20]:
        print("  ", {key: value for key, value in row.items() if value})
    return not bad


def main() -> int:
    """Torture for so many minutes, an equal share of them each part; print what came of it; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS), help="some parts alone")
    parser.add_argument("--again", action="store_true", help="what was not as wanted is tried once more")
    parser.add_argument("--folder", type=Path, default=Path("outputs/torture"))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    warm_up()
    end, all_wanted = time.monotonic() + 60 * given.minutes, True
    for place, part in enumerate(given.only):
        if given.again:
            forget_bad(part, given.folder / f"{part}.csv")
        now = time.monotonic()  # what a part leaves of its time is shared by those behind it
        rows = torture(part, given.folder, given.seed, now + (end - now) / (len(given.only) - place))
        all_wanted &= tell(part, rows, given.folder / f"{part}.csv")
    return int(not all_wanted)


if __name__ == "__main__":
    sys.exit(main())
