"""Samplers whose draw depends on the trial's number alone: the same after any interruption, and in every arm."""

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from headstart.config import make
from headstart.errors import UserError, first_line
from headstart.sweep.search_space import Point, Space, size_of, untried
from headstart.sweep.settings import SweeperSettings
from headstart.sweep.trial import OfTrials

MADE_UP_TRIALS = 12  # after which every sampler models


def make_sampler(settings: SweeperSettings, seed: int) -> optuna.samplers.BaseSampler:
    """The configured sampler with this seed; of a grid, whose points are all queued as first points, a random one.

    Raises UserError for a node of something else, and for what the sampler itself refuses.
    """
    node = {"_target_": "optuna.samplers.RandomSampler"} if settings.is_grid else settings.sampler
    try:
        sampler = make(node | {"seed": seed})
    except ValueError as error:
        raise UserError(f"hydra.sweeper.sampler: {first_line(error)}") from error
    if not isinstance(sampler, optuna.samplers.BaseSampler):
        raise UserError(f"hydra.sweeper.sampler is a {type(sampler).__name__}; expected one of optuna.samplers")
    return sampler


def try_sampler(settings: SweeperSettings, space: Space, seed: int) -> None:
    """Draw once after some made-up trials: some settings are wrong only then. Raises UserError."""
    with without_experimental_warnings():
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
        for number in range(MADE_UP_TRIALS):
            study.tell(study.ask(space), number)
        try:
            study.sampler = sampler_for(make_sampler(settings, seed), space, MADE_UP_TRIALS, seed)
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)  # NumPy's: draws from a division by zero mean nothing
                study.ask(space)
        except ImportError as error:
            raise UserError(missing_package(error)) from None
        except (ValueError, TypeError, ArithmeticError, RuntimeWarning) as error:
            raise UserError(f"hydra.sweeper.sampler can't draw with these settings: {first_line(error)}") from error


def missing_package(error: ImportError) -> str:
    """What to install for a sampler that lacks a package."""
    missing = error.name or getattr(error.__cause__, "name", None) or "the package that it names"
    return f"the sampler cannot be used: {error}\npip install {missing}"


def seed_of(seed: int, number: int) -> int:
    """Seed of one trial's sampler: a sampler seeded by the study alone would repeat its first draws after a resume."""
    return (seed * 100_003 + number) % 2**32  # NumPy takes no more


@contextmanager
def without_experimental_warnings() -> Iterator[None]:
    """Optuna calls QMC and multivariate TPE experimental; who runs a sweep can do nothing about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


@contextmanager
def drawing() -> Iterator[None]:
    """Draw by a sampler here. Raises UserError where it lacks a package."""
    try:
        with without_experimental_warnings():
            yield
    except ImportError as error:
        raise UserError(missing_package(error)) from None


class NumberedQMC(optuna.samplers.QMCSampler):
    """Quasi-random sampler whose position is the trial's number: no counter to lose, the same draws in every arm."""

    def __init__(self, space: Space, number: int, **arguments: Any):
        super().__init__(**arguments, warn_independent_sampling=False)
        self._space, self._number = space, number

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> Space:
        """The whole space, from the first trial on."""
        return {k: d for k, d in self._space.items() if not d.single()}

    def _find_sample_id(self, study: optuna.Study, search_space: Space) -> int:
        return self._number


class Seeing(optuna.samplers.RandomSampler):
    """Another sampler's draws, made from these trials in place of the study's."""

    def __init__(self, sampler: optuna.samplers.BaseSampler, trials: Sequence[FrozenTrial]):
        super().__init__()
        self._sampler, self._trials = sampler, trials

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> Space:
        """The other sampler's."""
        return self._sampler.infer_relative_search_space(OfTrials(study, self._trials), trial)

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: Space) -> Point:
        """The other sampler's."""
        return self._sampler.sample_relative(OfTrials(study, self._trials), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The other sampler's."""
        return self._sampler.sample_independent(OfTrials(study, self._trials), trial, param_name, param_distribution)


def models(sampler: optuna.samplers.BaseSampler) -> bool:
    """Whether the sampler's draws depend on what other trials came to."""
    return not isinstance(sampler, optuna.samplers.RandomSampler | optuna.samplers.QMCSampler)


class WithoutRepeats(optuna.samplers.RandomSampler):
    """Another sampler's draws from a finite space, but for points that were tried: trained again, nothing is new."""

    def __init__(self, sampler: optuna.samplers.BaseSampler, space: Space, tried: Iterable[Point]):
        super().__init__()
        self._sampler, self._space, self._tried = sampler, space, tried

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> Space:
        """The whole space: whether a point was tried is seen only of all of it."""
        return self._space

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: Space) -> Point:
        """What the other sampler draws, in its own two ways, or the next point that was not tried."""
        fixed = trial.system_attrs.get("fixed_params", {})
        together = self._sampler.infer_relative_search_space(study, trial)
        drawn = self._sampler.sample_relative(study, trial, together) | fixed
        for key, distribution in self._space.items():
            if key not in drawn and distribution.single():
                drawn[key] = distribution.to_external_repr(getattr(distribution, "low", 0))
            elif key not in drawn:
                drawn[key] = self._sampler.sample_independent(study, trial, key, distribution)
        return untried(self._space, drawn, self._tried, fixed)


def sampler_for(
    sampler: optuna.samplers.BaseSampler,
    space: Space,
    number: int,
    seed: int,
    tried: Iterable[Point] = (),
    seen: Sequence[FrozenTrial] | None = None,
) -> optuna.samplers.BaseSampler:
    """The configured sampler as trial `number` needs it.

    sampler: made with `seed_of(seed, number)`; seed: the study's. QMC is replaced by one that stands at that number,
    scrambled by the study's seed. tried: the points of the other trials, which a finite space is searched without.
    seen: the trials that the draw is made from; None: the study's.
    """
    if isinstance(sampler, optuna.samplers.QMCSampler):
        sampler = NumberedQMC(space, number, qmc_type=sampler._qmc_type, scramble=sampler._scramble, seed=seed)
    if seen is not None:
        sampler = Seeing(sampler, seen)
    return sampler if math.isinf(size_of(space)) else WithoutRepeats(sampler, space, tried)
