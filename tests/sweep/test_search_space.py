"""Spaces, the points tried first, grids and sizes."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from headstart.errors import UserError
from headstart.sweep.search_space import (
    bounds,
    check_learning_rate,
    contains,
    example_point,
    first_points_of,
    grid,
    is_number,
    linear_learning_rate,
    searched_by_model,
    size_of,
    space_of,
)

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
    points = [{"model.C": 1e-2}, {"model.C": 1e-3}]
    assert grid(space_of({"model.C": LOG}), points) == points


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


RANGE = FloatDistribution(1e-3, 1e-1, log=True)


@pytest.mark.parametrize(
    ("configured", "space", "points"),
    [
        ("decades", {"lr": RANGE}, [{"lr": 1e-1}, {"lr": 1e-2}, {"lr": 1e-3}]),
        ("decades", {"lr": CategoricalDistribution([1e-2])}, []),  # its own choices
        ("decades", {}, []),
        (None, {"lr": RANGE}, []),
        ([{"lr": 1e-2}, {}], {"lr": RANGE}, [{"lr": 1e-2}, {}]),
    ],
)
def test_the_points_tried_first(configured, space, points):
    assert first_points_of(configured, space) == points


def test_whole_numbers_are_points_of_their_distributions_type():
    space = {"a": FloatDistribution(0, 9), "b": IntDistribution(0, 9), "c": CategoricalDistribution([1, 2])}
    (point,) = first_points_of([{"a": 1, "b": 1, "c": 1}], space)
    assert {key: type(value) for key, value in point.items()} == {"a": float, "b": int, "c": int}


@pytest.mark.parametrize("configured", ["half", [1e-3], {"lr": 1e-3}])
def test_first_points_that_are_none_are_explained(configured):
    with pytest.raises(UserError, match="expected decades or a list of points"):
        first_points_of(configured, {"lr": RANGE})


@pytest.mark.parametrize(
    ("distribution", "value", "inside"),
    [
        (RANGE, 1e-2, True),
        (RANGE, 1.0, False),
        (RANGE, "abc", False),
        (CategoricalDistribution(["a", 1]), "a", True),
        (CategoricalDistribution(["a", 1]), "b", False),
    ],
)
def test_what_a_distribution_holds(distribution, value, inside):
    assert contains(distribution, value) == inside


def test_an_example_of_a_space_is_its_first_point_and_the_lowest_of_the_rest():
    space = {"lr": RANGE, "batch_size": CategoricalDistribution([32, 8])}
    assert example_point(space, []) == {"lr": 1e-3, "batch_size": 32}
    assert example_point(space, [{"lr": 1e-2}, {"lr": 1e-1}]) == {"lr": 1e-2, "batch_size": 32}


@pytest.mark.parametrize("rate", [CategoricalDistribution([1e-3, 0]), CategoricalDistribution(["abc"])])
def test_what_is_no_learning_rate_is_not_searched(rate):
    with pytest.raises(UserError, match=r"arm a: lr=.* is not a learning rate"):
        check_learning_rate("a", {"lr": rate})
    check_learning_rate("a", {"lr": RANGE})
    check_learning_rate("a", {"other": rate})


def test_a_distribution_is_described_by_its_bounds_or_choices():
    assert bounds(RANGE) == dict(low=1e-3, high=1e-1, log=True, step=None)
    assert bounds(CategoricalDistribution([1, 2])) == dict(choices=(1, 2))


def test_a_grid_without_keys_is_one_point():
    assert grid({}) == [{}]


@pytest.mark.parametrize("params", [{"lr": "interval(1"}, {"lr": "interval(1e-2, 1e-4)"}, {"lr": "choice()"}])
def test_a_space_that_cannot_be_read_is_explained(params):
    with pytest.raises(UserError, match=r"expected key=value|no range that can be searched|no power of 10"):
        space_of(params)


@pytest.mark.parametrize(("text", "number"), [("1", True), ("1e-3", True), ("cnn", False), ("", False)])
def test_numbers_are_told_from_names(text, number):
    assert is_number(text) == number


def test_a_models_search_is_a_space_with_points():
    space, points = searched_by_model({"params": {"model.C": "choice(1,2)"}, "first_points": [{"model.C": 2}]})
    assert (space, points) == ({"model.C": CategoricalDistribution([1, 2])}, [{"model.C": 2}])
    assert searched_by_model(None) == searched_by_model({}) == ({}, [])
