"""The plots of what it is to use the arms' models: what an answer takes, and how it bears worse pictures."""

from typing import TYPE_CHECKING

from headstart.report import plots
from headstart.report.drawing import NARROW, Given, Plot, given
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
        "From one prepared picture to its answer, in float32 on one thread, by the processor's time: the median over "
        "the confirmations. It is a timing, and decides nothing."
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


def _kinds(m: Material) -> list[list[Given]]:
    """Two in a row, the legend beside the last one of the first row."""
    kinds = list(m.corruptions["corruption"].unique())
    panels = [given(m.corruptions, m.arms, kind=kind, key=kind in kinds[1:2], looks=m.looks) for kind in kinds]
    return [panels[start : start + 2] for start in range(0, len(panels), 2)]


def _corruptions_words(m: Material, _: "Axes") -> str:
    """What is left of each arm's accuracy."""
    asked = m.arms[m.arms["test_corrupted_mean"].notna()]
    words = [
        f"{row['arm']} {percent(row['test_corrupted_mean'])} of {percent(row['test_mean'])}"
        for _, row in asked.iterrows()
    ]
    return f"Accuracy on test pictures made worse, mean over kinds and strengths: {'; '.join(words)}."


CORRUPTIONS = Plot(
    name="corruptions",
    section="use",
    function=plots.corruptions,
    given=lambda m: given(m.corruptions, m.arms, looks=m.looks),
    grid=_kinds,
    is_there=lambda m: not m.corruptions.empty,
    height=lambda m: 5.6 + 0.28 * max(0, len(m.arms) - 8),
    title="Accuracy on worse test pictures",
    caption="The same test pictures under noise, blur, JPEG and low contrast, as much as CIFAR-10-C, and above 64 px "
    "ImageNet-C, have them at strengths 1 to 5; mean over the confirmations. Nothing was chosen by it.",
    words=_corruptions_words,
    needs="runs with corruptions=true",
)
