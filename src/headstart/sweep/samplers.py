"""Samplers whose draw depends on the trial's number alone: the same after any interruption, and in every arm."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial


def seed_of(seed: int, number: int) -> int:
    """Seed of one trial's sampler: a sampler seeded by the study alone would repeat its first draws after a resume."""
    return (seed * 100_003 + number) % 2**32  # NumPy takes no more


@contextmanager
def without_experimental_warnings() -> Iterator[None]:
    """Optuna calls QMC and multivariate TPE experimental; who runs a sweep can do nothing about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


class NumberedQMC(optuna.samplers.QMCSampler):
    """Quasi-random sampler whose position is the trial's number: no counter to lose, the same draws in every arm."""

    def __init__(self, space: dict[str, BaseDistribution], number: int, **arguments: Any):
        super().__init__(**arguments)
        self._space, self._number = space, number

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The whole space, from the first trial on."""
        return {k: d for k, d in self._space.items() if not d.single()}

    def _find_sample_id(self, study: optuna.Study, search_space: dict[str, BaseDistribution]) -> int:
        return self._number


def sampler_for(
    sampler: optuna.samplers.BaseSampler, space: dict[str, BaseDistribution], first_points: int, number: int, seed: int
) -> optuna.samplers.BaseSampler:
    """The configured sampler as trial `number` needs it.

    sampler: made with `seed_of(seed, number)`. QMC is replaced by one that stands at that number, scrambled by the
    study's seed; TPE starts to model after the first points.
    """
    if isinstance(sampler, optuna.samplers.QMCSampler):
        return NumberedQMC(
            space, number, qmc_type=sampler._qmc_type, scramble=sampler._scramble, seed=seed,
            warn_independent_sampling=False,
        )  # fmt: skip
    if isinstance(sampler, optuna.samplers.TPESampler) and first_points:
        sampler._n_startup_trials = first_points
    return sampler
