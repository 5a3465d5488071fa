"""Training and validation of the same runs beside each other."""

import numpy as np
import pandas as pd
import pytest

from headstart.report import plots
from report.helpers_report import legend_words, lines, sentences, study


@pytest.mark.parametrize("measure", ["accuracy", "loss"])
def test_both_lines_are_means_over_the_arms_seeds(ax, measure):
    frames = study("a", "b")
    confirmed = frames.epochs["phase"] == "confirm"
    frames.epochs.loc[~confirmed, f"train_{measure}"] = pd.NA  # of trials that are not shown
    frames.epochs.loc[confirmed, f"train_{measure}"] = frames.epochs.loc[confirmed, "epoch"].astype(float) * 10
    plots.overfitting(frames.epochs, frames.trials, ax, measure=measure)
    own = frames.epochs[confirmed & frames.epochs["arm"].eq("a")]
    np.testing.assert_allclose(lines(ax, "train")[0].get_ydata(), [10, 20, 30])
    np.testing.assert_allclose(
        lines(ax, "val")[0].get_ydata(), own.groupby("epoch")[f"val_{measure}"].mean().astype(float)
    )
    assert legend_words(ax) == ["a", "b", "training", "validation"]


def test_without_an_epoch_that_is_said(ax):
    frames = study("a")
    plots.overfitting(frames.epochs.iloc[:0], frames.trials, ax)
    assert "No epoch has ended yet" in sentences(ax)
