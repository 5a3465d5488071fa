"""The plots of a study: which there are, that they are whole, and what stands beside them."""

import dataclasses
import subprocess
import sys
from xml.etree import ElementTree

import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from headstart.report import plots
from headstart.report.drawing import LEGIBLE
from headstart.report.figures import PLOTS, draw_all
from headstart.report.galleries import gallery
from headstart.report.save_figures import save
from headstart.store import StudyFile
from report.helpers_report import (
    arms_of,
    legend_words,
    lines,
    names,
    nothing,
    results,
    sentences,
    study,
    sweeping_two,
    with_predictions,
)


def test_no_run_leaves_an_empty_axis_with_a_sentence():
    empty = nothing()
    calls = [
        lambda ax: plots.learning_curves(empty.epochs, empty.trials, ax),
        lambda ax: plots.learning_rate(empty.trials, ax),
        lambda ax: plots.history(empty.trials, ax),
        lambda ax: plots.budget(empty.trials, empty.arms, ax),
        lambda ax: plots.time_to_target(empty.arms, ax, trials=empty.trials),
        lambda ax: plots.arms(empty.arms, empty.trials, ax),
        lambda ax: plots.parallel_coordinates(empty.trials, ax),
        lambda ax: plots.importances(empty.trials, ax),
        lambda ax: plots.confusion([], ax),
        lambda ax: plots.per_class({}, ax),
        lambda ax: plots.calibration({}, ax),
    ]
    for call in calls:
        ax = Figure().subplots()
        assert call(ax) is ax
        assert sentences(ax).endswith(".") and not ax.axison
    assert plots.data_size(empty.arms, Figure().subplots()) is None
    assert gallery([], Figure().subplots()) is None


def test_a_folder_without_runs_gets_two_pictures_that_say_so(tmp_path):
    found = draw_all(nothing())
    assert names(found) == ["arms", "learning_curves"]
    for picture in found:
        save(picture, tmp_path / "plots")


STANDARD = ["arms", "learning_curves", "learning_rate", "history", "budget", "time_to_target"]
TESTED = ["confusion", "per_class", "calibration"]
GALLERIES = ["samples", "confidently_wrong", "disagreements"]


@pytest.mark.parametrize("arms", [1, 12])
def test_everything_is_drawn_and_saved_for_one_arm_and_for_twelve(tmp_path, arms):
    frames = with_predictions(tmp_path, study(*[f"arm-{i}-{'x' * 5 * i}" for i in range(arms)]))
    found = draw_all(frames)
    many = [STANDARD[0], "critical_difference", *STANDARD[1:], *TESTED, *GALLERIES]
    assert names(found) == (many if arms > 1 else STANDARD + TESTED + GALLERIES[:2])
    shown = ("arms", "critical_difference", "learning_rate", "disagreements")
    for picture in found if arms == 1 else [p for p in found if p.name in shown]:
        png, svg = save(picture, tmp_path / "plots")
        with Image.open(png) as image:
            assert min(image.size) > 100
        root = ElementTree.parse(svg).getroot()
        assert root.get("role") == "img" and root.get("aria-label") == picture.alt
        assert picture.title and picture.caption.endswith(".") and picture.alt.endswith(".")
    assert "arm-0- 83.00 % (95 % interval" in found[0].alt
    assert not list((tmp_path / "plots").glob("*.tmp"))


def test_legends_stand_beside_the_data_or_below_it(tmp_path):
    for picture in draw_all(with_predictions(tmp_path, study("a", "b"))):
        picture.figure.draw_without_rendering()
        for ax in picture.figure.axes:
            if (legend := ax.get_legend()) is not None:
                its, drawn = legend.get_window_extent(), ax.get_window_extent()
                assert its.x0 >= drawn.x1 or its.y1 <= drawn.y0, picture.name
                assert legend.get_window_extent().x1 <= picture.figure.bbox.x1, picture.name


PHONE = 390 - 2 * 12 - 2 * (4 + 1)  # pixels that the page leaves a plot there: less its margins, and the frame's


def drawn_pictures(folder):
    """Every picture that there is: of many arms with long names, of sweeps over more, and of several sizes."""
    named = [f"resnet18_cifar100_weights_{i}" for i in range(8)]
    yield from draw_all(with_predictions(folder / "a", study(*named)))
    yield from draw_all(dataclasses.replace(study("a", "b", seeds=0), trials=sweeping_two()))
    sizes = [study("small", size=50), study("large", size=500)]
    both = {
        name: pd.concat([getattr(own, name) for own in sizes], ignore_index=True)
        for name in ("trials", "epochs", "arms", "pairs")
    }
    both["epochs"]["train_accuracy"] = both["epochs"]["val_accuracy"]
    both["arms"]["image_size"] = pd.array([32, 64], dtype="Int64")
    yield from draw_all(dataclasses.replace(sizes[0], **both))


def test_every_word_of_every_picture_has_ten_pixels_on_a_phone_and_the_first_pictures_fit_there(tmp_path):
    found = list(drawn_pictures(tmp_path))
    unrecorded = {"data_samples", "latency", "corruptions", "explained"}  # of these runs; see test_use_figures.py
    assert {plot.name for plot in PLOTS} == {*names(found), *unrecorded}
    for picture in found:
        width = picture.figure.get_figwidth() * 96
        words = [text for text in picture.figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
        smallest = min(text.get_fontsize() for text in words) * 96 / 72
        assert smallest >= LEGIBLE == 10, picture.name
        assert picture.least_width - 1 <= width, picture.name  # it is never stretched to be read
        assert smallest * picture.least_width / width >= 10, picture.name
        assert picture.is_wide or picture.least_width <= PHONE, picture.name
    assert {picture.name for picture in found if not picture.is_wide} == {"arms", "learning_curves"}


def test_no_title_is_cut_off(tmp_path):
    for picture in drawn_pictures(tmp_path):
        picture.figure.draw_without_rendering()
        for ax in picture.figure.axes:
            title = ax._left_title.get_window_extent()
            assert title.x1 <= picture.figure.bbox.x1 + 1 and title.y1 <= picture.figure.bbox.y1 + 1, picture.name


def test_axes_name_what_they_show_and_its_unit(tmp_path):
    for picture in draw_all(with_predictions(tmp_path, study("a", "b"))):
        for ax in picture.figure.axes[: None if picture.name != "confusion" else 2]:
            if ax.axison:
                labels = ax.get_xlabel() + ax.get_ylabel()
                assert ax.get_title(loc="left") and ax.get_xlabel() and labels, picture.name
                assert ax.get_ylabel() or picture.name == "arms"


def test_predictions_without_thumbnails_have_no_gallery(tmp_path):
    frames = with_predictions(tmp_path, study("a", "b"), thumbnails=False)
    assert names(draw_all(frames)) == STANDARD + TESTED


def test_a_study_without_files_of_its_runs_and_with_missing_values_is_drawn(tmp_path):
    frames = study("a", "b")
    frames.trials["val_accuracy"] = pd.array([pd.NA] * len(frames.trials), dtype="Float64")
    frames.epochs.loc[::2, "val_accuracy"] = pd.NA
    arms = arms_of(frames.trials, frames.epochs, frames.study)
    for picture in draw_all(dataclasses.replace(frames, arms=arms, study={}, study_file=StudyFile())):
        save(picture, tmp_path)


def test_arms_of_several_studies_are_told_apart(tmp_path):
    one, two = study("cnn"), study("cnn")
    for frame_ in (two.trials, two.epochs, two.arms, two.pairs):
        frame_["study"] = pd.array(["t"] * len(frame_), dtype="string")
    both = {
        n: pd.concat([getattr(one, n), getattr(two, n)], ignore_index=True)
        for n in ("trials", "epochs", "arms", "pairs")
    }
    found = {p.name: p for p in draw_all(dataclasses.replace(one, **both))}
    assert legend_words(found["learning_curves"].figure.axes[0])[:2] == ["s/cnn (5 seeds)", "t/cnn (5 seeds)"]


def test_single_runs_are_drawn_without_a_search(tmp_path):
    frames = study("a")
    trials = frames.trials[frames.trials["phase"] == "confirm"].assign(phase="run", number=pd.NA)
    trials["number"] = trials["number"].astype("Int64")
    epochs = frames.epochs[frames.epochs["phase"] == "confirm"].assign(phase="run")
    arms = arms_of(trials, epochs)
    found = draw_all(results(trials, epochs, arms, frames.pairs, {}))
    assert names(found) == ["arms", "learning_curves", "learning_rate", "time_to_target"]
    assert lines(found[0].figure.axes[0], "seeds")[0].get_xdata().tolist() == [81, 82, 83, 84, 85]


def test_sweeps_over_more_than_the_learning_rate_get_two_more_pictures(tmp_path):
    rows = sweeping_two()
    frames = study("a", "b", seeds=0)
    found = draw_all(dataclasses.replace(frames, trials=rows))
    assert names(found)[-2:] == ["parallel_coordinates", "importances"]


def test_the_list_of_plots_comes_without_matplotlib_and_files_of_them_without_pyplot_and_torch():
    code = """
import sys, headstart.report.figures
print("matplotlib" in sys.modules)
import headstart.report.save_figures
print(sorted({"torch", "hydra", "optuna", "matplotlib.pyplot"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["False", "[]", ""]
