"""Every column of every table is of a kind that there is."""

import re

from headstart.analysis.columns import TABLES, Column


def test_every_column_has_a_plain_name_a_type_and_a_meaning():
    for columns in TABLES.values():
        assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in columns)
        assert {column.dtype for column in columns.values()} <= {"Int64", "Float64", "string", "boolean"}
        assert all(isinstance(column, Column) and column.meaning for column in columns.values())
