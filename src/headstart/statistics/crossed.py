"""Seeds and test pictures as two crossed random factors: what a mean over both leaves open about new ones of either."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Uncertainty:
    """Variance of an estimate, in squared points, and its degrees of freedom (Satterthwaite's)."""

    variance: float
    df: float


def crossed_uncertainty(values: ArrayLike) -> Uncertainty:
    """Of the mean over seeds and pictures, as an estimate for new seeds and new pictures.

    values: [S, N], a value of every seed at every picture, such as the difference of two arms' right answers in points.
    Two-way analysis of variance without replication: (MS_S + MS_I - MS_E) / (S N), where that is not positive the
    larger of MS_S and MS_I; df by Satterthwaite (1946, Biometrics Bulletin 2). NaN with fewer than 2 of either.
    Source: Searle, Casella & McCulloch (1992), Variance Components, ch. 4.
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
    spread = sum(square**2 / own for square, own in zip(squares, df, strict=True))
    return Uncertainty(found / values.size, found**2 / spread if spread else math.nan)


def together(*parts: Uncertainty) -> Uncertainty:
    """Of a sum of independent estimates: variances add up, degrees of freedom by Satterthwaite."""
    variance = sum(part.variance for part in parts)
    spread = sum(part.variance**2 / part.df for part in parts if part.variance)
    return Uncertainty(variance, variance**2 / spread if spread else parts[0].df)
