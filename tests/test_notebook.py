"""`headstart.load`: what a notebook gets from a folder of runs, and a network that predicts as its run recorded."""

import html
import inspect
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import ready
from conftest import ROOT, TINY
from helpers_runs import make_run, make_study, write_predictions
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import headstart as hs
from headstart.errors import UserError
from headstart.report import PLOTS, write_frames, write_report


def script(text):
    done = subprocess.run([sys.executable, "-W", "error", "-c", text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


# -------------------------------------------------------------------------------------------------------------- loading


def test_importing_headstart_is_instant_and_loading_needs_no_torch(tmp_path):
    root = make_study(tmp_path / "tiny", trials=1, seeds=1)
    text = f"""import sys, headstart
print("pandas" in sys.modules, "load" in headstart.__all__)
study = headstart.load({str(root)!r}); study.verdict(); study.best("random")
print(*(m for m in ("torch", "hydra", "omegaconf", "matplotlib", "optuna") if m in sys.modules))"""
    assert script(text) == ["False", "True"]


def test_the_classifier_is_at_hand_and_imported_when_it_is_asked_for():
    assert hs.Classifier.__module__ == "headstart.inference.classifier" and "Classifier" in hs.__all__
    assert script("import sys, headstart; print('torch' in sys.modules)") == ["False"]


def test_an_unknown_name_is_still_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'lod'"):
        hs.lod  # noqa: B018


# ---------------------------------------------------------------------------------------------------------------- plots


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return hs.load(make_study(tmp_path_factory.mktemp("outputs") / "tiny", trials=4, seeds=3))


WHOLE = [plot for plot in PLOTS if not plot.of_one_arm and not plot.needs]


@pytest.mark.parametrize("plot", WHOLE, ids=lambda plot: plot.name)
def test_every_plot_draws_on_the_axes_given(study, plot):
    ax = Figure().subplots()
    assert getattr(study.plot, plot.name)(ax=ax) is ax
    assert ax.get_title(loc="left") or ax.get_title() or ax.texts


def test_every_plot_is_completed_by_tab_and_says_what_it_shows_and_takes(study):
    assert {plot.name for plot in PLOTS} == {name for name in dir(study.plot) if not name.startswith("_")}
    for plot in PLOTS:
        method = getattr(study.plot, plot.name)
        assert method.__doc__.endswith(".") and "ax" in inspect.signature(method).parameters
    assert "measure" in inspect.signature(study.plot.time_to_target).parameters
    assert list(inspect.signature(study.plot.confusion).parameters)[:2] == ["arm", "ax"]


def test_every_picture_of_the_page_is_at_hand_as_the_page_has_it(tmp_path):
    root = make_study(tmp_path / "tiny", trials=3, seeds=2)
    for at, place in enumerate(sorted(root.glob("*/confirm/*/seed-*"))):
        labels = np.repeat([0, 1], 50)
        wrong = (np.arange(100) + at) % 4 == 0
        sure = np.where((labels == 1) ^ wrong, 0.9, 0.1)
        images = dict(thumbnails=np.zeros((100, 8, 8, 3), np.uint8), thumbnail_indices=np.arange(100))
        write_predictions(place, labels, np.stack([1 - sure, sure], axis=1), classes=np.array(["a", "b"]), **images)
    study = hs.load(root)
    write_report(study)
    pictures = {path.stem for path in (root / "plots").glob("*.png")}
    assert pictures >= {"arms", "confusion", "calibration", "time_to_target", "samples"}
    assert pictures <= {name for name in dir(study.plot) if not name.startswith("_")}
    for name in pictures:
        drawn = study.plot[name]
        assert (drawn.name, bool(drawn.caption)) == (name, True)
        assert "<img" in drawn._repr_html_() and drawn.caption[:20] in html.unescape(drawn._repr_html_())
    with pytest.raises(UserError, match="no picture 'x'; there are arms, critical_difference"):
        study.plot["x"]
    with pytest.raises(UserError, match=r"data_size needs arms that differ in data\.train_size"):
        study.plot["data_size"]


def test_what_is_loaded_shows_itself_in_a_notebook(tmp_path):
    study = hs.load(make_study(tmp_path / "tiny", {"a<b>": 80.0, "plain": 90.0}, trials=3, seeds=2))
    shown = study._repr_html_()
    for words in (
        "tiny: 2 arms",
        "a&lt;b&gt;",
        "target reached",
        "81.50",
        html.escape(study.verdicts[0]),
        str(tmp_path),
    ):
        assert words in shown, words
    assert "<b>a" not in shown and "a<b>" not in shown and "<NA>" not in shown and "report.html" not in shown
    write_frames(study)
    (study.root / "report.html").touch()
    assert "report.html" in study._repr_html_()
    verdict = study.verdict()
    assert verdict == "\n".join(study.verdicts) and verdict._repr_html_().count("<li>") == len(study.verdicts)
    runs = study.runs("plain")._repr_html_()
    assert runs.count("<tr") == 1 + 1 + 2 and "plain/confirm/002/seed-2" in runs and "&lt;NA&gt;" not in runs
    assert str(study.best("plain").path) in study.best("plain")._repr_html_()
    assert all(f"study.plot.{plot.name}(" in study.plot._repr_html_() for plot in PLOTS)
    make_run(tmp_path / "going", "x/search/000", arm="x", phase="search", number=0, seed=0, lr=0.1)
    going = hs.load(tmp_path / "going")
    assert "not run" in going._repr_html_() and going.runs("x")._repr_html_()
    assert "no two arms" in hs.load(tmp_path / "tiny/tables")._repr_html_()


def test_plots_take_options_and_one_arm_where_it_needs_one(study):
    ax = study.plot.confusion("random", Figure().subplots())
    assert isinstance(ax, Axes) and "random" in ax.get_title(loc="left") + ax.get_title()
    seconds = study.plot.time_to_target(ax=Figure().subplots(), measure="seconds")
    assert "s" in seconds.get_ylabel()
    with pytest.raises(UserError, match="no arm 'x'"):
        study.plot.confusion("x")
    with pytest.raises(UserError, match=r"differ in data\.train_size"):
        study.plot.data_size(Figure().subplots())
    with pytest.raises(UserError, match="samples needs thumbnails"):
        study.plot.samples(Figure().subplots())
    with pytest.raises(UserError, match="no arm 'x'"):
        study.plot.data_size(lines={"both": ["random", "x"]})


def test_without_axes_a_new_figure_is_made(study):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    ax = study.plot.history()
    assert ax.figure.number in pyplot.get_fignums()
    pyplot.close(ax.figure)


def test_an_arm_has_the_same_colour_in_every_plot(study):
    curves = study.plot.learning_curves(Figure().subplots())
    history = study.plot.history(Figure().subplots())
    colours = [{line.get_color() for line in ax.lines} for ax in (curves, history)]
    assert len(colours[0] & colours[1]) >= 2


def two_studies(tmp_path):
    """Two studies whose arms have the same names: every accuracy of the second is 20 points lower."""
    high, low = {"random": 80.0, "pretrained": 90.0}, {"random": 60.0, "pretrained": 70.0}
    one = make_study(tmp_path / "one", high, name="one", trials=4, seeds=3)
    return one, make_study(tmp_path / "two", low, name="two", trials=4, seeds=3)


def test_plots_of_several_studies_keep_arms_of_one_name_apart(tmp_path):
    both = hs.load(*two_studies(tmp_path))
    names = ["one/random", "one/pretrained", "two/random", "two/pretrained"]

    def said(ax):
        return [text.get_text().replace("\n", "").partition(" (")[0] for text in ax.get_legend().get_texts()]

    for name in ("learning_curves", "learning_rate", "history", "budget", "per_class"):
        assert [word for word in said(getattr(both.plot, name)(Figure().subplots())) if word in names] == names, name
    dots = [line for line in both.plot.arms(Figure().subplots()).lines if line.get_label() == "_seeds"]
    tested = both.trials[both.trials["test_accuracy"].notna()]
    for study, arm, line in zip(both.arms["study"], both.arms["arm"], dots, strict=True):
        own = tested[(tested["study"] == study) & (tested["arm"] == arm)]
        assert sorted(line.get_xdata()) == sorted(own["test_accuracy"])
    for line in both.plot.history(Figure().subplots()).lines:
        assert len(line.get_xdata()) <= 4  # the trials of one search
    counts = [int(t.get_text()) for t in both.plot.confusion("two/random", Figure().subplots()).texts]
    assert sum(counts) == 3 * 10_000  # three seeds of one study
    with pytest.raises(UserError, match="several studies"):
        both.plot.confusion("random")


def test_single_runs_beside_a_study_are_none_of_its_arms_runs(tmp_path):
    make_study(tmp_path / "one", name="one", trials=2, seeds=3)
    for seed in (1, 2):
        own = dict(study=None, arm="random", phase="run", seed=seed, lr=0.1, state="COMPLETE")
        make_run(tmp_path, f"runs/{seed}", **own, val_accuracy=99.0, test_accuracy=20.0 + seed)
    ax = hs.load(tmp_path).plot.arms(Figure().subplots())
    dots = [sorted(line.get_xdata()) for line in ax.lines if line.get_label() == "_seeds"]
    assert [21.0, 22.0] in dots and sum(20 < x < 25 for line in dots for x in line) == 2


# ---------------------------------------------------------------------------------------------------------- predictions


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with one real run of the small network, trained for two epochs."""
    folder = tmp_path_factory.mktemp("trained")
    done = ready.run(*TINY, "precision=fp32", "lr=1e-3", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder / "outputs" / "runs"


def test_predictions_are_those_that_the_run_recorded(trained, tmp_path):
    from PIL import Image

    from headstart.data.sources import digits

    model = hs.load(trained).model("cnn")
    data = digits(train_size=100)
    with np.load(model.path / "predictions.npz") as stored:
        expected = stored["val_probabilities"]
    found = model.predict(data.val.images.numpy())
    assert list(found) == ["class", "probability", *model.classes] and len(found) == len(expected)
    np.testing.assert_allclose(found[list(model.classes)].to_numpy(), expected, atol=1e-5)
    assert found["class"].tolist() == [model.classes[place] for place in expected.argmax(1)]
    Image.fromarray(data.val.images[0].numpy()).save(tmp_path / "first.png")
    from_file = model.predict([tmp_path / "first.png", str(tmp_path / "first.png")])
    assert from_file.index.tolist() == [str(tmp_path / "first.png")] * 2
    np.testing.assert_allclose(from_file["probability"], [expected[0].max()] * 2, atol=1e-5)
    for words in ("Sequential", "32 px", str(model.path), ", ".join(model.classes)):
        assert words in model._repr_html_()
    assert (len(model.predict([])) == 0 and "cnn" in repr(model)) or "Sequential" in repr(model)


def test_what_is_no_picture_is_refused_in_a_sentence(trained, tmp_path):
    model = hs.load(trained).model("cnn")
    (tmp_path / "x.png").write_text("no picture")
    with pytest.raises(UserError, match=r"x\.png cannot be read as an image"):
        model.predict([tmp_path / "x.png"])
    with pytest.raises(UserError, match=r"float64 \[32, 32, 3\]; expected uint8"):
        model.predict([np.zeros((32, 32, 3))])
    with pytest.raises(UserError, match=r"uint8 \[32, 32\]; expected"):
        model.predict([np.zeros((32, 32), np.uint8)])
    with pytest.raises(UserError, match="dict is no picture"):
        model.predict({"x.png": 1})


def test_weights_that_are_damaged_or_gone_are_refused_in_a_sentence(trained, tmp_path):
    import shutil

    shutil.copytree(trained, tmp_path / "runs")
    (weights,) = (tmp_path / "runs").glob("*/best.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    study = hs.load(tmp_path / "runs")
    with pytest.raises(UserError, match="is damaged"):
        study.model("cnn")
    weights.unlink()
    with pytest.raises(UserError, match="the weights of cnn are not here"):
        study.model("cnn")


# ------------------------------------------------------------------------------------------------------- the notebook

PAGE = json.loads((ROOT / "experiments/notebook.ipynb").read_text())
CELLS = [cell for cell in PAGE["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_was_executed_from_top_to_bottom_and_names_nobodys_folders():
    assert [cell["execution_count"] for cell in CELLS] == list(range(1, len(CELLS) + 1))
    assert all(output["output_type"] != "error" for cell in CELLS for output in cell["outputs"])
    assert any("image/png" in output.get("data", {}) for cell in CELLS for output in cell["outputs"])
    assert not re.search(r"/(home|root|tmp|work|Users)/", json.dumps(PAGE))


def test_every_cell_of_the_notebook_runs_on_the_quickstart(headstart, tmp_path):
    words = ["n_trials=1", "confirm_seeds=1", "epochs=2", "threads=1", "search.first_points=[{lr: 1e-3}]"]
    done = headstart("-m", "experiments=quickstart", *words)
    assert done.returncode == 0, done.stderr
    (tmp_path / "cells.py").write_text("\n".join("".join(cell["source"]) for cell in CELLS))
    environment = os.environ | {"MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "cells.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "random" in done.stdout and "headstart data=digits" in done.stdout


def test_a_forecast_is_a_table_and_a_dashed_line_and_arms_may_be_named_without_their_study(tmp_path):
    low = make_study(tmp_path / "low", {"small": 60.0}, name="low", trials=3, seeds=3)
    high = make_study(tmp_path / "high", {"large": 70.0}, name="high", trials=3, seeds=3)
    for path in [*high.rglob("run.json"), *high.rglob("result.json")]:
        path.write_text(path.read_text().replace('"train_size": 50', '"train_size": 500'))
    study, lines = hs.load(low, high), {"both": ["small", "high/large"]}
    table = study.forecast(5000, lines)
    assert table["line_a"].tolist() == ["both"] and table["largest"].tolist() == [500]
    ax = study.plot.data_size(Figure().subplots(), lines=lines, forecast=5000)
    (dashed,) = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert dashed.get_ydata()[-1] == pytest.approx(table["forecast"][0])
    for path in high.rglob("run.json"):
        path.write_text(path.read_text().replace('"epochs": 3', '"epochs": 30'))
    for path in high.rglob("result.json"):
        path.write_text(path.read_text().replace('"epochs": 3', '"epochs": 30'))
    study = hs.load(low, high)
    for ask in (study.forecast, lambda n, lines: study.plot.data_size(lines=lines, forecast=n)):
        with pytest.raises(UserError, match=r"the arms of both differ in epochs \(3 and 30\)"):
            ask(5000, lines)
    with pytest.raises(UserError, match="no arm 'x'"):
        study.forecast(5000, {"both": ["small", "x"]})


def test_of_single_runs_of_one_network_the_best_is_taken_in_a_sentence_and_none_across_data(tmp_path, caplog):
    common = dict(arm="cnn", study=None, phase="run", seed=0, state="COMPLETE")
    for name, score in (("worse", 70.0), ("better", 80.0)):
        make_run(tmp_path, name, val_accuracy=score, **common)
    with pytest.raises(UserError, match="the weights of cnn are not here"):
        hs.load_model(tmp_path)
    assert "of 2 single runs of cnn: that of the highest validation accuracy, 80.00 %" in caplog.text
    make_run(tmp_path, "other", val_accuracy=90.0, **common | dict(data="pets"))
    both = r".*other \(pets\) and .*better \(digits\)"
    with pytest.raises(UserError, match=f"runs of cnn on different data; give the folder of one: {both}"):
        hs.load_model(tmp_path)
