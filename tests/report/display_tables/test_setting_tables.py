"""Settings are shown as they are typed, those that differ beside each other."""

from helpers_runs import make_study

from headstart.analysis import load_results as load
from headstart.report import display_tables


def test_settings_that_differ_stand_beside_each_other_and_lists_are_whole(tmp_path):
    long = [f"choice{i}" for i in range(100)]
    own = {"a": {"epochs": 3, "frozen": True, "list": long}, "b": {"epochs": 3, "frozen": None, "list": long}}
    root = make_study(tmp_path / "tiny", {"a": 1.0, "b": 2.0}, trials=1, seeds=0, arms=own)
    differing, common = display_tables.settings(load(root))
    assert [[cell.text for cell in row] for row in differing.rows] == [["frozen", "true", "null"]]
    assert [c.text for row in common.rows for c in row if row[0].text == "list"] == ["list", f"[{', '.join(long)}]"]
