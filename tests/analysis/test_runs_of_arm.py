"""The runs behind an arm are the same in every table, plot, gallery and sentence."""

import numpy as np
import pandas as pd
import pytest
from helpers_runs import make_run, make_study, write_predictions
from matplotlib.figure import Figure

import headstart as hs
from headstart.analysis import CaveatKind
from headstart.analysis.runs_of_arm import runs_by_arm, runs_of_arm
from headstart.report.figures import draw_all
from headstart.store import StudyFile, read_json, write_json

ACCURACIES = {10: (40.0, 60.0, 75.0), 32: (10.0, 20.0, 30.0)}  # by batch size, after each epoch


@pytest.fixture
def single(tmp_path):
    """Single runs of one arm: three seeds of the better setting, three of one that differs in its batch size alone."""
    for batch_size, test in ((10, 80.0), (32, 50.0)):
        for seed in (1, 2, 3):
            right, command = int(test) // 2 + seed, f"headstart batch_size={batch_size} lr=0.1 seed={seed}"
            about = dict(arm="cnn", study=None, phase="run", lr=0.1, seed=seed, batch_size=batch_size, command=command)
            scores = dict(val_accuracy=test - seed, test_accuracy=test + seed, confusion=[[right, 50 - right], [0, 50]])
            about |= scores | dict(state="COMPLETE", accuracies=ACCURACIES[batch_size])
            folder = make_run(tmp_path, f"{batch_size}-{seed}", **about)
            labels, shares = np.zeros(10, int), np.tile([0.3, 0.7] if batch_size == 32 else [0.6, 0.4], (10, 1))
            shown = dict(thumbnails=np.zeros((10, 8, 8, 3), np.uint8), thumbnail_indices=np.arange(10))
            write_predictions(folder, labels, shares, **shown)
    return hs.load(tmp_path)


def lines(ax, label):
    return [line for line in ax.lines if line.get_label() == f"_{label}"]


def test_all_pictures_of_single_runs_show_the_runs_that_the_table_of_arms_does(single):
    row = single.arms.iloc[0]
    assert (row["seeds"], row["test_mean"]) == (3, 82.0)
    (dots,) = lines(single.plot.arms(Figure().subplots()), "seeds")
    assert dots.get_xdata().tolist() == [81, 82, 83]
    (curve,) = lines(single.plot.learning_curves(Figure().subplots()), "mean")
    assert curve.get_ydata().tolist() == list(ACCURACIES[10])
    counts = [text.get_text() for text in single.plot.confusion("cnn", Figure().subplots()).texts]
    assert counts == [str(41 + 42 + 43), str(150 - 126), "150"]
    recall = single.plot.per_class(Figure().subplots()).lines[0].get_xdata()
    assert sorted(recall) == [82, 86]  # of the class 0, lowest and highest over seeds
    (confidence,) = {round(float(x)) for x in single.plot.calibration(Figure().subplots()).lines[1].get_xdata()}
    assert confidence == 60


def test_galleries_and_captions_of_single_runs_are_of_the_same_runs(single):
    found = {picture.name: picture for picture in draw_all(single)}
    assert "confidently_wrong" not in found  # only the other batch size is wrong
    assert "(sum of 3 runs)" in found["confusion"].figure.axes[0].get_title(loc="left") + str(
        found["confusion"].figure.axes[0].get_title()
    )
    assert found["learning_curves"].figure.axes[0].get_legend().get_texts()[0].get_text() == "cnn (3 seeds)"


def test_caveats_speak_of_the_same_runs(single):
    for seed in (1, 2, 3):
        path = single.root / f"32-{seed}" / "result.json"
        write_json(path, read_json(path) | dict(reason="did not converge in 100 iterations", val_loss=1.0))
    kinds = {caveat.kind for caveat in hs.load(single.root).caveats}
    assert not kinds & {CaveatKind.NOT_CONVERGED, CaveatKind.NOT_VARIED}
    path = single.root / "10-1/result.json"
    write_json(path, read_json(path) | dict(reason="did not converge in 100 iterations"))
    (said,) = (caveat for caveat in hs.load(single.root).caveats if caveat.kind is CaveatKind.NOT_CONVERGED)
    assert "1 single run did not converge" in str(said)


def test_the_best_single_run_and_its_model_are_among_them(single):
    runs = single.runs("cnn")
    assert single.best("cnn").path == single.root / "10-1" and runs.best["run_dir"] == "10-1"
    assert runs.repeats["run_dir"].tolist() == ["10-1", "10-2", "10-3"]


def test_of_an_earlier_choice_no_confirmation_is_behind_the_arm(tmp_path):
    root = make_study(tmp_path / "tiny", trials=4, seeds=3)
    own = dict(study="tiny", arm="random", phase="confirm", number=1, lr=0.01, state="COMPLETE")
    make_run(root, "random/confirm/001/seed-1", seed=1, val_accuracy=75.0, test_accuracy=10.0, **own)
    study = hs.load(root)
    runs = study.runs("random")
    assert runs.best["number"] == 2 and runs.repeats["number"].unique().tolist() == [2] and len(runs.tested) == 3
    (dots, *_) = lines(study.plot.arms(Figure().subplots()), "seeds")
    assert 10.0 not in dots.get_xdata()


def test_a_repeated_seed_counts_once_and_the_tested_run_of_it(tmp_path):
    own = dict(arm="cnn", study=None, phase="run", lr=0.1, command="headstart lr=0.1", val_accuracy=70.0)
    make_run(tmp_path, "a", seed=1, state="COMPLETE", test_accuracy=60.0, **own)
    make_run(tmp_path, "b", seed=1, state="FAILED", **own)
    runs = runs_of_arm(hs.load(tmp_path).trials)
    assert runs.repeats["run_dir"].tolist() == ["a"]


def test_the_arms_of_a_study_have_their_runs_found_once_in_its_order(tmp_path):
    trials = hs.load(make_study(tmp_path / "tiny", {"b": 70.0, "a": 60.0}, trials=3, seeds=2)).trials
    found = runs_by_arm(trials, StudyFile(arm_order=("b", "gone", "a")))
    assert list(found) == ["b", "a"] and list(runs_by_arm(trials, StudyFile())) == list(trials["arm"].unique())
    for name, runs in found.items():
        alone = runs_of_arm(trials[trials["arm"] == name])
        assert runs.best.equals(alone.best)
        for part in ("rows", "repeats"):
            pd.testing.assert_frame_equal(getattr(runs, part), getattr(alone, part))


def test_an_arm_of_which_nothing_may_be_selected_has_no_runs_behind_it(tmp_path):
    make_run(tmp_path, "a", arm="cnn", study=None, phase="run", lr=0.1, seed=1, state="DIVERGED")
    runs = runs_of_arm(hs.load(tmp_path).trials)
    assert runs.best is None and runs.repeats.empty and runs.tested.empty
