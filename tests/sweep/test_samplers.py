"""Draws that depend on the trial's number alone."""

import math
import warnings
from types import SimpleNamespace

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.samplers import RandomSampler

from headstart.errors import UserError
from headstart.sweep.samplers import make_sampler, seed_of, without_experimental_warnings
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


def settings(sampler, is_grid=False):
    return SimpleNamespace(sampler=sampler, is_grid=is_grid)


def test_the_configured_sampler_is_made_with_the_trials_seed():
    node = dict(_target_="optuna.samplers.TPESampler", seed=0, multivariate=False, n_startup_trials=3)
    first, again, other = (make_sampler(settings(node), seed)._rng.rng.random() for seed in (5, 5, 6))
    assert first == again != other
    assert make_sampler(settings(node), 5)._n_startup_trials == 3


def test_a_grids_points_are_queued_so_that_its_sampler_only_fills_up():
    node = dict(_target_="optuna.samplers.GridSampler", _partial_=True, seed=0)
    assert isinstance(make_sampler(settings(node, is_grid=True), 5), RandomSampler)


@pytest.mark.parametrize(
    ("node", "told"),
    [
        (dict(_target_="os.system"), r"os\.system"),
        (
            dict(_target_="optuna.samplers.QMCSampler", qmc_type="sobool"),
            r"^hydra\.sweeper\.sampler: The `qmc_type='sobool'`",
        ),
        (dict(_target_="optuna.samplers.RandomSampler", nonsense=1), r"nonsense"),
        (
            dict(_target_="hydra_plugins.hydra_optuna_sweeper.config.TPESamplerConfig"),
            r"^hydra\.sweeper\.sampler is a TPESamplerConfig; expected one of optuna\.samplers$",
        ),
    ],
)
def test_only_samplers_are_made_and_their_own_complaints_are_passed_on(node, told):
    with without_experimental_warnings(), pytest.raises(UserError, match=told):
        make_sampler(settings(node), 0)


def test_every_trial_of_every_study_has_a_seed_of_its_own():
    seeds = [seed_of(seed, number) for seed in range(5) for number in range(200)]
    assert len(set(seeds)) == 1000
    assert 0 <= seed_of(2**32 - 1, 10**6) < 2**32


def test_optunas_experimental_warnings_are_for_developers():
    with without_experimental_warnings():  # warnings are errors here
        warnings.warn("QMCSampler is experimental", optuna.exceptions.ExperimentalWarning, stacklevel=1)
    with pytest.raises(optuna.exceptions.ExperimentalWarning):
        warnings.warn("QMCSampler is experimental", optuna.exceptions.ExperimentalWarning, stacklevel=1)
