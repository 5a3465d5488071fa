"""A short slice of `make torture`: a study killed and damaged, and each time put right by its own command."""

import os
import shutil
import subprocess
import sys
import time

import pandas as pd
import pytest
from conftest import ROOT

TORTURE = ROOT / "experiments/torture"

SLICE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import commands, damage, kills
from commands import whole_study

def is_wanted(part, row):
    return part.is_wanted({key: str(value) for key, value in row.items()})

commands.warm_up()
here = Path.cwd()
seconds = whole_study(here / "whole", kills.STUDIES["plain"])
row = kills.try_series(here / "whole", here / "killed", "plain", 1, seconds)
assert is_wanted(kills, row), row
whole_study(here / "plain", damage.STUDY)
for file, kind in (("outputs/study/cnn/search/001/result.json", "flip"), ("outputs/study/study.db", "half")):
    row = damage.try_case(here, "plain", file, kind, 1)
    assert is_wanted(damage, row), row
    assert row["again_same"] == (not file.endswith(".db")) and row["said"], row
"""
HOSTILE = """
import sys
from itertools import islice
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import batches, pictures, resume, weight_files

rows = [attempt() for _, attempt in islice(resume.attempts(Path.cwd(), 1), 2)]
rows += [attempt() for module in (pictures, weight_files) for _, attempt in islice(module.attempts(Path.cwd(), 1), 7)]
assert all(row["cuts"] >= 4 and not row["differs"] for row in rows[:2]), rows
assert all(row["tried"] == row["taken"] + row["refused"] == 100 and not row["bad"] for row in rows[2:]), rows
"""
FAULT = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import calls, commands

commands.warm_up()
whole, folder = Path("whole"), Path.cwd() / "case"
commands.whole_study(Path.cwd() / "whole", calls.STUDY)
points = [point for point in calls.points(whole, folder, "trial") if point.file.endswith("best.safetensors.tmp")]
assert {point.call for point in points} >= {"openat", "write", "fsync", "rename"}, points
for fault, call in (("EIO", "rename"), ("SIGKILL", "fsync"), ("ENOSPC", "write")):
    point = next(point for point in points if point.call == call)
    row = {key: str(value) for key, value in calls.try_case(whole, folder, "trial", fault, point).items()}
    assert row["hit"] == "True" and row["exit"] != "0", row
    assert calls.is_wanted(row | dict(fault=fault)), row
"""


def run_slice(script, folder):
    """Run a script with the folder of torture as its argument, in a process and a folder of its own."""
    variables = os.environ | {"HEADSTART_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script, str(TORTURE)]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_a_study_that_was_killed_or_damaged_is_put_right_by_its_own_command(tmp_path):
    run_slice(SLICE, tmp_path)


def test_hostile_files_are_taken_or_refused_and_runs_that_are_cut_end_in_the_same_bytes(tmp_path):
    run_slice(HOSTILE, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace here")
def test_a_fault_at_a_system_call_of_a_trial_is_said_and_gone_with_the_next_command(tmp_path):
    run_slice(FAULT, tmp_path)


@pytest.fixture
def batches(monkeypatch):
    """The module that tries hostile input in batches."""
    monkeypatch.syspath_prepend(str(TORTURE))
    import batches

    return batches


def test_a_case_that_ends_or_stops_its_process_is_one_bad_case_of_its_batch(batches, tmp_path, monkeypatch):
    def attempt(work, kind, seed):
        if seed == 3:
            os._exit(9)
        if seed == 5:
            time.sleep(60)
        return {6: "executed", 7: batches.REFUSED}.get(seed, batches.TAKEN)

    monkeypatch.setattr(batches, "LONGEST", 0.5)
    row = batches.try_batch(tmp_path, "any", range(1, 9), attempt)
    assert (row["tried"], row["taken"], row["refused"], row["bad"]) == (8, 4, 1, 3)
    assert row["which"] == "3: the process ended with 9 | 5: stuck for 0.5 s | 6: executed"
    assert not batches.is_wanted({"bad": "3"}) and batches.is_wanted({"bad": "0"})


def test_tables_that_differ_are_told_apart_and_those_of_the_clock_are_not(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(TORTURE))
    from same import difference

    one = {"trials": pd.DataFrame({"arm": ["a", "b"], "lr": ["0.1", "0.2"]})}
    assert difference(one, {"trials": one["trials"].copy()}) == ""
    other = {"trials": one["trials"].assign(lr=["0.1", "0.3"])}
    assert difference(one, other) == "trials.csv, row 1, lr: '0.2' and '0.3'"
    assert difference(one, {"trials": one["trials"].iloc[:1]}) == "trials.csv: (2, 2) and (1, 2)"
