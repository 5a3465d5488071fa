"""Looks at a comparison while its seeds come in: how much error each may spend, so that all together keep theirs.

Who looks after 5 seeds, and again after 10, names more false winners than who looks once. Error is spent as seeds come
in (Lan & DeMets 1983, Biometrika 70): nine tenths by the number that was planned, as the square of the share that is
there (Kim & DeMets 1987, Biometrika 74), and the rest in what is added beyond, without end. The bounds are found by
the recursion of Armitage, McPherson & Rowe (1969, J. R. Stat. Soc. A 132), and t tests are held against them by their
p-values (Pocock 1977, Biometrika 64). What looks share beside earlier seeds, such as the test pictures, makes them
more alike than assumed here, and the error smaller.
"""

import math
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

PLANNED = 0.9  # share of the error that the planned seeds may spend
NODES = 64  # of Gauss and Legendre, between the bounds
SMALLEST = 1e-9  # p-value of all looks together that is told from 0


@dataclass(frozen=True)
class Looks:
    """When a comparison is looked at, in numbers of seeds: those looks that are planned or were made, rising."""

    at: tuple[int, ...]
    planned: int  # how many seeds there were to be at most, when nothing had been looked at yet

    def __post_init__(self) -> None:
        if not self.at or any(b <= a for a, b in zip((0, *self.at), self.at, strict=False)) or self.planned < 1:
            raise ValueError(f"{self}; expected rising numbers of seeds, from 1.")

    def spent(self, seeds: int) -> float:
        """The share of the error that may be spent with so many seeds."""
        if seeds <= self.planned:
            return PLANNED * (seeds / self.planned) ** 2
        return 1 - (1 - PLANNED) * self.planned / seeds

    def levels(self, alpha: float = 0.05) -> tuple[float, ...]:
        """The p-value below which each look rejects: at any of them equal arms are told apart with chance < alpha.

        Later looks change nothing of the levels of earlier ones.
        """
        return _levels(self.at, tuple(alpha * self.spent(look) for look in self.at))

    def p_of_all(self, p: float, look: int) -> float:
        """The p-value of all looks together, where the one at position `look` has the p-value `p` by itself.

        It is the smallest alpha at which that look rejects, at most 1; of the looks made, the smallest counts.
        """
        from scipy.optimize import brentq

        until = Looks(self.at[: look + 1], self.planned)  # what comes later changes nothing, and takes its time
        low, high = math.log(SMALLEST), math.log(1 - SMALLEST)
        if p <= until.levels(SMALLEST)[-1]:
            return SMALLEST
        if p > until.levels(1 - SMALLEST)[-1]:
            return 1.0
        return math.exp(brentq(lambda log: until.levels(math.exp(log))[-1] - p, low, high, xtol=1e-6))


@lru_cache(maxsize=4096)
def _levels(looks: tuple[int, ...], spent: tuple[float, ...]) -> tuple[float, ...]:
    """By a random walk that makes a normal step of variance 1 with each seed, and ends where it leaves the bounds.

    spent: chance to have left them by each look.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtr

    nodes, weights = _quadrature()
    at, mass, seen, left, levels = np.zeros(1), np.ones(1), 0, 0.0, []
    for look, by_now in zip(looks, spent, strict=True):
        step = math.sqrt(look - seen)
        outside = partial(_mass_outside, at=at, mass=mass, step=step)
        bound = brentq(lambda b, outside=outside, new=by_now - left: outside(b) - new, 0, 40 * math.sqrt(look))
        levels.append(float(2 * ndtr(-bound / math.sqrt(look))))
        places = bound * nodes
        steps = np.exp(-0.5 * ((places[:, None] - at[None, :]) / step) ** 2) / (step * math.sqrt(2 * math.pi))
        at, mass, seen, left = places, bound * weights * (steps @ mass), look, by_now
    return tuple(levels)


@lru_cache(maxsize=1)
def _quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Nodes in [-1, 1] and their weights."""
    return np.polynomial.legendre.leggauss(NODES)


def _mass_outside(bound: float, at: np.ndarray, mass: np.ndarray, step: float) -> float:
    """The chance that a walk which is now distributed like that is outside of +-bound after a step of that size."""
    from scipy.special import ndtr

    return float(mass @ (ndtr((-bound - at) / step) + ndtr((at - bound) / step)))
