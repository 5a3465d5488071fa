"""A drawn plot as PNG and SVG files."""

import html
import io
import warnings
from pathlib import Path

from headstart.errors import UserError
from headstart.report.drawing import DrawnFigure
from headstart.report.plots import style
from headstart.store import write_atomically

DOTS_PER_INCH = 130


def save(drawn: DrawnFigure, folder: str | Path) -> tuple[Path, Path]:
    """Write `folder`/NAME.png and NAME.svg atomically; return both paths. The SVG carries the alt text.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made for the plots: {error.strerror}.") from error
    png, svg = (folder / f"{drawn.name}{suffix}" for suffix in (".png", ".svg"))
    raster, vectors = rendered(drawn)
    write_atomically(png, raster)
    write_atomically(svg, vectors)
    return png, svg


def rendered(drawn: DrawnFigure) -> tuple[bytes, bytes]:
    """The plot as PNG and SVG, which carries the alt text."""
    with style(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the SVG is drawn in the reader's fonts
        return _drawn_once(drawn)


def _drawn_once(drawn: DrawnFigure) -> tuple[bytes, bytes]:
    """The plot as PNG and SVG, each drawn once: `Figure.savefig` draws twice, and finds the layout anew."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    figure, raster, vectors = drawn.figure, io.BytesIO(), io.BytesIO()
    layout, dots_per_inch = figure.get_layout_engine(), figure.dpi
    try:
        figure.dpi = DOTS_PER_INCH
        FigureCanvasAgg(figure).print_png(raster, metadata={"Title": drawn.title})
        figure.set_layout_engine("none")  # what was found for the PNG holds
        FigureCanvasSVG(figure).print_svg(vectors, metadata={"Title": drawn.title, "Date": None})
    finally:
        figure.set_layout_engine(layout)
        figure.dpi = dots_per_inch
    label = f'<svg role="img" aria-label="{html.escape(drawn.alt, quote=True)}" '
    return raster.getvalue(), vectors.getvalue().replace(b"<svg ", label.encode(), 1)
