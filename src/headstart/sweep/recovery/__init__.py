"""What a study does about what went wrong outside of its runs: damaged files, a full disk, a lost database."""

from headstart.sweep.recovery.elsewhere import record_places
from headstart.sweep.recovery.faults import GAVE_OUT, explained_faults, outside_fault
from headstart.sweep.recovery.reconcile import reconcile
from headstart.sweep.recovery.requeue import requeue_failed

__all__ = ["GAVE_OUT", "explained_faults", "outside_fault", "reconcile", "record_places", "requeue_failed"]
