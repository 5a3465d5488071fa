"""Two arms over the same seeds, and whole families of such pairs: differences, tests, corrections."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from headstart.statistics.checks import finite_numbers, fraction, refuse_other_lengths
from headstart.statistics.intervals import standard_deviation, t_half_width


@dataclass(frozen=True)
class PairedDifference:
    """Mean of a - b over n paired seeds, its Student-t interval at `level`, and the t test's two-sided p-values.

    `p_holm` is adjusted for the family (equal to `p` for a single pair). Without spread bounds and p-values are NaN.
    """

    n: int
    difference: float
    std: float
    low: float
    high: float
    level: float
    p: float
    p_holm: float


def paired_difference(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> PairedDifference:
    """Compare two arms over the same seeds: paired Student-t interval and test.

    `a`, `b`: [n], entry i of both from the same seed. With n < 2, or where every seed gave the same difference, the
    seeds carry no spread and bounds and p are NaN. A formula would say p = 0 there, yet on a small test split three
    equal differences are common by luck. Source: Student (1908), "The probable error of a mean", Biometrika 6.
    """
    from scipy.special import stdtr

    a, b, level = finite_numbers(a, "a"), finite_numbers(b, "b"), fraction(level, "level")
    refuse_other_lengths(a=a, b=b)
    n, difference = a.size, float((a - b).mean()) if a.size else math.nan
    if n < 2:
        return PairedDifference(n, difference, math.nan, math.nan, math.nan, level, math.nan, math.nan)
    std = standard_deviation(a - b, scale=max(np.abs(a).max(), np.abs(b).max()))
    if std == 0:
        return PairedDifference(n, difference, 0.0, math.nan, math.nan, level, math.nan, math.nan)
    p = float(2 * stdtr(n - 1, -abs(difference) * math.sqrt(n) / std))
    half = t_half_width(std, n, level)
    return PairedDifference(n, difference, std, difference - half, difference + half, level, p, p)


def probability_of_improvement(a: ArrayLike, b: ArrayLike) -> float:
    """P(A > B), 0..1: the chance that a fresh run of A beats a fresh run of B; a tie counts half. NaN without runs.

    `a`: [n], `b`: [m]. All n·m combinations are compared, not only equal seeds, which would go in steps of 1/n.
    Source: Agarwal et al. (2021), 2108.13264, §4.3 (the Mann-Whitney U divided by n·m).
    """
    a, b = finite_numbers(a, "a"), finite_numbers(b, "b")
    if not a.size or not b.size:
        return math.nan
    return float(((a[:, None] > b) + 0.5 * (a[:, None] == b)).mean())


def holm(p: ArrayLike) -> np.ndarray:
    """Holm-adjusted p-values, [m] in the order given.

    Rejecting those below α names a false winner in at most a share α of families, whatever the dependence. Source:
    Holm (1979), "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6, 65-70.
    """
    p = finite_numbers(p, "p")
    if p.size and not (p.min() >= 0 and p.max() <= 1):
        raise ValueError(f"p-values between {p.min()} and {p.max()}; expected 0 to 1.")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * (p.size - np.arange(p.size))), 1)
    return adjusted


def holm_levels(p: ArrayLike, alpha: float = 0.05) -> np.ndarray:
    """Interval levels, [m], at which an interval excludes zero exactly when its Holm-adjusted p-value is below `alpha`.

    They are the levels at which Holm's steps tested: 1 - α / (m - i) for the pair rejected at step i = 0, 1, ..., and
    1 - α / (m - r) for all that remain after r rejections. Equal p-values share the earlier step. What holds: a false
    winner in at most α of families, and each interval is at least as wide as the plain 1 - α one. What doesn't: where
    arms differ, the intervals don't cover all m true differences at once with 1 - α. Bonferroni's, all at 1 - α / m,
    would, but they include zero for some pairs whose Holm-adjusted p is below α.
    """
    p, alpha = finite_numbers(p, "p"), fraction(alpha, "alpha")
    rejected = holm(p) < alpha
    step = np.where(rejected, (p[None, :] < p[:, None]).sum(axis=1), rejected.sum())
    return 1 - alpha / (p.size - step)


def compare_pairs(pairs: Sequence[tuple[ArrayLike, ArrayLike]], alpha: float = 0.05) -> tuple[PairedDifference, ...]:
    """Compare a whole family of pairs: paired differences with Holm-adjusted p-values and intervals at matching levels.

    `pairs`: (a, b) per pair, arrays as in `paired_difference`, lengths may differ between pairs. A pair without an
    interval (fewer than 2 seeds, no spread) still counts in the family, as one that can't be rejected, so that the
    others' intervals don't narrow because a run failed. Levels: see `holm_levels`.
    """
    results = [paired_difference(a, b) for a, b in pairs]
    p = np.array([1.0 if math.isnan(result.p) else result.p for result in results])
    adjusted, levels = holm(p), holm_levels(p, alpha)
    return tuple(_at_level(*item) for item in zip(results, adjusted, levels, strict=True))


def _at_level(result: PairedDifference, p_holm: float, level: float) -> PairedDifference:
    if math.isnan(result.p):
        return replace(result, level=float(level))
    half = t_half_width(result.std, result.n, level)
    low, high = result.difference - half, result.difference + half
    return replace(result, low=low, high=high, level=float(level), p_holm=float(p_holm))
