"""Runs on disk written into the stores of other experiment trackers, each by its own library."""

from headstart.export.exporting import TARGETS, Exported, export

__all__ = ["TARGETS", "Exported", "export"]
