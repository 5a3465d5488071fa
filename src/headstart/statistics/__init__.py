"""The statistics of a comparison as pure functions on numbers: intervals, tests, edges, times to a target.

Accuracies and their differences are in percent and percentage points (0..100), probabilities in 0..1. Every function
takes lists or arrays and refuses NaN and infinity with a ValueError: a missing value is the caller's to drop or name.
scipy is imported where it is used, because `scipy.stats` alone takes over a second to import.
"""

from headstart.statistics.choice import SPREAD_DF, Choice, choice_of
from headstart.statistics.convergence import speedup_interval, time_to_target
from headstart.statistics.crossed import Uncertainty, crossed_uncertainty, pictures_alone, together, unpaired_pictures
from headstart.statistics.forecast import Forecast, SizeCurve, forecast_gap, is_near_guessing, size_curve
from headstart.statistics.halving import (
    NOWHERE,
    Curve,
    at_equal_epochs,
    expected_share,
    goals,
    is_settled,
    rungs,
    to_choose_from,
)
from headstart.statistics.intervals import (
    ENOUGH_TO_CHOOSE,
    UNBALANCED,
    accuracy_interval,
    half_width,
    sampling_half_width,
    summarise,
)
from headstart.statistics.looks import Looks
from headstart.statistics.pairs import (
    LARGEST,
    PairedDifference,
    compare_pairs,
    detectable,
    foreseen_detectable,
    paired_difference,
    probability_of_improvement,
    seeds_alone,
)
from headstart.statistics.search import (
    BAND_LEVEL,
    BudgetCurve,
    Edge,
    best_against_budget,
    edge,
    expected_best,
    expected_best_band,
    learning_rate_tolerance,
)
from headstart.statistics.single_model import (
    CALIBRATION_BINS,
    chance_limit,
    change_interval,
    expected_calibration_error,
    is_chance,
)

__all__ = [
    "BAND_LEVEL",
    "CALIBRATION_BINS",
    "ENOUGH_TO_CHOOSE",
    "LARGEST",
    "NOWHERE",
    "SPREAD_DF",
    "UNBALANCED",
    "BudgetCurve",
    "Choice",
    "Curve",
    "Edge",
    "Forecast",
    "Looks",
    "PairedDifference",
    "SizeCurve",
    "Uncertainty",
    "accuracy_interval",
    "at_equal_epochs",
    "best_against_budget",
    "chance_limit",
    "change_interval",
    "choice_of",
    "compare_pairs",
    "crossed_uncertainty",
    "detectable",
    "edge",
    "expected_best",
    "expected_best_band",
    "expected_calibration_error",
    "expected_share",
    "forecast_gap",
    "foreseen_detectable",
    "goals",
    "half_width",
    "is_chance",
    "is_near_guessing",
    "is_settled",
    "learning_rate_tolerance",
    "paired_difference",
    "pictures_alone",
    "probability_of_improvement",
    "rungs",
    "sampling_half_width",
    "seeds_alone",
    "size_curve",
    "speedup_interval",
    "summarise",
    "time_to_target",
    "to_choose_from",
    "together",
    "unpaired_pictures",
]
