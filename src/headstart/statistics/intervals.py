"""What one arm's runs, and the choice of test images, leave open: mean, standard deviation, interval."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from headstart.statistics.checks import finite_numbers, fraction
from headstart.statistics.crossed import Uncertainty

ENOUGH_TO_CHOOSE = 30  # pictures to validate on: with 14 a choice between settings is a lottery, by ±26 points at 50 %
UNBALANCED = 1.5  # times as many images in one class as in another, from which on it is said


@dataclass(frozen=True)
class Summary:
    """Mean over n runs and sample standard deviation (n - 1), in the unit of the values."""

    n: int
    mean: float
    std: float

    @property
    def uncertainty(self) -> Uncertainty:
        """Of the mean, for new runs: s² / n, with n - 1 degrees of freedom; NaN without spread to know it by."""
        return Uncertainty(self.std**2 / self.n, self.n - 1) if self.n > 1 else Uncertainty(math.nan, math.nan)


def summarise(values: ArrayLike) -> Summary:
    """Mean and standard deviation.

    `values`: [n]. One value has no spread: NaN standard deviation; none: NaN mean too. Equal values have a spread of 0:
    their seeds change nothing. Source: NIST/SEMATECH e-Handbook of Statistics §1.3.5.2.
    """
    values = finite_numbers(values, "values")
    mean = float(values.mean()) if values.size else math.nan
    std = standard_deviation(values, scale=np.abs(values).max()) if values.size > 1 else math.nan
    return Summary(values.size, mean, std)


def accuracy_interval(mean: float, known: Uncertainty, level: float = 0.95) -> tuple[float, float]:
    """Student-t interval of an accuracy in percent, on the scale of log odds and back, so that it stays in 0 to 100.

    At a mean of 0 or 100, where the log odds are infinite, it is the plain one, cut there. NaN without a variance.
    Source: Agresti (2013), Categorical Data Analysis, §3.1.6 (the delta method for the logit).
    """
    from scipy.special import expit, logit

    if not known.variance >= 0:
        return math.nan, math.nan
    half = half_width(known, level)
    if not 0 < mean < 100:
        return max(0.0, mean - half), min(100.0, mean + half)
    share, scaled = mean / 100, half / (mean * (1 - mean / 100))
    return 100 * float(expit(logit(share) - scaled)), 100 * float(expit(logit(share) + scaled))


def t_half_width(std: float, n: int, level: float) -> float:
    """Half the width of the Student-t interval of a mean over n values of standard deviation `std`."""
    from scipy.special import stdtrit

    return float(-stdtrit(n - 1, (1 - level) / 2)) * std / math.sqrt(n)


def standard_deviation(values: np.ndarray, scale: float) -> float:
    """Sample standard deviation (n - 1); exactly 0 where the values differ by no more than the rounding of floats."""
    return float(values.std(ddof=1)) if np.ptp(values) > 1e-12 * scale else 0.0


def half_width(known: Uncertainty, level: float = 0.95) -> float:
    """Half the width of the Student-t interval of an estimate; NaN where its uncertainty is not known."""
    from scipy.special import stdtrit

    return float(-stdtrit(known.df, (1 - fraction(level, "level")) / 2)) * math.sqrt(known.variance)


def sampling_half_width(accuracy: float, images: int, level: float = 0.95) -> float:
    """How far, in percentage points, the choice of test images alone moves an accuracy: z √(q (1 - q) / images).

    95 % on 10,000 images: ±0.43. Unlike Wilson's interval it is symmetric, for the "±" beside small gaps.
    """
    finite_numbers([accuracy], "accuracy")
    if images < 1 or not 0 <= accuracy <= 100:
        raise ValueError(f"accuracy={accuracy}, images={images}; expected percent and at least one image.")
    share, z = accuracy / 100, NormalDist().inv_cdf((1 + fraction(level, "level")) / 2)
    return 100 * z * math.sqrt(share * (1 - share) / images)
