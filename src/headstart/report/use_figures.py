"""The plots of what it is to use the arms' models: what an answer takes, and how it bears worse pictures."""

from typing import TYPE_CHECKING

from headstart.report import plots
from headstart.report.drawing import NARROW, Plot, given
from headstart.report.formatting import is_missing, percent
from headstart.report.material import Material

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _height(m: Material) -> float:
    return 3.6 + 0.14 * max(0, len(m.arms) - 4)


def _latency_words(m: Material, _: "Axes") -> str:
    """Both figures of each arm."""
    words = [
        f"{row['arm']} {percent(row['test_mean'])} in {1e3 * row['latency_seconds']:.3g} ms"
        for _, row in m.arms.iterrows()
        if not is_missing(row["latency_seconds"])
    ]
    return f"Test accuracy and latency of one picture: {'; '.join(words)}."


def _latency_caption(m: Material) -> str:
    """How it was measured, and who has no figure."""
    missing = m.arms.loc[m.arms["latency_seconds"].isna(), "arm"]
    caption = (
        "From one prepared picture to its answer, in float32 on one thread: the median over the confirmations. It is a "
        "timing, longer beside other work, and decides nothing."
    )
    return caption + (f" Not timed: {', '.join(missing)}." if len(missing) else "")


LATENCY = Plot(
    name="latency",
    section="use",
    function=plots.latency,
    given=lambda m: given(m.arms, looks=m.looks),
    is_there=lambda m: bool((m.arms["latency_seconds"].notna() & m.arms["test_mean"].notna()).any()),
    width=NARROW,
    height=_height,
    caption=_latency_caption,
    words=_latency_words,
    needs="arms whose confirmations timed their answers",
)
