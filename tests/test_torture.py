"""A short slice of `make torture`: a study killed and damaged, and each time put right by its own command."""

import os
import subprocess
import sys

import pandas as pd
from conftest import ROOT

SLICE = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import commands, damage, kills
from commands import whole_study

def is_wanted(part, row):
    return part.is_wanted({key: str(value) for key, value in row.items()})

commands.warm_up()
here = Path.cwd()
seconds = whole_study(here / "plain", kills.STUDIES["plain"])
row = kills.try_series(here / "plain", here / "killed", "plain", 1, seconds)
assert is_wanted(kills, row), row
whole_study(here / "whole", damage.STUDY)
for file, kind in (("outputs/study/cnn/search/001/result.json", "flip"), ("outputs/study/study.db", "half")):
    row = damage.try_case(here / "whole", here / "case", file, kind, 1)
    assert is_wanted(damage, row), row
    assert row["again_same"] == (not file.endswith(".db")) and row["said"], row
"""


def test_a_study_that_was_killed_or_damaged_is_put_right_by_its_own_command(tmp_path):
    variables = os.environ | {"HEADSTART_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", SLICE, str(ROOT / "experiments/torture")]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_tables_that_differ_are_told_apart_and_those_of_the_clock_are_not(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments/torture"))
    from same import difference

    one = {"trials": pd.DataFrame({"arm": ["a", "b"], "lr": ["0.1", "0.2"]})}
    assert difference(one, {"trials": one["trials"].copy()}) == ""
    other = {"trials": one["trials"].assign(lr=["0.1", "0.3"])}
    assert difference(one, other) == "trials.csv, row 1, lr: '0.2' and '0.3'"
    assert difference(one, {"trials": one["trials"].iloc[:1]}) == "trials.csv: (2, 2) and (1, 2)"
