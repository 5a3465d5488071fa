"""Tables are made column by column, and links to folders are nothing but that."""

import pandas as pd

from headstart.report.display_tables.frame import (
    Cell,
    DisplayColumn,
    interval_of,
    link,
    records,
    table,
    text_of,
    value_of,
)


def test_a_table_shows_its_rows_column_by_column():
    frame = pd.DataFrame({"arm": ["a", "b"], "mean": [1.234, None], "low": [1.0, None], "high": [2.0, None]})
    linked = DisplayColumn("Run", lambda row: Cell(row["arm"], "./x/"), numeric=False)
    columns = [text_of("arm", "Arm"), value_of("mean", "Mean"), interval_of("low", "high"), linked]
    made = table("All", records(frame), columns)
    assert (made.caption, made.columns) == ("All", ["Arm", "Mean", "95 % interval", "Run"])
    assert made.numeric == [False, True, True, False]
    assert made.rows[0] == [Cell("a"), Cell("1.23"), Cell("1.00 to 2.00"), Cell("a", "./x/")]
    assert [cell.text for cell in made.rows[1]] == ["b", "–", "–", "b"]


def test_a_link_leads_to_a_folder_whatever_it_is_called():
    assert link("a b/c#d") == "./a%20b/c%23d/" and link("javascript:alert(1)") == "./javascript%3Aalert%281%29/"
    assert link(pd.NA) is None
