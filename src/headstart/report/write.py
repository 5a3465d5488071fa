"""A folder of runs becomes CSV tables, plots, report.html and report.md; `headstart-report` is the command."""

import argparse
import dataclasses
import gc
import importlib.resources
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.analysis import (
    FRAMES,
    REPEATS,
    CaveatKind,
    Results,
    load_results,
    write_comparison,
    write_further_tables,
    write_table,
)
from headstart.errors import UserError
from headstart.store import find_runs, valid_name, write_atomically

if TYPE_CHECKING:
    from headstart.report.page import EmbeddedFigure

logger = logging.getLogger(__name__)

SIDE_BY_SIDE = "comparison"  # folder of a report on several studies, beside the first of them


def _refuse_without_runs(root: Path, tables_too: bool = True) -> None:
    """Refuse a folder with nothing of ours in it, which may be a data set: plots/ would become one of its classes.

    tables_too: published tables do as well.
    """
    known = (root / "study.json").exists() or (tables_too and (root / "tables" / "trials.csv").exists())
    if root.is_dir() and not known and not find_runs(root):
        raise UserError(f"{root} holds no runs; give a study's folder such as outputs/NAME.")


def _beside(roots: list[Path]) -> Results:
    """The studies in one, seen from the folder of their common report."""
    study = load_results(*roots)
    frames = {name: getattr(study, name) for name in FRAMES}
    for name, frame in frames.items():
        if "run_dir" in frame:
            frames[name] = frame.assign(run_dir=("../" + frame["run_dir"]).astype("string"))
    return dataclasses.replace(study, root=Path(os.path.normpath(roots[0] / ".." / SIDE_BY_SIDE)), **frames)


def write_report(results: Results) -> list[Path]:
    """Write everything that there is to say about `results` into their folder; return the paths, the page last.

    Tables go to tables/*.csv, plots to plots/, and report.md and report.html beside them.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    from headstart.report import page

    written = write_frames(results)
    figures, drawn, notes = _write_figures(results)
    content = page.Content(question(results), _name(results), results, figures, notes)
    for name, text in (("report.md", page.markdown(content)), ("report.html", page.html(content))):
        write_atomically(results.root / name, text.encode("utf-8", "replace"))
    return [*written, *drawn, results.root / "report.md", results.root / "report.html"]


def write_frames(results: Results) -> list[Path]:
    """Write the tables to tables/*.csv in the folder of the results; return their paths.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    folder = results.root / "tables"
    written = [write_table(folder / f"{name}.csv", getattr(results, name)) for name in FRAMES]
    return written + write_further_tables(folder, {name: getattr(results, name) for name in ("reported", *REPEATS)})


def _write_figures(results: Results) -> tuple[list["EmbeddedFigure"], list[Path], list[str]]:
    """Draw and save the plots; a fault in them leaves a note and not the reader without a page."""
    from headstart.report import figures
    from headstart.report.page import EmbeddedFigure, embedded
    from headstart.report.save_figures import save

    shown, paths = [], []
    try:
        for drawn in figures.draw_all(results):
            png, svg = save(drawn, results.root / "plots")
            link = png.relative_to(results.root).as_posix()
            shown.append(EmbeddedFigure(drawn.title, drawn.caption, drawn.alt, embedded(svg.read_bytes()), link))
            paths += [png, svg]
    except UserError:
        raise
    except Exception as error:
        logger.exception("the plots of %s are incomplete", results.root)
        return shown, paths, [f"Plots are missing: drawing them failed with {type(error).__name__}: {error}"]
    return shown, paths, []


def question(results: Results) -> str:
    """What the study asks: as its study.json says, or the first comment of its file in experiments/, or its name."""
    study = results.study_file
    if study.question.strip():
        return study.question
    try:
        folder = importlib.resources.files("headstart.experiments")
        lines = (folder / f"{valid_name(study.experiment)}.yaml").read_text(encoding="utf-8").splitlines()
    except (UserError, OSError, ValueError, ImportError):
        return _name(results)  # a study of one's own, typed or from a file that isn't here
    return next((x.lstrip("# ") for x in lines if x.startswith("# ") and "@package" not in x), _name(results))


def _name(results: Results) -> str:
    names = list(results.arms["study"].dropna().unique()) or [results.root.absolute().name]
    return " and ".join(names)


# ------------------------------------------------------------------------------------------------------------- terminal


def print_report(study: Results, written: list[Path]) -> None:
    """Print the arms, the verdicts, what must be said beside them and where the report is; the last line is a path."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from headstart.report import display_tables as cells

    terminal = Console()
    terminal = terminal if terminal.is_terminal else Console(width=160)
    for shown in filter(None, (cells.arms(study), cells.searches(study))):
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for heading, numeric in zip(shown.columns, shown.numeric, strict=True):
            table.add_column(Text(heading), justify="right" if numeric else "left")
        for row in shown.rows:
            table.add_row(*(Text(cell.text) for cell in row))
        terminal.print(table)
    for sentence in [*study.verdicts, *cells.reported_lines(study), *_said_in_the_terminal(study)]:
        print(sentence)
    print(written[0].parent, written[-1], sep="\n")


def _said_in_the_terminal(study: Results) -> list[str]:
    """The caveats that a reader of the last lines must not miss; the page has them all."""
    return [str(c) for c in study.caveats if c.kind in (CaveatKind.UNFINISHED, CaveatKind.TEST_READS)]


def main() -> None:
    """`headstart-report DIR`: collate the runs below DIR; several folders are reported side by side."""
    parser = argparse.ArgumentParser(
        prog="headstart-report",
        description="Collate runs into DIR/tables/*.csv, DIR/plots/, DIR/report.html and DIR/report.md.",
        epilog=f"Of several folders, the report is written to {SIDE_BY_SIDE}/ beside the first; studies that differ in "
        "nothing but seed= and name= are compared as repeats of one search.",
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="a study such as outputs/quickstart")
    parser.add_argument("--tables", action="store_true", help="only the CSV tables, which is fast")
    arguments = parser.parse_args()
    try:
        report(arguments.folders, tables_only=arguments.tables)
    except UserError as error:
        print(f"headstart-report: {error}", file=sys.stderr)
        sys.exit(1)


def report(folders: list[Path], tables_only: bool = False) -> None:
    """Write the report of the folders and print what it says. Raises UserError."""
    for folder in folders:
        _refuse_without_runs(folder, tables_too=not tables_only)  # which would be overwritten by empty ones
    if tables_only:
        gc.disable()  # a hundred thousand rows, all of them kept: looking for garbage is a tenth of the time
        written = write_comparison(folders[0]) if len(folders) == 1 else write_frames(_beside(folders))
        print(*written, sep="\n")
        return
    study = load_results(folders[0]) if len(folders) == 1 else _beside(folders)
    print_report(study, write_report(study))
