"""What the statistics refuse: values that cannot be meant."""

import numpy as np
from numpy.typing import ArrayLike


def finite_numbers(values: ArrayLike, name: str) -> np.ndarray:
    """Return a flat list of finite numbers as an array, [n]. Raises ValueError for anything else, under its name."""
    array = np.asarray(values, dtype=float)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; expected a flat list of numbers.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} contains NaN or infinity; drop or replace these values first.")
    return array


def flags(values: ArrayLike, name: str) -> np.ndarray:
    """Return a flat list of true and false as an array, [n]. Raises ValueError for anything else, under its name."""
    array = finite_numbers(values, name)
    if not np.isin(array, (0, 1)).all():
        raise ValueError(f"{name} holds other values than true and false (or 1 and 0).")
    return array.astype(bool)


def refuse_other_lengths(**arrays: np.ndarray) -> None:
    """Raise ValueError, with the lengths, where arrays that belong together are not equally long."""
    if len({len(array) for array in arrays.values()}) > 1:
        lengths = ", ".join(f"{name} {len(array)}" for name, array in arrays.items())
        raise ValueError(f"Lengths differ: {lengths}; expected one entry each per item, in the same order.")


def fraction(value: float, name: str) -> float:
    """Return a share between 0 and 1, such as a level. Raises ValueError for anything else, under its name."""
    if not 0 < value < 1:
        raise ValueError(f"{name}={value} is not between 0 and 1; for 95 % give 0.95.")
    return value
