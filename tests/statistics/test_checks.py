"""What no statistics are computed of, and that the room needs nothing heavy and hides nobody else's module."""

import math
import statistics
import subprocess
import sys

import numpy as np
import pytest

from headstart.statistics.checks import finite_numbers, flags, fraction, refuse_other_lengths


@pytest.mark.parametrize("values", [[90.0, math.nan], [90.0, math.inf], [[90.0], [91.0]]])
def test_numbers_are_a_flat_list_without_nan_and_infinity(values):
    with pytest.raises(ValueError, match="accuracies"):
        finite_numbers(values, "accuracies")


def test_flags_are_true_and_false():
    assert flags([1, 0, True], "correct").tolist() == [True, False, True]
    with pytest.raises(ValueError, match="correct holds other values"):
        flags([0, 2], "correct")


def test_what_belongs_together_is_equally_long():
    refuse_other_lengths(a=np.zeros(2), b=np.ones(2))
    with pytest.raises(ValueError, match="Lengths differ: a 2, b 1"):
        refuse_other_lengths(a=np.zeros(2), b=np.ones(1))


@pytest.mark.parametrize("value", [95, 0, 1, math.nan])
def test_a_level_is_a_share_and_no_percentage(value):
    assert fraction(0.95, "level") == 0.95
    with pytest.raises(ValueError, match=r"for 95 % give 0\.95"):
        fraction(value, "level")


def test_importing_takes_neither_torch_nor_scipy():
    loaded = "import sys, headstart.statistics; print(sorted({'torch', 'hydra', 'pandas', 'scipy'} & set(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


def test_the_standard_librarys_module_of_this_name_is_still_found():
    """tests/ is on the path: with an __init__.py this folder would stand before it."""
    assert statistics.median([1, 2, 4]) == 2
