"""`headstart report`: collate folders of runs into tables, plots and a page, and print what they say."""

import argparse
import dataclasses
import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.errors import UserError
from headstart.export import TARGETS
from headstart.store import check_remote, fetch_study, find_runs

if TYPE_CHECKING:
    from headstart.analysis import Results
    from headstart.export import Exported
    from headstart.report import display_tables

SIDE_BY_SIDE = "comparison"  # folder of a report on several studies, beside the first of them
PLAIN_WIDTH = 180  # columns of a table that goes to a file or a pipe


def make_parser(prog: str) -> argparse.ArgumentParser:
    """What may be typed behind `headstart report`."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Collate runs into DIR/tables/*.csv, DIR/plots/, DIR/report.html and DIR/report.md.",
        epilog=f"Of several folders, the report is written to {SIDE_BY_SIDE}/ beside the first; studies that differ in "
        "nothing but seed= and name= are compared as repeats of one search.",
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="a study such as outputs/quickstart")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--to", choices=list(TARGETS), help="write every run into the store of another tracker instead")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of that store; default: export/ in the study's")
    kind.add_argument("--tables", action="store_true", help="only the CSV tables, which is fast")
    fetch = (
        "first fetch the runs that DIR lacks from where hydra.sweeper.sync= put them, such as s3://BUCKET/studies/NAME"
    )
    parser.add_argument("--fetch", metavar="URL", help=fetch)
    explain = "also where the arms looked on test pictures (Grad-CAM; needs captum and the runs' weights), once for all"
    parser.add_argument("--explain", action="store_true", help=explain)
    kind.add_argument(
        "--forecast",
        type=int,
        metavar="IMAGES",
        help="what arms that differ in data.train_size would reach with so many images, from those with fewer",
    )
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Do what was typed. Raises UserError."""
    if arguments.out is not None and arguments.to is None:
        raise UserError("--out goes with --to: it is the folder of another tracker's store.")
    if arguments.explain and (arguments.to is not None or arguments.tables or len(arguments.folders) > 1):
        raise UserError("--explain is for the page of one study: headstart report DIR --explain")
    if arguments.fetch is not None:
        fetch_runs(arguments.folders, arguments.fetch)
    if arguments.to is not None:
        print(export_runs(arguments.folders, arguments.to, arguments.out))
    elif arguments.tables:
        print(*write_tables(arguments.folders), sep="\n")
    else:
        report(arguments.folders, arguments.forecast, explain=arguments.explain)


def fetch_runs(folders: list[Path], url: str) -> None:
    """Fetch into the one folder what it lacks of a study in a store, with a line for each run that is left out.

    Raises:
        UserError: there are several folders, or the URL is none, cannot be read, or is not that of the folder's study.
    """
    if len(folders) > 1:
        raise UserError("--fetch is for one study: headstart report DIR --fetch URL")
    for line in fetch_study(folders[0], check_remote(url, "--fetch")):
        print(f"headstart report: {line}", file=sys.stderr)


def report(folders: list[Path], forecast: int | None = None, *, explain: bool = False) -> None:
    """Write the report of the folders, side by side where there are several, and print what it says.

    forecast: training images for which the accuracy of arms with fewer is forecast, too. explain: whether the page gets
    where the arms looked on test pictures; where that cannot be, a line says why, and the report is as without.

    Raises:
        UserError: one of them is not a folder or holds no runs, nothing can be forecast, or the report not be written.
    """
    from headstart.report import write_report

    results = load_reported(folders)
    if forecast is not None:
        results = dataclasses.replace(results, forecasts=results.forecast(forecast))
    if explain:
        from headstart.cli.explain import explain_study

        if (why_not := explain_study(results)) is not None:
            print(f"headstart report: where the arms looked is not shown: {why_not}", file=sys.stderr)
    print_report(results, write_report(results))


def export_runs(folders: list[Path], target: str, folder: Path | None = None) -> "Exported":
    """Write the runs of the folders into the store of another tracker, in `folder`; return what was done.

    Raises:
        UserError: one of them is not a folder or holds no runs, the tracker's library is not there, or the folder
        cannot be written.
    """
    from headstart.export import export

    return export(load_reported(folders), target, folder)


def write_tables(folders: list[Path]) -> list[Path]:
    """Write only the CSV tables of the folders; return their paths.

    Raises:
        UserError: one of them is not a folder or holds no runs, or the tables cannot be written.
    """
    from headstart.analysis import write_comparison
    from headstart.report import write_frames

    gc.disable()  # a hundred thousand rows, all of them kept: looking for garbage is a tenth of the time
    try:
        for folder in folders:
            _refuse_without_runs(folder, tables_do=False)  # which would be overwritten by empty ones
        return write_comparison(folders[0]) if len(folders) == 1 else write_frames(_beside(folders))
    finally:
        gc.enable()


def load_reported(folders: list[Path]) -> "Results":
    """Return what a report on the folders is about; of several, seen from the folder that their common report gets.

    Raises:
        UserError: one of them is not a folder or holds neither runs nor tables, or two hold the same runs.
    """
    from headstart.analysis import load_results

    for folder in folders:
        _refuse_without_runs(folder, tables_do=True)
    return load_results(folders[0]) if len(folders) == 1 else _beside(folders)


def _refuse_without_runs(folder: Path, tables_do: bool) -> None:
    """Refuse a folder with nothing of ours in it, which may be a data set: plots/ would become one of its classes.

    tables_do: published tables are enough.
    """
    known = (folder / "study.json").exists() or (tables_do and (folder / "tables" / "trials.csv").exists())
    if folder.is_dir() and not known and not find_runs(folder):
        raise UserError(f"{folder} holds no runs; give a study's folder such as outputs/NAME.")


def _beside(folders: list[Path]) -> "Results":
    """The studies in one, seen from the folder of their common report."""
    from headstart.analysis import FRAMES, load_results

    results = load_results(*folders)
    frames = {name: getattr(results, name) for name in FRAMES}
    for name, frame in frames.items():
        if "run_dir" in frame:
            frames[name] = frame.assign(run_dir=("../" + frame["run_dir"]).astype("string"))
    return dataclasses.replace(results, root=Path(os.path.normpath(folders[0] / ".." / SIDE_BY_SIDE)), **frames)


# ------------------------------------------------------------------------------------------------------------- terminal


def print_report(results: "Results", written: list[Path]) -> None:
    """Print the arms, the verdicts, what must be said beside them and where the report is; the last line is a path."""
    from headstart.analysis import forecast_lines
    from headstart.report import display_tables

    for table in (display_tables.arms(results), display_tables.searches(results)):
        if table is not None:
            _print_table(table)
    forecasts = forecast_lines(results.forecasts)
    reported = display_tables.reported_lines(results)
    kept_time = [results.study_file.kept_time] if results.study_file.kept_time else []
    for sentence in [*results.verdicts, *forecasts, *reported, *_said_in_the_terminal(results), *kept_time]:
        print(sentence)
    print(written[0].parent, written[-1], sep="\n")


def _print_table(shown: "display_tables.DisplayTable") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from headstart.cli.console import stdout_console

    terminal = stdout_console()
    terminal = terminal if terminal.is_terminal else stdout_console(width=PLAIN_WIDTH)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading, numeric in zip(shown.columns, shown.numeric, strict=True):
        table.add_column(Text(heading), justify="right" if numeric else "left")
    for row in shown.rows:
        table.add_row(*(Text(cell.text) for cell in row))
    terminal.print(table)


def _said_in_the_terminal(results: "Results") -> list[str]:
    """The caveats that a reader of the last lines must not miss; the page has them all."""
    from headstart.analysis import CaveatKind

    shown = (CaveatKind.DEAD_END, CaveatKind.UNFINISHED, CaveatKind.TEST_READS)
    return [str(caveat) for caveat in results.caveats if caveat.kind in shown]
