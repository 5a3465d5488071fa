"""From small to large: the accuracy at more training images than were tried, with an interval.

The error falls as a power law of the number of images, from guessing towards a floor (Cortes et al. 1993, NIPS;
Hestness et al. 2017, 1712.00409; Hoiem et al. 2021, ICML): e / (g - e) = c + a n^-b with b, c >= 0 and g the error of
guessing, which is e = c + a n^-b where e is far below g, and flat at g where images are too few to learn from, as in
Rosenfeld et al. 2020 (1909.12673). Few sizes leave b and c open, and no curve keeps to one law (Viering & Loog 2021,
2103.10948). So no single fit is extrapolated: all laws on a grid are weighed by how well they fit and by a prior, and
the logarithm of e / (g - e) may leave its law as a Wiener process integrated once, which is what a smoothing spline
assumes (Wahba 1978, J. R. Stat. Soc. B 40): its slope drifts, and beyond the largest size the interval widens with the
distance to the power 3/2.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from headstart.statistics.checks import finite_numbers, fraction, refuse_other_lengths

# The prior. Its widths were chosen, and then checked on other curves, as experiments/README.md says.
SLOPES = np.linspace(0, 1.2, 17)  # b: how fast what is above the floor falls, decades per decade
FLOORS = np.linspace(0, 0.96, 9)  # c's share of e / (g - e) at the largest size
DRIFTS = 0.05 * 2.0 ** np.arange(4)  # standard deviation of what the slope changes by over a decade of images
NOISES = 0.002 * 2.0 ** np.arange(6)  # standard deviation of a seed, of the error's logarithm
SLOPE_MEAN, NOISE_MEDIAN, NOISE_FACTOR = 0.5, 0.015, 2.5
SUBSET_NOISE = 0.03  # the same of a choice of 100 training images, which all seeds share; of 400 it is half of that
RISING = 0.3  # what a law weighs while its error rises with more images, of one whose error falls
MOST_OF_GUESSING = 0.97  # an error nearer to guessing, or above, counts as this share of it
MOST_DRAWS = 400
NEGLIGIBLE = 1e-4  # a law's weight, of that of the best


@dataclass(frozen=True)
class Forecast:
    """Median and interval of what is forecast at so many training images: percent, or points of a gap."""

    images: int
    middle: float
    low: float
    high: float
    level: float


@dataclass(frozen=True, eq=False)
class SizeCurve:
    """The laws that may lie behind an arm's accuracies at several sizes: weight, slope, floor, level, drift; [j] each.

    `level` is the logarithm of e / (guessing - e) at the largest size, with standard deviation `level_std`.
    """

    largest: int
    guessing: float  # error of guessing, a share
    weight: np.ndarray
    slope: np.ndarray
    floor: np.ndarray
    level: np.ndarray
    level_std: np.ndarray
    drift: np.ndarray

    def draws(self, images: int) -> np.ndarray:
        """Accuracies (percent) at so many images, all equally likely, lowest first: [MOST_DRAWS].

        Raises ValueError for fewer images than were tried.
        """
        from scipy.special import expit, ndtr

        if images < self.largest:
            raise ValueError(f"images={images}; expected no fewer than {self.largest}, the most that were tried.")
        decades = math.log10(images / self.largest)
        middle = self.level + _law(self.slope, self.floor, decades)
        std = np.sqrt(self.level_std**2 + self.drift**2 * decades**3 / 3)
        grid = np.linspace((middle - 5 * std).min(), (middle + 5 * std).max(), 400)
        below, falling = ndtr((grid[:, None] - middle) / std), ndtr((self.level - middle) / std)
        below = (np.minimum(below, falling) + RISING * np.maximum(below - falling, 0)) @ self.weight
        below /= (falling + RISING * (1 - falling)) @ self.weight
        wanted = (np.arange(MOST_DRAWS) + 0.5) / MOST_DRAWS
        return 100 * (1 - self.guessing * expit(np.interp(wanted, below, grid)))[::-1]

    def forecast(self, images: int, level: float = 0.95) -> Forecast:
        """The accuracy at so many images, at least as many as were tried."""
        return _forecast(images, self.draws(images), level)


def size_curve(sizes: ArrayLike, mean: ArrayLike, std: ArrayLike, seeds: ArrayLike, chance: float = 0.0) -> SizeCurve:
    """What is known of an arm's curve from its test accuracies (percent) at two sizes or more, [m] each.

    mean, std: over so many `seeds` at each size; std NaN of a single seed. chance: accuracy of guessing, percent.
    Assumed: one recipe, tuned alike, at every size, and nested subsets of the same pictures. Raises ValueError for
    fewer than 2 different sizes, and for an accuracy of 100, where the error has no logarithm.
    """
    sizes, mean = finite_numbers(sizes, "sizes"), finite_numbers(mean, "mean")
    seeds, std = finite_numbers(seeds, "seeds"), np.asarray(std, dtype=float)
    refuse_other_lengths(sizes=sizes, mean=mean, std=std, seeds=seeds)
    if len(sizes) < 2 or len(np.unique(sizes)) < len(sizes) or sizes.min() < 1:
        raise ValueError(f"sizes={sizes.tolist()}; expected two or more different ones.")
    if not (mean.min() >= 0 and mean.max() < 100):
        raise ValueError(f"mean={mean.tolist()}; expected accuracies from 0 to below 100 percent.")
    if not 0 <= chance < 100:
        raise ValueError(f"chance={chance}; expected 0 to below 100 percent.")
    order, guessing = np.argsort(sizes), 1 - chance / 100
    sizes, error, seeds = sizes[order], 1 - mean[order] / 100, seeds[order]
    known = seeds > 1
    freedom = (seeds[known] - 1).sum()
    squares = ((seeds[known] - 1) * (std[order][known] / 100 / error[known]) ** 2).sum()
    return _weighed(sizes, error, seeds, guessing, _noise_weights(freedom, squares))


def forecast_gap(a: SizeCurve, b: SizeCurve, images: int, level: float = 0.95) -> Forecast:
    """What the accuracy of a is above that of b at so many images, in points.

    The two curves' deviations count as independent. Those of equal subsets and seeds are not, and the interval is
    rather too wide for them.
    """
    differences = a.draws(images)[:, None] - b.draws(images)
    return _forecast(images, differences.ravel(), level)


def _forecast(images: int, draws: np.ndarray, level: float) -> Forecast:
    outside = (1 - fraction(level, "level")) / 2
    low, middle, high = np.quantile(draws, [outside, 0.5, 1 - outside])
    return Forecast(images, float(middle), float(low), float(high), level)


def _law(slope: np.ndarray, floor: np.ndarray, decades: ArrayLike) -> np.ndarray:
    """Logarithm of a law's c + a n^-b, less that at the largest size; decades: of images beyond it, negative below."""
    return np.log(floor + (1 - floor) * 10.0 ** (-slope * decades))


@cache
def _laws() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slope, floor and prior weight of every law on the grid, [j]: a gamma density of slopes, all floors alike."""
    slope, floor = (grid.ravel() for grid in np.meshgrid(SLOPES, FLOORS, indexing="ij"))
    weight = np.maximum(slope, SLOPES[1] / 4) * np.exp(-2 * slope / SLOPE_MEAN)
    return slope, floor, weight


def _noise_weights(freedom: float, squares: float) -> np.ndarray:
    """Weights of NOISES: a log-normal prior, and what the seeds' squared deviations say; without seeds the prior."""
    logarithm = -freedom * np.log(NOISES) - squares / (2 * NOISES**2)
    logarithm -= (np.log(NOISES / NOISE_MEDIAN) / np.log(NOISE_FACTOR)) ** 2 / 2
    return np.exp(logarithm - logarithm.max())


def _weighed(
    sizes: np.ndarray, error: np.ndarray, seeds: np.ndarray, guessing: float, noise_weights: np.ndarray
) -> SizeCurve:
    """Weigh every law with every drift and noise; the level of each is what generalised least squares give."""
    slope, floor, prior = _laws()
    x = np.log10(sizes / sizes[-1])
    y, stretch = _scaled(error, guessing)
    expected = _law(slope[:, None], floor[:, None], x)
    drifting, found = _integrated_wiener(-x), []
    for drift in DRIFTS:
        for noise, noise_weight in zip(NOISES, noise_weights, strict=True):
            if noise_weight < NEGLIGIBLE:
                continue
            covariance = drift**2 * drifting + np.diag(stretch**2 * (noise**2 / seeds + SUBSET_NOISE**2 * 100 / sizes))
            inverse = np.linalg.inv(covariance)
            of_level = inverse.sum()
            level = (y - expected) @ inverse.sum(axis=0) / of_level
            rest = y - expected - level[:, None]
            fit = -((rest @ inverse) * rest).sum(axis=1) / 2
            fit -= (np.linalg.slogdet(covariance)[1] + math.log(of_level)) / 2
            std = np.full(len(slope), of_level**-0.5)
            found.append((np.log(prior * noise_weight) + fit, slope, floor, level, std, np.full(len(slope), drift)))
    logarithm, *laws = (np.concatenate(column) for column in zip(*found, strict=True))
    weight = np.exp(logarithm - logarithm.max())
    kept = weight > NEGLIGIBLE
    return SizeCurve(int(sizes[-1]), guessing, weight[kept] / weight[kept].sum(), *(law[kept] for law in laws))


def is_near_guessing(accuracy: float, chance: float) -> bool:
    """Whether an accuracy is so near to that of guessing, both in percent, that no curve goes on from there."""
    return 100 - accuracy >= MOST_OF_GUESSING * (100 - chance)


def _scaled(error: np.ndarray, guessing: float) -> tuple[np.ndarray, np.ndarray]:
    """Logarithm of error / (guessing - error), and how much more than the logarithm of the error it changes."""
    share = np.minimum(error / guessing, MOST_OF_GUESSING)
    return np.log(share / (1 - share)), 1 / (1 - share)


def _integrated_wiener(distance: np.ndarray) -> np.ndarray:
    """Covariance of a Wiener process integrated once, at such distances from where it and its slope are 0."""
    short, long = np.minimum.outer(distance, distance), np.maximum.outer(distance, distance)
    return short**2 * (3 * long - short) / 6
