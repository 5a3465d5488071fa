"""`headstart predict`: a trained network says what is on pictures."""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from headstart.cli.paths import check_model
from headstart.errors import UserError, printable

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from headstart.inference import Classifier, Picture

EXAMPLES = """examples:
  {prog} outputs/quickstart --arm pretrained cat.jpg
  {prog} outputs/runs/2026-01-31_12-00-00-000000 holiday/ 'more/*.png' --top 3
  {prog} digits.safetensors scans/ --csv > found.csv
  curl -s https://example.org/cat.jpg | {prog} exported -

MODEL is the folder of a run, that of a study with --arm, or what `headstart weights export` has written. Pictures are
read as data=folder reads them: upright, the largest centred square. One that cannot be read is a row with its reason;
then the exit code is 1."""


def make_parser(prog: str) -> argparse.ArgumentParser:
    """What may be typed behind `headstart predict`."""
    shown = dict(formatter_class=argparse.RawDescriptionHelpFormatter, epilog=EXAMPLES.format(prog=prog))
    parser = argparse.ArgumentParser(prog=prog, description="Say what is on pictures.", **shown)
    parser.add_argument("model", metavar="MODEL", help="the folder of a run or a study, or an exported file or folder")
    kinds = "pictures, folders of them, patterns, or - for a picture on the standard input"
    parser.add_argument("pictures", nargs="+", metavar="PICTURES", help=kinds)
    parser.add_argument("--arm", help="which arm's network, of a study")
    parser.add_argument("--top", type=int, metavar="K", help="the K most probable classes (default: 1)")
    parser.add_argument("--batch", type=int, default=64, metavar="N", help="pictures at a time (default: 64)")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--csv", action="store_true", help="a line per picture with every class's probability, as CSV")
    kind.add_argument("--json", action="store_true", help="a line per picture with every class's probability, as JSON")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Do what was typed; return 1 where a picture could not be read. Raises UserError."""
    for name in ("top", "batch"):
        if (given := getattr(arguments, name)) is not None and given < 1:
            raise UserError(f"--{name} {given}: give 1 or more")
    if arguments.top is not None and (arguments.csv or arguments.json):
        raise UserError("--top is for the table; --csv and --json have the probability of every class")
    check_model(arguments.model)
    from headstart.inference import find_pictures

    pictures = find_pictures(arguments.pictures, getattr(sys.stdin, "buffer", None))
    from headstart.notebook import load_model

    classifier = load_model(arguments.model, arguments.arm)
    print_found = _print_csv if arguments.csv else _print_json if arguments.json else _print_table
    unread = 0
    for number, frame in enumerate(_shown(classifier, pictures, arguments.batch)):
        print_found(frame, classifier.classes, arguments.top or 1, number == 0)
        unread += int(frame["error"].notna().sum())
    if unread:
        print(f"headstart predict: {unread} of {len(pictures)} pictures could not be read", file=sys.stderr)
    return 1 if unread else 0


def _shown(classifier: "Classifier", pictures: "list[Picture]", batch: int) -> "Iterator[pd.DataFrame]":
    """The predictions, with a progress bar on a terminal's standard error while they are made."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(pictures), speed="")
        for frame in classifier.predictions(pictures, errors="row", batch=batch):
            bar.advance(task, len(frame))
            speed = bar.tasks[0].finished_speed or bar.tasks[0].speed
            bar.update(task, speed=f"{speed:,.0f} pictures/s" if speed else "")
            yield frame


def _shares(frame: "pd.DataFrame", classes: tuple[str, ...]) -> "np.ndarray":
    """The probabilities of the classes, which are the last columns."""
    return frame.iloc[:, -len(classes) :].to_numpy()


def _print_csv(frame: "pd.DataFrame", classes: tuple[str, ...], top: int, first: bool) -> None:
    print(frame.to_csv(header=first), end="")


def _print_json(frame: "pd.DataFrame", classes: tuple[str, ...], top: int, first: bool) -> None:
    for name, reason, row in zip(frame.index, frame["error"], _shares(frame, classes), strict=True):
        if isinstance(reason, str):
            print(json.dumps({"image": name, "error": reason}))
            continue
        shares = dict(zip(classes, map(float, row), strict=True))
        best = max(shares, key=shares.get)
        print(json.dumps({"image": name, "class": best, "probability": shares[best], "probabilities": shares}))


def _print_table(frame: "pd.DataFrame", classes: tuple[str, ...], top: int, first: bool) -> None:
    """A line per picture, the columns as wide as this part of the table needs."""
    names = [printable(str(name)) for name in frame.index]
    width = max(map(len, names))
    for name, reason, row in zip(names, frame["error"], _shares(frame, classes), strict=True):
        if isinstance(reason, str):
            print(f"{name:<{width}}  cannot be read: {reason}")
            continue
        places = row.argsort()[::-1][:top]
        print(
            f"{name:<{width}}",
            *(f"{100 * row[place]:5.1f} % {printable(classes[place])}" for place in places),
            sep="  ",
        )
