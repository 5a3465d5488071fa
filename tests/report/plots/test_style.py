"""An arm looks the same in every plot."""

from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from headstart.report import plots
from headstart.report.drawing import NARROW
from headstart.report.plots.style import legend, sample, style
from report.helpers_report import legend_words, study


def test_every_arm_has_a_look_of_its_own_that_does_not_depend_on_the_arms_after_it():
    many = plots.palette([f"arm-{i}" for i in range(12)])
    assert len({(look.colour, look.marker) for look in many.values()}) == 12
    assert len({look.marker for look in list(many.values())[:10]}) == 10  # told apart without colour
    assert plots.palette(["arm-0", "arm-1"]) == {k: many[k] for k in ("arm-0", "arm-1")}


def test_an_arm_looks_the_same_in_every_plot_whatever_the_order_of_its_rows():
    frames = study("b", "a")
    looks, colours = plots.palette(["b", "a"]), []
    for name, *data in (
        ("learning_curves", frames.epochs, frames.trials),
        ("history", frames.trials),
        ("learning_rate", frames.trials),
    ):
        ax = Figure().subplots()
        getattr(plots, name)(*(each.iloc[::-1] for each in data), ax, looks=looks)
        words = [w.split(" ")[0] for w in legend_words(ax)]
        colours.append([to_hex(h.get_color()) for h in ax.get_legend().legend_handles][:2])
        assert words[:2] == ["b", "a"]
    assert colours == [[looks["b"].colour.lower(), looks["a"].colour.lower()]] * 3


def test_in_the_narrowest_figure_the_longest_names_of_arms_are_read_to_their_end():
    figure = Figure(figsize=(NARROW, 4), layout="constrained")
    ax = figure.subplots()
    names = ["cnn", "resnet18_random", "resnet18_cifar100_weights", "efficientnet_lite0_finetuned"]
    with style():
        ax.set_ylabel("validation accuracy (%)")
        legend(ax, [(sample(), f"{name} (3 seeds)") for name in names])
    figure.draw_without_rendering()
    there, whole = ax.get_legend().get_window_extent(), figure.bbox
    assert there.x0 >= whole.x0 and there.x1 <= whole.x1 and there.y0 >= whole.y0
