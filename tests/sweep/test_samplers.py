"""Draws that depend on the trial's number alone."""

import math

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.samplers import RandomSampler

from sweep.helpers_sweep import DECADES, LR, open_scheduler, qmc_sampler, random_sampler, table, tpe_sampler, work


@pytest.mark.parametrize("sampler", [random_sampler, qmc_sampler, tpe_sampler])
def test_a_large_seed_is_a_seed(tmp_path, sampler):
    scheduler = open_scheduler(tmp_path, make_sampler=sampler, points=[], n_trials=2, seed=2**32 - 10)
    assert len({params["lr"] for _, _, params, _ in (work(scheduler), table(scheduler))[1]["a"]}) == 2


@pytest.mark.parametrize("sampler", [random_sampler, qmc_sampler])
def test_draws_are_the_same_in_every_arm_and_none_repeats_a_first_point_or_another_draw(tmp_path, sampler):
    scheduler = open_scheduler(tmp_path, n_trials=29, make_sampler=sampler)
    work(scheduler)
    values = {arm: [p["lr"] for _, _, p, _ in rows] for arm, rows in table(scheduler).items()}
    assert values["a"] == values["b"]
    assert len({round(math.log10(v), 6) for v in values["a"]}) == 29


def test_quasi_random_draws_cover_categories_too(tmp_path):
    space = LR | {"model.C": CategoricalDistribution([1, 2, 3])}
    scheduler = open_scheduler(tmp_path, points=[], space=space, make_sampler=qmc_sampler, n_trials=8)
    work(scheduler)
    assert {p["model.C"] for _, _, p, _ in table(scheduler)["a"]} == {1, 2, 3}


def test_tpe_models_as_soon_as_the_first_points_are_done(tmp_path):
    drawn = {}
    for count in (5, 3):
        scheduler = open_scheduler(
            tmp_path / str(count), arms=["a"], points=DECADES[:count], make_sampler=tpe_sampler, n_trials=count + 1
        )
        work(scheduler)
        drawn[count] = table(scheduler)["a"][-1][2]["lr"]
        plain = optuna.create_study(sampler=RandomSampler(count), direction="maximize")
        assert drawn[count] != pytest.approx(plain.ask(LR).params["lr"])
    assert abs(math.log10(drawn[5]) + 3) < 1  # near the best of the first points
