"""From runs on disk to tables and verdicts."""

from headstart.analysis.arms_table import without_number
from headstart.analysis.columns import SEARCH_PAIRS, SEARCHES, TARGETS
from headstart.analysis.comparison import compare, verdicts, write_comparison
from headstart.analysis.csv_tables import frame_of, read_table, write_further_tables, write_table
from headstart.analysis.predictions import Predictions, read_predictions, same_answers
from headstart.analysis.published_figures import reported
from headstart.analysis.repeated_searches import repeated
from headstart.analysis.results import FRAMES, REPEATS, Results, load_results, told_apart
from headstart.analysis.runs_of_arm import SETTINGS, ArmRuns, runs_of_arm

__all__ = [
    "FRAMES",
    "REPEATS",
    "SEARCHES",
    "SEARCH_PAIRS",
    "SETTINGS",
    "TARGETS",
    "ArmRuns",
    "Predictions",
    "Results",
    "compare",
    "frame_of",
    "load_results",
    "read_predictions",
    "read_table",
    "repeated",
    "reported",
    "runs_of_arm",
    "same_answers",
    "told_apart",
    "verdicts",
    "without_number",
    "write_comparison",
    "write_further_tables",
    "write_table",
]
