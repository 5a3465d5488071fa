"""A study exported by the command, read back by the tracker's own library in a process of its own, and compared."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers_runs import make_run, make_study

import headstart as hs
from headstart.store import write_json

OFFLINE = {
    "PYTHONWARNINGS": "ignore",
    "OMP_NUM_THREADS": "1",
    "https_proxy": "http://127.0.0.1:9",
}  # which answers nothing


def needs(library: str) -> pytest.MarkDecorator:
    """Skips where the library isn't installed."""
    missing = importlib.util.find_spec(library) is None
    return pytest.mark.skipif(missing, reason=f"{library} is not installed: pip install {library}")


def python(script: str, *words: str, folder: Path) -> str:
    """What a script prints."""
    command = [sys.executable, "-c", script, *words]
    done = subprocess.run(command, cwd=folder, env=os.environ | OFFLINE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def export(root: Path, target: str) -> str:
    """What `headstart report ROOT --to TARGET` prints."""
    script = "from headstart.cli.main import main; main()"
    return python(script, "report", root.name, "--to", target, folder=root.parent)


def check_target(tmp_path: Path, target: str, reader: str, digits: float = 0.0) -> None:
    """Export a study, export it again, go on with one of its runs, and compare what is there each time.

    reader: a script that prints, as JSON, a list of {name, arm, state, lr, test_accuracy, epochs: [[epoch, its
    validation accuracy]]} of the runs in the folder given. digits: relative accuracy of what the store keeps.
    """
    root = make_study(tmp_path / "tiny", trials=2, seeds=1)
    make_run(root, "random/search/002", arm="random", phase="search", number=2, seed=0, lr=0.3, accuracies=(10.0,))
    for counts in ("7 new", "7 there already"):
        said = export(root, target)
        assert counts in said and f"tiny/export/{target}" in said and "To look at them: " in said
        check_runs(root, json.loads(python(reader, str(root / "export" / target), folder=tmp_path)), digits)
    result = json.loads((root / "random/search/001/result.json").read_text())
    write_json(root / "random/search/002/result.json", result | dict(number=2, val_accuracy=12.5, lr=0.3))
    assert "1 written anew" in export(root, target)
    check_runs(root, json.loads(python(reader, str(root / "export" / target), folder=tmp_path)), digits)


def check_runs(root: Path, found: list[dict], digits: float) -> None:
    """Whether the runs are those of the study, each once, with its figures."""
    study = hs.load(root)
    assert sorted(run["name"] for run in found) == sorted(study.trials["run_dir"])
    rows = study.trials.set_index("run_dir")
    for run in found:
        row, own = rows.loc[run["name"]], study.epochs[study.epochs["run_dir"] == run["name"]]
        assert (run["arm"], run["state"], float(run["lr"])) == (row["arm"], row["state"], pytest.approx(row["lr"]))
        tested = None if row["test_accuracy"] is study.trials["lr"].dtype.na_value else row["test_accuracy"]
        assert run["test_accuracy"] == (None if tested is None else pytest.approx(tested, rel=digits, abs=0))
        assert [epoch for epoch, _ in run["epochs"]] == own["epoch"].tolist()
        assert [value for _, value in run["epochs"]] == pytest.approx(own["val_accuracy"].tolist(), rel=digits, abs=0)
