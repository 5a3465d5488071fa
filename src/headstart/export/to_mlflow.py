"""MLflow: an experiment for each study in a store of one sqlite file."""

import os
from pathlib import Path

from headstart.export.records import RunRecord

KEY, DIGEST = "headstart.run", "headstart.digest"  # tags that find a run again
AT_ONCE = 1000  # metrics that MLflow takes in one request; of parameters and tags 100
STATUS = {"FAILED": "FAILED", "INTERRUPTED": "KILLED", "RUNNING": "RUNNING"}  # the others: FINISHED
LONGEST = 5000  # characters of a tag that every version takes


def open_store(folder: Path) -> "MLflow":
    """The store in a folder."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # it tells of the tables of its database
    return MLflow(folder)


class MLflow:
    """`mlflow.db` in the folder given."""

    def __init__(self, folder: Path):
        from mlflow.tracking import MlflowClient

        folder = folder.absolute()
        uri = f"sqlite:///{folder / 'mlflow.db'}"
        self.opened_by = f"mlflow ui --backend-store-uri '{uri}'"
        self._artifacts, self._client = (folder / "artifacts").as_uri(), MlflowClient(tracking_uri=uri)
        self._runs: dict[str, dict[str, tuple[str, str]]] = {}  # by experiment's id and key: id, digest

    def digest_of(self, run: RunRecord) -> str | None:
        """The digest of the run as it is there; "" where it is there in part; None where it isn't."""
        there = self._there(run).get(run.key)
        return None if there is None else there[1]

    def remove(self, run: RunRecord) -> None:
        """Remove the run that is there."""
        self._client.delete_run(self._there(run).pop(run.key)[0])

    def write(self, run: RunRecord) -> None:
        """Write the run, its digest last."""
        from mlflow.entities import Metric, Param, RunTag

        experiment, began, ended = self._experiment(run.study), round(1000 * run.began), round(1000 * run.ended)
        tags = {KEY: run.key} | {name: value[:LONGEST] for name, value in run.tags.items()}
        found = self._client.create_run(experiment, start_time=began, tags=tags, run_name=run.name).info.run_id
        metrics = [Metric(name, value, ended, run.last_epoch) for name, value in run.metrics.items()]
        for epoch, own in run.epochs:
            at = began + round(1000 * own.get("epoch/seconds_total", 0))
            metrics += [Metric(name, value, at, epoch) for name, value in own.items()]
        for place in range(0, len(metrics), AT_ONCE):
            self._client.log_batch(found, metrics=metrics[place : place + AT_ONCE])
        parameters = [Param(name, str(value)[:LONGEST]) for name, value in run.parameters.items()]
        self._client.log_batch(found, params=parameters, tags=[RunTag(DIGEST, run.digest)])
        self._client.set_terminated(found, STATUS.get(run.tags["state"], "FINISHED"), end_time=ended)
        self._there(run)[run.key] = found, run.digest

    def _experiment(self, study: str) -> str:
        found = self._client.get_experiment_by_name(study)
        return self._client.create_experiment(study, self._artifacts) if found is None else found.experiment_id

    def _there(self, run: RunRecord) -> dict[str, tuple[str, str]]:
        """The runs of the study that were exported before."""
        experiment = self._experiment(run.study)
        if experiment not in self._runs:
            self._runs[experiment] = own = {}
            token = None
            while token is None or token:
                page = self._client.search_runs([experiment], max_results=AT_ONCE, page_token=token)
                for there in page:
                    tags = there.data.tags
                    own |= {tags[KEY]: (there.info.run_id, tags.get(DIGEST, ""))} if KEY in tags else {}
                token = page.token or ""
        return self._runs[experiment]
