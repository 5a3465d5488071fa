"""What a study will take: its parts timed for a moment on this machine, then added up; nothing is trained or written.

Names are imported when they are first asked for: whoever only adds up needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from headstart.timing.estimate import Pace, Work, seconds_of

if TYPE_CHECKING:
    from headstart.timing.measure import measure_pace

__all__ = ["Pace", "Work", "measure_pace", "seconds_of"]


def __getattr__(name: str) -> Any:
    if name == "measure_pace":
        return import_module(f"{__name__}.measure").measure_pace
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
