"""Lines of arms that differ in their training images alone, and what is forecast of them."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from report.helpers_report import study

from headstart.analysis.columns import FORECAST
from headstart.analysis.forecasts import forecast_lines, forecast_table, size_curves, size_lines, without_number
from headstart.errors import UserError
from headstart.statistics import size_curve

SIZES = {100: 35.0, 1000: 60.0, 10_000: 80.0}  # accuracies at them
TARGET = 10_000


def frames(name, sizes=SIZES, above=0.0, **changed):
    """arms and trials of arms called name_SIZE, over five seeds around these accuracies."""
    found = [study(f"{name}_{size}", size=size, **changed) for size in sizes]
    arms, trials = (pd.concat([getattr(one, kind) for one in found], ignore_index=True) for kind in ("arms", "trials"))
    mean = pd.array([value + above for value in sizes.values()], dtype="Float64")
    return arms.assign(test_mean=mean, test_std=pd.array([0.5] * len(arms), dtype="Float64")), trials


def both(*of_each):
    return [pd.concat(own, ignore_index=True) for own in zip(*of_each, strict=True)]


@pytest.mark.parametrize(
    ("name", "shorter"),
    [
        ("random-train_size-500", "random"),
        ("random_500", "random"),
        ("500", ""),
        ("train_size-500-adam", "adam"),
        ("vgg5000", "vgg5000"),
        ("a-500-b", "a-b"),
        ("study_500_64/500_random", "study_64/random"),
        ("study_500/random", "study/random"),
    ],
)
def test_a_name_loses_the_number_alone_or_with_its_key(name, shorter):
    assert without_number(name, "train_size", 500) == shorter


def test_lines_are_arms_of_one_name_by_size_or_those_that_are_given():
    arms, _ = both(frames("b", dict(reversed(SIZES.items()))), frames("a"))
    found = size_lines(arms)
    assert list(found) == ["b", "a"] and found["b"]["train_size"].tolist() == list(SIZES)
    given = size_lines(arms, {"mine": ["a_100", "b_1000"], "nobody": ["x"]})
    assert list(given) == ["mine"] and given["mine"]["arm"].tolist() == ["a_100", "b_1000"]
    untested = arms.assign(test_mean=pd.array([None, *[50.0] * 5], dtype="Float64"))
    assert [len(own) for own in size_lines(untested).values()] == [2, 3]


def test_the_forecast_knows_nothing_of_the_size_that_it_is_held_against():
    arms, trials = frames("a")
    table = forecast_table(arms, trials, TARGET)
    row = table.iloc[0]
    alone = size_curve([100, 1000], [35.0, 60.0], [0.5, 0.5], [5, 5], chance=100 / 3).forecast(TARGET)
    assert (row["forecast"], row["ci_low"], row["ci_high"]) == (alone.middle, alone.low, alone.high)
    assert (row["sizes"], row["largest"], row["measured"], row["held"]) == (2, 1000, 80.0, True)
    far_off = arms.assign(test_mean=arms["test_mean"].where(arms["train_size"] < TARGET, 40.0))
    again = forecast_table(far_off, trials, TARGET).iloc[0]
    assert (again["forecast"], again["held"]) == (row["forecast"], False)
    assert again["sentence"].endswith("measured: 40.0 %, outside") and list(table) == list(FORECAST)


def test_of_two_lines_the_gap_is_forecast_and_the_first_is_ahead():
    arms, trials = both(frames("low", above=-10), frames("high", above=5))
    table = forecast_table(arms, trials, TARGET)
    assert table["line_a"].tolist() == ["low", "high", "high"] and table["line_b"].tolist()[2] == "low"
    gap = table.iloc[2]
    assert gap["ci_low"] < gap["forecast"] < gap["ci_high"] and gap["forecast"] > 0 and gap["measured"] == 15
    (said,) = forecast_lines(table)
    bounds = f"{gap['ci_low']:.1f} to {gap['ci_high']:.1f}"
    assert said == (
        f"at 10,000 images the gap between high and low is forecast at {gap['forecast']:.1f} points (95 % interval "
        f"{bounds}), from 2 sizes up to 1,000 images; measured: 15.0 points, inside"
    )
    (alone,) = forecast_lines(forecast_table(*frames("low"), 20_000))
    assert alone.startswith("at 20,000 images the test accuracy of low is forecast at ") and "measured" not in alone


def test_without_an_arm_of_that_size_nothing_is_measured():
    table = forecast_table(*frames("a"), 50_000)
    assert table[["measured", "held", "differs"]].isna().all(axis=None) and table["sizes"].tolist() == [3]


def test_an_arm_trained_otherwise_is_no_part_of_a_forecast_but_may_be_held_against_it():
    arms, trials = frames("a")
    longer = trials.assign(epochs=trials["epochs"].where(trials["train_size"] < TARGET, 7))
    row = forecast_table(arms, longer, TARGET).iloc[0]
    assert row["differs"] == "epochs 7 instead of 3" and ", with epochs 7 instead of 3, " in row["sentence"]
    longer = trials.assign(epochs=trials["epochs"].where(trials["train_size"] > 100, 7))
    with pytest.raises(UserError, match=r"the arms of a differ in epochs \(7 and 3\); a forecast is of one recipe"):
        forecast_table(arms, longer, TARGET)
    batches = trials.assign(batch_size=pd.array(trials["train_size"] // 10, dtype="Int64"))
    assert forecast_table(arms, batches, TARGET)["differs"].isna().all()  # larger batches for more images


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (1000, "a was measured with 10,000 training images; a forecast is for more than that, not for 1,000"),
        (101, "a was measured with"),
        (50, "a was measured with"),
    ],
)
def test_what_lies_within_the_measured_sizes_is_no_forecast(images, words):
    with pytest.raises(UserError, match=words):
        size_curves(frames("a")[0], images)


def test_lines_that_tell_nothing_are_refused():
    with pytest.raises(UserError, match=r"needs arms that differ in data\.train_size alone, tested with two smaller"):
        size_curves(frames("a", {100: 35.0, TARGET: 60.0})[0], TARGET)
    with pytest.raises(UserError, match="both has two arms of 100 images, a_100 and b_100"):
        size_curves(both(frames("a"), frames("b"))[0], TARGET, {"both": ["a_100", "b_100", "a_1000"]})
    with pytest.raises(UserError, match="a makes no errors"):
        size_curves(frames("a", {100: 60.0, 1000: 100.0})[0], TARGET)


def test_chance_is_that_of_the_classes():
    arms, _ = frames("a")
    known = size_curves(arms, 50_000)["a"]
    assert known.guessing == pytest.approx(2 / 3)
    unknown = size_curves(arms.assign(halfway_accuracy=pd.array([None] * 3, dtype="Float64")), 50_000)["a"]
    assert unknown.guessing == 1 and np.isfinite(dataclasses.astuple(unknown.forecast(50_000))).all()


def test_a_line_that_is_hardly_above_guessing_is_not_forecast():
    arms, _ = frames("random", {100: 10.2, 1000: 11.0})
    arms["halfway_accuracy"] = 55.0  # ten classes
    with pytest.raises(UserError, match=r"random is hardly above guessing with 1,000 images"):
        size_curves(arms, TARGET)
    arms["test_mean"] = pd.array([11.0, 20.0], dtype="Float64")
    assert list(size_curves(arms, TARGET)) == ["random"]
