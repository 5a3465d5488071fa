"""How jobs are, from squeue: for submitit where Slurm has no accounting database that sacct could ask."""

import threading

from submitit.slurm.slurm import SlurmInfoWatcher

FORMAT = "%i|%T"  # a job's id and its state


class QueueWatcher(SlurmInfoWatcher):
    """As submitit's own, but that a job which Slurm's controller has forgotten, minutes after its end, is GONE."""

    def __init__(self, delay_s: int):
        super().__init__(delay_s)
        self._asked: frozenset[str] = frozenset()
        self._one_at_a_time = threading.Lock()

    def update(self) -> None:
        """Ask once more; a job that another thread sends meanwhile is not missed in an older answer."""
        with self._one_at_a_time:
            super().update()

    def _make_command(self) -> list[str] | None:
        self._asked = frozenset(self._registered - self._finished)
        command = ["squeue", "--me", "--noheader", "--array", "--states=all", f"--format={FORMAT}"]
        return command if self._asked else None

    def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
        """The state of every job that was asked for, by its id."""
        text = string if isinstance(string, str) else string.decode()
        listed = dict(line.strip().split("|") for line in text.splitlines())
        return {job: {"JobID": job, "State": listed.get(job, "GONE")} for job in self._asked}
