"""How soon the runs of one arm reach a stated accuracy."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from headstart.statistics.checks import finite_numbers, flags, refuse_other_lengths


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


def _survival(times: np.ndarray, reached: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Moments [m], sorted, and the share of runs still on their way after each (as `scipy.stats.ecdf(...).sf`).

    Written out because `scipy.stats` takes longer to import than a thousand runs to collate.
    """
    moments = np.unique(times)
    at_risk = (times >= moments[:, None]).sum(axis=1)
    arrived = ((times == moments[:, None]) & reached).sum(axis=1)
    return moments, np.cumprod(1 - arrived / at_risk)
