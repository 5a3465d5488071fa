"""Jobs that a cluster did not even start, which is no fault of the runs that they are for."""

from collections import Counter
from pathlib import Path

from headstart.errors import OutsideFault, summary
from headstart.store import AT_WORK

TRIES = 3  # to start a run's job


class FailedStarts:
    """How often no job was started for a run. launcher: the chosen hydra/launcher."""

    def __init__(self, launcher: str):
        self.launcher, self._failed = launcher, Counter[Path]()

    def count(self, run_dir: Path, error: Exception) -> None:
        """Count what the launcher raised, unless the job had begun. Raises OutsideFault after `TRIES` times."""
        if (run_dir / AT_WORK).exists():
            return
        self._failed[run_dir] += 1
        if self._failed[run_dir] >= TRIES:
            raise OutsideFault(
                f"hydra/launcher={self.launcher} started no job: {summary(error)}\n"
                "Mend the cause and give the same command again: it goes on, and no trial is lost."
            ) from error
