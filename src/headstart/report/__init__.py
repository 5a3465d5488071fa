"""From tables to pictures and pages."""

from headstart.report.write import write_frames, write_report

__all__ = ["write_frames", "write_report"]
