"""What a search can choose after its trials."""

import pytest

from headstart.statistics.candidates import candidates

LR = {"low": 1e-5, "high": 1e-1, "log": True, "step": None}
SIZE = {"low": 16, "high": 64, "log": False, "step": 16}
KIND = {"choices": [None, "adam", True]}


def test_a_logarithmic_number_is_chosen_within_the_range_tried():
    found = candidates({"lr": LR}, [{"lr": 1e-4}, {"lr": 1e-2}])
    rates = [point["lr"] for point in found.points]
    assert (min(rates), max(rates)) == (1e-4, 1e-2) and len(rates) > 100
    assert found.tried[:, 0].tolist() == [-4.0, -2.0]
    assert all(rate == float(f"{rate:.4g}") for rate in rates)


def test_whole_numbers_stay_on_the_steps_of_their_space():
    found = candidates({"batch_size": SIZE}, [{"batch_size": 16}, {"batch_size": 48}])
    assert [point["batch_size"] for point in found.points] == [16, 32, 48]
    assert {type(point["batch_size"]) for point in found.points} == {int}


def test_categories_are_chosen_as_they_were_tried():
    tried = [{"k": None, "j": "a"}, {"k": True, "j": "b"}]
    found = candidates({"k": KIND, "j": {"choices": ["a", "b", "c"]}}, tried)
    assert list(found.points) == tried and found.numeric == 0


def test_several_numbers_are_scattered_beside_those_tried_and_crossed_with_categories():
    tried = [{"k": "adam", "lr": 1e-3, "batch_size": 16}, {"k": None, "lr": 1e-2, "batch_size": 64}]
    found = candidates({"k": KIND, "lr": LR, "batch_size": SIZE}, tried)
    assert all(point in found.points for point in tried)
    assert {point["k"] for point in found.points} == {"adam", None}
    assert list(found.points[0]) == ["k", "lr", "batch_size"]
    assert found.chosen_from.shape == (len(found.points), 3)


@pytest.mark.parametrize("space", [{}, {"lr": {"choices": [1e-3]}}])
def test_a_space_of_one_setting_has_one(space):
    point = {key: bounds["choices"][0] for key, bounds in space.items()}
    assert list(candidates(space, [point, point]).points) == [point]
