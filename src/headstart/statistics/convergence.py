"""How soon the runs of one arm reach a stated accuracy."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from headstart.statistics.checks import finite_numbers, flags, refuse_other_lengths
from headstart.statistics.intervals import standard_deviation, t_half_width


@dataclass(frozen=True)
class TimeToTarget:
    """Time until a target accuracy over n runs of which `censored` never got there, in the unit of the times given."""

    n: int
    censored: int
    median: float  # infinite where at least half of the runs (by Kaplan-Meier) never got there


def time_to_target(times: ArrayLike, reached: ArrayLike) -> TimeToTarget:
    """Kaplan-Meier median of the epochs, steps, images or seconds to a target; no run is dropped. NaN without runs.

    `times`: [runs], when the target was reached, or how long the run lasted without; `reached`: [runs] of true/false.
    Median: first time at which the surviving share is 0.5 or less (no midpoint between two).
    Source: Kaplan & Meier (1958), JASA 53.
    """
    times, reached = finite_numbers(times, "times"), flags(reached, "reached")
    refuse_other_lengths(times=times, reached=reached)
    if not times.size:
        return TimeToTarget(0, 0, math.nan)
    if times.min() < 0:
        raise ValueError(f"Shortest time {times.min()}; expected 0 or more.")
    moments, shares = _survival(times, reached)
    halved = moments[shares <= 0.5 + 1e-12]
    median = float(halved[0]) if halved.size else math.inf
    return TimeToTarget(times.size, int((~reached).sum()), median)


def speedup_interval(
    a: ArrayLike, b: ArrayLike, reached_a: ArrayLike, reached_b: ArrayLike, level: float = 0.95
) -> tuple[float, float]:
    """How many times sooner a gets there than b: interval of the geometric mean of b / a over paired seeds.

    `a`, `b`: [n], times above 0 as in `time_to_target`, entry i of both from the same seed. Student t on logarithms. A
    run that never got there is kept with the time that it lasted, which is a bound: the end of the interval on its side
    is then infinite, or 0. NaN with fewer than 2 pairs.
    """
    a, b = finite_numbers(a, "a"), finite_numbers(b, "b")
    reached_a, reached_b = flags(reached_a, "reached_a"), flags(reached_b, "reached_b")
    refuse_other_lengths(a=a, b=b, reached_a=reached_a, reached_b=reached_b)
    if a.size < 2:
        return math.nan, math.nan
    if min(a.min(), b.min()) <= 0:
        raise ValueError(f"Shortest time {min(a.min(), b.min())}; expected more than 0.")
    ratios = np.log(b / a)
    half = t_half_width(standard_deviation(ratios, scale=1.0), a.size, level)
    low, high = ratios.mean() - half, ratios.mean() + half
    return (0.0 if not reached_a.all() else math.exp(low)), (math.inf if not reached_b.all() else math.exp(high))


def _survival(times: np.ndarray, reached: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Moments [m], sorted, and the share of runs still on their way after each (as `scipy.stats.ecdf(...).sf`).

    Written out because `scipy.stats` takes longer to import than a thousand runs to collate.
    """
    moments = np.unique(times)
    at_risk = (times >= moments[:, None]).sum(axis=1)
    arrived = ((times == moments[:, None]) & reached).sum(axis=1)
    return moments, np.cumprod(1 - arrived / at_risk)
