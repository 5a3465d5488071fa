"""Studies that differ in the seed alone: repeats of one search, compared with its luck in the interval."""

import dataclasses
import html
import json

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from helpers_runs import make_study, write_predictions
from report.helpers_report import drawn
from scipy.special import expit, logit

import headstart as hs
from headstart.analysis import CaveatKind
from headstart.analysis.columns import SEARCHES
from headstart.analysis.csv_tables import read_table
from headstart.cli.report import print_report
from headstart.report import write_report
from headstart.store import read_run, write_json

RANDOM, PRETRAINED = (60.0, 64.0, 61.0, 62.0), (70.0, 71.0, 73.0, 69.0)  # test accuracies, a study each


def make_repeats(folder, *, random=RANDOM, pretrained=PRETRAINED, seeds=1, **study):
    """Studies q_0, q_10, ... of the same two arms, equal but for the seed and what it led to."""
    for i, (a, b) in enumerate(zip(random, pretrained, strict=True)):
        settings = {arm: {"epochs": 3, "seed": 10 * i, "model.weights": arm} for arm in ("random", "pretrained")}
        common = {"protocol": 1, "sampler": {"_target_": "TPESampler", "seed": 10 * i}}
        facts = dict(seed=10 * i, arms=settings, common=common, images=10**14) | study
        make_study(folder / f"q_{10 * i}", {"random": a, "pretrained": b}, seeds=seeds, name=f"q_{10 * i}", **facts)
    return sorted(folder.glob("q_*"))


def change(folder, **values):
    result = {key: value for key, value in read_run(folder).items() if not key.startswith("test_")}
    write_json(folder / "result.json", result | values)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return hs.load(*make_repeats(tmp_path_factory.mktemp("repeats")))


def test_studies_that_differ_in_the_seed_alone_are_repeats_of_their_arms_searches(study):
    found = study.searches.set_index("search")
    assert list(found.index) == ["q/random", "q/pretrained"]
    row, scores = found.loc["q/random"], np.array(RANDOM) + 1  # make_study confirms a point above
    assert (row["repeats"], row["trials"], row["epochs_searched"]) == (4, 5, 15)
    assert (row["test_mean"], row["test_lowest"]) == (pytest.approx(scores.mean()), scores.min())
    assert (row["val_mean"], row["val_lowest"]) == (pytest.approx(np.mean(RANDOM)), min(RANDOM))
    odds, error = logit(scores.mean() / 100), scipy.stats.sem(scores) / 100
    error /= scores.mean() / 100 * (1 - scores.mean() / 100)
    interval = 100 * expit(scipy.stats.t.interval(0.95, 3, odds, error))  # on log odds, as arms' are
    assert (row["test_ci_low"], row["test_ci_high"]) == pytest.approx(interval)
    assert (row["best_lr_low"], row["best_lr_high"]) == (1e-3, 1e-3)


def test_in_the_picture_of_learning_rates_repeats_look_alike(study):
    axis = drawn(study, "learning_rate").figure.axes[0]
    assert [text.get_text() for text in axis.get_legend().get_texts()][:2] == ["q/random", "q/pretrained"]
    dots = [line for line in axis.lines if line.get_label() == "_COMPLETE"]
    assert [len(line.get_xdata()) for line in dots] == [20, 20]  # of four studies each


def test_they_are_compared_over_studies_and_the_sentence_says_that_luck_is_included(study):
    (pair,) = study.search_pairs.to_dict("records")
    a, b = np.array(PRETRAINED) + 2, np.array(RANDOM) + 1  # the better one first
    expected = scipy.stats.ttest_rel(a, b)
    low, high = expected.confidence_interval()
    assert (pair["search_a"], pair["search_b"], pair["repeats"]) == ("q/pretrained", "q/random", 4)
    assert (pair["difference"], pair["ci_low"], pair["ci_high"]) == pytest.approx(((a - b).mean(), low, high))
    assert pair["p"] == pytest.approx(expected.pvalue) and pair["val_difference"] == pytest.approx((a - b).mean() - 1)
    assert pair["winner"] == "q/pretrained" and study.verdicts[0] == pair["verdict"] + "."
    assert f"{low:.2f} to {high:.2f}, 4 searches, luck of the search and new test pictures included" in pair["verdict"]
    assert any("believe the former" in caveat.text for caveat in study.caveats)


def test_the_interval_of_nearly_perfect_searches_stays_within_100_percent(tmp_path):
    study = hs.load(*make_repeats(tmp_path, random=(98.9, 90.0, 98.8), pretrained=(97.9, 97.0, 97.5)))
    assert (study.searches["test_ci_high"] < 100).all()


@pytest.mark.parametrize(("images", "winner"), [(20, None), (2000, "q/pretrained")])
def test_their_answers_are_paired_picture_by_picture_where_predictions_are_kept(tmp_path, images, winner):
    folders = make_repeats(tmp_path)
    for run in tmp_path.glob("q_*/*/confirm/*/*"):  # the arms are right about the same half, and about 1 in 10 others
        right = np.arange(images) % 10 < (6 if "pretrained" in run.parts else 5)
        write_predictions(run, np.zeros(images, dtype=int), np.stack([right, ~right], axis=1).astype(float))
    (pair,) = hs.load(*folders).search_pairs.to_dict("records")
    assert (pair["pictures"], pair["pictures_paired"]) == (images, True)
    spread = 100 * np.sqrt(0.09 / (images - 1))
    assert pair["pictures_alone"] == pytest.approx(scipy.stats.t.ppf(0.975, images - 1) * spread)
    assert (pair["winner"] if pair["winner"] is not pd.NA else None) == winner


OTHER_EPOCHS = {arm: {"epochs": 4, "seed": 10} for arm in ("random", "pretrained")}


@pytest.mark.parametrize(
    "changed",
    [{"n_trials": 6}, {"confirm_seeds": 3}, {"common": {"protocol": 2}}, {"arms": {}}, {"arms": OTHER_EPOCHS}],
)
def test_a_study_that_differs_in_more_than_the_seed_is_no_repeat(tmp_path, changed):
    first, second = make_repeats(tmp_path, random=RANDOM[:2], pretrained=PRETRAINED[:2])
    assert len(hs.load(first, second).searches) == 2
    file = second / "study.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))
    study = hs.load(first, second)
    assert study.searches.empty and study.search_pairs.empty and list(study.searches) == list(SEARCHES)


def test_a_search_that_goes_on_is_not_counted_and_said_so(tmp_path):
    folders = make_repeats(tmp_path)
    (folders[0] / "random/search/004/result.json").unlink()
    (folders[1] / "pretrained/confirm/002/seed-1/result.json").unlink()
    study = hs.load(*folders)
    assert study.searches["repeats"].tolist() == [3, 3] and study.searches["led_nowhere"].tolist() == [0, 0]
    (pair,) = study.search_pairs.to_dict("records")
    assert pair["repeats"] == 2 and "too few searches (2, at least 3)" in pair["verdict"]
    assert pair["next"] == "repeat both with 3 more seeds, the same for both"
    said = [caveat for caveat in study.caveats if "not counted as a repeat before it has ended" in caveat.text]
    assert [str(caveat).partition(":")[0] for caveat in said] == ["q_0, random", "q_10, pretrained"]


def test_a_search_whose_confirmations_failed_in_part_is_not_counted(tmp_path):
    folders = make_repeats(tmp_path, seeds=3)
    change(folders[2] / "random/confirm/002/seed-2", state="FAILED")
    assert hs.load(*folders).searches["repeats"].tolist() == [3, 4]


def test_a_copy_is_no_repeat(tmp_path):
    folders = make_repeats(tmp_path)
    make_repeats(tmp_path / "copy", random=RANDOM[:1], pretrained=PRETRAINED[:1])
    study = hs.load(*folders, tmp_path / "copy/q_0")
    assert study.searches["repeats"].tolist() == [4, 4]
    assert sum("have the same seed: the first is counted" in caveat.text for caveat in study.caveats) == 1


def test_studies_that_name_no_seed_are_none_of_it(tmp_path):
    folders = make_repeats(tmp_path)
    for folder in folders:
        study = json.loads((folder / "study.json").read_text())
        del study["seed"]
        (folder / "study.json").write_text(json.dumps(study))
    study = hs.load(*folders)
    assert study.searches.empty and CaveatKind.REPEATS not in {caveat.kind for caveat in study.caveats}


@pytest.mark.parametrize("name", ["data_sha256", "weights_sha256"])
def test_equal_settings_that_met_other_files_are_no_repeats(tmp_path, name):
    first, second = make_repeats(tmp_path, random=RANDOM[:2], pretrained=PRETRAINED[:2])
    for folder, value in ((first, "a" * 64), (second, "b" * 64)):
        for run in folder.glob("random/*/*/**/result.json"):
            write_json(run, read_run(run.parent) | {name: value})
    study = hs.load(first, second)
    assert study.searches["search"].tolist() == ["q/pretrained"]
    (said,) = (caveat for caveat in study.caveats if "no repeats" in caveat.text)
    assert str(said).startswith("q/random: ") and "images or weights differ" in str(said)


def test_studies_whose_confirmations_share_seeds_name_no_winner(tmp_path, study):
    assert not any("share confirmation seeds" in caveat.text for caveat in study.caveats)
    (pair,) = hs.load(*make_repeats(tmp_path / "near", seeds=11)).search_pairs.to_dict("records")
    assert pd.isna(pair["winner"]) and "q_10 and q_20 share confirmation seeds" in pair["verdict"]
    assert "leave 11 or more between the studies' seeds" in pair["verdict"]


def test_only_equal_seeds_are_paired(tmp_path):
    folders = make_repeats(tmp_path)
    for seed in (5, 15):
        facts = dict(arms={"random": {"epochs": 3}}, seed=seed, name=f"grid_{seed}")
        folders.append(make_study(tmp_path / f"grid_{seed}", {"random": 60.0}, seeds=1, **facts))
    study = hs.load(*folders)
    assert "q/random and grid have no seed in common, and only equal seeds are paired." in map(str, study.caveats)


def test_searches_of_other_rules_or_other_images_are_no_pair(tmp_path):
    other = make_repeats(tmp_path / "other", common={"protocol": 2})
    study = hs.load(*make_repeats(tmp_path), *other)
    assert len(study.searches) == 4 and len(study.search_pairs) == 2


def test_budgets_that_differ_are_said_instead_of_a_winner(tmp_path):
    small = make_repeats(tmp_path / "small", n_trials=4)
    for folder in small:
        for result in folder.glob("*/search/004/*"):
            result.unlink()
    study = hs.load(*make_repeats(tmp_path), *small)
    assert study.searches["trials"].tolist() == [5, 5, 4, 4] and study.searches["search"].is_unique
    said = study.search_pairs["verdict"]
    assert said.str.contains(r"budgets differ \((?:4 against 5|5 against 4) trials\)").sum() == 4
    assert said.str.contains("is better than").sum() == 2


def test_a_budget_that_differs_in_any_of_the_studies_is_seen(tmp_path):
    folders = make_repeats(tmp_path)
    change(folders[2] / "random/search/004", state="FAILED")
    (pair,) = hs.load(*folders).search_pairs.to_dict("records")
    assert pd.isna(pair["winner"]) and "budgets differ (5 against 4 trials)" in pair["verdict"]


def test_a_best_rate_at_the_edge_in_one_of_the_searches_leaves_no_winner(tmp_path):
    folders = make_repeats(tmp_path)
    for number in (0, 1):  # two of the best three in the same tenth of the range
        change(folders[1] / f"random/search/00{number}", lr=0.1 - 0.01 * number, val_accuracy=63.9)
    (pair,) = hs.load(*folders).search_pairs.to_dict("records")
    assert pd.isna(pair["winner"]) and "best learning rate of q/random at the high edge" in pair["verdict"]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_confirmation_that_diverged_in_one_of_the_searches_leaves_no_winner(tmp_path, seed):
    folders = make_repeats(tmp_path, seeds=2)
    change(folders[0] / f"random/confirm/002/seed-{seed}", state="DIVERGED")
    study = hs.load(*folders)
    assert study.searches["led_nowhere"].tolist() == [1, 0] and study.searches["repeats"].tolist() == [3, 4]
    (pair,) = study.search_pairs.to_dict("records")
    assert pd.isna(pair["winner"]) and "q_0: 1 confirmation of random DIVERGED" in pair["verdict"]


def test_a_search_that_found_nothing_is_no_search_the_less(tmp_path):
    folders = make_repeats(tmp_path)
    for run in folders[0].glob("random/search/*"):
        change(run, state="DIVERGED", val_accuracy=None)
    for file in folders[0].glob("random/confirm/*/*/*"):
        file.unlink()
    study = hs.load(*folders)
    assert study.searches["led_nowhere"].tolist() == [1, 0]
    (pair,) = study.search_pairs.to_dict("records")
    assert pd.isna(pair["winner"]) and "q_0: random has no trial that may be selected (5 DIVERGED)" in pair["verdict"]


def test_the_report_writes_shows_and_prints_it(study, capsys, without_plots):
    written = write_report(study)
    print_report(study, written)
    for name in ("searches", "search_pairs"):
        (path,) = (path for path in written if path.stem == name)
        pd.testing.assert_frame_equal(read_table(path), getattr(study, name))
    printed = capsys.readouterr().out
    assert "q/pretrained" in printed and study.verdicts[0] in printed
    page = html.unescape((study.root / "report.html").read_text())
    assert "Searches repeated with other seeds" in page and "searches.csv" in page and "61.00" in page
    assert "| q/random |" in (study.root / "report.md").read_text()
    write_report(dataclasses.replace(study, searches=study.searches[:0], search_pairs=study.search_pairs[:0]))
    assert not path.exists()  # of an earlier report, on other studies


def test_where_only_the_tables_are_left_the_repeats_are_read_from_them(study, tmp_path, without_plots):
    write_report(dataclasses.replace(study, root=tmp_path / "left"))
    left = hs.load(tmp_path / "left")
    for name in ("searches", "search_pairs"):
        pd.testing.assert_frame_equal(getattr(left, name), getattr(study, name))
    assert (
        left.verdicts[0] == study.verdicts[0] and "luck of the search and new test pictures included" in left.verdict()
    )


def test_one_study_alone_says_nothing_of_repeats(tmp_path, without_plots):
    study = hs.load(make_study(tmp_path / "tiny", trials=1, seeds=2))
    written = write_report(study)
    assert not any("search" in path.stem for path in written)
    assert "repeated with other seeds" not in (study.root / "report.html").read_text()
