"""One plot of a report: what its function is given, how its figure is laid out, and what stands beside it."""

import base64
import html
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from headstart.report.material import Material
from headstart.report.plots.style import NARROWEST

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Section = Literal["answer", "verdict", "data", "speed", "tuning", "use", "errors"]  # of the page, in its order
WIDTH = 8.6  # inches, legend included
NARROW = 3.95  # inches, of a plot that stands beside another, and is read on a phone without scrolling
LEGIBLE = 10  # pixels of a browser, of which an inch has 96, from the top of a letter to the bottom


class Given(NamedTuple):
    """What a plot's function is given beside its axis."""

    data: tuple[Any, ...]
    options: dict[str, Any]


def given(*data: Any, **options: Any) -> Given:
    """`given(m.trials, looks=m.looks)` for a call `function(m.trials, ax=ax, looks=m.looks)`."""
    return Given(data, options)


@dataclass(frozen=True, eq=False)
class DrawnFigure:
    """A figure with its file name (no suffix), heading, how to read it, and the same in words for who can't see it."""

    name: str
    title: str
    caption: str
    alt: str
    figure: "Figure"
    section: Section = "answer"
    says_title: bool = False  # whether the heading stands in the picture already

    @property
    def is_wide(self) -> bool:
        """Whether it has no room beside another one."""
        return self.figure.get_figwidth() >= NARROWEST

    @property
    def least_width(self) -> int:
        """Pixels of a browser below which its smallest words would be smaller than `LEGIBLE`."""
        from matplotlib.text import Text

        words = [text for text in self.figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
        smallest = min((text.get_fontsize() for text in words), default=LEGIBLE) / 72  # inches
        return math.ceil(self.figure.get_figwidth() * LEGIBLE / smallest)

    def _repr_html_(self) -> str:
        from headstart.report.save_figures import rendered

        source = embedded(rendered(self)[1])
        words = (f'<img alt="{html.escape(self.alt)}" src="{source}">', html.escape(self.caption))
        return "<figure>{}<figcaption>{}</figcaption></figure>".format(*words)


@dataclass(frozen=True)
class EmbeddedFigure:
    """A figure in the page: its SVG as a `data:` URI, the words for those who can't see it, the PNG beside the page."""

    title: str
    caption: str
    alt: str
    source: str
    png: str  # link, relative to the page
    section: Section = "answer"
    says_title: bool = False
    least_width: int = 0  # pixels; narrower than that it is scrolled, as its words would be too small
    is_wide: bool = False


def embedded(svg: bytes) -> str:
    """Return an SVG file as the source of an image: there nothing in it acts, leads out or meets the page's own ids."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


@dataclass(frozen=True, eq=False, kw_only=True)
class Plot:
    """A plot that the page shows and `study.plot.NAME` draws.

    `given` is called with the material and, where the plot is `of_one_arm`, the arm; `words` with the material and the
    first axis when it is drawn. A `function` that returns None had nothing to draw.
    """

    name: str
    function: Callable[..., "Axes | None"]
    given: Callable[..., Given]
    height: Callable[[Material], float]  # of the page's figure, inches
    caption: str | Callable[[Material], str]  # how to read it
    words: Callable[[Material, "Axes"], str]  # what it shows, for those who can't see it
    is_there: Callable[[Material], bool] = lambda _: True  # whether the page has it
    grid: Callable[[Material], list[list[Given]]] | None = None  # rows of axes; default: one axis
    width: float | Callable[[Material], float] = WIDTH
    title: str = ""  # default: that of the axis
    of_one_arm: bool = False
    section: Section = "answer"
    needs: str = ""  # what was missing where the function returns None
    about: str = ""  # default: the first sentences of the function's docstring

    @property
    def description(self) -> str:
        """What the plot shows, in a sentence or two."""
        return self.about or (inspect.getdoc(self.function) or "").partition("\n\n")[0]

    def draw(self, call: Given, ax: "Axes", **options: Any) -> "Axes | None":
        """Draw on an axis; `options` win over those that are given."""
        return self.function(*call.data, ax=ax, **call.options | options)

    def figure(self, material: Material) -> DrawnFigure | None:
        """Return the plot as the page shows it; None where the material has nothing for it."""
        if not self.is_there(material):
            return None
        rows = self.grid(material) if self.grid else [[self.given(material)]]
        width = self.width(material) if callable(self.width) else self.width
        figure = _empty(width, self.height(material))
        axes = figure.subplots(len(rows), max(map(len, rows)), squeeze=False)
        for row, own in zip(axes, rows, strict=True):
            for ax, call in zip(row, own, strict=False):
                if self.draw(call, ax) is None:
                    return None
            for ax in row[len(own) :]:
                ax.set_axis_off()
        caption = self.caption(material) if callable(self.caption) else self.caption
        title = self.title or axes[0, 0].get_title(loc="left")
        alt = self.words(material, axes[0, 0])
        return DrawnFigure(self.name, title, caption, alt, figure, self.section, says_title=not self.title)


def _empty(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    return figure
