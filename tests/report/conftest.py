"""What the tests of reports share: an axis to draw on, and a finished report."""

import pytest
from helpers_runs import make_study
from matplotlib.figure import Figure

from headstart.analysis import load_results as load
from headstart.report import write_report
from headstart.store import write_json


@pytest.fixture
def ax():
    return Figure(figsize=(7, 4), layout="constrained").subplots()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study with its report, plots included; beside it, in a file, what was said to be written."""
    root = make_study(tmp_path_factory.mktemp("outputs") / "tiny")
    before = [str(p) for p in root.rglob("*")]
    written = [str(p) for p in write_report(load(root))]
    write_json(root.parent / "written.json", {"before": before, "written": written})
    return root
