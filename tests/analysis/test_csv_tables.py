"""What is written reads back with the same types and the same text."""

import subprocess
import sys

import pandas as pd
import pytest
from conftest import RESULTS
from pandas.testing import assert_frame_equal

from headstart.analysis.columns import TABLES
from headstart.analysis.csv_tables import read_table, write_table
from headstart.errors import UserError


def test_a_table_of_another_name_reads_back_with_types_by_content(tmp_path):
    frame = pd.DataFrame(
        dict(
            arm=pd.array(["NA", "b"], dtype="string"),
            seeds=pd.array([5, pd.NA], dtype="Int64"),
            mean=pd.array([93.5, 1e-300], dtype="Float64"),
            edge=pd.array([True, pd.NA], dtype="boolean"),
            note=pd.array([pd.NA, pd.NA], dtype="string"),
        )
    )
    assert_frame_equal(read_table(write_table(tmp_path / "new" / "other.csv", frame)), frame)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("seed,arm\n1\n", "row 2: 1 cells, expected 2"),
        ("seed,arm\nx,a\n", "column seed: .*expected Int64"),
        ('seed,arm\n1,"a\n', "cannot be read as a table"),
        ("seed,arm\n\xff\n", "cannot be read as a table"),
        (None, "cannot be read as a table: .*No such file"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(tmp_path, content, message):
    if content is not None:
        (tmp_path / "trials.csv").write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match=message):
        read_table(tmp_path / "trials.csv")


def test_how_a_table_is_typed_does_not_depend_on_what_was_imported_before():
    """A process that has imported nothing else reads each published table as one that has made a report does."""
    script = """import sys
from pathlib import Path
from headstart.analysis.csv_tables import read_table
for path in map(Path, sys.argv[1:]):
    print(path, *(f"{name}:{dtype}" for name, dtype in read_table(path).dtypes.items()))"""
    paths = sorted(RESULTS.rglob("*.csv"))
    assert len(paths) > 10
    words = [sys.executable, "-c", script, *map(str, paths)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    for path, line in zip(paths, said, strict=True):
        columns = TABLES[path.stem]
        typed = dict(cell.rsplit(":", 1) for cell in line.split()[1:])
        assert {name: typed[name] for name in columns} == {name: c.dtype for name, c in columns.items()}, path
