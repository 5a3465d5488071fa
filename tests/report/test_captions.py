"""The words beside plots say what the plots show."""

import dataclasses

import pandas as pd
from matplotlib.figure import Figure

from headstart.report import Material, captions
from headstart.statistics import expected_best_band
from headstart.store import StudyFile
from report.helpers_report import study, with_predictions

AX = Figure().subplots()


def test_words_say_accuracies_rates_and_epochs_of_each_arm():
    m = Material(study("a", "b", seeds=5))
    assert captions.arms(m, AX).startswith(
        "Test accuracy by arm: a 83.00 % (95 % interval 80.95 % to 84.87 %, 5 seeds); b"
    )
    assert captions.learning_curves(m, AX) == "Validation accuracy by epoch; after the last one: a 98.00 %; b 97.00 %."
    assert captions.learning_rate(m, AX).endswith("best rate: a 0.001; b 0.001.")
    assert (
        captions.history(m, AX) == "Validation accuracy by trial; best: a 90.00 % in 6 trials; b 90.00 % in 6 trials."
    )
    assert "a: 70 % after 2, 80 % after 3" in captions.time_to_target(m, AX)
    assert captions.data_size(m, AX).startswith("Test accuracy by training images: a (50 images) 83.00 %; b (50")


def test_an_arm_of_one_seed_or_none_says_so():
    assert captions.arms(Material(study("a", seeds=1)), AX) == "Test accuracy by arm: a 81.00 % (1 seed)."
    assert captions.arms(Material(study("a", seeds=0)), AX) == "Test accuracy by arm: a not tested yet."


def test_words_of_confusions_name_the_commonest_error(tmp_path):
    m = Material(with_predictions(tmp_path, study("a")))
    assert captions.confusion(m, AX) == "Confusion matrices. a: most often cat taken for dog (5 times)."


def test_an_arm_that_was_fitted_in_one_go_has_no_curve_and_is_named():
    frames = study("a", "b")
    arms = frames.arms.assign(epochs=pd.array([pd.NA, 3], dtype="Int64"))
    m = Material(dataclasses.replace(frames, arms=arms, epochs=frames.epochs[frames.epochs["arm"] == "b"]))
    assert captions.fitted_at_once(m).tolist() == [True, False]
    assert captions.learning_curves_caption(m).endswith(" Fitted in one go, and without a curve: a.")


def test_a_budget_is_called_an_expectation_only_where_it_is_one():
    wide = {"a": {"lr": {"low": 1e-6, "high": 1.0}}}
    drawn = study("a", states=("COMPLETE",) * 6, vals=(1.0,) * 6, sampler="random", unpruned=True, spaces=wide)
    said = captions.budget_caption(Material(drawn))
    assert "expected over all orders" in said and "95 %, simultaneous" in said and "Best so far" not in said
    said = captions.budget_caption(Material(study("a")))
    assert "It is not an expectation" in said and "For those alone there is an exact band, so none is drawn." in said


def test_a_budget_says_its_bands_in_numbers_and_which_arms_have_none():
    wide = {arm: {"lr": {"low": 1e-6, "high": 1.0}} for arm in "ab"}
    drawn = study("a", "b", states=("COMPLETE",) * 6, vals=(1.0,) * 6, sampler="random", unpruned=True, spaces=wide)
    begun = {"b": {"first points": [{"lr": 0.1}]}}
    m = Material(dataclasses.replace(drawn, study_file=StudyFile.of(drawn.study | {"arms": begun})))
    low, high = (end[-1] for end in expected_best_band([1.0] * 6))
    words = f"at the end: a 1.00 % after 6 trials (band {low:.2f} % to {high:.2f} %); b 1.00 % after 6 trials."
    assert captions.budget(m, AX).endswith(words)
    assert captions.budget_caption(m).endswith("as their trials are no unpruned random draws: b.")


def test_the_picture_of_sizes_says_what_is_forecast_only_where_it_was_asked_for():
    small, large = study("a_50", size=50), study("a_500", size=500)
    parts = {k: pd.concat([getattr(s, k) for s in (small, large)], ignore_index=True) for k in ("arms", "trials")}
    results = dataclasses.replace(small, **parts)
    assert "Dashed" not in captions.data_size_caption(Material(results))
    table = results.forecast(5000)
    caption = captions.data_size_caption(Material(dataclasses.replace(results, forecasts=table)))
    sentence = table["sentence"].iloc[0]
    assert "up to 5,000 images" in caption and caption.endswith(f"A{sentence[1:]}.")
