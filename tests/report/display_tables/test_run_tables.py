"""The tables of runs show every run, what the arms have cost, and versions that differ."""

import pytest
from helpers_runs import make_run, make_study

from headstart.analysis import load_results
from headstart.report import display_tables


@pytest.fixture
def results(tmp_path):
    root = make_study(tmp_path / "tiny", trials=2, seeds=1)
    failed = dict(arm="random", phase="search", number=2, seed=0, lr=1e-2, state="FAILED", reason="out of memory")
    make_run(root, "random/search/002", **failed, torch_version="3.0")
    return load_results(root)


def test_every_run_is_a_row_with_a_link_to_its_folder(results):
    made = display_tables.trials(results)
    assert made.caption == "All 7 runs" and len(made.rows) == 7
    row = {c: cell for c, cell in zip(made.columns, made.rows[-1], strict=True)}
    links = {row[0].link for row in made.rows}
    assert "./random/search/002/" in links and row["Learning rate"].text


def test_the_ledger_ends_with_the_sum_and_leaves_out_states_that_never_came(results):
    made = display_tables.ledger(results)
    assert [row[0].text for row in made.rows] == ["random", "pretrained", "all"]
    assert "Failed" in made.columns and "Diverged" not in made.columns
    place = made.columns.index("Readings of the test split")
    assert [row[place].text for row in made.rows] == ["1", "1", "2"]


def test_versions_that_differ_are_counted(results):
    used = {row[0].text: row[1].text for row in display_tables.versions(results).rows}
    assert used["torch"] == "2.15.0 (6 runs), 3.0 (1 run)" and used["scikit-learn"] == "–" and used["commit"] == "f00d"
