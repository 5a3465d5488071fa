"""The warp of accuracies: its inverse, its Jacobian, and what it is for."""

import numpy as np
import pytest

from headstart.statistics import choice
from headstart.statistics.warp import Warp

LEARNING_RATE = {"lr": {"low": 1e-5, "high": 1e-1, "log": True, "step": None}}


@pytest.mark.parametrize("scale", [0.5, 2.0, 15.0])
def test_what_is_undone_is_what_was_and_above_the_best_nothing_changes(scale):
    accuracies = np.array([0.0, 10.0, 79.0, 80.0, 83.0])
    warp = Warp(80.0, scale)
    np.testing.assert_allclose(warp.undo(warp(accuracies)), accuracies, atol=1e-9)
    np.testing.assert_allclose(warp(accuracies)[3:], [80.0, 83.0])
    assert warp.undo(np.array([-1e9])) == 0


def test_the_jacobian_is_the_logarithm_of_the_slopes():
    accuracies, warp, step = np.array([12.0, 60.0, 77.0, 79.9]), Warp(80.0, 5.0), 1e-6
    slopes = (warp(accuracies + step) - warp(accuracies - step)) / (2 * step)
    assert warp.log_jacobian(accuracies) == pytest.approx(np.log(slopes).sum(), abs=1e-6)


def test_a_cliff_far_below_the_best_leaves_a_search_as_sure_of_its_choice_as_a_floor_does(monkeypatch):
    """Chance accuracy at high rates says nothing of the optimum: unwarped it makes a fit bend, and the choice luck."""
    rates = 10.0 ** np.array([-1, -2, -3, -4, -5, -3.5, -2.6, -3.2, -4.4, -1.5, -3.9, -2.9])
    away = np.log10(rates) + 3
    accuracies = np.where(away > 0.6, 10.0, 80 - 2 * away**2) + np.random.RandomState(0).standard_normal(12)

    def luck():
        tried = [{"lr": float(rate)} for rate in rates]
        return choice.choice_of(LEARNING_RATE, tried, accuracies, pictures=5000, seed=0, arm="a").luck

    warped = luck()
    monkeypatch.setattr(choice, "SCALES", (1e6,))
    assert warped < luck() / 3
