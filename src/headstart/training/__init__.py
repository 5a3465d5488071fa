"""One run, from its settings to its record.

Names are imported when they are first asked for: whoever wants a clock or the trial's context needs no torch.
"""

from typing import TYPE_CHECKING

from headstart.lazy import door

if TYPE_CHECKING:
    from headstart.training import trial_context
    from headstart.training.devices import resolve_device
    from headstart.training.metrics import classification_metrics
    from headstart.training.prepare import folds_in_use, prepare_run
    from headstart.training.progress_bar import Lines, clock, watcher
    from headstart.training.run import gave_out, refuse_other_files, train_run
    from headstart.training.settings import Trainer
    from headstart.training.trainer import NetworkTrainer

_MODULES = {
    "devices": ("resolve_device",),
    "metrics": ("classification_metrics",),
    "prepare": ("folds_in_use", "prepare_run"),
    "progress_bar": ("Lines", "clock", "watcher"),
    "run": ("gave_out", "refuse_other_files", "train_run"),
    "settings": ("Trainer",),
    "trainer": ("NetworkTrainer",),
}

__all__ = [
    "Lines",
    "NetworkTrainer",
    "Trainer",
    "classification_metrics",
    "clock",
    "folds_in_use",
    "gave_out",
    "prepare_run",
    "refuse_other_files",
    "resolve_device",
    "train_run",
    "trial_context",
    "watcher",
]

__getattr__ = door(__name__, _MODULES)
