"""pairs.csv against scipy; a pair that was not treated alike never gets a winner."""

import math
import re

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from helpers_runs import write_predictions

from analysis.helpers_analysis import (
    IMAGES,
    LRS,
    SPACE,
    VALS,
    A,
    B,
    confirm,
    describe_study,
    result_of,
    row_of,
    run,
    said,
    search,
)
from headstart.analysis.collate import collate
from headstart.analysis.comparison import compare
from headstart.analysis.pairs_table import pairs_table
from headstart.analysis.runs_of_arm import runs_by_arm
from headstart.store import read_run, read_study, write_json


def test_a_fair_pair_gets_a_winner_with_the_paired_interval(fair):
    found = compare(fair)
    pair = found.pairs.iloc[0]
    test = scipy.stats.ttest_rel(A, B)
    level = 0.955  # of one look that may be followed by others
    interval = test.confidence_interval(level)
    # The better one first, though the study names b before it.
    assert tuple(pair[["arm_a", "arm_b", "seeds", "winner", "family"]]) == (
        "a",
        "b",
        5,
        "a",
        1,
    )
    np.testing.assert_allclose(
        pair[["difference", "ci_low", "ci_high", "p", "p_holm", "level"]].astype(float),
        [1.8, interval.low, interval.high, test.pvalue, test.pvalue * 0.05 / (1 - level), level],
    )
    better = scipy.stats.mannwhitneyu(A, B).statistic / 25
    assert pair["probability_of_improvement"] == pytest.approx(better)
    assert pair["test_sampling"] == pytest.approx(196 * math.sqrt(0.902 * 0.098 / IMAGES), rel=1e-4)
    assert (pair["speedup_threshold"], pair["speedup_epochs"], pair["speedup_seconds"]) == (80.0, 1.0, 2.0)
    assert pair["verdict"].startswith("a is better than b by 1.80 points") and pair["next"] is pd.NA
    assert found.verdicts == [pair["verdict"] + "."]


def test_p_values_are_corrected_over_all_pairs_of_the_study(fair):
    describe_study(fair, "b", "a", "c")
    search(fair, "c")
    c = [90.5, 90.0, 92.5, 93.5, 93.0]
    confirm(fair, "c", c)
    found = compare(fair).pairs
    scores = {"a": A, "b": B, "c": c}
    couples = list(zip(found["arm_a"], found["arm_b"], strict=True))
    assert couples == [("a", "b"), ("c", "b"), ("a", "c")]
    p = [scipy.stats.ttest_rel(scores[a], scores[b]).pvalue for a, b in couples]
    order = np.argsort(p)
    expected = np.empty(3)
    expected[order] = np.minimum(np.maximum.accumulate(np.array(p)[order] * [3, 2, 1]), 1)
    np.testing.assert_allclose(found["p"].astype(float), p)
    np.testing.assert_allclose(found["p_holm"].astype(float), np.minimum(expected / 0.9, 1), rtol=1e-5)
    assert found["family"].tolist() == [3, 3, 3] and "corrected for 3 pairs" in found["verdict"][0]
    (fair / "study.json").unlink()  # refused for want of ranges, the interval is said in the same words
    assert all("95 % interval" in v and "corrected for 3 pairs" in v for v in compare(fair).pairs["verdict"])


def test_only_seeds_that_both_have_are_paired(fair):
    (fair / "b/confirm/002/seed-1/result.json").unlink()
    found = compare(fair)
    pair = found.pairs.iloc[0]
    assert (pair["seeds"], pair["difference"]) == (4, pytest.approx(1.75))
    assert said(found, "b: 1 of 5 confirmations failed or have not ended") and said(found, "9 of 10 confirmations")


def unchanged_by_seeds(root, scores, **values):
    """A study whose arms have these scores at each of three seeds, with their predictions."""
    describe_study(root, *scores, confirm_seeds=3)
    labels = np.zeros(100, dtype=int)
    for arm, score in scores.items():
        search(root, arm)
        confirm(root, arm, [score] * 3, images=100, **values)
        probabilities = np.stack([np.ones(100), np.where(np.arange(100) < score, 0, 2)], axis=1)
        for folder in (root / arm / "confirm/002").iterdir():
            if arm == "a":  # in another order
                write_predictions(folder, labels, probabilities[::-1], test_indices=np.arange(100)[::-1])
            else:
                write_predictions(folder, labels, probabilities)


def test_models_that_the_seed_does_not_change_are_judged_by_their_test_images(tmp_path):
    unchanged_by_seeds(tmp_path, {"a": 90.0, "b": 70.0})
    pair = compare(tmp_path).pairs.iloc[0]
    right = [(100.0 * (np.arange(100) < score)) for score in (90.0, 70.0)]
    p = scipy.stats.ttest_rel(*right).pvalue
    assert pair["winner"] == "a" and pair["p"] == pytest.approx(p)
    assert pair["holds_for"] == "new seeds and new test pictures" and pair["seeds_ci_low"] is pd.NA
    assert "for new seeds and new test pictures, luck of the search not included" in pair["verdict"]
    for file in tmp_path.glob("a/confirm/*/*/predictions.npz"):
        file.write_bytes(b"damaged")
    unpaired = compare(tmp_path).pairs.iloc[0]
    assert (pair["pictures_paired"], unpaired["pictures_paired"], unpaired["pictures"]) == (True, False, 100)
    assert unpaired["ci_low"] < pair["ci_low"] - 1 and unpaired["pictures_alone"] > pair["pictures_alone"]


@pytest.mark.parametrize(("images", "winner"), [(36, pd.NA), (1_000_000, "a")])
def test_seeds_that_agree_name_no_winner_where_the_choice_of_test_pictures_could_have_made_it(tmp_path, images, winner):
    """The arms differ by 11 points, 4 to 18 over seeds; without predictions nobody knows on which pictures."""
    describe_study(tmp_path, "a", "b", confirm_seeds=3)
    for arm, scores in (("a", [58.33, 63.89, 61.11]), ("b", [50.0, 50.0, 50.0])):
        search(tmp_path, arm)
        confirm(tmp_path, arm, scores, images=images)
    found = compare(tmp_path)
    pair = found.pairs.iloc[0]
    assert pair["seeds_ci_low"] > 4 and pair["holds_for"] == "new seeds and new test pictures"
    assert pair["winner"] is winner or pair["winner"] == winner
    if images == 36:
        assert pair["ci_low"] < 0 and pair["pictures"] == 36
        width = f"±{pair['pictures_alone']:.2f} points, as predictions were not kept to pair them"
        assert pair["verdict"].endswith(f"; 36 test pictures alone leave {width}") and 20 < pair["pictures_alone"] < 25
        assert "so that the arms are compared picture by picture" in pair["next"]
    else:
        assert "pictures alone" not in pair["verdict"]
        assert pair["ci_low"] == pytest.approx(pair["seeds_ci_low"], abs=0.5)


def test_more_test_pictures_are_advised_where_those_answered_alone_could_have_made_the_difference(tmp_path):
    unchanged_by_seeds(tmp_path, {"a": 90.0, "b": 89.0})
    pair = compare(tmp_path).pairs.iloc[0]
    assert "; 100 test pictures alone leave ±" in pair["verdict"] and pair["pictures_paired"]
    assert pair["next"].startswith("a study with more test pictures") and pair["undecided"]


def test_no_more_seeds_are_asked_for_where_none_changes_anything(tmp_path):
    unchanged_by_seeds(tmp_path / "still", {"a": 90.0, "b": 89.0}, val_loss=0.25)
    (line,) = compare(tmp_path / "still").verdicts
    assert line.startswith("no difference larger than 3.03 points shown between a and b")
    assert line.endswith(" Next: a study with more test images, as no seed changes these arms.")
    for file in tmp_path.glob("still/a/confirm/*/*/predictions.npz"):
        file.unlink()
    assert compare(tmp_path / "still").pairs["next"][0].startswith("a study that keeps predictions (keep=best)")
    unchanged_by_seeds(tmp_path / "by luck", {"a": 90.0, "b": 89.0})
    for arm in "ab":
        for number, folder in enumerate(sorted((tmp_path / "by luck" / arm / "confirm/002").iterdir())):
            write_json(folder / "result.json", read_run(folder) | dict(val_loss=0.25 + number))
    assert compare(tmp_path / "by luck").pairs["next"][0].startswith("a study with more test pictures")


def test_a_pair_says_how_often_one_arm_untuned_beats_the_other_tuned(tmp_path):
    points = {"first points": [{"lr": lr} for lr in LRS]}
    describe_study(tmp_path, "a", "b", "c", sampler="tpe", arms={"a": points, "b": points})
    search(tmp_path, "a", [*VALS, 85.0], [*LRS, 3e-3])  # the sixth was found, and is the best
    search(tmp_path, "b", [None, 60.0, 75.0, 40.0, 20.0])
    search(tmp_path, "c", [None, 60.0, 90.0, 40.0, 20.0], data_sha256="2" * 64)
    frame = compare(tmp_path).pairs.set_index(["arm_a", "arm_b"])
    assert frame.loc[("a", "b"), ["untuned_a", "untuned_b"]].tolist() == [40.0, 0.0]  # 80 and 84 of five
    assert frame.loc[("a", "c"), ["untuned_a", "untuned_b"]].isna().all()  # other images, and c's points are not known


def test_the_speed_of_a_pair_is_at_the_highest_accuracy_that_both_reach(tmp_path):
    describe_study(tmp_path, "a", "b")
    for arm, curve, pace in (("a", (50, 82, 96), 3.0), ("b", (30, 40, 60, 81), 1.0)):
        search(tmp_path, arm)
        confirm(tmp_path, arm, [90.0, 91.0, 92.0], curve=curve, pace=pace)
    pair = compare(tmp_path).pairs.iloc[0]
    assert tuple(pair[["speedup_threshold", "speedup_epochs"]]) == (80.0, 2.0)
    assert pair["speedup_seconds"] == pytest.approx(4 / 6)


def confirm_at(root, arm, *runs):
    """A confirmation for each (curve, seconds per epoch)."""
    for seed, (curve, pace) in enumerate(runs, 1):
        own = dict(arm=arm, phase="confirm", number=2, seed=seed, val_accuracy=84.0, test_accuracy=90.0)
        run(root, f"{arm}/confirm/002/seed-{seed}", **own, curve=curve, pace=pace)


SPEED_ENDS = ["speedup_epochs_low", "speedup_epochs_high", "speedup_seconds_low", "speedup_seconds_high"]


def test_speed_ups_have_intervals_over_the_seeds_that_both_have(tmp_path):
    describe_study(tmp_path, "a", "b")
    for arm in "ab":
        search(tmp_path, arm)
    confirm_at(tmp_path, "a", ((60,), 1.0), ((50, 61), 1.5), ((62,), 2.0), ((63,), 99.0))
    confirm_at(tmp_path, "b", ((20, 60), 1.0), ((30, 40, 61), 1.0), ((50, 62), 4.0))
    found = compare(tmp_path).pairs.iloc[0]
    ratios = {"epochs": [2.0, 3 / 2, 2.0], "seconds": [2.0, 3.0 / 3.0, 8.0 / 2.0]}
    expected = [scipy.stats.ttest_1samp(np.log(of), 0).confidence_interval(0.95) for of in ratios.values()]
    ends = [np.exp(end) for interval in expected for end in interval]
    assert found[SPEED_ENDS].tolist() == pytest.approx(ends)


def test_a_run_that_never_got_there_leaves_its_end_of_both_intervals_open(tmp_path):
    describe_study(tmp_path, "a", "b")
    for arm in "ab":
        search(tmp_path, arm)
    confirm_at(tmp_path, "a", ((60,), 1.0), ((50, 61), 1.5), ((62,), 2.0))
    confirm_at(tmp_path, "b", ((20, 60), 1.0), ((30, 40, 50), 1.0), ((50, 62), 4.0))
    found = compare(tmp_path).pairs.iloc[0]
    assert found[SPEED_ENDS].notna().tolist() == [True, False, True, False]
    # The run counts with the 3 epochs, and seconds, that it lasted, as if it had got there then.
    ratios = np.log([2.0, 3.0 / 3.0, 4.0])
    low = np.exp(scipy.stats.ttest_1samp(ratios, 0).confidence_interval(0.95).low)
    assert found["speedup_seconds_low"] == pytest.approx(low)


def test_seconds_that_no_clock_measured_have_no_interval(tmp_path):
    describe_study(tmp_path, "a", "b")
    for arm, first in (("a", 0.0), ("b", 2.0)):
        search(tmp_path, arm)
        confirm_at(tmp_path, arm, ((60,), first), ((61,), 1.0), ((62,), 1.0))
    found = compare(tmp_path).pairs.iloc[0]
    assert found["speedup_seconds"] == 1.0 and found[SPEED_ENDS].notna().tolist() == [True, True, False, False]


def test_seconds_are_not_compared_between_machines(tmp_path):
    describe_study(tmp_path, "a", "b")
    for arm, threads in (("a", 1), ("b", 2)):
        search(tmp_path, arm)
        confirm(tmp_path, arm, [90.0, 91.0, 92.0], curve=(50, 62), threads=threads)
    found = compare(tmp_path)
    assert tuple(found.pairs.iloc[0][["speedup_threshold", "speedup_epochs", "speedup_seconds"]]) == (60.0, 1.0, pd.NA)
    assert found.pairs.iloc[0][["speedup_seconds_low", "speedup_seconds_high"]].isna().all()
    assert said(found, "Training seconds are not compared")


def test_the_sampling_error_of_cifar10s_test_split_is_a_percentage_point(fair):
    frame = compare(fair).arms.assign(test_images=10000, test_mean=95.0)
    study = read_study(fair / "study.json")
    judged = pairs_table(frame, runs_by_arm(collate(fair).trials, study), study)
    assert judged["test_sampling"][0] == pytest.approx(0.43, abs=0.005)


# ---- unfair: no winner


def refused(root):
    found = compare(root)
    pair = found.pairs.iloc[0]
    assert pair["winner"] is pd.NA and re.match("no winner between (a and b|b and a)", pair["verdict"]), pair["verdict"]
    assert found.verdicts[0].startswith(pair["verdict"] + ".")
    return found, pair["verdict"], pair["next"]


def test_arms_with_unequal_trials_get_no_winner(fair):
    run(fair, "a/search/005", arm="a", phase="search", number=5, lr=2e-3, val_accuracy=50.0)
    _, sentence, hint = refused(fair)
    assert "budgets differ (6 against 5 trials)" in sentence and hint == "the same command with n_trials=6"


def test_an_arm_that_has_no_more_settings_is_compared_with_fewer_trials(fair):
    run(fair, "a/search/005", arm="a", phase="search", number=5, lr=2e-3, val_accuracy=50.0)
    describe_study(fair, "b", "a", n_trials=6, settings={"b": 5})
    found = compare(fair)
    assert found.pairs["winner"][0] == "a", found.verdicts
    assert said(found, "b: all of its 5 settings tried, where others had up to 6 trials")
    assert not said(found, "unfinished")
    describe_study(fair, "b", "a", n_trials=6, settings={"a": 5, "b": 6})
    assert "budgets differ (6 against 5 trials)" in refused(fair)[1]
    assert said(compare(fair), "unfinished: 11 of 12 search trials")


def test_a_failed_trial_is_no_budget_and_can_be_retried(fair):
    result_of(fair / "b/search/004", state="FAILED", val_accuracy=None)
    found, sentence, hint = refused(fair)
    assert "5 against 4 trials" in sentence and hint == "the same command with hydra.sweeper.retry_failed=true"
    assert said(found, "b: 1 of 5 search trials ended FAILED")


def test_an_interrupted_trial_is_finished_by_the_same_command(fair):
    (fair / "b/search/004/result.json").unlink()
    found, sentence, hint = refused(fair)
    assert "5 against 4 trials" in sentence and hint == "the same command again"
    assert said(found, "unfinished: 9 of 10 search trials and 10 of 10 confirmations", "headstart -m name=s")
    assert row_of(found.ledger, arm="b")["interrupted"] == 1


def test_arms_with_other_epochs_get_no_winner(fair):
    for folder in fair.glob("a/*/*/result.json"):
        result_of(folder.parent, epochs=8)
    assert "budgets differ (8 against 4 epochs)" in refused(fair)[1]


@pytest.mark.parametrize(
    ("space", "hint"), [(SPACE["lr"], "search.extend_at_edge=true"), ({"choices": LRS}, "lr_high=1 name=NEW_NAME")]
)
def test_an_arm_at_the_edge_of_its_range_gets_no_winner(fair, space, hint):
    describe_study(fair, "b", "a", spaces={"a": {"lr": space}, "b": {"lr": space}})
    for number in (0, 1):  # two of the best three in the same tenth of the range
        result_of(fair / f"a/search/00{number}", state="COMPLETE", val_accuracy=83.9, lr=0.1 - 0.01 * number)
    _, sentence, found = refused(fair)
    assert "best learning rate of a at the high edge (try 1e-05 to 1)" in sentence
    assert found == f"the same command with {hint}"


def test_two_seeds_get_no_winner(fair):
    for folder in fair.glob("*/confirm/002/seed-[345]"):
        for file in folder.iterdir():
            file.unlink()
    _, sentence, hint = refused(fair)
    assert "too few seeds (2, at least 3)" in sentence and hint == "the same command with confirm_seeds=5"


def test_after_failed_confirmations_the_next_command_is_one_that_repeats_them(fair):
    for folder in fair.glob("a/confirm/002/seed-[345]"):
        result_of(folder, state="FAILED", test_accuracy=None, test_reads=0)
    _, sentence, hint = refused(fair)
    assert "too few seeds (2, at least 3)" in sentence
    assert hint == "the same command with hydra.sweeper.retry_failed=true"


def test_arms_on_other_amounts_of_data_are_no_pair(fair):
    for folder in fair.glob("a/*/*/result.json"):
        result_of(folder.parent, train_size=500)
    found = compare(fair)
    assert found.pairs.empty and found.verdicts == [] and len(found.arms) == 2
    assert said(found, "only on the same data and train_size: b (digits, 50 images); a (digits, 500 images)")


def test_arms_on_other_images_of_the_same_name_get_no_winner(fair):
    for folder in fair.glob("a/search/*"):
        write_json(folder / "result.json", read_run(folder) | dict(data_sha256="e"))
    assert "not the same images" in refused(fair)[1]


def test_an_arm_of_which_a_confirmation_diverged_gets_no_winner(fair):
    result_of(fair / "a/confirm/002/seed-1", state="DIVERGED", val_accuracy=None)
    found, sentence, _ = refused(fair)
    assert "1 confirmation of a DIVERGED" in sentence and said(found, "a: 1 of 5 confirmations DIVERGED")


def test_an_arm_whose_range_nobody_knows_gets_no_winner(fair):
    describe_study(fair, "b")
    _, sentence, hint = refused(fair)
    assert "the range searched for a is not known" in sentence and hint == "the same command, all arms in it, again"


def test_an_arm_without_a_trial_to_select_gets_no_winner(fair):
    for number in range(5):
        result_of(fair / f"a/search/00{number}", state="CHANCE", val_accuracy=11.0)
    for folder in fair.glob("a/confirm/002/*"):
        for file in folder.iterdir():
            file.unlink()
    found, sentence, hint = refused(fair)
    assert "a has no trial that may be selected (5 CHANCE)" in sentence and hint is pd.NA
    assert said(found, "a: 5 of 5 search trials ended CHANCE") and not said(found, "unfinished")


@pytest.mark.parametrize("content", [None, "{", "[]", '{"spaces": [1], "arm_order": 3, "n_trials": "x"}'])
def test_without_a_readable_study_file_nobody_wins(fair, content):
    (fair / "study.json").unlink()
    if content is not None:
        (fair / "study.json").write_text(content)
    pair = compare(fair).pairs.iloc[0]
    assert pair["winner"] is pd.NA and "is not known" in pair["verdict"] and pair["difference"] == pytest.approx(1.8)
