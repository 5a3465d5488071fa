"""Spaces, the points tried first, grids and sizes."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from headstart.errors import UserError
from headstart.sweep.search_space import (
    bounds,
    contains,
    example_point,
    extremes,
    first_points_of,
    grid,
    linear_learning_rate,
    searched_by_model,
    size_of,
    space_of,
    untried,
)

LOG = "tag(log, interval(1e-5, 1e-1))"
PARAMS = {"lr": LOG}


def test_numbers_in_choices_are_numbers():
    space = space_of({"a": "choice(1,2)", "b": "choice(1e-3,1e-2)", "c": "choice(adam,sgd)", "d": 5})
    assert {k: d.choices for k, d in space.items()} == {"a": (1, 2), "b": (1e-3, 1e-2), "c": ("adam", "sgd"), "d": (5,)}


def test_choices_keep_their_types():
    params = {
        "optimizer.fused": "null,false",
        "clip_grad_norm": "null,1.0",
        "a": "'true','x=1,y'",
        "b": True,
        "c": None,
    }
    assert {key: d.choices for key, d in space_of(params).items()} == {
        "optimizer.fused": (None, False),
        "clip_grad_norm": (None, 1.0),
        "a": ("true", "x=1,y"),
        "b": (True,),
        "c": (None,),
    }
    mixed = space_of({"a": "1,1.0,'1',true", "b": "choice(1e-3,none)"})
    assert [type(value) for value in mixed["a"].choices] == [int, float, str, bool]
    assert mixed["b"].choices == (1e-3, "none")


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (
            {"batch_size": [16, 32]},
            r'batch_size=\[16, 32\]: expected .* as one text, such as \{batch_size: "choice\(16,32\)"\}$',
        ),
        (
            {"optimizer": {"fused": True}},
            r"optimizer=.*: expected .* as one text, such as \{optimizer\.fused: \.\.\.\}$",
        ),
        ({"model": {}}, r"model=\{\}: expected .* as one text, such as \{model\.KEY: \.\.\.\}$"),
        (
            {"a": "[1,2],[3]"},
            r"\[1, 2\] can't be searched, but compared, each as an arm: headstart -m 'a=\[1,2\],\[3\]'$",
        ),
        ({"a": "choice([1],[2])"}, r"\[1\] can't be searched, but compared, .*: headstart -m 'a=\[1\],\[2\]'$"),
        ({"+a": "{x:1},{x:2}"}, r"can't be searched, but compared, .*: headstart -m '\+a=\{x:1\},\{x:2\}'$"),
        ({"model": "cnn,fan"}, r"^model=cnn,fan: options of model can't be searched, .* arms: headstart -m model=A,B$"),
        ({"optimizer": "adam"}, r"^optimizer=adam: options of optimizer can't be searched"),
        ({"seed": "0,1"}, r"^seed=0,1: seeds are not searched over; confirm_seeds=5"),
        ({"split_seed": "range(3)"}, r"^split_seed=range\(3\): seeds are not searched over"),
        ({"+seed": 3}, r"seed=3: seeds are not searched over"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_the_way_that_works(params, said):
    with pytest.raises(UserError, match=said):
        space_of(params)


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


@pytest.mark.parametrize(
    ("distribution", "found"),
    [
        (CategoricalDistribution([32, None, "a"]), (32, None, "a")),
        (RANGE, (1e-3, 1e-1)),
        (IntDistribution(20, 30), (20, 30)),
    ],
)
def test_all_choices_and_both_ends_show_whether_a_space_can_be_used(distribution, found):
    assert extremes(distribution) == found


def test_a_distribution_is_described_by_its_bounds_or_choices():
    assert bounds(RANGE) == dict(low=1e-3, high=1e-1, log=True, step=None)
    assert bounds(CategoricalDistribution([1, 2])) == dict(choices=(1, 2))


@pytest.mark.parametrize(
    ("steps", "values"),
    [
        ("range(0,1,0.3)", [0.0, 0.3, 0.6, 0.9]),
        ("range(0,1,0.1)", [i / 10 for i in range(10)]),
        ("range(1,10,4)", [1, 5, 9]),
    ],
)
def test_steps_of_a_grid_are_the_numbers_that_were_typed(steps, values):
    found = [point["drop"] for point in grid(space_of({"drop": steps}))]
    assert found == values and set(map(type, found)) == {type(values[0])}


STEPS = FloatDistribution(0, 0.4, step=0.2)
SMALL = {"lr": CategoricalDistribution([1e-3, 1e-2]), "depth": IntDistribution(1, 3), "drop": STEPS}


def test_of_a_finite_space_the_next_point_that_was_not_tried_is_taken():
    found: list[dict] = []
    for _ in range(int(size_of(SMALL))):
        found.append(untried(SMALL, {"lr": 1e-2, "depth": 2, "drop": 0.2}, found))
    assert found[:3] == [{"lr": 1e-2, "depth": d, "drop": x} for d, x in ((2, 0.2), (2, 0.4), (3, 0.0))]
    assert sorted(map(repr, found)) == sorted(map(repr, grid(SMALL)))
    assert untried(SMALL, found[4], found) == found[4]  # nothing else is left


def test_what_is_fixed_of_a_point_stays_as_it_is():
    drawn = {"lr": 1e-3, "depth": 3, "drop": 0.4}
    assert untried(SMALL, drawn, [drawn], ["drop", "depth"]) == drawn | {"lr": 1e-2}
    assert untried(SMALL, drawn, [drawn, {"lr": 1e-3}], drawn) == drawn


def test_a_value_that_is_listed_twice_is_one():
    space = space_of({"lr": "choice(1e-3,1e-2,1e-3)", "deep": "choice(1,true,1.0)", "one": "interval(2,2)"})
    assert space["lr"].choices == (1e-3, 1e-2) and space["deep"].choices == (1, True, 1.0)
    assert size_of(space) == 6


def test_a_grid_without_keys_is_one_point():
    assert grid({}) == [{}]


@pytest.mark.parametrize("params", [{"lr": "interval(1"}, {"lr": "interval(1e-2, 1e-4)"}, {"lr": "choice()"}])
def test_a_space_that_cannot_be_read_is_explained(params):
    with pytest.raises(UserError, match=r"^params: .*interval\(1|no range that can be searched|no power of 10"):
        space_of(params)


def test_a_models_search_is_a_space_with_points():
    space, points = searched_by_model({"params": {"model.C": "choice(1,2)"}, "first_points": [{"model.C": 2}]})
    assert (space, points) == ({"model.C": CategoricalDistribution([1, 2])}, [{"model.C": 2}])
    assert searched_by_model(None) == searched_by_model({}) == ({}, [])


@pytest.mark.parametrize(
    ("search", "said"),
    [
        (5, r"^model\.search=5: expected a mapping or null, such as \{params: "),
        ({"C": 1}, r"^model\.search=.*: expected a mapping or null"),
        ({"params": 3}, r"^model\.search\.params=3: expected a mapping or null$"),
        ({"first_points": "half"}, r"^model\.search\.first_points=half: expected decades, a list or null$"),
        ({"first_points": [1e-3]}, r"^model\.search\.first_points=\[0\.001\]: expected decades, a list or null$"),
        ({"params": {"model.C": "interval(1"}}, r"^params: "),
        ({"params": {"model": "cnn,fan"}}, r"^model=cnn,fan: options of model can't be searched"),
        ({"params": {}, "first_points": [{"a": 1}]}, r"^first point .*: a is not in the search space \(empty\)$"),
    ],
)
def test_a_malformed_search_of_a_model_is_explained(search, said):
    with pytest.raises(UserError, match=said):
        searched_by_model(search)
