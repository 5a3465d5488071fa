"""Trackio, local: a project for each study in a database of its own, in the folder that TRACKIO_DIR names."""

import os
import shlex
from datetime import UTC, datetime
from pathlib import Path

from headstart.errors import UserError
from headstart.export.records import RunRecord

DIGEST = "headstart_digest"  # in a run's config


def open_store(folder: Path) -> "Trackio":
    """The store in a folder. Raises UserError where trackio works in another one already."""
    os.environ["TRACKIO_DIR"] = str(folder.absolute())  # which trackio looks at when it is imported, once
    return Trackio(folder.absolute())


class Trackio:
    """`STUDY.db` in the folder given; an arm is a group, and a run's tags are in its config."""

    def __init__(self, folder: Path):
        from trackio import utils
        from trackio.sqlite_storage import SQLiteStorage

        if Path(utils.TRACKIO_DIR) != folder:
            raise UserError(f"trackio works in {utils.TRACKIO_DIR} in this process; export from another one.")
        self.opened_by = f"TRACKIO_DIR={shlex.quote(str(folder))} trackio show"
        self._storage, self._digests = SQLiteStorage, dict[str, dict[str, str]]()

    def digest_of(self, run: RunRecord) -> str | None:
        """The digest of the run as it is there; None where it isn't: it is written in one transaction."""
        if run.study not in self._digests:
            there = self._storage.get_all_run_configs(run.study)
            self._digests[run.study] = {identity: config.get(DIGEST, "") for identity, config in there.items()}
        return self._digests[run.study].get(run.identity)

    def remove(self, run: RunRecord) -> None:
        """Remove the run that is there."""
        self._storage.delete_run(run.study, run.name, run_id=run.identity)

    def write(self, run: RunRecord) -> None:
        """Write the run with its digest."""
        rows = [*run.epochs, (run.last_epoch, run.metrics)]
        after = [metrics.get("epoch/seconds_total", run.ended - run.began) for _, metrics in rows]
        times = [datetime.fromtimestamp(run.began + seconds, UTC).isoformat() for seconds in after]
        about = {"_Group": run.tags.get("arm"), "_Created": times[0], DIGEST: run.digest}
        self._storage.bulk_log(
            project=run.study,
            run=run.name,
            run_id=run.identity,
            metrics_list=[metrics for _, metrics in rows],
            steps=[epoch for epoch, _ in rows],
            timestamps=times,
            config=run.tags | run.parameters | about,
        )
