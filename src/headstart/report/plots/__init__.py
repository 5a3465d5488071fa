"""The plots of a study: functions that take tables and an axis, draw on it and return it.

Given the same `looks` (see `palette`), an arm looks the same in all of them.
"""

from headstart.report.plots.answering import corruptions, latency
from headstart.report.plots.arms import arms, data_size, image_size
from headstart.report.plots.convergence import learning_curves, time_to_target
from headstart.report.plots.critical_difference import critical_difference
from headstart.report.plots.data_samples import data_samples
from headstart.report.plots.hyperparameters import importances, parallel_coordinates
from headstart.report.plots.overfitting import overfitting
from headstart.report.plots.predictions import calibration, confusion, per_class
from headstart.report.plots.search import budget, history, learning_rate
from headstart.report.plots.style import Look, palette, style

__all__ = [
    "Look",
    "arms",
    "budget",
    "calibration",
    "confusion",
    "corruptions",
    "critical_difference",
    "data_samples",
    "data_size",
    "history",
    "image_size",
    "importances",
    "latency",
    "learning_curves",
    "learning_rate",
    "overfitting",
    "palette",
    "parallel_coordinates",
    "per_class",
    "style",
    "time_to_target",
]
