"""Jobs of a study that a cluster starts, ends and starts again: Slurm's, by way of submitit, and Ray's."""

from headstart.sweep.cluster.prepare import prepare_cluster
from headstart.sweep.cluster.starts import FailedStarts
from headstart.sweep.cluster.time_limit import ending_with_an_epoch

__all__ = ["FailedStarts", "ending_with_an_epoch", "prepare_cluster"]
