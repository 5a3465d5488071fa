"""The picture of a data set on the page: training pictures of each class."""

from typing import TYPE_CHECKING, NamedTuple

from headstart.report import plots
from headstart.report.drawing import DrawnFigure, Plot, given
from headstart.report.plots.data_samples import samples_caption, samples_height, samples_words

if TYPE_CHECKING:
    from headstart.report.data_of_results import KeptData

DATA_SAMPLES = Plot(
    name="data_samples",
    section="data",
    function=plots.data_samples,
    given=lambda m: given(m.data[0].record, m.data[0].sheet) if m.data else given(None, None),
    is_there=lambda m: bool(m.data and m.data[0].sheet is not None),
    height=lambda m: samples_height(m.data[0].record),
    title="Training pictures",
    caption=lambda m: samples_caption(m.data[0].record),
    words=lambda m, _: samples_words(m.data[0].record),
    needs="a record of the pictures, which runs leave when they begin",
)


class _Alone(NamedTuple):
    """What the plot asks of a `Material`, of one data set without runs."""

    data: list["KeptData"]


def draw_samples(kept: "KeptData") -> DrawnFigure | None:
    """The same of a data set without runs; None where there is no sheet."""
    with plots.style():
        return DATA_SAMPLES.figure(_Alone([kept]))
