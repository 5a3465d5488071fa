"""Figures that others reported, beside ours: in the frame, the CSV file, the page, the terminal."""

import html

import pandas as pd
import pytest
from helpers_runs import make_study

import headstart as hs
from headstart.analysis.columns import REPORTED, TABLES
from headstart.analysis.csv_tables import read_table
from headstart.analysis.published_figures import reported_table
from headstart.cli.report import make_parser, print_report, run
from headstart.report import write_report
from headstart.report.display_tables import reported_lines
from headstart.store import METRICS, StudyFile, read_json, write_json

FIGURES = [
    {"arm": "random", "value": 83.0, "source": "write-up <A>", "note": "one run, chosen on the test split"},
    {"arm": "random", "metric": "parameters", "value": 1147466, "source": "write-up <A>"},
    {"arm": "not in this study", "value": 50.0, "source": "write-up <A>"},
]


@pytest.fixture
def study(tmp_path):
    return hs.load(make_study(tmp_path / "tiny", trials=5, seeds=3, reported=FIGURES))


def test_a_figure_stands_beside_the_same_column_of_arms_csv(study):
    frame = study.reported
    arm = study.arms.set_index("arm").loc["random"]
    assert frame["arm"].tolist() == ["random", "random"]  # figures of arms that are not here are left out
    first, second = frame.iloc[0], frame.iloc[1]
    assert (first["ours"], first["ci_low"], first["ci_high"]) == tuple(
        arm[["test_mean", "test_ci_low", "test_ci_high"]]
    )
    assert first["difference"] == pytest.approx(arm["test_mean"] - 83.0)
    assert second["metric"] == "parameters" and pd.isna(second["ci_low"]) and pd.isna(second["note"])


def test_every_metric_is_a_column_of_arms_csv():
    assert set(METRICS) <= set(TABLES["arms"])


def test_the_report_writes_shows_and_prints_it(study, capsys):
    written = write_report(study)
    print_report(study, written)
    (table,) = (path for path in written if path.name == "reported.csv")
    pd.testing.assert_frame_equal(read_table(table), study.reported)
    said = "random, test accuracy: 83.00 reported by write-up <A>, "
    assert said in capsys.readouterr().out
    page = html.unescape((study.root / "report.html").read_text())
    assert "one run, chosen on the test split" in page and "write-up <A>" in page and "reported.csv" in page
    assert "one run, chosen on the test split" in (study.root / "report.md").read_text()


@pytest.mark.parametrize("tables_only", [True, False])
def test_figures_that_are_reported_no_more_leave_no_table(study, tables_only, capsys, without_plots):
    table = study.root / "tables/reported.csv"
    typed = make_parser("headstart report").parse_args([str(study.root), *["--tables"] * tables_only])
    run(typed)
    pd.testing.assert_frame_equal(read_table(table), study.reported)
    path = study.root / "study.json"
    write_json(path, read_json(path) | dict(reported=None))
    run(typed)
    assert not table.exists() and "reported.csv" not in capsys.readouterr().out.splitlines()[-1]


def test_a_study_without_figures_says_nothing_of_them(tmp_path):
    study = hs.load(make_study(tmp_path / "tiny", trials=1, seeds=2))
    written = write_report(study)
    assert list(study.reported.columns) == list(REPORTED) and study.reported.empty
    assert not any(path.name == "reported.csv" for path in written)
    assert "reported" not in (study.root / "report.html").read_text().lower()


def test_what_was_edited_by_hand_into_study_json_is_left_out(study):
    harmed = [*FIGURES, {"arm": "random"}, "text", {"arm": "random", "value": "NaN", "source": "x"}]
    assert len(reported_table(StudyFile.of({"reported": harmed}).reported, study.arms, study.trials)) == 2
    assert reported_table(StudyFile.of({"reported": {"arm": "random"}}).reported, study.arms, study.trials).empty


def test_an_arm_that_stayed_at_chance_shows_what_its_trials_reached(tmp_path):
    root = make_study(tmp_path / "tiny", trials=3, seeds=0, reported=FIGURES)
    *others, last = sorted((root / "random/search").glob("*/result.json"))
    for path in others:
        write_json(path, read_json(path) | dict(state="CHANCE"))
    assert pd.isna(hs.load(root).reported.iloc[0]["ours"])  # one trial is selected, and not confirmed yet
    write_json(last, read_json(last) | dict(state="CHANCE"))
    study = hs.load(root)
    first = study.reported.iloc[0]
    assert first["ours"] == study.trials[study.trials["arm"] == "random"]["val_accuracy"].max()
    assert (first["ours_is"], first["metric"]) == ("validation, of a trial at chance", "test_mean")
    assert any("(validation, of a trial at chance) here" in line for line in reported_lines(study))
