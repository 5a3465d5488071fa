"""Plots of what answers take show the arms that were measured, and claim no difference that a clock makes."""

import pandas as pd
import pytest
from matplotlib.figure import Figure

from headstart.report import plots
from report.helpers_report import legend_words, study


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
