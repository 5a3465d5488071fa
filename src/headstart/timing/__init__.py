"""What a study will take: its parts timed for a moment on this machine, then added up; nothing is trained or written.

Names are imported when they are first asked for: whoever only adds up needs no torch.
"""

from typing import TYPE_CHECKING

from headstart.lazy import door
from headstart.timing.estimate import Pace, Work, by_the_clock, seconds_of, seconds_once
from headstart.timing.fitting import (
    FEWEST_TRIALS,
    FITTED,
    ArmTime,
    Frame,
    Size,
    TooShortError,
    fit,
    pace_of,
    refit,
    seconds_for,
    seeds_in,
    slower_by,
)
from headstart.timing.time_plan import TimePlan, read_time_plan

if TYPE_CHECKING:
    from headstart.timing.measure import how_busy, measure_pace

__all__ = [
    "FEWEST_TRIALS",
    "FITTED",
    "ArmTime",
    "Frame",
    "Pace",
    "Size",
    "TimePlan",
    "TooShortError",
    "Work",
    "by_the_clock",
    "fit",
    "how_busy",
    "measure_pace",
    "pace_of",
    "read_time_plan",
    "refit",
    "seconds_for",
    "seconds_of",
    "seconds_once",
    "seeds_in",
    "slower_by",
]

__getattr__ = door(__name__, {"measure": ("how_busy", "measure_pace")})
