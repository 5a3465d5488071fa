"""Accuracies on a scale where what lies far below the best counts less: a cliff is no longer all that a fit sees.

An output warp as in Snelson, Rasmussen & Ghahramani (2004, Warped Gaussian Processes, NIPS 16): with d points below the
best trial an accuracy becomes best - scale·log(1 + d/scale), which is straight near the best and logarithmic beyond
`scale` points. Which scale goes with the trials is a matter of likelihood, with the warp's Jacobian in it.
"""

from dataclasses import dataclass

import numpy as np

SCALES = (2.0, 5.0, 15.0)  # points
STEEPEST = 50.0  # exponent that is undone; beyond, an accuracy is 0 whatever the scale


@dataclass(frozen=True)
class Warp:
    """Of accuracies in percent, [n]; those above `best`, as repetitions may have them, stay as they are."""

    best: float
    scale: float

    def __call__(self, accuracies: np.ndarray) -> np.ndarray:
        """Warped."""
        below = np.maximum(self.best - accuracies, 0)
        return np.maximum(accuracies, self.best) - self.scale * np.log1p(below / self.scale)

    def undo(self, warped: np.ndarray) -> np.ndarray:
        """Back in percent, at least 0."""
        below = np.minimum(np.maximum(self.best - warped, 0) / self.scale, STEEPEST)
        return np.maximum(np.maximum(warped, self.best) - self.scale * np.expm1(below), 0)

    def log_jacobian(self, accuracies: np.ndarray) -> float:
        """What the density of the accuracies gains over that of the warped ones, as a logarithm."""
        return -float(np.log1p(np.maximum(self.best - accuracies, 0) / self.scale).sum())
