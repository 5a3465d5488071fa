"""What is exported to trackio is what its own storage holds."""

import os

import pytest

from export.helpers_export import check_target, needs
from headstart.errors import UserError

READER = """import json, os, sys
os.environ["TRACKIO_DIR"] = sys.argv[1]
from trackio.sqlite_storage import SQLiteStorage
found = []
for name in SQLiteStorage.get_runs("tiny"):
    rows, config = SQLiteStorage.get_logs("tiny", name), SQLiteStorage.get_run_config("tiny", name)
    epochs = [[row["step"], row["epoch/val_accuracy"]] for row in rows if "epoch/val_accuracy" in row]
    score = next((row["test_accuracy"] for row in rows if "test_accuracy" in row), None)
    own = dict(name=name, arm=config["arm"], state=config["state"], lr=config["lr"])
    found.append(own | dict(test_accuracy=score, epochs=epochs))
print(json.dumps(found))"""


@needs("trackio")
def test_runs_are_there_once_each_with_their_figures(tmp_path):
    check_target(tmp_path, "trackio", READER)


@needs("trackio")
def test_a_process_in_which_trackio_works_in_another_folder_is_told_so(tmp_path, monkeypatch):
    from headstart.export.to_trackio import open_store

    monkeypatch.setenv("TRACKIO_DIR", os.environ.get("TRACKIO_DIR", str(tmp_path)))
    with pytest.raises(UserError, match="trackio works in"):
        open_store(tmp_path / "one")
        open_store(tmp_path / "two")
