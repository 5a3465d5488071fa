"""Results become CSV tables, plots, report.html and report.md."""

import importlib.resources
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.analysis import FRAMES, REPEATS, Results, write_further_tables, write_table
from headstart.errors import UserError
from headstart.store import valid_name, write_atomically

if TYPE_CHECKING:
    from headstart.report.page import Figure

logger = logging.getLogger(__name__)


def write_report(study: Results) -> list[Path]:
    """Write everything that there is to say about `study` into its folder; return the paths, the page last.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    from headstart.report import page

    written = write_frames(study)
    figures, drawn, notes = _figures(study)
    content = page.Content(question(study), _name(study), study, figures, notes)
    for name, text in (("report.md", page.markdown(content)), ("report.html", page.html(content))):
        write_atomically(study.root / name, text.encode("utf-8", "replace"))
    return [*written, *drawn, study.root / "report.md", study.root / "report.html"]


def write_frames(study: Results) -> list[Path]:
    """Write the study's tables to tables/*.csv in its folder; return their paths."""
    folder = study.root / "tables"
    written = [write_table(folder / f"{name}.csv", getattr(study, name)) for name in FRAMES]
    return written + write_further_tables(folder, {name: getattr(study, name) for name in ("reported", *REPEATS)})


def _figures(study: Results) -> tuple[list["Figure"], list[Path], list[str]]:
    """Draw and save the plots; a fault in them leaves a note and not the reader without a page."""
    from headstart.report import page
    from headstart.report.plots import all as plots

    figures, paths = [], []
    try:
        for picture in plots.draw_all(study.root, study):
            png, svg = plots.save(picture, study.root / "plots")
            link = png.relative_to(study.root).as_posix()
            drawn = page.inline_svg(svg.read_bytes())
            figures.append(page.Figure(picture.name, picture.title, picture.caption, drawn, link))
            paths += [png, svg]
    except UserError:
        raise
    except Exception as error:
        logger.exception("the plots of %s are incomplete", study.root)
        return figures, paths, [f"Plots are missing: drawing them failed with {type(error).__name__}: {error}"]
    return figures, paths, []


def question(study: Results) -> str:
    """What the study asks: as its study.json says, or the first comment of its file in experiments/, or its name."""
    asked, experiment = (study.study.get(key) for key in ("question", "experiment"))
    if isinstance(asked, str) and asked.strip():
        return asked
    try:
        folder = importlib.resources.files("headstart.experiments")
        lines = (folder / f"{valid_name(experiment)}.yaml").read_text(encoding="utf-8").splitlines()
    except (UserError, OSError, ValueError, ImportError):
        return _name(study)  # a study of one's own, typed or from a file that isn't here
    return next((x.lstrip("# ") for x in lines if x.startswith("# ") and "@package" not in x), _name(study))


def _name(study: Results) -> str:
    names = list(study.arms["study"].dropna().unique()) or [study.root.absolute().name]
    return " and ".join(names)
