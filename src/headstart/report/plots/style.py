"""What all plots share: looks of the arms, style, legends beside the data, a sentence where there is no data.

matplotlib is imported where it draws: `headstart.load` and the tables do without it.
"""

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from headstart.report.formatting import as_typed

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

# Okabe & Ito (2008), "Color Universal Design", without its yellow, which is not seen on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#333333", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")  # all can be hollow and half filled
LINESTYLES = ("-", "--", "-.", ":")
INK, GREY = "#222222", "#767676"
STYLE = {
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.5,
    "lines.markersize": 5,
    "savefig.facecolor": "white",
    "figure.facecolor": "white",
    "svg.fonttype": "none",  # text stays text: smaller, searchable, and any script is shown
    "svg.hashsalt": "headstart",  # the same plot has the same ids at every drawing
    "text.parse_math": False,  # a class called $5$ is no formula
}
NARROWEST = 6.0  # inches of a figure that has room for a legend beside the axis
DOTTED, DASHED = (0, (1, 3)), (0, (5, 2))  # what is guessed or wished, and bounds


class Look(NamedTuple):
    """How an arm is drawn in every plot."""

    colour: str
    marker: str
    linestyle: str

    @property
    def line(self) -> dict[str, Any]:
        """What matplotlib is told for a line without markers."""
        return dict(color=self.colour, linestyle=self.linestyle)

    @property
    def dots(self) -> dict[str, Any]:
        """What matplotlib is told for markers without a line."""
        return dict(color=self.colour, marker=self.marker, linestyle="none")


Looks = Mapping[str, Look] | None


def palette(arm_order: Iterable[str]) -> dict[str, Look]:
    """Return a look per arm, in the order given; 70 arms differ in colour and marker, neighbours in line style too."""
    names = list(dict.fromkeys(arm_order))
    return {
        name: Look(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], LINESTYLES[i % len(LINESTYLES)])
        for i, name in enumerate(names)
    }


def looks_for(names: Iterable[str], looks: Mapping[str, Look] | None) -> dict[str, Look]:
    """`looks`, and for arms that it lacks the next ones of the palette."""
    given = dict(looks or {})
    return palette([*given, *names]) | given


def arm_order(frame: pd.DataFrame, looks: Mapping[str, Look] | None = None) -> list[str]:
    """Arms of a frame in the order of `looks`, then of its rows; the source run, which is no arm, left out."""
    rows = frame[frame["phase"] != "source"] if "phase" in frame else frame
    there = list(rows["arm"].dropna().unique())
    return [name for name in dict.fromkeys([*(looks or ()), *there]) if name in there]


def numbers(column: pd.Series) -> np.ndarray:
    """A column as floats, NaN where a value is missing."""
    return column.to_numpy(dtype=float, na_value=np.nan)


def style() -> AbstractContextManager[Any]:
    """matplotlib's settings for these plots, for the time of a `with` block."""
    import matplotlib

    return matplotlib.rc_context(STYLE)


def drawn(function: Callable[..., Any]) -> Callable[..., Any]:
    """Run a plot function in the `style` of all plots."""

    @wraps(function)
    def wrapper(*arguments: Any, **keywords: Any) -> Any:
        with style():
            return function(*arguments, **keywords)

    return wrapper


def say(ax: "Axes", sentence: str) -> "Axes":
    """Leave the axis empty but for a sentence that says why."""
    ax.set_axis_off()
    centred = dict(transform=ax.transAxes, ha="center", va="center")
    ax.text(0.5, 0.5, textwrap.fill(sentence, 60), color=GREY, fontsize=10, **centred)
    return ax


def legend(ax: "Axes", entries: Sequence[tuple["Artist", str]]) -> None:
    """Put the legend to the right of the axis, or in a narrow figure below it, where no data is."""
    if entries:
        handles, labels = zip(*entries, strict=True)
        wrapped = [textwrap.fill(label, 26) for label in labels]
        below = ax.figure.get_figwidth() < NARROWEST
        # Two columns of the longest labels are just as wide as the narrowest figure, from its edge and close together.
        tight = dict(ncols=2, handlelength=1.2, handletextpad=0.5, columnspacing=0.8)
        place = dict(bbox_to_anchor=(-0.12, -0.2), **tight) if below else dict(bbox_to_anchor=(1.01, 1))
        ax.legend(handles, wrapped, loc="upper left", borderaxespad=0, **place)


def chance_line(ax: "Axes", chance: float | None) -> list[tuple["Artist", str]]:
    """Draw the accuracy (%) of guessing where it is known; return its entry in the legend."""
    if chance is None:
        return []
    return [(ax.axhline(chance, color=GREY, linewidth=1, linestyle=DOTTED), f"guessing ({chance:.3g} %)")]


def grey_strip(ax: "Axes", low: float, high: float) -> None:
    """Shade a strip across the axis, from `low` to `high` of its height (0..1), for what has no place in the data."""
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle((0, low), 1, high - low, transform=ax.transAxes, facecolor="#dddddd", zorder=0))


def sample(look: Look | None = None, **changes: Any) -> "Artist":
    """A line with marker for the legend; without a look a grey one."""
    from matplotlib.lines import Line2D

    look = look or Look(GREY, "o", "none")
    settings = dict(color=look.colour, marker=look.marker, linestyle=look.linestyle) | changes
    return Line2D([], [], **settings)


def integers(axis: Any) -> None:
    """Ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins="auto", integer=True, min_n_ticks=1))


def log_axis(ax: "Axes", which: str, low: float, high: float) -> None:
    """Make the x or y axis a log one, from a little below `low` to a little above `high`, its ticks `as_typed`."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    getattr(ax, f"set_{which}scale")("log")
    axis = getattr(ax, f"{which}axis")
    narrow = high < 10 * low  # no or one power of 10 inside
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if narrow else (1.0,), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: as_typed(value)))
    axis.set_minor_formatter(NullFormatter())
    margin = (high / low) ** 0.05 if high > low else 3.0
    getattr(ax, f"set_{which}lim")(low / margin, high * margin)
