"""What study.json says becomes typed fields; what was edited by hand, or damaged, is empty there and never fatal."""

import dataclasses
import json
import logging

import pytest

from headstart.errors import UserError
from headstart.store import PublishedFigure, StudyFile, check_figures, read_study

WHOLE = dict(
    name="s",
    question="Which?",
    experiment="lr_search",
    command="headstart -m name=s",
    seed=3,
    n_trials=5,
    confirm_seeds=2,
    sampler="tpe",
    unpruned=True,
    arm_order=["b", "a"],
    arms={"a": {"epochs": 3, "first points": [{"lr": 0.1}, {"lr": 1}, {"model.C": 1.0}, {"lr": "x"}, 5]}, "b": {}},
    spaces={"a": {"lr": {"low": 1e-5, "high": 0.1, "log": True}}, "b": {}},
    common={"protocol": 1},
    reported=[{"arm": "a", "value": 83, "source": "write-up"}],
)


def test_every_field_of_the_file_is_a_typed_one(tmp_path):
    path = tmp_path / "study.json"
    path.write_text(json.dumps(WHOLE))
    study = read_study(path)
    figure = PublishedFigure("a", 83.0, "write-up")
    assert study == StudyFile(**WHOLE | dict(arm_order=("b", "a"), reported=(figure,)))
    assert study.first_rates("a") == [0.1, 1] and study.first_rates("b") == study.first_rates("c") == []


@pytest.mark.parametrize("key", WHOLE)
def test_a_field_of_another_type_is_empty_and_the_others_stay(key):
    for value in (None, 5, "x", [1], {"k": 1}, True, 1.5):
        if type(value) is not type(WHOLE[key]):
            study = StudyFile.of(WHOLE | {key: value})
            assert study == dataclasses.replace(StudyFile.of(WHOLE), **{key: getattr(StudyFile(), key)}), value


@pytest.mark.parametrize("count", [-1, 2**53, 10**30])
def test_a_number_that_counts_nothing_is_none(count):
    study = StudyFile.of(dict(n_trials=count, confirm_seeds=count, seed=count))
    assert (study.n_trials, study.confirm_seeds, study.seed) == (0, 0, None)


@pytest.mark.parametrize("content", [{}, [], None, "text", 5])
def test_what_says_nothing_is_an_empty_study(content):
    assert StudyFile.of(content) == StudyFile()


def test_an_arm_whose_settings_or_range_are_no_object_has_none():
    study = StudyFile.of({"arms": {"a": 5, "b": {}}, "spaces": {"a": [1], "b": {"lr": 5}}, "arm_order": ["a", 1, None]})
    assert study.arms == {"b": {}} and study.spaces == {"b": {"lr": 5}} and study.arm_order == ("a",)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "null", "\x00\xff"])
def test_a_damaged_file_is_none_with_a_line_in_the_log(tmp_path, caplog, content):
    path = tmp_path / "study.json"
    path.write_text(content, encoding="latin-1")
    with caplog.at_level(logging.WARNING):
        assert read_study(path) is None
    (line,) = caplog.messages
    assert str(path) in line and "described and not judged" in line


def test_a_missing_file_is_none_without_a_word(tmp_path, caplog):
    assert read_study(tmp_path / "study.json") is None and not caplog.messages


def test_figures_that_are_malformed_are_left_out():
    whole = {"arm": "a", "metric": "parameters", "value": 11, "source": "x", "note": "why"}
    harmed = [
        {"arm": "a"},
        "text",
        {"arm": "a", "value": "NaN", "source": "x"},
        {"arm": "a", "value": float("nan"), "source": "x"},
        {"arm": "a", "value": 10**400, "source": "x"},
        {"arm": "a", "value": 1.0, "source": "x", "metric": ["test_mean"]},
    ]
    assert StudyFile.of({"reported": [*harmed, whole]}).reported == (
        PublishedFigure("a", 11.0, "x", "parameters", "why"),
    )


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        ({"arm": "cnn"}, "expected"),
        ({"arm": "cnn", "value": 1.0, "source": "x", "metric": "acc"}, "metric=acc is unknown"),
        ({"arm": "cnn", "value": 1.0, "source": "x", "metric": ["acc"]}, "is unknown; choose one of test_mean"),
        ({"arm": "cnn", "value": "high", "source": "x"}, "value=high of cnn is not a number"),
        ({"arm": "cnn", "value": True, "source": "x"}, "value=True of cnn is not a number"),
        ({"arm": "cnn", "value": 1.0, "source": "x", "remark": "y"}, "expected"),
    ],
)
def test_a_malformed_figure_is_refused_in_words(figure, said):
    with pytest.raises(UserError, match=said):
        check_figures([figure])


def test_a_plan_of_looks_says_how_many_seeds_there_are_at_least_and_at_most():
    auto = StudyFile.of(dict(confirm_seeds="auto", looks=[7, 5, 7, -1, "x", 0], planned_seeds=7, margin=0.5))
    assert (auto.auto_seeds, auto.confirm_seeds, auto.looks, auto.margin) == (True, 0, (5, 7), 0.5)
    assert (auto.least_seeds, auto.most_seeds) == (5, 7)
    fixed = StudyFile.of(dict(confirm_seeds=9, looks=[5, 9], planned_seeds=5, margin=-1))
    assert (fixed.auto_seeds, fixed.least_seeds, fixed.most_seeds, fixed.margin) == (False, 9, 9, None)
    nothing = StudyFile.of(dict(confirm_seeds="auto", looks=None, margin="x"))
    assert (nothing.least_seeds, nothing.most_seeds, nothing.looks) == (0, 0, ())


def test_a_study_that_was_fitted_to_a_time_says_how_it_kept_it():
    known = dict(minutes=30, n_trials=8, confirm_seeds=4, looks=[4])
    bought = "Fitted to 30 minutes: 8 trials and 4 seeds an arm are what was found to fit"
    assert StudyFile.of(known).kept_time == f"{bought}."  # it still goes on
    assert StudyFile.of(known | dict(minutes_taken=27.13)).kept_time == f"{bought}; it took 27.1 without the report."
    typed = StudyFile.of(known | dict(command="headstart -m model=cnn n_trials=8 minutes=30")).kept_time
    assert typed == (
        "Fitted to 30 minutes: 4 seeds an arm are what was found to fit, beside the 8 trials that were asked for."
    )
    both = StudyFile.of(known | dict(command="headstart -m n_trials=8 'confirm_seeds=4' minutes=30")).kept_time
    assert both == "Fitted to 30 minutes: its epochs are what fits."
    typed = StudyFile.of(known | dict(command="headstart -m model=cnn n_trials=8 minutes=30")).kept_time
    assert typed == (
        "Fitted to 30 minutes: 4 seeds an arm are what was found to fit, beside the 8 trials that were asked for."
    )
    both = StudyFile.of(known | dict(command="headstart -m n_trials=8 'confirm_seeds=4' minutes=30")).kept_time
    assert both == "Fitted to 30 minutes: its epochs are what fits."
    assert StudyFile.of(known | dict(minutes=None)).kept_time == StudyFile.of(known | dict(minutes="x")).kept_time == ""
