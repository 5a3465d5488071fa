"""What an evaluation leaves in a folder."""

import json

import pandas as pd

from headstart.report import write_evaluation


def test_figures_answers_and_two_plots_are_written(tmp_path):
    answers = pd.DataFrame(
        dict(image=["a", "b"], label=["cat", "dog"], predicted=["cat", "cat"], probability=[0.9, 0.6])
        | dict(cat=[0.9, 0.6], dog=[0.1, 0.4])
    )
    found = dict(accuracy=50.0, confusion=[[1, 0], [1, 0]], per_class={"cat": {}, "dog": {}})
    worse = pd.DataFrame([[50.0, 0.0]], index=pd.Index(["noise"], name="corruption"), columns=[1, 2])
    written = write_evaluation(tmp_path / "out", found, answers, worse)
    assert all(path.stat().st_size for path in written)
    names = ["calibration.png", "calibration.svg", "confusion.png", "confusion.svg"]
    assert sorted(p.name for p in written) == [*names, "metrics.json", "predictions.csv", "robustness.csv"]
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == found
    assert (tmp_path / "out" / "robustness.csv").read_text() == "corruption,1,2\nnoise,50.0,0.0\n"
    assert "1 of 2 pictures on the diagonal" in (tmp_path / "out" / "confusion.svg").read_text()
