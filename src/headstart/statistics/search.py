"""The search of one arm: its best against the budget, the edge of its range, the tolerance to the learning rate."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from headstart.statistics.checks import finite_numbers, fraction, refuse_other_lengths

GAP_TOLERANCE = 0.05  # decades
BAND_LEVEL = 0.95
MOST_SIMULATED = 100  # trials; beyond, simulating a band's critical value would take seconds, and gigabytes


@dataclass(frozen=True)
class BudgetCurve:
    """Best validation accuracy against trials: `values[i]` belongs to i + 1 trials, `kind` says what it is.

    `low` and `high`, [N] like the values: a band that holds the whole curve, all budgets at once, with `BAND_LEVEL`;
    None where the kind has none.
    """

    kind: str  # "expected best" or "best so far"
    values: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None


def expected_best(values: ArrayLike) -> np.ndarray:
    """Expected best of n of the N trials, [N] for n = 1..N, in the unit of the values; unbiased.

    Σᵢ C(i-1, n-1) / C(N, n) · x₍ᵢ₎ over ascending order statistics: the mean over all subsets of n. Only for
    independent random draws that were not pruned, the DIVERGED and CHANCE ones included with their accuracy (or
    chance): without them it is too high. Source: Tang et al. (2020), 2004.13705, who correct Dodge et al. (2019),
    1909.03004.
    """
    from scipy.special import gammaln

    ordered = np.sort(finite_numbers(values, "values"))
    total = ordered.size
    i, n = np.arange(1, total + 1)[None, :], np.arange(1, total + 1)[:, None]
    log_subsets = gammaln(total + 1) - gammaln(n + 1) - gammaln(total - n + 1)
    log_weight = gammaln(i) - gammaln(n) - gammaln(np.maximum(i - n, 0) + 1) - log_subsets
    return np.where(i >= n, np.exp(log_weight), 0.0) @ ordered


def expected_best_band(
    values: ArrayLike, level: float = BAND_LEVEL, support: tuple[float, float] = (0.0, 100.0)
) -> tuple[np.ndarray, np.ndarray]:
    """Simultaneous band of `expected_best`: lower and upper curve, [N] each, for n = 1..N.

    With probability `level` at least, the true expectation lies inside at every n at once: a band for the distribution
    of the values that is exact in finite samples (Learned-Miller & DeStefano 2008; Kolmogorov-Smirnov's for more than
    100 trials), carried over to the best of n. It holds for the same draws as `expected_best`, of whatever
    distribution on `support`; where values can tie, as accuracies do, it is wider than it need be. Source: Lourie, Cho
    & He (2024), "Show Your Work with Confidence", 2311.09480, and their library.
    """
    values, level = finite_numbers(values, "values"), fraction(level, "level")
    if not values.size:
        return values, values
    from opda.nonparametric import EmpiricalDistribution  # brings scipy.stats: only now

    simulated = values.size <= MOST_SIMULATED
    how = dict(method="ld_equal_tailed", generator=_generator(values.size)) if simulated else dict(method="ks")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Duplicates detected", RuntimeWarning)  # they only make it wider
        ends = min(support[0], values.min()), max(support[1], values.max())
        below, _, above = EmpiricalDistribution.confidence_bands(values, level, *ends, n_jobs=1, **how)
    budgets = np.arange(1, values.size + 1)
    # Less of the distribution below a value is more of it above: the lower one leads to the upper curve.
    low, high = above.average_tuning_curve(budgets), below.average_tuning_curve(budgets)
    estimate = expected_best(values)  # near an end of the support it can lie a little outside
    return np.minimum(low, estimate), np.maximum(high, estimate)


@lru_cache
def _generator(trials: int) -> np.random.Generator:
    """Of a band's simulation: the same for the same number of trials, by which the library finds what it simulated."""
    return np.random.default_rng(trials)


def best_against_budget(values: ArrayLike, *, unpruned_random_draws: bool) -> BudgetCurve:
    """Best accuracy against trials: expected for unpruned random draws, otherwise the best so far, and called so.

    `values`: [trials] in the order they ran, percent. Enqueued points, a grid, QMC and TPE are no independent random
    draws, and have no exact band.
    """
    values = finite_numbers(values, "values")
    if unpruned_random_draws:
        return BudgetCurve("expected best", expected_best(values), *expected_best_band(values))
    return BudgetCurve("best so far", np.maximum.accumulate(values))


def _log_range(lr: ArrayLike, low: float, high: float) -> tuple[np.ndarray, float, float]:
    lr = finite_numbers(lr, "lr")
    if not 0 < low < high < math.inf:
        raise ValueError(f"Range {low} to {high}; expected 0 < low < high.")
    if lr.size and not (lr.min() >= low * (1 - 1e-9) and lr.max() <= high * (1 + 1e-9)):
        raise ValueError(f"Learning rates from {lr.min():g} to {lr.max():g} leave the range {low:g} to {high:g} given.")
    return np.log10(lr), math.log10(low), math.log10(high)


def learning_rate_tolerance(
    lr: ArrayLike,
    accuracy: ArrayLike,
    states: Sequence[str],
    low: float,
    high: float,
    margin: float = 1.0,
    max_gap: float = 1.0,
) -> float:
    """Decades of learning rate that come within `margin` points of the arm's best, out of the range `low` to `high`.

    `lr`, `accuracy` (percent), `states`: [trials]. Accuracy is interpolated linearly on log10 lr between COMPLETE
    trials (the mean where a rate was tried twice); all stretches at or above best - margin are added up. CHANCE and
    DIVERGED trials are points that are not within (accuracy 0, whatever is given, NaN too). Nothing is extrapolated to
    the bounds.

    NaN where the points don't cover the range: a gap above `max_gap` decades (+ 0.05) between neighbours or to a bound,
    fewer than 3 points, none COMPLETE, or a trial PRUNED (its value is unknown; leaving it out would count its place as
    within). Other states are left out. Give only trials spread over the range (grid, random, QMC); of
    TPE's the best one at most.
    """
    states, values = np.asarray(states, dtype=str), np.asarray(accuracy, dtype=float)
    positions, log_low, log_high = _log_range(lr, low, high)
    refuse_other_lengths(lr=positions, accuracy=values, states=states)
    complete, outside = states == "COMPLETE", np.isin(states, ("CHANCE", "DIVERGED"))
    values = np.where(complete, values, 0.0)[complete | outside]
    finite_numbers(values, "accuracy of COMPLETE trials")
    points, place = np.unique(positions[complete | outside], return_inverse=True)
    gaps = np.diff(points, prepend=log_low, append=log_high)
    if points.size < 3 or not complete.any() or (states == "PRUNED").any() or gaps.max() > max_gap + GAP_TOLERANCE:
        return math.nan
    curve = np.bincount(place, weights=values) / np.bincount(place)
    return _length_above(points, curve - (curve.max() - margin))


def _length_above(points: np.ndarray, heights: np.ndarray) -> float:
    """Length of the part of the polygon through (points, heights) at or above zero."""
    top, bottom = np.maximum(heights[:-1], heights[1:]), np.minimum(heights[:-1], heights[1:])
    crossing = (top >= 0) & (bottom < 0)
    share = np.divide(top, top - bottom, out=(bottom >= 0).astype(float), where=crossing)
    return float((share * np.diff(points)).sum())


@dataclass(frozen=True)
class Edge:
    """Side of the range where the best learning rate sits ("low", "high", "" for neither) and the range to try next."""

    side: str
    low: float
    high: float


def edge(lr: ArrayLike, accuracy: ArrayLike, low: float, high: float, margin: float = 0.1) -> Edge:
    """Flag an arm whose best learning rate, or 2 of the best 3, lie within `margin` of the log range from a bound.

    `lr`, `accuracy`: [trials], COMPLETE ones only, within the range `low` to `high` (as extended, where it was). Equal
    accuracies rank in the order given. The range to try reaches one decade further on the flagged side. Without
    trials there is no flag.
    """
    positions, log_low, log_high = _log_range(lr, low, high)
    accuracy = finite_numbers(accuracy, "accuracy")
    refuse_other_lengths(lr=positions, accuracy=accuracy)
    best = positions[np.argsort(-accuracy, kind="stable")[:3]]
    near = margin * (log_high - log_low) + 1e-9
    at_low, at_high = best - log_low <= near, log_high - best <= near
    for there in (slice(0, 1), slice(0, 3)):  # the best alone goes before two of the best three
        needed = min(2, len(best[there]))
        if needed and at_low[there].sum() >= needed:
            return Edge("low", low / 10, high)
        if needed and at_high[there].sum() >= needed:
            return Edge("high", low, high * 10)
    return Edge("", low, high)
