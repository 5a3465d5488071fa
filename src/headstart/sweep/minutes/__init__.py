"""A study that is to fit a time, `minutes=30`: planned before it begins, corrected while it goes on."""

from headstart.sweep.minutes.fitted_plan import fitted_plan, refuse_without_minutes
from headstart.sweep.minutes.timed_scheduler import TimedScheduler, scheduler_of

__all__ = ["TimedScheduler", "fitted_plan", "refuse_without_minutes", "scheduler_of"]
