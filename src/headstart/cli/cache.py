"""`headstart cache`: what is kept on disk for all runs, and how to be rid of it."""

import argparse
import math
import time
from pathlib import Path

from headstart.store import (
    GB,
    FeatureCache,
    cache_limit,
    cache_root,
    describe_features,
    shown_path,
    shown_size,
    size_on_disk,
)

DAY = 86_400  # seconds


def make_parser(prog: str) -> argparse.ArgumentParser:
    """What may be typed behind `headstart cache`."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="List the features of frozen backbones and the pictures that runs share, or remove features.",
        epilog="All lies in $HEADSTART_CACHE (or ~/.cache/headstart). Features take HEADSTART_CACHE_GB (20) at most, "
        "new ones half of the disk's free space; 0 keeps none. What is removed is computed again when a run needs it.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("list", help="what there is, how large, when it was last used (the default)")
    clear = commands.add_parser("clear", help="remove all features that no process uses")
    clear.add_argument("--older-than", type=_days, default=0.0, metavar="DAYS", help="only those not used for so long")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Do what was typed. Raises UserError and OSError."""
    folder = cache_root()
    kept = FeatureCache(folder / "features", cache_limit())
    if arguments.command == "clear":
        clear_features(kept, arguments.older_than)
    else:
        print_list(kept, folder)


def _days(text: str) -> float:
    days = float(text)
    if not (math.isfinite(days) and days >= 0):
        raise argparse.ArgumentTypeError(f"{text} is no number of days; give 0 or more, e.g. 30")
    return days


def print_list(kept: FeatureCache, folder: Path) -> None:
    """Print a line per entry, their sum, and what else lies there."""
    entries = kept.entries()
    rows = [(describe_features(e.facts), shown_size(e.size), _ago(e.used), "in use" if e.held else "") for e in entries]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    for what, size, used, held in rows:
        print(f"{what:<{widths[0]}}  {size:>{widths[1]}}  used {used:<{widths[2]}}  {held}".rstrip())
    total = shown_size(sum(entry.size for entry in entries))
    print(f"{_entries(len(rows))}, {total} of {kept.limit / GB:g} GB at most, in {shown_path(kept.folder)}")
    unfinished = [size_on_disk(path) for path in kept.folder.glob(".*.unfinished")]
    if unfinished:
        print(f"{_entries(len(unfinished))} more being written, {shown_size(sum(unfinished))}")
    sources = ("folder", "cifar10", "cifar100")
    decoded = [
        path for name in sources for form in (f"{name}-*", f".{name}-*.unfinished") for path in folder.glob(form)
    ]
    if decoded:
        size = shown_size(sum(size_on_disk(path) for path in decoded))
        print(f"decoded pictures beside them, {size}, delete freely when no run needs them:")
        for path in sorted(decoded):
            print(f"  {shown_path(path)}")


def clear_features(kept: FeatureCache, days: float) -> None:
    """Remove the entries not used for `days` that no process uses, and what killed processes left; say how much."""
    removed, size, held = 0, 0, 0
    for entry in kept.entries():
        if time.time() - entry.used >= days * DAY:
            gone = kept.remove(entry.name)
            removed, size, held = removed + gone, size + gone * entry.size, held + (not gone)
    kept.remove_leftovers()
    staying = f"; left {held} in use" if held else ""
    print(f"removed {_entries(removed)}, {shown_size(size)}, from {shown_path(kept.folder)}{staying}")


def _entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number:,} entries"


def _ago(moment: float) -> str:
    seconds = max(0.0, time.time() - moment)
    for length, unit in ((DAY, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return "just now"
