"""Learning curves and times to a target are those of the runs behind an arm."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from headstart.report import plots
from report.helpers_report import arms_of, legend_words, lines, sentences, study


def test_learning_curves_draw_mean_and_range_of_the_best_settings_seeds(ax):
    frames = study("a", "b")
    plots.learning_curves(frames.epochs, frames.trials, ax)
    first, second = lines(ax, "mean")
    np.testing.assert_allclose(first.get_ydata(), [53, 78, 98])  # seeds 1 to 5 shift by 1 to 5
    np.testing.assert_allclose(second.get_ydata(), [52, 77, 97])
    band = ax.collections[0].get_datalim(ax.transData)
    assert (band.ymin, band.ymax) == (51, 100)
    assert legend_words(ax) == ["a (5 seeds)", "b (5 seeds)"]


def test_learning_curves_leave_out_confirmations_of_an_earlier_choice(ax):
    frames = study("a")
    old = frames.epochs[frames.epochs["phase"] == "confirm"].assign(number=0, val_accuracy=1.0)
    old["run_dir"] = old["run_dir"] + "-old"
    plots.learning_curves(pd.concat([frames.epochs, old]), frames.trials, ax)
    np.testing.assert_allclose(lines(ax, "mean")[0].get_ydata(), [53, 78, 98])


def test_learning_curves_of_an_arm_without_confirmations_show_its_best_trial_and_say_so(ax):
    frames = study("a", seeds=0)
    frames.epochs.loc[frames.epochs["number"] == 2, "val_accuracy"] = pd.array([20.0, 90.0, 30.0], dtype="Float64")
    plots.learning_curves(frames.epochs, frames.trials, ax)
    assert legend_words(ax) == ["a (best trial of the search)"]
    np.testing.assert_allclose(lines(ax, "mean")[0].get_ydata(), [20, 90, 30])


def test_learning_curves_of_a_search_in_progress_show_the_trial_that_came_furthest(ax):
    frames = study("a", seeds=0)
    frames.epochs.loc[frames.epochs["number"] == 4, "val_accuracy"] = pd.array([20.0, 96.0, 30.0], dtype="Float64")
    plots.learning_curves(frames.epochs, frames.trials.assign(state="RUNNING", val_accuracy=pd.NA), ax)
    assert legend_words(ax) == ["a (best trial of the search)"]
    np.testing.assert_allclose(lines(ax, "mean")[0].get_ydata(), [20, 96, 30])


def test_a_mean_over_runs_of_different_length_is_faint_where_runs_are_missing(ax):
    frames = study("a")
    short_run = (frames.epochs["run_dir"] == "a/confirm/seed-1") & (frames.epochs["epoch"] == 3)
    plots.learning_curves(frames.epochs[~short_run], frames.trials, ax)
    np.testing.assert_array_equal(lines(ax, "mean")[0].get_ydata(), [53, 78, np.nan])
    (some,) = lines(ax, "mean of some")
    assert some.get_alpha() < 1 and some.get_ydata()[-1] == 98.5


def test_time_to_target_shows_medians_runs_and_arms_that_never_got_there(ax):
    frames = study("fast", "slow", curve=(50.0, 75.0, 95.0))
    slow = frames.epochs["arm"] == "slow"
    frames.epochs.loc[slow, "val_accuracy"] -= 20
    arms = arms_of(frames.trials, frames.epochs, frames.study)
    plots.time_to_target(arms, ax)
    labels = [t.get_text().replace("\n", " ") for t in ax.get_xticklabels()]
    assert labels == ["half-way (66.7 %)", "70 %", "80 %", "90 %", "93 %", "95 %", "99 % of the arm's final"]
    medians = [line.get_ydata()[0] for line in lines(ax, "median")]
    assert medians[:7] == [2, 2, 3, 3, 3, 3, 3]
    assert [m for m in medians[7:] if m < 1] == [0.965] * 4  # share of the axis: in the strip, never at 80 to 95 %
    assert any("never got there" in w for w in legend_words(ax))
    assert "5 of 5 never" in sentences(ax)
    plots.time_to_target(arms, seconds := Figure().subplots(), measure="seconds")
    assert lines(seconds, "median")[0].get_ydata()[0] == 4 and seconds.get_ylabel() == "training time (s)"
