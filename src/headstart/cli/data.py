"""`headstart data`: what is in a data set, as a study would use it, before anything is trained on it."""

import argparse
import gc
import json
import logging
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.cli.paths import Source, find_source
from headstart.errors import UserError

if TYPE_CHECKING:
    from headstart.data import Refused
    from headstart.report import SurveyedData

TAKEN = ("data", "image_size", "split_seed")  # keys that change the data
EXAMPLES = """examples:
  {prog} pictures                         class folders, in train/, val/ and test/ or without
  {prog} labels.csv data.size=128         a list with the columns path, label and, if wanted, split
  {prog} cifar10 data.train_size=500      by name; read from $HEADSTART_DATA, or ./data
  {prog} pictures data.duplicates=drop --json > data.json

The exit code is 1 where a study would refuse the pictures, which are shown all the same."""
MOST_ROWS, LAST_ROWS = 40, 5  # classes in the terminal's table, of more the first and the last


class _Parser(argparse.ArgumentParser):
    """One that takes its options among the overrides, too."""

    def parse_args(self, *arguments: Any) -> argparse.Namespace:
        return self.parse_intermixed_args(*arguments)


def make_parser(prog: str) -> argparse.ArgumentParser:
    """What may be typed behind `headstart data`."""
    parser = _Parser(
        prog=prog,
        description="Count, measure and show the pictures of a data set as a study would use them.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXAMPLES.format(prog=prog),
    )
    parser.add_argument("root", metavar="ROOT", help="a folder, a list of labels, or cifar10, cifar100 or digits")
    words = "what changes the data: data.KEY=..., split_seed=, image_size="
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help=words)
    parser.add_argument("--json", action="store_true", help="print the same as JSON")
    to = "folder of the page, index.html and samples.png (default: outputs/data/NAME)"
    parser.add_argument("--to", type=Path, metavar="DIR", help=to)
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Do what was typed. Raises UserError, after all is shown also for what a study would refuse."""
    gc.disable()  # importing torch makes a million objects, none of them garbage: looking for it is a second
    try:
        show(arguments)
    finally:
        gc.enable()


def show(arguments: argparse.Namespace) -> None:
    """Say what is in the data set, and write its page. Raises UserError."""
    source = find_source(arguments.root)
    _check_place(arguments.to, source)
    _say_first(source, arguments.root)
    node, image_size, words = _configured(source, arguments.words)
    data, refused = _surveyed(node, image_size)
    commands = _next(source, words, arguments.root, data.record.name, refused)
    said = [str(error) for error in refused]
    place = arguments.to or _usual_place(data.record.name, source)
    if not arguments.json:
        _print(data, said)
    page = None
    if place is not None:
        from headstart.report import write_data_page

        page = write_data_page(place, data, shlex.join([arguments.root, *words]), said, _lines(commands))
    if arguments.json:
        facts = data.record.as_dict() | dict(image_size=image_size, can_show=_can_show(data), refused=said)
        print(json.dumps(facts | dict(next=list(commands.values()), page=page and str(page)), indent=2))
    else:
        why = "no page: outputs/ would lie among the pictures; --to DIR names a folder elsewhere"
        print("", page or why, *_lines(commands), sep="\n")
    if said:
        why = "; ".join(text.splitlines()[0].rstrip(":.") for text in said)
        raise UserError(f"a study would refuse these pictures: {why}")


# ------------------------------------------------------------------------------------------------------------- reading


def _say_first(source: Source, root: str) -> None:
    """List the files, whose mistakes are said before torch is imported, and say what is being read."""
    counted = f"reading {source.option}"
    if source.folder is not None:
        from headstart.data import read_labelled
        from headstart.store import expanded

        tree = read_labelled(expanded(source.root or root))
        counted = f"{root}: reading {len(tree.paths):,} pictures of {len(tree.classes):,} classes"
    print(counted, file=sys.stderr, flush=True)


def _configured(source: Source, typed: Sequence[str]) -> tuple[dict[str, Any], int | None, list[str]]:
    """The data's node of the configuration, `image_size`, and the words as Hydra takes them. Raises UserError."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    from headstart.config import check_node, check_values, composed, explain, key_of, understood

    for word in typed:
        if "=" not in word or key_of(word).partition(".")[0] not in TAKEN:
            raise UserError(f"{word}: behind ROOT stands what changes the data: data.KEY=..., split_seed=, image_size=")
        if key_of(word) == "data" or (key_of(word) == "data.root" and source.root is not None):
            raise UserError(f"{word}: ROOT says that already; leave one of them out")
    words = understood(typed)
    try:
        for given in OverridesParser.create().parse_overrides(words):
            if given.is_sweep_override():
                raise UserError(f"{given.input_line} is several values; a data set is looked at with one of them")
        cfg = composed([*source.words, *words])
    except HydraException as error:
        raise UserError(explain(error, [*source.words, *words])) from None
    check_values(cfg)
    node = OmegaConf.to_container(cfg.data, resolve=True)
    check_node("data", node)
    return node, cfg.image_size, words


def _surveyed(node: dict[str, Any], image_size: int | None) -> "tuple[SurveyedData, list[Refused]]":
    """Read the data set as a run does, and look at it."""
    from headstart.config import make
    from headstart.data import describe_data, read_anyway, sample_sheet
    from headstart.report import SurveyedData

    logging.getLogger("headstart.data").setLevel(logging.ERROR)  # what it would say stands in the table's lines
    data, refused = read_anyway(lambda: make(node))
    return SurveyedData(describe_data(data, across_classes=True), sample_sheet(data), image_size), refused


# ------------------------------------------------------------------------------------------------------------- telling


def _print(data: "SurveyedData", refused: Sequence[str]) -> None:
    """Print the counts as a table, or where nobody looks on as plain lines, and a line for each fact."""
    view = data.view
    print(view.title)
    columns, rows = view.counts.columns, [[cell.text for cell in row] for row in view.counts.rows]
    if sys.stdout.isatty():
        _print_table(columns, rows)
    else:
        for name, *counts in rows:
            print(f"{name}: {', '.join(f'{n} {part.lower()}' for part, n in zip(columns[1:], counts, strict=True))}")
    for label, text in view.lines:
        print(f"{label}: {text}")
    for text in refused:
        print(f"Refused: {text}")


def _print_table(columns: Sequence[str], rows: list[list[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from headstart.cli.console import stdout_console

    if len(rows) > MOST_ROWS + 1:
        left_out = len(rows) - 1 - MOST_ROWS
        first, last = rows[: MOST_ROWS - LAST_ROWS], rows[-LAST_ROWS - 1 :]
        rows = [*first, [f"... {left_out:,} more", *[""] * (len(columns) - 1)], *last]
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for place, heading in enumerate(columns):
        table.add_column(heading, justify="right" if place else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    stdout_console().print(table)


def _can_show(data: "SurveyedData") -> dict[str, float]:
    """Points of accuracy that the choice of so many pictures moves, by part."""
    from headstart.statistics import sampling_half_width

    return {part: sampling_half_width(50, n) for part in ("val", "test") if (n := data.record.total(part))}


# -------------------------------------------------------------------------------------------------------- what follows


def _next(source: Source, words: Sequence[str], root: str, name: str, refused: "Sequence[Refused]") -> dict[str, str]:
    """What to type next, by what it is for."""
    again = ["headstart", "data", root, *(word for word in words if not word.startswith("data.duplicates="))]
    if refused:
        return {error.way_out: shlex.join([*again, *error.words]) for error in refused}
    place, source = _from_outside(source)
    of_study = [word for word in words if not re.match(r"\+*data\.fold=", word)]  # which takes all of them
    arms = ["headstart", "-m", *source.words, *of_study, "model=cnn,resnet18"]
    study = [*arms, "budget=quick", f"name={_study_name(name)}"]
    return {
        "To train one network": place + shlex.join(["headstart", *source.words, *words]),
        "To see what a study of two networks would take": place + shlex.join([*study, "dry_run=true"]),
        "To begin that study, and go on with it": place + shlex.join(study),
        "To have one that fits half an hour": place + shlex.join([*arms, "minutes=30", f"name={_study_name(name)}_30"]),
    }


def _from_outside(source: Source) -> tuple[str, Source]:
    """How to leave the folder of pictures, where outputs/ would be one of them, and what they are called from there."""
    here = Path.cwd().resolve()
    if source.option != "folder" or source.folder is None or not here.is_relative_to(root := source.folder.resolve()):
        return "", source
    return f"cd {shlex.quote(os.path.relpath(root.parent, here))} && ", Source(source.option, root.name)


def _lines(commands: dict[str, str]) -> list[str]:
    return [line for purpose, command in commands.items() for line in (f"# {purpose}:", command)]


def _study_name(name: str) -> str:
    """A name that a study may have, after the data set's."""
    from headstart.config import RESERVED

    text = re.sub(r"^[^A-Za-z0-9]+", "", name)[:50] or "pictures"
    return f"{text}_study" if text in (*RESERVED, "data") else text


# ------------------------------------------------------------------------------------------------------------- the page


def _check_place(to: Path | None, source: Source) -> None:
    """Refuse a folder for the page that is not ours to write to. Raises UserError."""
    if to is None:
        return
    if _lies_in(to, source):
        raise UserError(f"--to {to} lies among the pictures in {source.root}, and would be one of them; give another")
    from headstart.report import check_page_folder

    check_page_folder(to)


def _usual_place(name: str, source: Source) -> Path | None:
    """Where the page goes unasked; None where that lies among the pictures."""
    place = Path("outputs") / "data" / name
    return None if _lies_in(place, source) else place


def _lies_in(place: Path, source: Source) -> bool:
    """Whether a folder lies in that of the pictures, where it would be taken for a class; a list names its own."""
    folder = source.folder if source.option == "folder" else None
    return folder is not None and place.absolute().resolve().is_relative_to(folder.resolve())
