"""What a study does about what went wrong outside of its runs: damaged files, a full disk, a lost database."""

from headstart.sweep.recovery.elsewhere import make_way, record_places
from headstart.sweep.recovery.faults import GAVE_OUT, explained_faults, outside_fault
from headstart.sweep.recovery.reconcile import reconcile
from headstart.sweep.recovery.requeue import requeue_failed
from headstart.sweep.recovery.shared_lock import SharedLock

__all__ = [
    "GAVE_OUT",
    "SharedLock",
    "explained_faults",
    "make_way",
    "outside_fault",
    "reconcile",
    "record_places",
    "requeue_failed",
]
