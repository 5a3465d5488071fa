"""A sweep: the arms of a study, their trials, and who runs what next."""

from headstart.sweep.plugin import ArmsSweeper, EndedSweep

__all__ = ["ArmsSweeper", "EndedSweep"]
