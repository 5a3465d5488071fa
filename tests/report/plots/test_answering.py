"""Plots of what answers take show the arms that were measured, and claim no difference that a clock makes."""

import pandas as pd
import pytest
from matplotlib.figure import Figure

from headstart.analysis import columns
from headstart.report import plots
from report.helpers_report import frame, legend_words, study


def timed(seconds):
    arms = study(*[f"arm {place}" for place, _ in enumerate(seconds)]).arms
    return arms.assign(latency_seconds=pd.array(seconds, dtype="Float64"))


def test_latency_shows_accuracy_in_milliseconds_of_the_arms_that_were_timed(ax):
    arms = timed([0.002, None, 0.08])
    assert plots.latency(arms, ax) is ax and legend_words(ax) == ["arm 0", "arm 2"]
    points = [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines if line.get_marker() in "os^"]
    assert points == [pytest.approx((2, 83)), pytest.approx((80, 85))]
    low, high = (arms[f"test_ci_{end}"].iloc[0] for end in ("low", "high"))
    assert ax.collections[0].get_segments()[0][:, 1] == pytest.approx([low, high])
    assert "ms" in ax.get_xlabel() and ax.get_xscale() == "log"


def test_equal_networks_stand_beside_each_other(ax):
    plots.latency(timed([0.0010, 0.0011]), ax)
    low, high = ax.get_xlim()
    assert high / low > 5 and sum(low <= tick <= high for tick in ax.get_xticks()) >= 2


def test_without_a_timing_nothing_is_drawn():
    assert plots.latency(timed([None, None]), Figure().subplots()) is None


def worse(arms):
    rows = [
        dict(study="s", arm=arm, corruption=kind, strength=strength, seeds=5, accuracy_mean=score - 5.0 * strength)
        for arm in arms
        for kind, score in (("noise", 80.0), ("blur", 60.0))
        for strength in (1, 2)
    ]
    return frame(rows, columns.CORRUPTIONS)


def test_corruptions_go_from_the_pictures_as_they_are_to_the_strongest(ax):
    arms = study("a", "b").arms
    assert plots.corruptions(worse("ab"), arms, ax, kind="noise") is ax
    assert legend_words(ax) == ["a", "b"] and ax.get_title(loc="left") == "Noise"
    assert ax.lines[1].get_xdata().tolist() == [0, 1, 2] and ax.lines[1].get_ydata().tolist() == [84, 75, 70]
    other = plots.corruptions(worse("ab"), arms, Figure().subplots(), kind="blur", key=False)
    assert other.get_ylim() == ax.get_ylim() and other.get_legend() is None


def test_without_a_kind_it_is_the_mean_over_all(ax):
    plots.corruptions(worse("a"), study("a", "b").arms, ax)
    assert ax.lines[0].get_ydata().tolist() == [83, 65, 60] and legend_words(ax) == ["a"]
    assert plots.corruptions(worse(""), study("a").arms, Figure().subplots()) is None
