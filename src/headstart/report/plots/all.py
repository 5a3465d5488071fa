"""All plots: the functions that draw them, `draw_all` for those that a study has, `save` for their files.

Every function takes a frame and an axis and returns the axis. Given the same `looks` (see `palette`), an arm looks the
same in all of them.
"""

import html
import io
import re
import warnings
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG

from headstart.errors import UserError
from headstart.report.figures import Picture, draw_all
from headstart.report.galleries import gallery
from headstart.report.plots.arms import arms, data_size, learning_curves, time_to_target
from headstart.report.plots.hyperparameters import importances, parallel_coordinates
from headstart.report.plots.predictions import calibration, confusion, per_class
from headstart.report.plots.search import budget, history, learning_rate
from headstart.report.plots.style import Look, palette, style
from headstart.store import write_atomically

__all__ = [
    "Look",
    "Picture",
    "arms",
    "budget",
    "calibration",
    "confusion",
    "data_size",
    "draw_all",
    "gallery",
    "history",
    "importances",
    "learning_curves",
    "learning_rate",
    "palette",
    "parallel_coordinates",
    "per_class",
    "save",
    "time_to_target",
]

DPI = 130


def save(picture: Picture, folder: str | Path) -> tuple[Path, Path]:
    """Write `folder`/NAME.png and NAME.svg atomically; return both paths.

    The SVG can be set into a page beside others: its ids begin with the picture's name, its root has the alt text.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made for the plots: {error.strerror}.") from error
    png, svg = (folder / f"{picture.name}{suffix}" for suffix in (".png", ".svg"))
    with style(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the SVG is drawn in the reader's fonts
        raster, vectors = _rendered(picture)
    write_atomically(png, raster)
    write_atomically(svg, _named_ids(vectors.decode(), picture).encode())
    return png, svg


def _rendered(picture: Picture) -> tuple[bytes, bytes]:
    """The picture as PNG and SVG, each drawn once: `Figure.savefig` draws twice, and finds the layout anew."""
    figure, raster, vectors = picture.figure, io.BytesIO(), io.BytesIO()
    layout, dpi = figure.get_layout_engine(), figure.dpi
    try:
        figure.dpi = DPI
        FigureCanvasAgg(figure).print_png(raster, metadata={"Title": picture.title})
        figure.set_layout_engine("none")  # what was found for the PNG holds
        FigureCanvasSVG(figure).print_svg(vectors, metadata={"Title": picture.title, "Date": None})
    finally:
        figure.set_layout_engine(layout)
        figure.dpi = dpi
    return raster.getvalue(), vectors.getvalue()


def _named_ids(svg: str, picture: Picture) -> str:
    """Ids that are unique in a page of several pictures and equal at every drawing, and a label for screen readers."""
    names: dict[str, str] = {}

    def unique(found: re.Match) -> str:
        name = names.setdefault(found[2], f"{picture.name}-{len(names)}")
        return f"{found[1]}{name}{found[3]}"

    svg = re.sub(r'( id="|url\(#|href="#)([^")]+)(["|)])', unique, svg)
    label = html.escape(picture.alt, quote=True)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
