"""What is exported to MLflow is what `mlflow.search_runs` finds."""

from export.helpers_export import check_target, needs

READER = """import json, math, sys
import mlflow
mlflow.set_tracking_uri(f"sqlite:///{sys.argv[1]}/mlflow.db")
client, found = mlflow.MlflowClient(), []
for run in mlflow.search_runs(experiment_names=["tiny"]).to_dict("records"):
    epochs = [[at.step, at.value] for at in client.get_metric_history(run["run_id"], "epoch/val_accuracy")]
    score = run["metrics.test_accuracy"]
    found.append(dict(
        name=run["tags.mlflow.runName"], arm=run["tags.arm"], state=run["tags.state"], lr=run["params.lr"],
        test_accuracy=None if math.isnan(score) else score, epochs=epochs,
    ))
print(json.dumps(found))"""


@needs("mlflow")
def test_runs_are_there_once_each_with_their_figures(tmp_path):
    check_target(tmp_path, "mlflow", READER)
