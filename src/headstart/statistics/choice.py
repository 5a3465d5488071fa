"""What an arm's search would have chosen, had it been repeated: a smooth response to its trials, and draws from it.

The best of some noisy runs is partly luck, and more seeds of that one setting sharpen the luck, not the arm. Here the
response of the accuracy to the settings is fitted; a repetition adds noise to the fitted values and takes the optimum
of a fit to those, as a search with other seeds would (a parametric bootstrap: Efron & Tibshirani 1993, §6.5).

The fit is universal kriging (Cressie 1993, §3.4), a quadratic trend and a Gaussian process with a squared-exponential
kernel around it, averaged over its length, its signal-to-noise ratio and the accuracies' warp by their restricted
likelihood (Handcock & Stein 1993, Technometrics 35); the noise is drawn from its scaled inverse chi-squared
distribution.
"""

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from headstart.statistics.candidates import Candidates, Point, Space, candidates
from headstart.statistics.warp import SCALES, Warp

LENGTHS = (0.075, 0.125, 0.2, 0.325, 0.5)  # of the kernel, as shares of the range tried
RATIOS = (0.0, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # variance of the process over that of the noise
PRIOR_DF = 4  # what the noise is known by before any trial, in degrees of freedom
SPREAD_DF = 8  # of `Response.spread` as an estimate, for Satterthwaite's formula
REPEATS = 200  # simulated searches behind `Response.spread`


@dataclass(frozen=True, eq=False)
class Choice:
    """What an arm's search chose, and would choose if it were repeated."""

    candidates: Candidates
    response: "Response"
    stream: tuple[int, ...]  # of the random numbers: the study's and the arm's own

    @property
    def best(self) -> dict[str, Any]:
        """The settings at the optimum of the smooth response."""
        return self.candidates.points[self.response.best]

    def repeated(self, seed: int) -> dict[str, Any]:
        """The settings that a simulated repetition of the search chooses; each seed has one of its own."""
        return self.candidates.points[int(self.response.repeat([*self.stream, seed])[0])]

    @cached_property
    def luck(self) -> float:
        """Variance, in squared points, of the accuracy that such repetitions lead to."""
        return self.response.spread(self.stream)

    def shares_within(self, points: float) -> tuple[float, float]:
        """95 % interval of the share of the settings that come within so many points of the best.

        Percentiles of simulated repetitions (Efron & Tibshirani 1993, §13.3).
        """
        low, high = np.percentile(self.response.shares_within(points, self.stream), [2.5, 97.5])
        return float(low), float(high)


def choice_of(
    space: Space, tried: Sequence[Point], values: ArrayLike, *, pictures: int | None, seed: int, arm: str
) -> Choice:
    """The choice of a search from its finished trials; the same in every process that knows these.

    space: by key {low, high, log, step} or {choices}. tried: a value for every key, of the trials that may be selected,
    in the order of their numbers. values: [n], their validation accuracies in percent. pictures: how many these were
    measured on; None: not known. seed, arm: of the study and in it.
    """
    values = np.asarray(values, dtype=float)
    found = candidates(space, tried)
    share = min(max(values.max() / 100, 0.01), 0.99)
    noise = 1.0 if pictures is None else 100 * math.sqrt(share * (1 - share) / pictures)
    response = fit_response(found.tried, values, found.chosen_from, found.numeric, noise)
    return Choice(found, response, (seed, zlib.crc32(arm.encode())))


@dataclass(frozen=True)
class _Fit:
    """The smoother of one length, ratio and warp, and how well it goes with the trials."""

    log_likelihood: float  # of the accuracies
    noise: float  # variance, of the warped ones, as all below
    df: int
    fitted: np.ndarray  # [n], at the trials
    at_candidates: np.ndarray  # [m, n]: at the settings that can be chosen, from what the trials had
    warp: Warp
    mean: np.ndarray  # [m], at the candidates, in percent


@dataclass(frozen=True, eq=False)
class Response:
    """An arm's accuracy as a smooth function of its settings, at the settings that can be chosen (candidates)."""

    values: np.ndarray  # [n], of the trials, in percent
    fits: Sequence[_Fit]
    weights: np.ndarray  # of the fits, sum 1

    @cached_property
    def mean(self) -> np.ndarray:
        """Averaged over the fits, [m], in percent."""
        return np.average([fit.mean for fit in self.fits], axis=0, weights=self.weights)

    @property
    def best(self) -> int:
        """The candidate at the fit's optimum."""
        return int(self.mean.argmax())

    def repeat(self, seed: Sequence[int], times: int = 1) -> np.ndarray:
        """The candidates that so many simulated repetitions of the search choose, [times]; equal seeds, equal ones."""
        return np.array([curve.argmax() for curve in self._repeated(seed, times)], dtype=int)

    def shares_within(self, points: float, seed: Sequence[int]) -> np.ndarray:
        """The share of the candidates that repetitions find within so many points of their best, [REPEATS]."""
        return np.array([(curve >= curve.max() - points).mean() for curve in self._repeated(seed, REPEATS)])

    def _repeated(self, seed: Sequence[int], times: int) -> Iterator[np.ndarray]:
        """The responses, [m] in percent, that are fitted to simulated repetitions of the search."""
        # RandomState's stream is promised never to change (NEP 19).
        random = np.random.RandomState(list(seed))
        picked = np.searchsorted(np.cumsum(self.weights), random.random_sample(times) * self.weights.sum())
        for at in np.minimum(picked, len(self.fits) - 1):
            fit = self.fits[at]
            spread = np.sqrt(fit.noise * fit.df / random.chisquare(fit.df))
            repeated = fit.fitted + spread * random.standard_normal(len(fit.fitted))
            yield fit.warp.undo(fit.at_candidates @ repeated)

    def spread(self, seed: Sequence[int]) -> float:
        """Variance, in squared points, of the fitted accuracy at what repetitions of the search choose."""
        return float(self.mean[self.repeat(seed, REPEATS)].var(ddof=1)) if len(self.mean) > 1 else 0.0


def fit_response(settings: ArrayLike, values: ArrayLike, candidates: ArrayLike, numeric: int, noise: float) -> Response:
    """Fit the response of an arm to its finished trials.

    settings: [n, d], the trials'; the first `numeric` columns are numbers on a scale where equal distances mean the
    same (logarithms), the others codes of categories. values: [n], validation accuracies in percent. candidates:
    [m, d], the settings that can be chosen. noise: standard deviation, in points, that a repeated run is taken to have
    before any was seen, such as that of the sampling of validation pictures; within a factor of 2 it hardly matters.
    Raises ValueError without trials.
    """
    settings, candidates = np.asarray(settings, dtype=float), np.asarray(candidates, dtype=float)
    values = np.asarray(values, dtype=float)
    if not len(values):
        raise ValueError("no trial to fit a response to")
    low = settings[:, :numeric].min(axis=0)
    span = np.ptp(settings[:, :numeric], axis=0)
    scale = np.where(span > 0, span, 1.0)
    points, places = ((x[:, :numeric] - low) / scale for x in (settings, candidates))
    near = _squared_distances(points, points, settings[:, numeric:], settings[:, numeric:])
    far = _squared_distances(places, points, candidates[:, numeric:], settings[:, numeric:])
    trends = _trends(points, places)
    ratios = [(length, ratio) for length in LENGTHS for ratio in RATIOS if ratio or length == LENGTHS[0]]
    fits = []
    for length, ratio in ratios:
        of_trials, of_candidates = (ratio * np.exp(-0.5 * away / length**2) for away in (near, far))
        smoother = _Smoother.of(trends, of_trials, of_candidates)
        fits += [smoother.fit(values, Warp(values.max(), scale), noise) for scale in SCALES]
    likelihoods = np.array([fit.log_likelihood for fit in fits])
    weights = np.exp(likelihoods - likelihoods.max())
    return Response(values, fits, weights / weights.sum())


def _squared_distances(a: np.ndarray, b: np.ndarray, codes_a: np.ndarray, codes_b: np.ndarray) -> np.ndarray:
    """[len(a), len(b)]; another category is half the range of a number away."""
    numbers = ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=-1)
    return numbers + 0.25 * (codes_a[:, None, :] != codes_b[None, :, :]).sum(axis=-1)


def _trends(points: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of trials and candidates: a constant, and with two trials to spare each number and its square, too: [n, p].

    A number that was tried at two values has no square beside itself; where the trials can't tell the columns apart, as
    two numbers that always rose together, the constant is all.
    """
    straight = [column for column in range(points.shape[1]) if len(np.unique(points[:, column])) > 1]
    curved = [column for column in straight if len(np.unique(points[:, column])) > 2]
    of_trials, of_places = (
        np.hstack([np.ones((len(x), 1)), x[:, straight], x[:, curved] ** 2]) for x in (points, places)
    )
    columns = of_trials.shape[1]
    if len(points) >= columns + 2 and np.linalg.matrix_rank(of_trials) == columns:
        return of_trials, of_places
    return of_trials[:, :1], of_places[:, :1]


@dataclass(frozen=True)
class _Smoother:
    """Universal kriging with one covariance, whatever the accuracies."""

    trend_columns: int
    residual: np.ndarray  # [n, n]: their quadratic form is the sum of squares that is left
    determinants: float  # logarithm
    at_trials: np.ndarray  # [n, n]
    at_candidates: np.ndarray  # [m, n]

    @classmethod
    def of(cls, trends: tuple[np.ndarray, np.ndarray], near: np.ndarray, far: np.ndarray) -> "_Smoother":
        """near, far: covariances among trials, and from candidates to trials, in units of the noise."""
        trend, trend_there = trends
        covariance = np.eye(len(trend)) + near
        inverse = np.linalg.inv(covariance)
        information = trend.T @ inverse @ trend
        coefficients = np.linalg.solve(information, trend.T @ inverse)
        residual = inverse @ (np.eye(len(trend)) - trend @ coefficients)
        determinants = np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(information)[1]
        at_trials, at_candidates = trend @ coefficients + near @ residual, trend_there @ coefficients + far @ residual
        return cls(trend.shape[1], residual, float(determinants), at_trials, at_candidates)

    def fit(self, values: np.ndarray, warp: Warp, noise: float) -> _Fit:
        """To these accuracies, warped like that."""
        warped = warp(values)
        df = len(values) - self.trend_columns + PRIOR_DF
        variance = float(warped @ self.residual @ warped + PRIOR_DF * noise**2) / df
        likelihood = -0.5 * (df * math.log(variance) + self.determinants) + warp.log_jacobian(values)
        mean = warp.undo(self.at_candidates @ warped)
        return _Fit(likelihood, variance, df, self.at_trials @ warped, self.at_candidates, warp, mean)
