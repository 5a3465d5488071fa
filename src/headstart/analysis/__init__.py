"""From runs on disk to tables and verdicts."""

from headstart.analysis.caveats import Caveat, CaveatKind
from headstart.analysis.columns import TARGETS, THRESHOLDS
from headstart.analysis.comparison import seeds_wanted, write_comparison
from headstart.analysis.csv_tables import read_table, write_further_tables, write_table
from headstart.analysis.forecasts import Lines, forecast_lines, size_curves, size_lines
from headstart.analysis.predictions import Predictions, read_predictions, same_answers
from headstart.analysis.results import FRAMES, REPEATS, Results, load_results, told_apart
from headstart.analysis.runs_of_arm import ArmRuns, html_table, runs_of_arm
from headstart.analysis.verdict import counted

__all__ = [
    "FRAMES",
    "REPEATS",
    "TARGETS",
    "THRESHOLDS",
    "ArmRuns",
    "Caveat",
    "CaveatKind",
    "Lines",
    "Predictions",
    "Results",
    "counted",
    "forecast_lines",
    "html_table",
    "load_results",
    "read_predictions",
    "read_table",
    "runs_of_arm",
    "same_answers",
    "seeds_wanted",
    "size_curves",
    "size_lines",
    "told_apart",
    "write_comparison",
    "write_further_tables",
    "write_table",
]
