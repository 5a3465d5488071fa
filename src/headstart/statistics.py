"""The statistics of a comparison as pure functions on numbers: intervals, tests, budgets, edges, times to a target.

Accuracies and their differences are in percent and percentage points (0..100), probabilities in 0..1. Every function
takes lists or arrays and refuses NaN and infinity with a ValueError: a missing value is the caller's to drop or name.
scipy is imported where it is used, because `scipy.stats` alone takes over a second to import.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

CALIBRATION_BINS = 15
GAP_TOLERANCE = 0.05  # decades


def _numbers(values: ArrayLike, name: str) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; expected a flat list of numbers.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} contains NaN or infinity; drop or replace these values first.")
    return array


def _flags(values: ArrayLike, name: str) -> np.ndarray:
    array = _numbers(values, name)
    if not np.isin(array, (0, 1)).all():
        raise ValueError(f"{name} holds other values than true and false (or 1 and 0).")
    return array.astype(bool)


def _same_length(**arrays: np.ndarray) -> None:
    if len({len(array) for array in arrays.values()}) > 1:
        lengths = ", ".join(f"{name} {len(array)}" for name, array in arrays.items())
        raise ValueError(f"Lengths differ: {lengths}; expected one entry each per item, in the same order.")


def _fraction(value: float, name: str) -> float:
    if not 0 < value < 1:
        raise ValueError(f"{name}={value} is not between 0 and 1; for 95 % give 0.95.")
    return value


# ---------------------------------------------------------------------------------------------- one arm over its seeds
@dataclass(frozen=True)
class Summary:
    """Mean over n runs, sample standard deviation (n - 1) and Student-t interval, in the unit of the values."""

    n: int
    mean: float
    std: float
    low: float
    high: float
    level: float


def _t_half_width(std: float, n: int, level: float) -> float:
    from scipy.special import stdtrit

    return float(-stdtrit(n - 1, (1 - level) / 2)) * std / math.sqrt(n)


def summarise(values: ArrayLike, level: float = 0.95) -> Summary:
    """Mean, standard deviation and Student-t interval of the mean, mean ± t(n-1) s / √n.

    `values`: [n]. One value has no spread: NaN standard deviation and bounds; none: NaN mean too. Equal values give an
    interval of zero width: their seeds change nothing. Source: NIST/SEMATECH e-Handbook of Statistics §1.3.5.2.
    """
    values, level = _numbers(values, "values"), _fraction(level, "level")
    mean = float(values.mean()) if values.size else math.nan
    if values.size < 2:
        return Summary(values.size, mean, math.nan, math.nan, math.nan, level)
    std = _std(values, scale=np.abs(values).max())
    half = _t_half_width(std, values.size, level)
    return Summary(values.size, mean, std, mean - half, mean + half, level)


def _std(values: np.ndarray, scale: float) -> float:
    """Sample standard deviation; exactly 0 where the values differ by no more than the rounding of floats."""
    return float(values.std(ddof=1)) if np.ptp(values) > 1e-12 * scale else 0.0


# ------------------------------------------------------------------------------------------------------- pairs of arms
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

    a, b, level = _numbers(a, "a"), _numbers(b, "b"), _fraction(level, "level")
    _same_length(a=a, b=b)
    n, difference = a.size, float((a - b).mean()) if a.size else math.nan
    if n < 2:
        return PairedDifference(n, difference, math.nan, math.nan, math.nan, level, math.nan, math.nan)
    std = _std(a - b, scale=max(np.abs(a).max(), np.abs(b).max()))
    if std == 0:
        return PairedDifference(n, difference, 0.0, math.nan, math.nan, level, math.nan, math.nan)
    p = float(2 * stdtr(n - 1, -abs(difference) * math.sqrt(n) / std))
    half = _t_half_width(std, n, level)
    return PairedDifference(n, difference, std, difference - half, difference + half, level, p, p)


def probability_of_improvement(a: ArrayLike, b: ArrayLike) -> float:
    """P(A > B), 0..1: the chance that a fresh run of A beats a fresh run of B; a tie counts half. NaN without runs.

    `a`: [n], `b`: [m]. All n·m combinations are compared, not only equal seeds, which would go in steps of 1/n.
    Source: Agarwal et al. (2021), 2108.13264, §4.3 (the Mann-Whitney U divided by n·m).
    """
    a, b = _numbers(a, "a"), _numbers(b, "b")
    if not a.size or not b.size:
        return math.nan
    return float(((a[:, None] > b) + 0.5 * (a[:, None] == b)).mean())


def holm(p: ArrayLike) -> np.ndarray:
    """Holm-adjusted p-values, [m] in the order given.

    Rejecting those below α names a false winner in at most a share α of families, whatever the dependence. Source:
    Holm (1979), "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6, 65-70.
    """
    p = _numbers(p, "p")
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
    p, alpha = _numbers(p, "p"), _fraction(alpha, "alpha")
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
    half = _t_half_width(result.std, result.n, level)
    low, high = result.difference - half, result.difference + half
    return replace(result, low=low, high=high, level=float(level), p_holm=float(p_holm))


@dataclass(frozen=True)
class McNemar:
    """Images that only model a, or only model b, classified correctly, and the exact two-sided p-value."""

    only_a: int
    only_b: int
    p: float


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike) -> McNemar:
    """Exact McNemar test of two single models on the same images (not of two arms: seeds don't enter).

    `correct_a`, `correct_b`: [images] of true/false, same order of images. p = 1 where the models agree everywhere.
    Source: McNemar (1947), Psychometrika 12; exact binomial form, see Dietterich (1998), Neural Computation 10, §3.1.
    """
    from scipy.stats import binomtest

    a, b = _flags(correct_a, "correct_a"), _flags(correct_b, "correct_b")
    _same_length(correct_a=a, correct_b=b)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    p = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return McNemar(only_a, only_b, p)


# --------------------------------------------------------------------------------------------------- one single model
def wilson_interval(correct: int, images: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval, in percent, of the accuracy of a model with `correct` of `images` right; NaN for 0 images.

    It holds what the sampling of test images leaves open. Source: Wilson (1927), JASA 22; `scipy.stats.binomtest`.
    """
    from scipy.stats import binomtest

    level = _fraction(level, "level")
    if images == 0 and correct == 0:
        return math.nan, math.nan
    if not 0 <= correct <= images:
        raise ValueError(f"correct={correct} of images={images}; expected 0 to images.")
    interval = binomtest(int(correct), int(images)).proportion_ci(level, method="wilson")
    return 100 * float(interval.low), 100 * float(interval.high)


def sampling_half_width(accuracy: float, images: int, level: float = 0.95) -> float:
    """How far, in percentage points, the choice of test images alone moves an accuracy: z √(q (1 - q) / images).

    95 % on 10,000 images: ±0.43. Unlike Wilson's interval it is symmetric, for the "±" beside small gaps.
    """
    from scipy.special import ndtri

    _numbers([accuracy], "accuracy")
    if images < 1 or not 0 <= accuracy <= 100:
        raise ValueError(f"accuracy={accuracy}, images={images}; expected percent and at least one image.")
    share = accuracy / 100
    return 100 * float(ndtri((1 + _fraction(level, "level")) / 2)) * math.sqrt(share * (1 - share) / images)


def is_chance(accuracy: float, images: int, classes: int, majority_share: float = 0.0, errors: float = 3.0) -> bool:
    """Whether an accuracy (percent) on `images` images is not above chance by `errors` standard errors (state CHANCE).

    Chance c is 1 / classes, or `majority_share` (0..1, of the largest class) where that is more: a constant answer
    reaches it. The standard error is that of guessing, √(c (1 - c) / images).
    """
    _numbers([accuracy, majority_share], "accuracy and majority_share")
    if images < 1 or classes < 1 or not 0 <= majority_share <= 1 or not 0 <= accuracy <= 100:
        raise ValueError(
            f"accuracy={accuracy}, images={images}, classes={classes}, majority_share={majority_share}; "
            "expected percent, at least one image and class, and a share of 0 to 1."
        )
    chance = max(1 / classes, majority_share)
    return accuracy / 100 <= chance + errors * math.sqrt(chance * (1 - chance) / images) + 1e-12


def expected_calibration_error(confidences: ArrayLike, correct: ArrayLike, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error in percentage points: |accuracy - confidence| per bin, averaged over images.

    `confidences`: [images], probability of the predicted class, 0..1; `correct`: [images] of true/false. Bins are of
    equal width on 0..1, 15 of them, closed on the right (0 joins the first). NaN without images.
    Source: Guo et al. (2017), 1706.04599, eq. 3 and §2 "Expected Calibration Error".
    """
    confidences, correct = _numbers(confidences, "confidences"), _flags(correct, "correct")
    _same_length(confidences=confidences, correct=correct)
    if not confidences.size:
        return math.nan
    if confidences.min() < 0 or confidences.max() > 1 + 1e-6:  # a softmax in float32 may pass 1 by rounding
        raise ValueError(f"confidences from {confidences.min()} to {confidences.max()}; expected 0 to 1.")
    bin_of = np.clip(np.ceil(confidences * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, weights=correct - confidences, minlength=bins)
    return 100 * float(np.abs(gaps).sum() / confidences.size)


# ------------------------------------------------------------------------------------------------- the search of an arm
@dataclass(frozen=True)
class BudgetCurve:
    """Best validation accuracy against trials: `values[i]` belongs to i + 1 trials, `kind` says what it is."""

    kind: str  # "expected best" or "best so far"
    values: np.ndarray


def expected_best(values: ArrayLike) -> np.ndarray:
    """Expected best of n of the N trials, [N] for n = 1..N, in the unit of the values; unbiased.

    Σᵢ C(i-1, n-1) / C(N, n) · x₍ᵢ₎ over ascending order statistics: the mean over all subsets of n. Only for
    independent random draws that were not pruned, the DIVERGED and CHANCE ones included with their accuracy (or
    chance): without them it is too high. Source: Tang et al. (2020), 2004.13705, who correct Dodge et al. (2019),
    1909.03004.
    """
    from scipy.special import gammaln

    ordered = np.sort(_numbers(values, "values"))
    total = ordered.size
    i, n = np.arange(1, total + 1)[None, :], np.arange(1, total + 1)[:, None]
    log_subsets = gammaln(total + 1) - gammaln(n + 1) - gammaln(total - n + 1)
    log_weight = gammaln(i) - gammaln(n) - gammaln(np.maximum(i - n, 0) + 1) - log_subsets
    return np.where(i >= n, np.exp(log_weight), 0.0) @ ordered


def best_against_budget(values: ArrayLike, *, unpruned_random_draws: bool) -> BudgetCurve:
    """Best accuracy against trials: expected for unpruned random draws, otherwise the best so far, and called so.

    `values`: [trials] in the order they ran. Enqueued points, a grid, QMC and TPE are no independent random draws.
    """
    values = _numbers(values, "values")
    if unpruned_random_draws:
        return BudgetCurve("expected best", expected_best(values))
    return BudgetCurve("best so far", np.maximum.accumulate(values))


def _log_range(lr: ArrayLike, low: float, high: float) -> tuple[np.ndarray, float, float]:
    lr = _numbers(lr, "lr")
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
    _same_length(lr=positions, accuracy=values, states=states)
    complete, outside = states == "COMPLETE", np.isin(states, ("CHANCE", "DIVERGED"))
    values = np.where(complete, values, 0.0)[complete | outside]
    _numbers(values, "accuracy of COMPLETE trials")
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
    accuracy = _numbers(accuracy, "accuracy")
    _same_length(lr=positions, accuracy=accuracy)
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


# ------------------------------------------------------------------------------------------------- convergence speed
@dataclass(frozen=True)
class TimeToTarget:
    """Time until a target accuracy over n runs of which `censored` never got there, in the unit of the times given."""

    n: int
    censored: int
    median: float  # infinite where at least half of the runs (by Kaplan-Meier) never got there
    restricted_mean: float  # mean of min(time, horizon)
    horizon: float


def time_to_target(times: ArrayLike, reached: ArrayLike, horizon: float | None = None) -> TimeToTarget:
    """Kaplan-Meier median and restricted mean of epochs, steps, images or seconds to a target; no run is dropped.

    `times`: [runs], when the target was reached, or how long the run lasted without; `reached`: [runs] of true/false.
    Median: first time at which the surviving share is 0.5 or less (no midpoint between two). The restricted mean is the
    area under the survival curve up to `horizon` (default: the longest time); arms compare only at the same horizon. It
    is NaN where the curve isn't known that far: the longest run is censored before the horizon. NaN without runs.
    Source: Kaplan & Meier (1958), JASA 53; Royston & Parmar (2013), BMC Med. Res. Methodol. 13.
    """
    times, reached = _numbers(times, "times"), _flags(reached, "reached")
    _same_length(times=times, reached=reached)
    if not times.size:
        return TimeToTarget(0, 0, math.nan, math.nan, math.nan if horizon is None else float(horizon))
    end = float(times.max() if horizon is None else horizon)
    if times.min() < 0 or not 0 <= end < math.inf:
        raise ValueError(f"Shortest time {times.min()}, horizon {end}; expected 0 or more.")
    moments, shares = _survival(times, reached)
    halved = moments[shares <= 0.5 + 1e-12]
    inside = moments < end
    area = float(np.diff(np.concatenate([[0.0], moments[inside], [end]])) @ np.concatenate([[1.0], shares[inside]]))
    known = end <= times.max() or shares[-1] < 1e-12
    median = float(halved[0]) if halved.size else math.inf
    return TimeToTarget(times.size, int((~reached).sum()), median, area if known else math.nan, end)


def _survival(times: np.ndarray, reached: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Moments [m], sorted, and the share of runs still on their way after each (as `scipy.stats.ecdf(...).sf`).

    Written out because `scipy.stats` takes longer to import than a thousand runs to collate.
    """
    moments = np.unique(times)
    at_risk = (times >= moments[:, None]).sum(axis=1)
    arrived = ((times == moments[:, None]) & reached).sum(axis=1)
    return moments, np.cumprod(1 - arrived / at_risk)


def speedup(a: TimeToTarget, b: TimeToTarget) -> float:
    """How many times sooner arm a reaches the target: median of b / median of a; NaN unless both medians are known."""
    known = math.isfinite(a.median) and math.isfinite(b.median) and a.median > 0
    return b.median / a.median if known else math.nan
