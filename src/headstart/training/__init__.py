"""One run, from its settings to its record.

Names are imported when they are first asked for: whoever wants a clock or the trial's context needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.training.devices import resolve_device
    from headstart.training.progress_bar import Lines, clock, watcher
    from headstart.training.run import prepare_run, train_run

_HOMES = {
    "resolve_device": "devices",
    "Lines": "progress_bar",
    "clock": "progress_bar",
    "watcher": "progress_bar",
    "prepare_run": "run",
    "train_run": "run",
}

__all__ = ["Lines", "clock", "prepare_run", "resolve_device", "train_run", "watcher"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
