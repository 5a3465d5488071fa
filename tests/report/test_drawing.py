"""A plot is laid out on one axis or a grid of them, and left out where it has nothing to draw."""

from matplotlib.figure import Figure

from headstart.report import Material
from headstart.report.drawing import Plot, given
from report.helpers_report import study


def drawn(*data, ax, word="", **options):
    """What is given, in the axis' title."""
    ax.set_title(f"{word}{data[0]}")
    return None if options.get("nothing") else ax


def plot(**changes):
    about = dict(name="p", function=drawn, given=lambda m: given(len(m.arms), word="arms: "))
    return Plot(
        **about | dict(height=lambda _: 3, caption="How.", words=lambda m, ax: ax.get_title(loc="left")) | changes
    )


def test_options_of_the_caller_win_over_those_that_are_given():
    ax = plot().draw(given(2, word="arms: "), Figure().subplots(), word="of them ")
    assert ax.get_title() == "of them 2"


def test_a_plot_of_one_axis_is_called_like_it(monkeypatch):
    made = plot(words=lambda m, ax: ax.get_title()).figure(Material(study("a", "b")))
    assert (made.name, made.caption, made.alt) == ("p", "How.", "arms: 2") and len(made.figure.axes) == 1


def test_a_grid_draws_row_by_row_and_switches_the_axes_left_over_off():
    rows = [[given(1), given(2)], [given(3)]]
    made = plot(grid=lambda _: rows, title="All", caption=lambda m: f"{len(m.arms)} arm").figure(Material(study("a")))
    assert [ax.get_title() for ax in made.figure.axes] == ["1", "2", "3", ""]
    assert [ax.axison for ax in made.figure.axes] == [True, True, True, False]
    assert (made.title, made.caption) == ("All", "1 arm")


def test_what_is_not_there_or_draws_nothing_has_no_figure():
    material = Material(study("a"))
    assert plot(is_there=lambda _: False, given=None).figure(material) is None
    assert plot(given=lambda _: given(1, nothing=True)).figure(material) is None


def test_a_plot_is_described_by_its_functions_first_sentences():
    assert plot().description == "What is given, in the axis' title." and plot(about="Else.").description == "Else."
