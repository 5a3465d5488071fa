"""The tables of repeated searches and of figures that others reported; None where there are none."""

from helpers_runs import make_study

from headstart.analysis import load_results
from headstart.report import display_tables


def test_repeated_searches_and_their_differences_are_shown(tmp_path):
    folders = [make_study(tmp_path / f"q_{s}", trials=3, seeds=2, name=f"q_{s}", seed=s) for s in (0, 10)]
    results = load_results(*folders)
    searches, pairs = display_tables.searches(results), display_tables.search_pairs(results)
    assert [row[0].text for row in searches.rows] == ["q/random", "q/pretrained"]
    assert searches.rows[0][searches.columns.index("Best learning rates")].text == "0.001"
    assert [row[0].text for row in pairs.rows] == ["q/pretrained − q/random"]


def test_figures_of_others_stand_beside_ours(tmp_path):
    figures = [
        {"arm": "random", "value": 83.0, "source": "write-up"},
        {"arm": "random", "metric": "parameters", "value": 1147466, "source": "write-up"},
    ]
    results = load_results(make_study(tmp_path / "tiny", seeds=3, reported=figures))
    made = display_tables.reported(results)
    assert [row[made.columns.index("Reported")].text for row in made.rows] == ["83.00", "1,147,466"]
    assert [row[made.columns.index("Here")].text for row in made.rows] == ["82.00", "1,000"]
    assert display_tables.reported_lines(results)[1] == "random, parameters: 1,147,466 reported by write-up, 1,000 here"


def test_a_single_study_without_figures_has_none_of_these_tables(tmp_path):
    results = load_results(make_study(tmp_path / "tiny", trials=1, seeds=1))
    assert (
        display_tables.searches(results)
        is display_tables.search_pairs(results)
        is display_tables.reported(results)
        is None
    )
    assert display_tables.reported_lines(results) == []
