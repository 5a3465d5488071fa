"""The tables of arms say what arms.csv and pairs.csv do, and link each arm to its best run."""

import shutil

from helpers_runs import make_run, make_study

from headstart.analysis import load_results
from headstart.report import display_tables


def cells(table):
    return {row[0].text: dict(zip(table.columns, row, strict=True)) for row in table.rows}


def test_arms_lead_to_the_best_run_of_each(tmp_path):
    made = cells(display_tables.arms(load_results(make_study(tmp_path / "tiny"))))
    assert made["random"]["Arm"].link == "./random/search/002/"
    assert made["random"]["Best learning rate"].text == "0.001"
    assert made["pretrained"]["Seeds"].text == "5"


def test_single_runs_without_a_study_lead_to_the_best_of_them(tmp_path):
    for number, score in enumerate([50.0, 70.0, 60.0]):
        own = dict(study=None, arm="cnn", phase="run", seed=number, lr=0.1, state="COMPLETE", val_accuracy=score)
        make_run(tmp_path, f"run{number}", **own)
    assert cells(display_tables.arms(load_results(tmp_path)))["cnn"]["Arm"].link == "./run1/"


def test_what_was_searched_beside_a_learning_rate_is_named(tmp_path):
    for number, score in enumerate([50.0, 70.0]):
        own = dict(arm="svm", phase="search", number=number, seed=0, state="COMPLETE", val_accuracy=score)
        make_run(tmp_path, f"svm/search/00{number}", **own, params={"model.C": 0.1 * 10**number})
    assert cells(display_tables.arms(load_results(tmp_path)))["svm"]["Best setting"].text == "model.C=1"


def test_pairs_and_times_stand_beside_each_other(tmp_path):
    results = load_results(make_study(tmp_path / "tiny"))
    (pair,) = cells(display_tables.pairs(results)).values()
    difference = results.pairs["difference"].iloc[0]
    assert pair["Difference, points"].text == f"{difference:.2f}" and pair["Its level"].text == "95.5 %"
    times = cells(display_tables.speed(results))
    assert times["random"]["70 %"].text.replace("\N{NO-BREAK SPACE}", " ") == "3 epochs, 30.0 s"
    assert cells(display_tables.arms(results))["random"]["Epochs to 75 %"].text == "3"
    assert times["random"]["80 %"].text.replace("\N{NO-BREAK SPACE}", " ") == "not reached (5 of 5 never)"


def test_an_arm_that_never_got_there_is_told_apart_from_one_that_was_not_run(tmp_path):
    root = make_study(tmp_path / "tiny", {"random": 80.0, "pretrained": 90.0, "fitted": 70.0, "slow": 60.0})
    shutil.rmtree(root / "pretrained/confirm")
    for path in root.glob("fitted/**/epochs.csv"):
        path.unlink()
    for path in root.glob("slow/confirm/**/epochs.csv"):
        path.write_text("\n".join(path.read_text().splitlines()[:2]) + "\n")  # its first epoch, at 40 %
    results = load_results(root)
    arms, times = (cells(make(results)) for make in (display_tables.arms, display_tables.speed))
    assert [arms[arm]["Epochs to 75 %"].text for arm in arms] == ["3", "not run", "no epochs", "never"]
    words = [times[arm]["70 %"].text.replace("\N{NO-BREAK SPACE}", " ") for arm in times]
    assert words == ["3 epochs, 30.0 s", "not run", "no epochs", "not reached (5 of 5 never)"]


def test_what_an_answer_takes_stands_in_units_that_are_read(tmp_path):
    took = dict(multiply_adds=11_373_056, weights_bytes=4_579_604, latency_seconds=0.00077464, processor="Z80")
    took |= dict(latency_p95_seconds=0.0092619, answers_per_second=1194.6)
    for seed in (1, 2, 3):
        own = dict(arm="cnn", phase="run", seed=seed, lr=0.1, state="COMPLETE", val_accuracy=50.0, test_accuracy=40.0)
        make_run(tmp_path, f"run{seed}", **own, **took | dict(latency_seconds=took["latency_seconds"] * seed**4))
    shown = display_tables.footprint(load_results(tmp_path))
    row = {heading: cell.text for heading, cell in cells(shown)["cnn"].items()}
    assert "(Z80)" in shown.caption
    assert row["Weights, MB"] == "4.58" and row["Multiply-adds, millions"] == "11.4"
    assert row["Latency, ms"] == "12.4", "the median of the repeats"
    assert row["95th percentile, ms"] == "9.26" and row["Pictures a second, in batches"] == "1,195"


def test_without_a_figure_of_it_there_is_no_table_of_what_an_answer_takes(tmp_path):
    assert display_tables.footprint(load_results(make_study(tmp_path / "tiny"))) is None
