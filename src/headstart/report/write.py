"""Results become CSV tables, plots, report.html and report.md."""

import importlib.resources
import logging
from pathlib import Path

from headstart.analysis import FRAMES, REPEATS, Results, write_further_tables, write_table
from headstart.errors import UserError
from headstart.report.drawing import EmbeddedFigure, embedded
from headstart.store import valid_name, write_atomically

logger = logging.getLogger(__name__)


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
    written.append(write_table(folder / "arms_short.csv", results.short))
    further = {name: getattr(results, name) for name in ("reported", "corruptions", *REPEATS)}
    return written + write_further_tables(folder, further | {"forecast": results.forecasts})


def _write_figures(results: Results) -> tuple[list[EmbeddedFigure], list[Path], list[str]]:
    """Draw and save the plots; a fault in them leaves a note and not the reader without a page."""
    from headstart.report import figures
    from headstart.report.save_figures import save

    shown, paths = [], []
    try:
        for drawn in figures.draw_all(results):
            png, svg = save(drawn, results.root / "plots")
            link = png.relative_to(results.root).as_posix()
            words = drawn.title, drawn.caption, drawn.alt
            looks = drawn.section, drawn.says_title, drawn.least_width, drawn.is_wide
            shown.append(EmbeddedFigure(*words, embedded(svg.read_bytes()), link, *looks))
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
