"""Two arms over the same seeds, and whole families of such pairs: differences, tests, corrections."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from headstart.statistics.checks import finite_numbers, fraction, refuse_other_lengths
from headstart.statistics.crossed import Uncertainty, together
from headstart.statistics.intervals import standard_deviation
from headstart.statistics.looks import Looks

DISAGREEMENT = 0.2  # share of test images on which two arms' answers differ, before anybody has seen them
SPREAD = 1.0  # points: standard deviation over seeds of a difference, likewise
SMALLEST_P = 1e-12  # that leaves a level below 1
LARGEST = 100.0  # points that two percentages can differ by


@dataclass(frozen=True)
class PairedDifference:
    """Mean of a - b over n paired seeds, its Student-t interval at `level`, and the t test's two-sided p-values.

    The interval rests on `variance`, that of the mean, with `df` degrees of freedom, and is cut to the -100 to 100
    points that two percentages can differ by; `std` is that over seeds. `p_holm` is adjusted for the family (equal to
    `p` for a single pair). Without spread bounds and p-values are NaN.
    """

    n: int
    difference: float
    std: float
    variance: float
    df: float
    low: float
    high: float
    level: float
    p: float
    p_holm: float


def paired_difference(
    a: ArrayLike, b: ArrayLike, level: float = 0.95, uncertainty: Uncertainty | None = None
) -> PairedDifference:
    """Compare two arms over the same seeds: paired Student-t interval and test.

    `a`, `b`: [n], entry i of both from the same seed. uncertainty: of the mean difference, where more than the seeds is
    to be in it (test pictures, the search); None: of the seeds alone, and with n < 2, or where every seed gave the same
    difference, they carry no spread and bounds and p are NaN. A formula would say p = 0 there, yet on a small test
    split three equal differences are common by luck. Source: Student (1908), "The probable error of a mean",
    Biometrika 6.
    """
    a, b = finite_numbers(a, "a"), finite_numbers(b, "b")
    refuse_other_lengths(a=a, b=b)
    n, difference = a.size, float((a - b).mean()) if a.size else math.nan
    std = standard_deviation(a - b, scale=max(np.abs(a).max(), np.abs(b).max())) if n > 1 else math.nan
    known = seeds_alone(std, n) if uncertainty is None else uncertainty
    bare = PairedDifference(n, difference, std, known.variance, known.df, *[math.nan] * 2, level, *[math.nan] * 2)
    return at_level(bare, level, p_holm=None)


def seeds_alone(std: float, n: int) -> Uncertainty:
    """Of a mean over n seeds with that standard deviation; NaN without spread."""
    return Uncertainty(std**2 / n, n - 1) if n > 1 and std > 0 else Uncertainty(math.nan, math.nan)


def at_level(result: PairedDifference, level: float, p_holm: float | None) -> PairedDifference:
    """The same difference with its interval at another level, and its adjusted p-value; None: a family of one."""
    from scipy.special import stdtr, stdtrit

    level = fraction(level, "level")
    if not result.variance > 0:
        return replace(result, level=level)
    error = math.sqrt(result.variance)
    p = float(2 * stdtr(result.df, -abs(result.difference) / error))
    half = float(-stdtrit(result.df, (1 - level) / 2)) * error
    low, high = max(-LARGEST, result.difference - half), min(LARGEST, result.difference + half)
    return replace(result, low=low, high=high, level=level, p=p, p_holm=p if p_holm is None else p_holm)


def detectable(compared: PairedDifference, power: float = 0.8) -> float:
    """The true difference, in points, whose interval would exclude zero with chance `power`.

    (t(df, level) + t(df, power)) standard errors: Cohen (1988), Statistical Power Analysis, ch. 2; an approximation.
    Infinite where that is more than two percentages can differ by, NaN without spread.
    """
    from scipy.special import stdtrit

    if not compared.variance > 0:
        return math.nan
    quantiles = stdtrit(compared.df, [(1 + compared.level) / 2, fraction(power, "power")])
    found = float(quantiles.sum()) * math.sqrt(compared.variance)
    return found if found <= LARGEST else math.inf


def foreseen_detectable(images: int, seeds: int, family: int = 1) -> float:
    """What `detectable` is likely to be at least, in points, of a study with so many test images, seeds and pairs.

    For two arms whose answers differ on a fifth of the images, and whose difference varies by a point over seeds.
    """
    of_images = Uncertainty(1e4 * DISAGREEMENT / images, images - 1)
    known = together(of_images, Uncertainty(SPREAD**2 / seeds, seeds - 1))
    unknown = math.nan, math.nan
    return detectable(
        PairedDifference(seeds, 0.0, SPREAD, known.variance, known.df, *unknown, 1 - 0.05 / family, *unknown)
    )


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


def compare_pairs(
    pairs: Sequence[Sequence[PairedDifference]], alpha: float = 0.05, looks: Looks | None = None
) -> tuple[PairedDifference, ...]:
    """A whole family of paired differences, with Holm-adjusted p-values and intervals at matching levels.

    pairs: the differences that each had at the looks made so far, one at least. looks: None where there is one look,
    and none to come. Of each pair comes back the difference at the first look that rejected it, else the last one. Its
    `p_holm` is of all looks (`Looks.p_of_all`) and all pairs (Maurer & Bretz 2013, Stat. Biopharm. Res. 5), its level
    that of the look within the pair's own (`holm_levels`), its interval what those of all looks until then hold, as
    they hold together (Jennison & Turnbull 1989, J. R. Stat. Soc. B 51).

    A pair without an interval (fewer than 2 seeds, no spread) still counts in the family, as one that can't be
    rejected, so that the others' intervals don't narrow because a run failed.
    """
    of_looks = [[_p_of_all(one, look, looks) for look, one in enumerate(own)] for own in pairs]
    p = np.array([min(own) for own in of_looks])
    adjusted, levels = holm(p), holm_levels(p, alpha)
    found = []
    for own, at_looks, level, p_all in zip(pairs, of_looks, levels, adjusted, strict=True):
        look = next((k for k, one in enumerate(at_looks) if one < 1 - level), len(own) - 1)
        rejected_below = [1 - float(level)] if looks is None else looks.levels(1 - float(level))
        levels_by_look = [1 - max(p_below, SMALLEST_P) for p_below in rejected_below]
        adjusted_p = None if math.isnan(own[look].p) else float(p_all)
        seen = [at_level(*one, adjusted_p) for one in zip(own[: look + 1], levels_by_look, strict=False)]
        found.append(_intersected(seen))
    return tuple(found)


def _intersected(looks: Sequence[PairedDifference]) -> PairedDifference:
    """The last look's difference, its interval cut to what all of them hold, unless that leaves the difference out."""
    last = looks[-1]
    low, high = (f(getattr(one, end) for one in looks) for f, end in ((max, "low"), (min, "high")))
    return replace(last, low=low, high=high) if low <= last.difference <= high else last


def _p_of_all(pair: PairedDifference, look: int, looks: Looks | None) -> float:
    if math.isnan(pair.p):
        return 1.0
    return pair.p if looks is None else looks.p_of_all(pair.p, look)
