"""A search space in numbers: the settings that its trials tried, and those that can be chosen among them."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Space: TypeAlias = Mapping[str, Mapping[str, Any]]  # by key {low, high, log, step} or {choices}
Point: TypeAlias = Mapping[str, Any]

GRID = 161  # candidates along a single number: 40 a decade of the usual four
SCATTERED = 512  # along several, beside those tried


@dataclass(frozen=True, eq=False)
class Candidates:
    """The settings tried, and those that can be chosen: inside the range tried, of categories only what was tried."""

    tried: np.ndarray  # [n, d], numbers first (logarithms where the space has them), then codes of categories
    chosen_from: np.ndarray  # [m, d]
    numeric: int  # how many of the d are numbers
    points: Sequence[dict[str, Any]]  # [m], as a configuration has them


def candidates(space: Space, tried: Sequence[Point]) -> Candidates:
    """What a search of this space can choose after these trials.

    tried: a value for every key of the space, at least one trial. Numbers are rounded to four digits, and to the steps
    that the space has.
    """
    numbers = [key for key, bounds in space.items() if "choices" not in bounds]
    categories = [key for key in space if key not in numbers]
    scaled = np.array([[_scaled(space[key], point[key]) for key in numbers] for point in tried])
    scaled = scaled.reshape(len(tried), len(numbers))
    kinds = list(dict.fromkeys(tuple(point[key] for key in categories) for point in tried))
    codes = np.array([[kinds.index(tuple(point[key] for key in categories))] for point in tried], dtype=float)
    places = _places(scaled)
    found: dict[tuple, tuple] = {}
    for kind, place in itertools.product(range(len(kinds)), places):
        values = tuple(_value(space[key], number) for key, number in zip(numbers, place, strict=True))
        found.setdefault((*values, kind), (*map(_scaled, (space[key] for key in numbers), values), kind))
    points = [
        dict(zip(numbers, values, strict=True)) | dict(zip(categories, kinds[kind], strict=True))
        for *values, kind in found
    ]
    ordered = [{key: point[key] for key in space} for point in points]
    rows = np.array(list(found.values()), dtype=float).reshape(len(found), len(numbers) + 1)
    return Candidates(np.hstack([scaled, codes]), rows, len(numbers), ordered)


def _places(tried: np.ndarray) -> np.ndarray:
    """Settings inside the range tried: a grid along one number, scattered ones and those tried along several."""
    low, high = tried.min(axis=0), tried.max(axis=0)
    if tried.shape[1] == 0:
        return np.zeros((1, 0))
    if tried.shape[1] == 1:
        return np.linspace(low, high, GRID)
    scattered = np.random.RandomState(0).random_sample((SCATTERED, tried.shape[1]))
    return np.vstack([np.unique(tried, axis=0), low + (high - low) * scattered])


def _scaled(bounds: Mapping[str, Any], value: float) -> float:
    return math.log10(value) if bounds.get("log") else float(value)


def _value(bounds: Mapping[str, Any], scaled: float) -> int | float:
    """The number of a configuration that is nearest; whole where the space's are."""
    value = 10**scaled if bounds.get("log") else float(scaled)
    if step := bounds.get("step"):
        value = bounds["low"] + step * round((value - bounds["low"]) / step)
    if isinstance(bounds["low"], int) and isinstance(bounds["high"], int) and step:
        return int(value)
    return float(f"{value:.4g}")
