"""What plots are drawn from: the runs behind an arm, arms of several studies told apart, files read when needed."""

import dataclasses

import pandas as pd
import pytest
from helpers_runs import make_study

from headstart.analysis import load_results
from headstart.report import Material
from headstart.store import StudyFile, write_json
from report.helpers_report import nothing, study, with_predictions


def test_no_file_of_a_run_is_read_before_a_plot_needs_it(tmp_path, monkeypatch):
    monkeypatch.setattr("headstart.report.material.read_predictions", lambda path: pytest.fail(f"{path} is read"))
    material = Material(study("a", "b"))
    assert list(material.looks) == ["a", "b"] and material.chance == pytest.approx(100 / 3)


def test_results_and_predictions_are_those_of_the_tested_runs_behind_an_arm(tmp_path):
    frames = with_predictions(tmp_path, study("a", "b"))
    frames.trials.loc[frames.trials["run_dir"] == "a/confirm/seed-1", "state"] = (
        "FAILED"  # after it read the test split
    )
    (tmp_path / "a/confirm/seed-2/result.json").write_text("{")
    write_json(tmp_path / "a/confirm/seed-3/result.json", {"confusion": "damaged"})
    (tmp_path / "b/confirm/seed-1/predictions.npz").unlink()
    material = Material(frames)
    assert {arm: len(runs) for arm, runs in material.results.items()} == {"a": 3, "b": 5}
    assert {arm: len(runs) for arm, runs in material.confused.items()} == {"a": 2, "b": 5}
    assert {arm: len(runs) for arm, runs in material.predictions.items()} == {"a": 4, "b": 4}


def test_galleries_hold_only_rows_with_images_and_begin_with_the_arms_furthest_apart(tmp_path):
    rows = Material(with_predictions(tmp_path, study("a", "b", "c"))).galleries
    assert next(heading for heading, _ in rows["disagreements"]) == "a right, c wrong"
    assert all(images for own in rows.values() for _, images in own)
    assert not any(Material(nothing()).galleries.values())


def test_arms_of_several_studies_are_called_by_both_names_and_their_study_json_is_none_of_them():
    one, two = study("cnn"), study("cnn")
    both = {}
    for name in ("trials", "epochs", "arms", "pairs"):
        other = getattr(two, name).assign(study=pd.array(["t"] * len(getattr(two, name)), dtype="string"))
        both[name] = pd.concat([getattr(one, name), other], ignore_index=True)
    material = Material(dataclasses.replace(one, **both))
    assert material.arms["arm"].tolist() == list(material.looks) == ["s/cnn", "t/cnn"] and material.study == StudyFile()


def test_repeats_of_a_search_look_alike(tmp_path):
    folders = [make_study(tmp_path / f"q_{s}", trials=3, seeds=2, name=f"q_{s}", seed=s) for s in (0, 10)]
    material = Material(load_results(*folders))
    assert material.searches["q_0/random"] == material.searches["q_10/random"] == "q/random"
    assert material.looks["q_0/random"] == material.looks["q_10/random"] != material.looks["q_0/pretrained"]
