"""What of Slurm has to be there before jobs are sent to it, and how they are watched where it keeps no accounts."""

import logging
import shutil
import subprocess

from headstart.errors import UserError

log = logging.getLogger(__name__)

COMMANDS = ("sbatch", "srun", "scontrol", "squeue")


def prepare_slurm(launcher: str) -> None:
    """See that jobs can be sent and watched, where hydra/launcher=`launcher` is Slurm's.

    Without an accounting database, which small clusters often lack, sacct does not answer, and submitit would wait for
    ever for a job that died: it asks squeue then. Raises UserError where Slurm's commands are missing.
    """
    if launcher != "submitit_slurm":
        return
    if missing := [command for command in COMMANDS if shutil.which(command) is None]:
        raise UserError(
            f"hydra/launcher=submitit_slurm needs Slurm's commands, and {missing[0]} is not on the PATH; start "
            "headstart on a machine from which jobs can be sent, or leave hydra/launcher out to train on this one"
        )
    if not _is_answered("sacct", "--noheader", "--allocations", "--jobs=1"):
        import submitit

        from headstart.sweep.cluster.queue_watcher import QueueWatcher

        log.info("Slurm keeps no accounts here that sacct could tell of; squeue is asked how the jobs are")
        submitit.SlurmJob.watcher = QueueWatcher(submitit.SlurmJob.watcher._delay_s)


def _is_answered(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
