"""The tables of a report as they are read: which columns, in which words, with how many digits."""

from headstart.report.display_tables.arm_tables import arms, footprint, pairs, speed
from headstart.report.display_tables.frame import Cell, DisplayTable
from headstart.report.display_tables.run_tables import ledger, trials, versions
from headstart.report.display_tables.search_tables import reported, reported_lines, search_pairs, searches
from headstart.report.display_tables.setting_tables import settings

__all__ = [
    "Cell",
    "DisplayTable",
    "arms",
    "footprint",
    "ledger",
    "pairs",
    "reported",
    "reported_lines",
    "search_pairs",
    "searches",
    "settings",
    "speed",
    "trials",
    "versions",
]
