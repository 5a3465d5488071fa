"""Plots of searches over several values."""

import numpy as np
import pytest

from headstart.report import plots
from report.helpers_report import sweeping_two


def test_parallel_coordinates_put_each_value_at_its_height(ax):
    rows = sweeping_two(("a",))
    plots.parallel_coordinates(rows, ax)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["lr", "optimizer", "momentum", "validation\naccuracy (%)"]
    trials = [line.get_ydata() for line in ax.lines if len(line.get_ydata()) == 4]
    best = rows.sort_values("val_accuracy", ascending=False).iloc[0]
    expected = [(np.log10(best["lr"]) + 5) / 4, float(best["params_optimizer"] == "sgd")]
    top = next(t for t in trials if t[3] == 1.0)
    assert top[0] == pytest.approx(expected[0]) and top[1] == expected[1]
    assert len(trials) == len(rows)


def test_importances_find_the_value_that_matters(ax):
    plots.importances(sweeping_two(), ax)
    names = [t.get_text() for t in ax.get_yticklabels()]
    for line in ax.lines:
        shares = dict(zip(np.round(line.get_ydata()), line.get_xdata(), strict=True))
        assert max(shares, key=shares.get) == names.index("momentum")
        assert sum(shares.values()) == pytest.approx(100)
