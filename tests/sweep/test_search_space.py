"""Spaces, the points tried first, grids and sizes."""

import pytest

from headstart.errors import UserError
from headstart.sweep.search_space import grid, linear_learning_rate, size_of, space_of

LOG = "tag(log, interval(1e-5, 1e-1))"
PARAMS = {"lr": LOG}


def test_numbers_in_choices_are_numbers():
    space = space_of({"a": "choice(1,2)", "b": "choice(1e-3,1e-2)", "c": "choice(adam,sgd)", "d": 5})
    assert {k: d.choices for k, d in space.items()} == {"a": (1, 2), "b": (1e-3, 1e-2), "c": ("adam", "sgd"), "d": (5,)}


def test_a_grid_is_every_combination():
    space = space_of({"lr": "choice(1e-2,1e-3)", "model.width": "range(8, 25, 8)"})
    assert grid(space) == [{"lr": lr, "model.width": w} for lr in (1e-2, 1e-3) for w in (8, 16, 24)]


def test_a_grid_over_a_range_is_refused():
    with pytest.raises(UserError, match="choice"):
        grid(space_of(PARAMS))


def test_a_grid_over_a_range_takes_the_points_that_are_listed_for_it():
    assert grid(space_of({"model.C": LOG}), [{"model.C": 1e-2}, {"model.C": 1e-3}]) == [
        {"model.C": 1e-2}, {"model.C": 1e-3},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("params", "size"),
    [({}, 1), ({"a": "choice(1,2,3)"}, 3), ({"a": "range(8, 33, 8)", "b": "choice(x,y)"}, 8), (PARAMS, float("inf"))],
)
def test_the_size_of_a_space_is_the_number_of_its_points(params, size):
    assert size_of(space_of(params)) == size


@pytest.mark.parametrize(
    ("sweep", "warned"),
    [("interval(1e-5, 1e-1)", True), (LOG, False), ("interval(1e-3, 5e-3)", False), ("choice(1e-1,1e-5)", False)],
)
def test_a_learning_rate_swept_linearly_over_decades_is_warned_about(sweep, warned):
    assert bool(linear_learning_rate(space_of({"lr": sweep}))) == warned
