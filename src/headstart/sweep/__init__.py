"""A study: its arms and trials, and who runs what next."""

from headstart.sweep.plugin import ArmsSweeper

__all__ = ["ArmsSweeper"]
