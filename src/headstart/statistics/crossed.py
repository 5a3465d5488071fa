"""Seeds and test pictures as two crossed random factors: what a mean over both leaves open about new ones of either."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

SCARCE = 4  # degrees of freedom, those of 5 seeds


@dataclass(frozen=True)
class Uncertainty:
    """Variance of an estimate, in squared points, and its degrees of freedom."""

    variance: float
    df: float


def crossed_uncertainty(values: ArrayLike) -> Uncertainty:
    """Of the mean over seeds and pictures, as an estimate for new seeds and new pictures.

    values: [S, N], a value of every seed at every picture, such as the difference of two arms' right answers in points.
    Two-way analysis of variance without replication: (MS_S + MS_I - MS_E) / (S N), where that is not positive the
    larger of MS_S and MS_I. NaN with fewer than 2 of either. Source: Searle, Casella & McCulloch (1992), Variance
    Components, ch. 4.
    """
    values = np.asarray(values, dtype=float)
    seeds, pictures = values.shape
    if min(seeds, pictures) < 2:
        return Uncertainty(math.nan, math.nan)
    mean, of_seed, of_picture = values.mean(), values.mean(axis=1), values.mean(axis=0)
    df = seeds - 1, pictures - 1, (seeds - 1) * (pictures - 1)
    rest = values - of_seed[:, None] - of_picture[None, :] + mean
    squares = (
        pictures * ((of_seed - mean) ** 2).sum() / df[0],
        seeds * ((of_picture - mean) ** 2).sum() / df[1],
        (rest**2).sum() / df[2],
    )
    found = squares[0] + squares[1] - squares[2]
    found = found if found > 0 else max(squares[:2])
    return Uncertainty(found / values.size, _degrees_of_freedom(found, squares, df))


def pictures_alone(values: ArrayLike) -> Uncertainty:
    """Of the mean over seeds and pictures for new pictures, by these very models: the paired error of test sampling.

    values: as in `crossed_uncertainty`. For a single seed's right and wrong answers it is the variance of McNemar's
    test as an interval has it (Agresti 2013, Categorical Data Analysis, §11.1.1). NaN with fewer than 2 pictures.
    """
    of_picture = np.asarray(values, dtype=float).mean(axis=0)
    if of_picture.size < 2:
        return Uncertainty(math.nan, math.nan)
    return Uncertainty(float(of_picture.var(ddof=1)) / of_picture.size, of_picture.size - 1)


def unpaired_pictures(a: float, b: float, pictures: int) -> Uncertainty:
    """The same of two accuracies in percent where it is not known which pictures were right: as on pictures of its own.

    That is more than two arms leave open that are right about mostly the same pictures. One right and one wrong answer
    are added to each, as nearly perfect accuracies on few pictures would else seem sure. Source: Agresti & Caffo
    (2000), "Simple and effective confidence intervals for proportions", Am. Stat. 54.
    """
    shares = (np.array([a, b]) / 100 * pictures + 1) / (pictures + 2)
    return Uncertainty(1e4 * float((shares * (1 - shares)).sum()) / (pictures + 2), max(pictures - 1, 1))


def together(*parts: Uncertainty) -> Uncertainty:
    """Of a sum of independent estimates: variances add up."""
    variance = sum(part.variance for part in parts)
    df = _degrees_of_freedom(variance, [part.variance for part in parts], [part.df for part in parts])
    return Uncertainty(variance, df if variance else parts[0].df)


def _degrees_of_freedom(variance: float, parts: Sequence[float], df: Sequence[float]) -> float:
    """Of a variance made up of such parts: halfway from the fewest of them to Satterthwaite's; NaN without spread.

    Satterthwaite's (1946, Biometrics Bulletin 2) are too many where the part with few is small by chance, as the spread
    over 3 or 5 seeds is, and the fewest are too few: in simulation (`make calibrate`) the mean of both keeps its level,
    but for less than `SCARCE`, which stay the fewest.
    """
    known = [(part, own) for part, own in zip(parts, df, strict=True) if part]
    if not known:
        return math.nan
    fewest = min(own for _, own in known)
    if fewest < SCARCE:
        return fewest
    return (fewest + variance**2 / sum(part**2 / own for part, own in known)) / 2
