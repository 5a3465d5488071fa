"""The plain sentences that a page begins with say what the verdicts say, and no more."""

import shutil

import pandas as pd
import pytest
from analysis.conftest import fair, template  # noqa: F401
from analysis.helpers_analysis import confirm, describe_study, result_of, search

from headstart.analysis import load_results
from headstart.report.headline import headline


def test_the_best_arm_with_what_it_gains_on_those_it_is_better_than(fair):  # noqa: F811
    said, pair = headline(load_results(fair)), load_results(fair).pairs.iloc[0]
    bounds = f"({pair['ci_low']:.2f} to {pair['ci_high']:.2f})"
    assert said == f"a was the most accurate: 92.00 % of the test pictures. That is 1.80 points more than b {bounds}."


def test_arms_that_nothing_tells_apart_are_not_called_worse(tmp_path):
    describe_study(tmp_path, "a", "b", "c")
    for arm, shift in (("a", 0.0), ("b", 0.05), ("c", 5.0)):
        search(tmp_path, arm)
        confirm(tmp_path, arm, [90.0 - shift, 91.0 + shift, 90.5 - shift, 92.0 - shift, 91.5 + shift / 2])
    said = headline(load_results(tmp_path))
    assert said.startswith("b was the most accurate") or said.startswith("a was the most accurate")
    assert "Nothing shows that it is better than" in said


def test_one_arm_is_compared_with_nothing_and_without_a_reading_nothing_is_said(tmp_path):
    describe_study(tmp_path, "a", confirm_seeds=0)
    search(tmp_path, "a")
    assert headline(load_results(tmp_path)) == ""
    confirm(tmp_path, "a", [90.0, 91.0])
    assert headline(load_results(tmp_path)) == "a recognised 90.50 % of the test pictures."


def test_an_arm_whose_search_led_nowhere_is_no_arm_that_lost(fair):  # noqa: F811
    shutil.rmtree(fair / "b/confirm")
    for folder in fair.glob("b/search/*"):
        result_of(folder, state="CHANCE", val_accuracy=20.0, reason="20.00 % is guessed")
    said = headline(load_results(fair))
    assert said.startswith(
        "a recognised 92.00 % of the test pictures. Nothing can be said of b: no trial learned enough"
    )


def test_a_gain_whose_winner_is_withheld_is_said_to_be_one():
    study = load_results("experiments/results/imagenet_500_64")
    assert headline(study) == (
        "frozen was the most accurate: 55.18 % of the test pictures. It has 28.33 points more than random (22.27 to "
        "34.39), yet the verdict names no winner there, and says why. Nothing shows that it is better than unfrozen "
        "(53.53 %) and finetuned (55.17 %)."
    )


def test_arms_that_cannot_be_compared_get_sentences_of_their_own():
    small, large = headline(load_results("experiments/results/data_size")).split(" cifar10, ")
    assert small.startswith("cifar10, 500 training images: pretrained_500 was the most accurate: 62.81 %")
    assert "23.05 points more than random_500" in small
    assert large.startswith("5,000 training images: pretrained_5000 was the most accurate: 74.75 %")


@pytest.mark.parametrize("many", [4, 7])
def test_many_arms_are_counted(tmp_path, many):
    names = [f"arm{n}" for n in range(many + 1)]
    describe_study(tmp_path, *names)
    for number, name in enumerate(names):
        search(tmp_path, name)
        confirm(tmp_path, name, [50.0 + (number == many) * 30 + (seed + number) % 3 for seed in range(5)])
    said = headline(load_results(tmp_path))
    assert said.startswith(f"arm{many} was the most accurate")
    assert ("other arms" in said) == (many > 4)
    assert pd.notna(load_results(tmp_path).pairs["winner"]).any()
