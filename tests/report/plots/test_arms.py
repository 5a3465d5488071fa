"""Plots of test accuracy show means, intervals and seeds of the runs behind an arm."""

import pandas as pd
import pytest
from matplotlib.figure import Figure

from headstart import statistics
from headstart.analysis import size_curves
from headstart.report import plots
from report.helpers_report import arms_of, legend_words, lines, sentences, study


def test_arms_show_mean_interval_and_every_seed(ax):
    frames = study("a", "b")
    plots.arms(frames.arms, frames.trials, ax)
    interval = statistics.accuracy_interval(83.0, statistics.summarise([81, 82, 83, 84, 85]).uncertainty)
    assert [line.get_xdata()[0] for line in lines(ax, "mean")] == [83, 84]
    assert lines(ax, "interval")[0].get_xdata() == pytest.approx(interval)
    assert lines(ax, "seeds")[1].get_xdata().tolist() == [82, 83, 84, 85, 86]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a\n5 seeds", "b\n5 seeds"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # first arm on top


def test_the_dots_of_an_arm_leave_out_confirmations_of_an_earlier_choice(ax):
    frames = study("a")
    old = frames.trials[frames.trials["phase"] == "confirm"].assign(number=0, test_accuracy=1.0, seed=range(11, 16))
    trials = pd.concat([frames.trials, old.astype(frames.trials.dtypes)], ignore_index=True)
    plots.arms(frames.arms, trials, ax)
    assert lines(ax, "seeds")[0].get_xdata().tolist() == [81, 82, 83, 84, 85]


def test_an_arm_without_a_reading_of_the_test_split_keeps_its_row(ax):
    frames = study("a", "b")
    trials = frames.trials[(frames.trials["arm"] == "a") | (frames.trials["phase"] == "search")]
    plots.arms(arms_of(trials, frames.epochs, frames.study), trials, ax)
    assert "no reading of the test split yet" in sentences(ax) and len(ax.get_yticklabels()) == 2


def test_one_seed_has_no_interval(ax):
    frames = study("a", seeds=1)
    plots.arms(frames.arms, frames.trials, ax)
    assert not lines(ax, "interval") and lines(ax, "mean")[0].get_xdata() == [81]


def test_data_size_joins_the_arms_that_differ_in_the_size_alone(ax):
    parts = [study(f"{kind}-train_size-{size}", size=size) for kind in ("random", "imagenet") for size in (500, 50)]
    arms = pd.concat([p.arms for p in parts], ignore_index=True)
    assert plots.data_size(arms, ax) is ax
    assert legend_words(ax) == ["random", "imagenet"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["50", "500"]
    assert ax.lines[0].get_xdata() == pytest.approx([50, 500], rel=0.05)
    assert ax.lines[0].get_ydata().tolist() == [83, 83]
    assert plots.data_size(study("a", "b").arms, Figure().subplots()) is None


def test_data_size_joins_the_arms_it_is_told_and_leaves_out_the_others(ax):
    parts = [study(f"arm of {size}", "other", size=size) for size in (500, 50, 5)]
    arms = pd.concat([p.arms for p in parts], ignore_index=True)
    assert plots.data_size(arms, ax, lines={"both": ["arm of 50", "arm of 500"]}) is ax
    assert legend_words(ax) == ["both"]
    assert ax.lines[0].get_xdata() == pytest.approx([50, 500], rel=0.05)
    assert plots.data_size(arms, Figure().subplots(), lines={"one": ["arm of 50"]}) is None


def test_image_size_joins_the_arms_that_differ_in_it_alone(ax):
    arms = pd.concat([study("random_32", "random_64", "frozen_32", "frozen_64").arms], ignore_index=True)
    arms["image_size"] = pd.array([32, 64, 32, 64], dtype="Int64")
    assert plots.image_size(arms, ax) is ax
    assert legend_words(ax) == ["random", "frozen"] and ax.get_xlabel().startswith("pixels")
    assert [t.get_text() for t in ax.get_xticklabels()] == ["32", "64"]
    lines = {"one": ["random_32", "frozen_64"]}
    assert plots.image_size(arms, Figure().subplots(), lines=lines).lines[0].get_xdata() == pytest.approx([32, 64])
    assert plots.image_size(arms[arms["image_size"] == 32], Figure().subplots()) is None


def test_the_dots_of_an_arm_are_the_runs_that_its_mean_is_over(ax):
    frames = study("a")
    failed = frames.trials["run_dir"] == "a/confirm/seed-1"  # after it had read the test split
    trials = frames.trials.assign(state=frames.trials["state"].mask(failed, "FAILED"))
    plots.arms(arms_of(trials, frames.epochs, frames.study), trials, ax)
    assert lines(ax, "seeds")[0].get_xdata().tolist() == [82, 83, 84, 85]
    assert lines(ax, "mean")[0].get_xdata()[0] == 83.5


def test_a_forecast_goes_on_from_the_largest_size_as_a_dashed_line_with_a_band(ax):
    parts = [study(f"a_{size}", size=size) for size in (500, 50)]
    arms = pd.concat([p.arms for p in parts], ignore_index=True)
    assert plots.data_size(arms, ax, forecast=5000) is ax
    (dashed,) = lines(ax, "forecast")
    assert dashed.get_linestyle() == "--" and (dashed.get_xdata()[0], dashed.get_xdata()[-1]) == (500, 5000)
    (band,) = [drawn for drawn in ax.collections if drawn.get_label() == "_band"]
    low, high = band.get_datalim(ax.transData).intervaly
    forecast = size_curves(arms, 5000)["a"].forecast(5000)
    assert (low, high) == pytest.approx((forecast.low, forecast.high), abs=1e-6)
    assert dashed.get_ydata()[-1] == forecast.middle
    assert [t.get_text() for t in ax.get_xticklabels()] == ["50", "500", "5,000"]
