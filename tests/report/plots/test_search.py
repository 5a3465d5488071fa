"""Plots of the search show every trial in its state, the bounds, and the best so far."""

import numpy as np
import pytest
from helpers_runs import make_study
from matplotlib.figure import Figure

from headstart import statistics
from headstart.analysis import load_results
from headstart.report import plots
from headstart.report.plots.search import random_draws
from headstart.store import StudyFile
from report.helpers_report import arms_of, drawn, legend_words, lines, study


def test_learning_rate_draws_each_state_in_its_own_way_and_the_bounds(ax):
    frames = study("cnn")
    plots.learning_rate(frames.trials, ax, arms=frames.arms, chance=33.3)
    drawn = {line.get_label(): line for line in ax.lines}
    assert drawn["_COMPLETE"].get_xydata().tolist() == [[1e-3, 90], [3e-3, 85], [1e-2, 70]]
    assert drawn["_PRUNED"].get_xydata().tolist() == [[1e-4, 60]] and drawn["_PRUNED"].get_fillstyle() == "none"
    assert drawn["_CHANCE"].get_xydata().tolist() == [[1e-5, 10]] and drawn["_CHANCE"].get_fillstyle() == "bottom"
    assert drawn["_DIVERGED"].get_xdata().tolist() == [1e-1]
    assert 0 < drawn["_DIVERGED"].get_ydata()[0] < 0.07  # share of the axis: in the strip below all data
    assert ax.transData.transform((1e-3, 10))[1] > ax.transAxes.transform((0, 0.07))[1]
    assert drawn["_decades"].get_xdata().tolist() == [1e-2, 1e-3, 1e-4, 1e-5]  # the diverged one has no accuracy
    assert [line.get_xdata()[0] for line in lines(ax, "bound")] == [1e-5, 1e-1]
    assert ax.get_xscale() == "log" and "(%)" in ax.get_ylabel()
    assert any("pruned" in w for w in legend_words(ax)) and "guessing (33.3 %)" in legend_words(ax)


def test_bounds_that_differ_are_drawn_for_each_arm_and_reach_to_trials_of_an_extended_range(ax):
    frames = study("a", "b", spaces={"a": {"lr": {"choices": [1e-6, 1.0]}}, "b": {"lr": {"low": 1e-4, "high": 1e-1}}})
    plots.learning_rate(frames.trials, ax, arms=frames.arms)
    assert [line.get_xdata()[0] for line in lines(ax, "bound")] == [1e-6, 1.0, 1e-5, 1e-1]


def test_repeats_of_a_search_are_drawn_with_the_bounds_of_all_of_them(tmp_path):
    space = {"lr": {"low": 1e-6, "high": 1e-1}}
    folders = [
        make_study(tmp_path / f"q_{s}", {"cnn": 60.0}, trials=3, seeds=2, name=f"q_{s}", seed=s, spaces={"cnn": space})
        for s in (0, 10)
    ]
    picture = drawn(load_results(*folders), "learning_rate")
    assert [line.get_xdata()[0] for line in lines(picture.figure.axes[0], "bound")] == [1e-6, 1e-1]


def test_a_search_over_one_rate_alone_is_drawn(ax):
    frames = study("cnn", spaces={"cnn": {"lr": {"choices": [1e-3]}}})
    trials = frames.trials.assign(lr=frames.trials["lr"].where(frames.trials["lr"].isna(), 1e-3))
    arms = arms_of(trials, frames.epochs, frames.study)
    plots.learning_rate(trials, ax, arms=arms)
    assert {line.get_xdata()[0] for line in lines(ax, "bound")} == {1e-3}
    plots.budget(trials, arms, ax, study=frames.study_file)


def test_history_draws_every_trial_and_only_complete_ones_raise_the_best(ax):
    frames = study("cnn", vals=(None, 70.0, 90.0, 99.0, 10.0, 85.0))  # the pruned trial was ahead
    plots.history(frames.trials, ax)
    (best,) = lines(ax, "best so far")
    np.testing.assert_array_equal(best.get_ydata(), [np.nan, 70, 90, 90, 90, 90])
    assert best.get_xdata().tolist() == [1, 2, 3, 4, 5, 6]
    assert lines(ax, "PRUNED")[0].get_xydata().tolist() == [[4, 99]]


def test_budget_is_called_expected_only_for_unpruned_random_draws(ax):
    values, complete = (40.0, 70.0, 90.0, 60.0, 10.0, 85.0), ("COMPLETE",) * 6
    inside = dict(spaces={"cnn": {"lr": {"low": 1e-6, "high": 1.0}}}, sampler="random", unpruned=True)
    frames = study("cnn", vals=values, states=complete, **inside)
    plots.budget(frames.trials, frames.arms, ax, study=frames.study_file)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), statistics.expected_best(values))
    assert "expected best" in ax.get_ylabel()
    (band,) = (drawn for drawn in ax.collections if drawn.get_label() == "_band")
    low, high = statistics.expected_best_band(values)
    ends = band.get_paths()[0].get_extents()
    assert (ends.ymin, ends.ymax) == pytest.approx((low.min(), high.max()))
    assert legend_words(ax) == ["cnn", "95 % band, all budgets at once"]
    other = Figure().subplots()
    plots.budget(frames.trials, frames.arms, other, study=StudyFile.of(frames.study | {"sampler": "qmc"}))
    np.testing.assert_array_equal(other.lines[0].get_ydata(), [40, 70, 90, 90, 90, 90])
    assert "so far" in other.get_title(loc="left") and "expected" not in other.get_ylabel()
    assert not other.collections and legend_words(other) == ["cnn"]


@pytest.mark.parametrize(
    "changed",
    [
        {"sampler": "tpe"},
        {"unpruned": False},
        {"sampler": None},
        {"arms": {"cnn": {"first points": [{"lr": 0.1}]}}},
        {"spaces": {"cnn": {"lr": {"low": 1e-4, "high": 1.0}}}},
    ],
)
def test_draws_count_as_random_only_where_everything_says_so(changed):
    about = dict(sampler="random", unpruned=True, spaces={"cnn": {"lr": {"low": 1e-6, "high": 1.0}}}, arms={})

    def found(said, state="COMPLETE"):
        frames = study("cnn", states=(state,) * 6, vals=(1.0,) * 6, **said)
        return random_draws(frames.trials, frames.arms, frames.study_file)

    assert found(about) == {"cnn"}
    assert found(about | changed) == found(about, state="PRUNED") == found({}) == set()
