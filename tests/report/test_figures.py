"""Plots show what the frames say: lines, bounds, words; with no run, one arm, many arms, missing values, odd names."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from headstart import statistics
from headstart.analysis import Predictions, columns, read_predictions, without_number
from headstart.analysis.arms_table import arms_table
from headstart.analysis.pairs_table import pairs_table
from headstart.data.thumbnails import choose_thumbnails
from headstart.errors import UserError
from headstart.report import galleries as pictures
from headstart.report.plots import all as plots
from headstart.report.plots.search import random_draws
from headstart.report.plots.style import short
from headstart.store import StudyFile, write_json

SPACE = {"lr": {"low": 1e-5, "high": 1e-1, "log": True}}
LRS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 3e-3)
VALS = (None, 70.0, 90.0, 60.0, 10.0, 85.0)
STATES = ("DIVERGED", "COMPLETE", "COMPLETE", "PRUNED", "CHANCE", "COMPLETE")
CLASSES = ("cat", "dog", "deer")


def arms_of(trials, epochs, about=None):
    return arms_table(trials, epochs, StudyFile.of(about))


def pairs_of(arms, trials, about=None):
    return pairs_table(arms, trials, StudyFile.of(about))


def frame(rows, columns):
    found = pd.DataFrame(rows)
    extra = [c for c in found if c not in columns]
    typed = {c: pd.array([row.get(c) for row in rows], dtype=about.dtype) for c, about in columns.items()}
    return pd.DataFrame(typed | {c: found[c] for c in extra})


def study(*arms, seeds=5, curve=(50.0, 75.0, 95.0), vals=VALS, states=STATES, size=50, **changed):
    """Frames of a study: per arm six search trials and `seeds` confirmations, shifted by the arm's place."""
    trials, epochs = [], []
    for place, arm in enumerate(arms):
        rows = [
            dict(phase="search", number=n, lr=lr, val_accuracy=val, state=state, seed=0, params_lr=lr)
            for n, (lr, val, state) in enumerate(zip(LRS, vals, states, strict=True))
        ]
        rows += [
            dict(phase="confirm", number=2, lr=1e-3, val_accuracy=90.0, state="COMPLETE", seed=s, params_lr=1e-3)
            | dict(test_accuracy=80.0 + s + place, test_reads=1)
            for s in range(1, seeds + 1)
        ]
        for row in rows:
            end = f"seed-{row['seed']}" if row["phase"] == "confirm" else f"{row['number']:03d}"
            row |= dict(study="s", arm=arm, model="cnn", data="digits", data_sha256="d", train_size=size, epochs=3)
            row |= dict(run_dir=f"{arm}/{row['phase']}/{end}", classes=3, test_images=30, device="cpu", threads=1)
            points = [value + row["seed"] - place for value in curve]
            row |= {
                f"epochs_to_{t}": sum(p < t for p in points) + 1 if max(points) >= t else None for t in (70, 80, 90)
            }
            keys = {k: row[k] for k in ("study", "arm", "phase", "number", "seed", "run_dir")}
            epochs += [
                keys | dict(epoch=e, steps=e, images=e, val_accuracy=p, seconds_total=2.0 * e)
                for e, p in enumerate(points, 1)
            ]
        trials += rows
    trials, epochs = frame(trials, columns.TRIALS), frame(epochs, columns.EPOCHS)
    about = dict(arm_order=list(arms), spaces={a: SPACE for a in arms}, sampler="tpe", unpruned=False) | changed
    found = arms_of(trials, epochs, about)
    return SimpleNamespace(trials=trials, epochs=epochs, arms=found, pairs=pairs_of(found, trials, about), study=about)


def nothing():
    trials, epochs = frame([], columns.TRIALS), frame([], columns.EPOCHS)
    found = arms_of(trials, epochs)
    return SimpleNamespace(trials=trials, epochs=epochs, arms=found, pairs=pairs_of(found, trials), study={})


def with_predictions(root, frames, thumbnails=True, count=30):
    """Write result.json and predictions.npz for the confirmations: arm number p is wrong on the first p + 1 images."""
    labels = np.arange(count) % 3
    for place, arm in enumerate(frames.arms["arm"]):
        rows = frames.trials[(frames.trials["arm"] == arm) & (frames.trials["phase"] == "confirm")]
        for run_dir in rows["run_dir"]:
            answers = labels.copy()
            answers[: place + 1] = (labels[: place + 1] + 1) % 3
            probabilities = np.full((count, 3), 0.05, dtype=np.float32)
            probabilities[np.arange(count), answers] = 0.9 - 0.01 * np.arange(count)
            confusion = np.zeros((3, 3), dtype=int)
            np.add.at(confusion, (labels, answers), 1)
            (root / run_dir).mkdir(parents=True)
            write_json(root / run_dir / "result.json", dict(classes=list(CLASSES), confusion=confusion.tolist()))
            chosen = choose_thumbnails(labels, probabilities, 4)
            stored = dict(thumbnails=np.full((len(chosen), 8, 8, 3), 7, np.uint8), thumbnail_indices=chosen)
            np.savez(
                root / run_dir / "predictions.npz", classes=np.array(CLASSES), test_indices=np.arange(count),
                test_labels=labels, test_probabilities=probabilities, **(stored if thumbnails else {}),
            )  # fmt: skip
    return frames


@pytest.fixture
def ax():
    return Figure(figsize=(7, 4), layout="constrained").subplots()


def lines(ax, label):
    return [line for line in ax.lines if line.get_label() == f"_{label}"]


def legend_words(ax):
    return [text.get_text().replace("\n", " ") for text in ax.get_legend().get_texts()]


def sentences(ax):
    return " ".join(text.get_text() for text in ax.texts).replace("\n", " ")


# -------------------------------------------------------------------------------------------------------------- looks


def test_every_arm_has_a_look_of_its_own_that_does_not_depend_on_the_arms_after_it():
    many = plots.palette([f"arm-{i}" for i in range(12)])
    assert len({(look.colour, look.marker) for look in many.values()}) == 12
    assert len({look.marker for look in list(many.values())[:10]}) == 10  # told apart without colour
    assert plots.palette(["arm-0", "arm-1"]) == {k: many[k] for k in ("arm-0", "arm-1")}


def test_an_arm_looks_the_same_in_every_plot_whatever_the_order_of_its_rows():
    frames = study("b", "a")
    looks, colours = plots.palette(["b", "a"]), []
    for name, *data in (
        ("learning_curves", frames.epochs, frames.trials),
        ("history", frames.trials),
        ("learning_rate", frames.trials),
    ):
        ax = Figure().subplots()
        getattr(plots, name)(*(each.iloc[::-1] for each in data), ax, looks=looks)
        words = [w.split(" ")[0] for w in legend_words(ax)]
        colours.append([to_hex(h.get_color()) for h in ax.get_legend().legend_handles][:2])
        assert words[:2] == ["b", "a"]
    assert colours == [[looks["b"].colour.lower(), looks["a"].colour.lower()]] * 3


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-3, "1e-3"), (0.1, "1e-1"), (2.5e-4, "2.5e-4"), (0.5, "0.5"), (1, "1"), (50000, "50000"), (0, "0")],
)
def test_numbers_are_written_as_they_are_typed(value, text):
    assert short(value) == text


# --------------------------------------------------------------------------------------------------------- the search


def test_learning_rate_draws_each_state_in_its_own_way_and_the_bounds(ax):
    plots.learning_rate(study("cnn").trials, ax, {"cnn": SPACE}, chance=33.3)
    drawn = {line.get_label(): line for line in ax.lines}
    assert drawn["_COMPLETE"].get_xydata().tolist() == [[1e-3, 90], [3e-3, 85], [1e-2, 70]]
    assert drawn["_PRUNED"].get_xydata().tolist() == [[1e-4, 60]] and drawn["_PRUNED"].get_fillstyle() == "none"
    assert drawn["_CHANCE"].get_xydata().tolist() == [[1e-5, 10]] and drawn["_CHANCE"].get_fillstyle() == "bottom"
    assert drawn["_DIVERGED"].get_xdata().tolist() == [1e-1]
    assert 0 < drawn["_DIVERGED"].get_ydata()[0] < 0.07  # share of the axis: in the strip below all data
    assert ax.transData.transform((1e-3, 10))[1] > ax.transAxes.transform((0, 0.07))[1]
    assert drawn["_decades"].get_xdata().tolist() == [1e-2, 1e-3, 1e-4, 1e-5]  # the diverged one has no accuracy
    assert [line.get_xdata()[0] for line in lines(ax, "bound")] == [1e-5, 1e-1]
    assert ax.get_xscale() == "log" and "(%)" in ax.get_ylabel()
    assert any("pruned" in w for w in legend_words(ax)) and "guessing (33.3 %)" in legend_words(ax)


def test_bounds_that_differ_are_drawn_for_each_arm_and_reach_to_trials_of_an_extended_range(ax):
    narrow = {"lr": {"low": 1e-4, "high": 1e-1}}
    plots.learning_rate(study("a", "b").trials, ax, {"a": {"lr": {"choices": [1e-6, 1.0]}}, "b": narrow})
    assert [line.get_xdata()[0] for line in lines(ax, "bound")] == [1e-6, 1.0, 1e-5, 1e-1]


def test_a_search_over_one_rate_alone_is_drawn(ax):
    one = {"cnn": {"lr": {"choices": [1e-3]}}}
    frames = study("cnn", spaces=one)
    frames.trials["lr"] = frames.trials["lr"].where(frames.trials["lr"].isna(), 1e-3)
    plots.learning_rate(frames.trials, ax, one)
    assert {line.get_xdata()[0] for line in lines(ax, "bound")} == {1e-3}
    plots.budget(frames.trials, ax, study=frames.study)


def test_history_draws_every_trial_and_only_complete_ones_raise_the_best(ax):
    frames = study("cnn", vals=(None, 70.0, 90.0, 99.0, 10.0, 85.0))  # the pruned trial was ahead
    plots.history(frames.trials, ax)
    (best,) = lines(ax, "best so far")
    np.testing.assert_array_equal(best.get_ydata(), [np.nan, 70, 90, 90, 90, 90])
    assert best.get_xdata().tolist() == [1, 2, 3, 4, 5, 6]
    assert lines(ax, "PRUNED")[0].get_xydata().tolist() == [[4, 99]]


def test_budget_is_called_expected_only_for_unpruned_random_draws(ax):
    values, complete = (40.0, 70.0, 90.0, 60.0, 10.0, 85.0), ("COMPLETE",) * 6
    inside = dict(spaces={"cnn": {"lr": {"low": 1e-6, "high": 1.0}}}, sampler="random", unpruned=True)
    frames = study("cnn", vals=values, states=complete, **inside)
    plots.budget(frames.trials, ax, study=frames.study)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), statistics.expected_best(values))
    assert "expected best" in ax.get_ylabel()
    other = Figure().subplots()
    plots.budget(frames.trials, other, study=frames.study | {"sampler": "qmc"})
    np.testing.assert_array_equal(other.lines[0].get_ydata(), [40, 70, 90, 90, 90, 90])
    assert "so far" in other.get_title(loc="left") and "expected" not in other.get_ylabel()


@pytest.mark.parametrize(
    "changed",
    [
        {"sampler": "tpe"}, {"unpruned": False}, {"sampler": None}, {"arms": {"cnn": {"first points": [{"lr": 0.1}]}}},
        {"spaces": {"cnn": {"lr": {"low": 1e-4, "high": 1.0}}}},
    ],
)  # fmt: skip
def test_draws_count_as_random_only_where_everything_says_so(changed):
    about = dict(sampler="random", unpruned=True, spaces={"cnn": {"lr": {"low": 1e-6, "high": 1.0}}}, arms={})
    own = study("cnn", states=("COMPLETE",) * 6, vals=(1.0,) * 6).trials.query("phase == 'search'")
    assert random_draws(own, "cnn", about)
    assert not random_draws(own, "cnn", about | changed)
    assert not random_draws(own.assign(state="PRUNED"), "cnn", about)
    assert not random_draws(own, "cnn", {})


def sweeping_two(arms=("a", "b"), seed=0):
    rng, frames = np.random.default_rng(seed), study(*arms, seeds=0)
    rows = pd.concat([frames.trials] * 5, ignore_index=True)
    rows = rows.assign(state=pd.array(["COMPLETE"] * len(rows), dtype="string"))
    rows["params_optimizer"] = pd.array(rng.choice(["adam", "sgd"], len(rows)), dtype="string")
    rows["params_momentum"] = pd.array(rng.uniform(0, 0.9, len(rows)), dtype="Float64")
    rows["val_accuracy"] = pd.array(
        50 + 40 * (rows["params_momentum"] > 0.5) + rng.normal(0, 1, len(rows)), dtype="Float64"
    )
    return rows


def test_parallel_coordinates_put_each_value_at_its_height(ax):
    rows = sweeping_two(("a",))
    plots.parallel_coordinates(rows, ax)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["lr", "optimizer", "momentum", "validation\naccuracy (%)"]
    trials = [line.get_ydata() for line in ax.lines if len(line.get_ydata()) == 4]
    best = rows.sort_values("val_accuracy", ascending=False).iloc[0]
    expected = [(np.log10(best["lr"]) + 5) / 4, float(best["params_optimizer"] == "sgd")]
    top = next(t for t in trials if t[3] == 1.0)
    assert top[0] == pytest.approx(expected[0]) and top[1] == expected[1]
    assert len(trials) == len(rows)


def test_importances_find_the_value_that_matters(ax):
    plots.importances(sweeping_two(), ax)
    names = [t.get_text() for t in ax.get_yticklabels()]
    for line in ax.lines:
        shares = dict(zip(np.round(line.get_ydata()), line.get_xdata(), strict=True))
        assert max(shares, key=shares.get) == names.index("momentum")
        assert sum(shares.values()) == pytest.approx(100)


# ----------------------------------------------------------------------------------------------------------- the arms


def test_learning_curves_draw_mean_and_range_of_the_best_settings_seeds(ax):
    frames = study("a", "b")
    plots.learning_curves(frames.epochs, frames.trials, ax)
    first, second = lines(ax, "mean")
    np.testing.assert_allclose(first.get_ydata(), [53, 78, 98])  # seeds 1 to 5 shift by 1 to 5
    np.testing.assert_allclose(second.get_ydata(), [52, 77, 97])
    band = ax.collections[0].get_datalim(ax.transData)
    assert (band.ymin, band.ymax) == (51, 100)
    assert legend_words(ax) == ["a (5 seeds)", "b (5 seeds)"]


def test_learning_curves_leave_out_confirmations_of_an_earlier_choice(ax):
    frames = study("a")
    old = frames.epochs[frames.epochs["phase"] == "confirm"].assign(number=0, val_accuracy=1.0)
    old["run_dir"] = old["run_dir"] + "-old"
    plots.learning_curves(pd.concat([frames.epochs, old]), frames.trials, ax)
    np.testing.assert_allclose(lines(ax, "mean")[0].get_ydata(), [53, 78, 98])


def test_learning_curves_of_an_arm_without_confirmations_show_its_best_trial_and_say_so(ax):
    frames = study("a", seeds=0)
    frames.epochs.loc[frames.epochs["number"] == 2, "val_accuracy"] = pd.array([20.0, 90.0, 30.0], dtype="Float64")
    plots.learning_curves(frames.epochs, frames.trials, ax)
    assert legend_words(ax) == ["a (best trial of the search)"]
    np.testing.assert_allclose(lines(ax, "mean")[0].get_ydata(), [20, 90, 30])


def test_learning_curves_of_a_search_in_progress_show_the_trial_that_came_furthest(ax):
    frames = study("a", seeds=0)
    frames.epochs.loc[frames.epochs["number"] == 4, "val_accuracy"] = pd.array([20.0, 96.0, 30.0], dtype="Float64")
    plots.learning_curves(frames.epochs, frames.trials.assign(state="RUNNING", val_accuracy=pd.NA), ax)
    assert legend_words(ax) == ["a (best trial of the search)"]
    np.testing.assert_allclose(lines(ax, "mean")[0].get_ydata(), [20, 96, 30])


def test_a_mean_over_runs_of_different_length_is_faint_where_runs_are_missing(ax):
    frames = study("a")
    short_run = (frames.epochs["run_dir"] == "a/confirm/seed-1") & (frames.epochs["epoch"] == 3)
    plots.learning_curves(frames.epochs[~short_run], frames.trials, ax)
    np.testing.assert_array_equal(lines(ax, "mean")[0].get_ydata(), [53, 78, np.nan])
    (some,) = lines(ax, "mean of some")
    assert some.get_alpha() < 1 and some.get_ydata()[-1] == 98.5


def test_time_to_target_shows_medians_runs_and_arms_that_never_got_there(ax):
    frames = study("fast", "slow", curve=(50.0, 75.0, 95.0))
    slow = frames.epochs["arm"] == "slow"
    frames.epochs.loc[slow, "val_accuracy"] -= 20
    frames.arms = arms_of(frames.trials, frames.epochs, frames.study)
    plots.time_to_target(frames.arms, ax)
    labels = [t.get_text().replace("\n", " ") for t in ax.get_xticklabels()]
    assert labels == ["half-way (66.7 %)", "70 %", "80 %", "90 %", "93 %", "95 %", "99 % of the arm's final"]
    medians = [line.get_ydata()[0] for line in lines(ax, "median")]
    assert medians[:7] == [2, 2, 3, 3, 3, 3, 3]
    assert [m for m in medians[7:] if m < 1] == [0.965] * 4  # share of the axis: in the strip, never at 80 to 95 %
    assert any("never got there" in w for w in legend_words(ax))
    assert "5 of 5 never" in sentences(ax)
    plots.time_to_target(frames.arms, seconds := Figure().subplots(), measure="seconds")
    assert lines(seconds, "median")[0].get_ydata()[0] == 4 and seconds.get_ylabel() == "training time (s)"


def test_arms_show_mean_interval_and_every_seed(ax):
    frames = study("a", "b")
    plots.arms(frames.arms, frames.trials, ax)
    summary = statistics.summarise([81, 82, 83, 84, 85])
    assert [line.get_xdata()[0] for line in lines(ax, "mean")] == [83, 84]
    assert lines(ax, "interval")[0].get_xdata() == pytest.approx([summary.low, summary.high])
    assert lines(ax, "seeds")[1].get_xdata().tolist() == [82, 83, 84, 85, 86]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a\n5 seeds", "b\n5 seeds"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # first arm on top


def test_the_dots_of_an_arm_leave_out_confirmations_of_an_earlier_choice(ax):
    frames = study("a")
    old = frames.trials[frames.trials["phase"] == "confirm"].assign(number=0, test_accuracy=1.0, seed=range(11, 16))
    trials = pd.concat([frames.trials, old.astype(frames.trials.dtypes)], ignore_index=True)
    plots.arms(frames.arms, trials, ax)
    assert lines(ax, "seeds")[0].get_xdata().tolist() == [81, 82, 83, 84, 85]


def test_an_arm_without_a_reading_of_the_test_split_keeps_its_row(ax):
    frames = study("a", "b")
    trials = frames.trials[(frames.trials["arm"] == "a") | (frames.trials["phase"] == "search")]
    plots.arms(arms_of(trials, frames.epochs, frames.study), trials, ax)
    assert "no reading of the test split yet" in sentences(ax) and len(ax.get_yticklabels()) == 2


def test_one_seed_has_no_interval(ax):
    frames = study("a", seeds=1)
    plots.arms(frames.arms, frames.trials, ax)
    assert not lines(ax, "interval") and lines(ax, "mean")[0].get_xdata() == [81]


def test_data_size_joins_the_arms_that_differ_in_the_size_alone(ax):
    parts = [study(f"{kind}-train_size-{size}", size=size) for kind in ("random", "imagenet") for size in (500, 50)]
    arms = pd.concat([p.arms for p in parts], ignore_index=True)
    assert plots.data_size(arms, ax) is ax
    assert legend_words(ax) == ["random", "imagenet"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["50", "500"]
    assert ax.lines[0].get_xdata() == pytest.approx([50, 500], rel=0.05)
    assert ax.lines[0].get_ydata().tolist() == [83, 83]
    assert plots.data_size(study("a", "b").arms, Figure().subplots()) is None


def test_data_size_joins_the_arms_it_is_told_and_leaves_out_the_others(ax):
    parts = [study(f"arm of {size}", "other", size=size) for size in (500, 50, 5)]
    arms = pd.concat([p.arms for p in parts], ignore_index=True)
    assert plots.data_size(arms, ax, lines={"both": ["arm of 50", "arm of 500"]}) is ax
    assert legend_words(ax) == ["both"]
    assert ax.lines[0].get_xdata() == pytest.approx([50, 500], rel=0.05)
    assert plots.data_size(arms, Figure().subplots(), lines={"one": ["arm of 50"]}) is None


@pytest.mark.parametrize(
    ("arm", "size", "series"),
    [("random-train_size-500", 500, "random"), ("random_500", 500, "random"), ("500", 500, ""),
     ("resnet50-train_size-50", 50, "resnet50"), ("train_size-500-adam", 500, "adam"), ("vgg5000", 500, "vgg5000")],
)  # fmt: skip
def test_a_series_is_called_like_its_arms_without_the_size(arm, size, series):
    assert without_number(arm, "train_size", size) == series


# ---------------------------------------------------------------------------------------------------------- predictions


def test_confusion_sums_the_runs_and_writes_the_counts(ax):
    result = dict(confusion=[[8, 2], [0, 10]], classes=["cat", "dog"])
    plots.confusion([result, result, {"confusion": "damaged"}], ax)
    assert sorted(t.get_text() for t in ax.texts) == ["16", "20", "4"]
    np.testing.assert_allclose(ax.images[0].get_array(), [[80, 20], [0, 100]])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["cat", "dog"]


def test_a_hundred_classes_are_drawn_without_names_and_counts(ax):
    plots.confusion(dict(confusion=np.eye(100, dtype=int).tolist(), classes=[f"c{i}" for i in range(100)]), ax)
    assert not ax.texts and len(ax.get_yticklabels()) < 30


def test_per_class_shows_recall_with_the_hardest_class_on_top(ax):
    results = [
        dict(confusion=[[8, 2], [5, 5]], classes=["cat", "dog"]),
        dict(confusion=[[10, 0], [7, 3]], classes=["cat", "dog"]),
    ]
    plots.per_class({"a": results}, ax)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["dog", "cat"]
    assert lines(ax, "a")[0].get_xydata().tolist() == [[40, 0], [90, 1]]
    many = dict(confusion=np.diag(range(1, 101)).tolist())
    plots.per_class({"a": [many]}, other := Figure().subplots())
    assert "20 hardest of 100" in other.get_title(loc="left")


def predictions(confidence, correct):
    labels = np.zeros(len(confidence), dtype=int)
    answers = np.where(correct, 0, 1)
    return Predictions(labels, answers, np.array(confidence), np.arange(len(labels)), CLASSES, {})


def test_calibration_draws_accuracy_against_confidence_and_names_the_error(ax):
    confidence, correct = [0.99] * 60 + [0.55] * 40, [True] * 60 + [True] * 10 + [False] * 30
    plots.calibration({"a": [predictions(confidence, correct)]}, ax)
    np.testing.assert_allclose(lines(ax, "a")[0].get_xydata(), [[55, 25], [99, 100]])
    error = statistics.expected_calibration_error(confidence, correct)
    assert legend_words(ax)[0] == f"a: calibration error (ECE) {error:.1f} points"
    from sklearn.calibration import calibration_curve

    accuracy, mean = calibration_curve(correct, confidence, n_bins=statistics.CALIBRATION_BINS)
    np.testing.assert_allclose(lines(ax, "a")[0].get_xydata(), 100 * np.column_stack([mean, accuracy]))


def test_bins_of_few_images_are_not_joined_by_the_line(ax):
    plots.calibration({"a": [predictions([0.99] * 60 + [0.4] * 3, [True] * 63)]}, ax)
    np.testing.assert_array_equal(lines(ax, "a")[0].get_ydata(), [np.nan, 100])
    assert len(ax.collections[0].get_offsets()) == 2


def test_galleries_show_the_errors_that_the_predictions_hold(tmp_path):
    frames = with_predictions(tmp_path, study("good", "bad"))
    runs = {
        arm: [read_predictions(tmp_path / arm / "confirm" / f"seed-{s}" / "predictions.npz") for s in range(1, 6)]
        for arm in frames.arms["arm"]
    }
    good, bad = pictures.confidently_wrong(runs)
    assert [words for _, words in good[1]] == ["is cat\nsaid dog, 90 %\n5 of 5 seeds"]
    assert [words.split("\n")[0] for _, words in bad[1]] == ["is cat", "is dog"]
    first, second = pictures.disagreements(runs)
    assert first[0] == "good right, bad wrong" and [w for _, w in first[1]] == ["is dog\nsaid deer, 89 %\n5 of 5 seeds"]
    assert second[1] == []
    ((_, classes),) = pictures.samples(runs)
    assert [words for _, words in classes] == list(CLASSES)


def test_arms_tested_on_other_images_are_not_set_side_by_side():
    one = predictions([0.9] * 4, [True] * 4)
    other = Predictions(one.labels, one.predicted, one.confidence, one.indices + 1, CLASSES, {})
    assert pictures.disagreements({"a": [one], "b": [other]}) == []


def test_arms_disagree_where_most_seeds_of_one_are_right_and_most_of_the_other_wrong():
    image = {0: np.zeros((2, 2, 3), np.uint8), 1: np.zeros((2, 2, 3), np.uint8)}

    def runs(*correct):  # per run, whether images 0 and 1 are right
        found = [predictions([0.9, 0.9], c) for c in correct]
        return [Predictions(p.labels, p.predicted, p.confidence, p.indices, CLASSES, image) for p in found]

    some = {"a": runs((1, 1), (1, 1), (1, 1)), "b": runs((0, 1), (0, 1), (1, 0))}
    (_, found), (_, other) = pictures.disagreements(some)
    assert [words for _, words in found] == ["is cat\nsaid dog, 90 %\n2 of 3 seeds"] and other == []


def test_damaged_and_foreign_predictions_are_left_out(tmp_path, caplog):
    (tmp_path / "a.npz").write_bytes(b"no archive")
    np.savez(tmp_path / "b.npz", val_labels=np.zeros(3))
    np.savez(tmp_path / "c.npz", test_labels=np.array([{}], dtype=object))
    for name in ("a.npz", "b.npz", "c.npz", "missing.npz"):
        assert read_predictions(tmp_path / name) is None
        assert name in caplog.text


# ---------------------------------------------------------------------------------------------------------- all of it


def test_no_run_leaves_an_empty_axis_with_a_sentence():
    empty = nothing()
    calls = [
        lambda ax: plots.learning_curves(empty.epochs, empty.trials, ax),
        lambda ax: plots.learning_rate(empty.trials, ax),
        lambda ax: plots.history(empty.trials, ax), lambda ax: plots.budget(empty.trials, ax, study={}),
        lambda ax: plots.time_to_target(empty.arms, ax, trials=empty.trials),
        lambda ax: plots.arms(empty.arms, empty.trials, ax), lambda ax: plots.parallel_coordinates(empty.trials, ax),
        lambda ax: plots.importances(empty.trials, ax), lambda ax: plots.confusion([], ax),
        lambda ax: plots.per_class({}, ax), lambda ax: plots.calibration({}, ax),
    ]  # fmt: skip
    for call in calls:
        ax = Figure().subplots()
        assert call(ax) is ax
        assert sentences(ax).endswith(".") and not ax.axison
    assert plots.data_size(empty.arms, Figure().subplots()) is None
    assert plots.gallery([], Figure().subplots()) is None


def names(found):
    return [picture.name for picture in found]


def test_a_folder_without_runs_gets_two_pictures_that_say_so(tmp_path):
    found = plots.draw_all(tmp_path, nothing())
    assert names(found) == ["arms", "learning_curves"]
    for picture in found:
        plots.save(picture, tmp_path / "plots")


STANDARD = ["arms", "learning_curves", "learning_rate", "history", "budget", "time_to_target"]
TESTED = ["confusion", "per_class", "calibration"]
GALLERIES = ["samples", "confidently_wrong", "disagreements"]


@pytest.mark.parametrize("arms", [1, 12])
def test_everything_is_drawn_and_saved_for_one_arm_and_for_twelve(tmp_path, arms):
    frames = with_predictions(tmp_path, study(*[f"arm-{i}-{'x' * 5 * i}" for i in range(arms)]))
    found = plots.draw_all(tmp_path, frames)
    assert names(found) == STANDARD + TESTED + (GALLERIES if arms > 1 else GALLERIES[:2])
    for picture in found if arms == 1 else [p for p in found if p.name in ("arms", "learning_rate", "disagreements")]:
        png, svg = plots.save(picture, tmp_path / "plots")
        with Image.open(png) as image:
            assert min(image.size) > 100
        root = ElementTree.parse(svg).getroot()
        assert root.get("role") == "img" and root.get("aria-label") == picture.alt
        assert picture.title and picture.caption.endswith(".") and picture.alt.endswith(".")
    assert "arm-0- 83.00 % (95 % interval" in found[0].alt
    assert not list((tmp_path / "plots").glob("*.tmp"))


def test_legends_stand_beside_the_data(tmp_path):
    for picture in plots.draw_all(tmp_path, with_predictions(tmp_path, study("a", "b"))):
        picture.figure.draw_without_rendering()
        for ax in picture.figure.axes:
            if (legend := ax.get_legend()) is not None:
                assert legend.get_window_extent().x0 >= ax.get_window_extent().x1, picture.name
                assert legend.get_window_extent().x1 <= picture.figure.bbox.x1, picture.name


def test_axes_name_what_they_show_and_its_unit(tmp_path):
    for picture in plots.draw_all(tmp_path, with_predictions(tmp_path, study("a", "b"))):
        for ax in picture.figure.axes[: None if picture.name != "confusion" else 2]:
            if ax.axison:
                labels = ax.get_xlabel() + ax.get_ylabel()
                assert ax.get_title(loc="left") and ax.get_xlabel() and labels, picture.name
                assert ax.get_ylabel() or picture.name == "arms"


def test_predictions_without_thumbnails_have_no_gallery(tmp_path):
    frames = with_predictions(tmp_path, study("a", "b"), thumbnails=False)
    assert names(plots.draw_all(tmp_path, frames)) == STANDARD + TESTED


def test_a_study_without_files_of_its_runs_and_with_missing_values_is_drawn(tmp_path):
    frames = study("a", "b")
    frames.trials["val_accuracy"] = pd.array([pd.NA] * len(frames.trials), dtype="Float64")
    frames.epochs.loc[::2, "val_accuracy"] = pd.NA
    frames.arms = arms_of(frames.trials, frames.epochs, frames.study)
    del frames.study
    for picture in plots.draw_all(tmp_path, frames):
        plots.save(picture, tmp_path)


def test_arms_of_several_studies_are_told_apart(tmp_path):
    one, two = study("cnn"), study("cnn")
    for frame_ in (two.trials, two.epochs, two.arms, two.pairs):
        frame_["study"] = pd.array(["t"] * len(frame_), dtype="string")
    both = {
        n: pd.concat([getattr(one, n), getattr(two, n)], ignore_index=True)
        for n in ("trials", "epochs", "arms", "pairs")
    }
    found = {p.name: p for p in plots.draw_all(tmp_path, SimpleNamespace(**both))}
    assert legend_words(found["learning_curves"].figure.axes[0])[:2] == ["s/cnn (5 seeds)", "t/cnn (5 seeds)"]


def test_single_runs_are_drawn_without_a_search(tmp_path):
    frames = study("a")
    trials = frames.trials[frames.trials["phase"] == "confirm"].assign(phase="run", number=pd.NA)
    trials["number"] = trials["number"].astype("Int64")
    epochs = frames.epochs[frames.epochs["phase"] == "confirm"].assign(phase="run")
    arms = arms_of(trials, epochs)
    found = plots.draw_all(
        tmp_path, SimpleNamespace(trials=trials, epochs=epochs, arms=arms, pairs=frames.pairs, study={})
    )
    assert names(found) == ["arms", "learning_curves", "learning_rate", "time_to_target"]
    assert lines(found[0].figure.axes[0], "seeds")[0].get_xdata().tolist() == [81, 82, 83, 84, 85]


def test_sweeps_over_more_than_the_learning_rate_get_two_more_pictures(tmp_path):
    rows = sweeping_two()
    frames = study("a", "b", seeds=0)
    found = plots.draw_all(
        tmp_path, SimpleNamespace(trials=rows, epochs=frames.epochs, arms=frames.arms, pairs=frames.pairs)
    )
    assert names(found)[-2:] == ["parallel_coordinates", "importances"]


def test_odd_class_names_are_drawn_as_they_are(tmp_path):
    odd = ["$x_{$", '<b>&"', "猫", "_hidden"]
    first, second = Figure().subplots(2)
    plots.gallery([("", [(np.zeros((2, 2, 3), np.uint8), "also $y_{$")])], second)
    plots.per_class({"a": [dict(confusion=np.eye(4, dtype=int).tolist(), classes=odd)]}, first)
    picture = plots.Picture("odd", "Ünïcode 猫", "c.", 'says "<b>"', first.figure)
    _, svg = plots.save(picture, tmp_path)
    root = ElementTree.parse(svg).getroot()
    assert {*odd, "also $y_{$"} <= {e.text for e in root.iter() if e.tag.endswith("text")}
    assert root.get("aria-label") == 'says "<b>"'


def test_pictures_are_the_same_at_every_drawing_and_their_ids_their_own(tmp_path):
    frames = study("a")
    saved = [[plots.save(p, tmp_path / str(i))[1] for p in plots.draw_all(tmp_path, frames)[:3]] for i in range(2)]
    for one, other in zip(*saved, strict=True):
        assert one.read_bytes() == other.read_bytes()
    ids = [e.get("id") for svg in saved[0] for e in ElementTree.parse(svg).iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    source = saved[0][0].read_text()
    used = {e.get(k)[1:] for e in ElementTree.parse(saved[0][0]).iter() for k in e.attrib if k.endswith("href")}
    assert used and all(f' id="{name}"' in source for name in used)


def test_a_folder_that_cannot_be_made_is_an_error_of_one_line(tmp_path, ax):
    (tmp_path / "plots").write_text("a file")
    with pytest.raises(UserError, match="cannot be made"):
        plots.save(plots.Picture("p", "t", "c", "a", ax.figure), tmp_path / "plots")


def test_importing_plots_leaves_pyplot_and_torch_alone_and_a_training_process_matplotlib():
    code = """
import sys, headstart.report.galleries
print("matplotlib" in sys.modules)
import headstart.report.plots.all
print(sorted({"torch", "hydra", "optuna", "matplotlib.pyplot"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["False", "[]", ""]
