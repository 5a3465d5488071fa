"""Several studies and single runs below one folder; the files are the frames."""

import subprocess
import sys

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from analysis.helpers_analysis import SPACE, A, B, confirm, describe_study, row_of, run, said, search
from headstart.analysis.arms_table import arms_table
from headstart.analysis.caveats import caveats
from headstart.analysis.columns import ARMS, LEDGER, PAIRS
from headstart.analysis.comparison import compare, write_comparison
from headstart.analysis.csv_tables import read_table
from headstart.analysis.ledger import ledger_table
from headstart.analysis.pairs_table import pairs_table, verdict_lines
from headstart.store import read_study

TABLE_COLUMNS = {"arms": ARMS, "pairs": PAIRS, "ledger": LEDGER}


def test_single_runs_are_described_by_the_best_and_its_repeats(tmp_path):
    for arm, vals in (("cnn", [70.0, 84.0]), ("resnet18", [60.0, 80.0])):
        for lr, val in zip([0.1, 0.01], vals, strict=True):
            for seed in (0, 1, 2):
                command = f"headstart model={arm} lr={lr} seed={seed} threads=1"
                own = dict(study=None, arm=arm, phase="run", number=None, lr=lr, seed=seed, command=command)
                run(tmp_path, f"{arm}-{lr}-{seed}", **own, val_accuracy=val - seed, test_accuracy=val + seed)
    found = compare(tmp_path)
    row, pair = row_of(found.arms, arm="cnn"), found.pairs.iloc[0]
    assert tuple(row[["tuned", "trials", "best_lr", "seeds", "test_mean"]]) == (False, 0, 0.01, 3, 85.0)
    assert row[["edge", "lr_low", "best_number", "study"]].isna().all()
    assert pair["winner"] is pd.NA and pair["seeds"] == 3 and "single runs, no search" in pair["verdict"]
    assert said(found, "described and not judged") and said(found, "read 12 times: 12 by single runs")
    assert row_of(found.ledger, arm="all")["other_runs"] == 12


def test_a_study_is_not_mixed_with_single_runs_or_other_studies(fair):
    outer = fair.parent
    run(outer, "runs/x", study=None, arm="a", phase="run", val_accuracy=99.0, test_accuracy=99.0)
    describe_study(outer / "t", "a", name="t")
    search(outer / "t", "a", study="t")
    found, alone = compare(outer), compare(fair)
    assert found.arms[["study", "arm"]].fillna("-").values.tolist() == [["s", "b"], ["s", "a"], ["t", "a"], ["-", "a"]]
    assert_frame_equal(found.pairs, alone.pairs)
    assert_frame_equal(found.ledger.iloc[:3], alone.ledger)
    assert said(found, "t: The study is unfinished") and said(found, "single runs: ", "described and not judged")


def test_runs_without_an_arm_are_no_reason_to_fail(tmp_path):
    run(tmp_path, "source", arm=None, phase="source", state="COMPLETE", val_accuracy=90.0)
    found = compare(tmp_path)
    assert found.arms.empty and found.trials["phase"].tolist() == ["source"]


def test_without_runs_every_table_has_its_columns_and_types(tmp_path):
    for study in (False, True):
        if study:
            describe_study(tmp_path, "a", "b")
        found = compare(tmp_path)
        for name, columns in TABLE_COLUMNS.items():
            frame = getattr(found, name)
            assert {n: str(t) for n, t in frame.dtypes.items()} == {n: c.dtype for n, c in columns.items()}
            assert frame.empty
        assert found.verdicts == found.caveats == []
        paths = write_comparison(tmp_path)
        assert [path.name for path in paths] == [f"{name}.csv" for name in ("trials", "epochs", *TABLE_COLUMNS)]
        assert_frame_equal(read_table(paths[2]), found.arms)


@pytest.mark.parametrize("runs", ["none", "trials", "all"])
def test_types_are_the_same_at_every_stage_and_read_back(tmp_path, runs):
    describe_study(tmp_path, "NA", "null", spaces={"NA": SPACE, "null": SPACE})
    for arm, scores in (("NA", A), ("null", B)):
        if runs != "none":
            search(tmp_path, arm, states=["RUNNING"] * 5 if runs == "trials" else None)
        if runs == "all":
            confirm(tmp_path, arm, scores)
    paths, found = write_comparison(tmp_path), compare(tmp_path)
    for path, name in zip(paths[2:], TABLE_COLUMNS, strict=True):
        frame = getattr(found, name)
        assert {n: str(t) for n, t in frame.dtypes.items()} == {n: c.dtype for n, c in TABLE_COLUMNS[name].items()}
        assert_frame_equal(read_table(path), frame)
    if runs == "all":
        assert found.arms["arm"].tolist() == ["NA", "null"] and found.pairs["winner"].tolist() == ["NA"]
        assert found.ledger["arm"].tolist() == ["NA", "null", "all"]


def test_writing_again_changes_no_byte_and_follows_the_runs_on_disk(fair):
    first = [path.read_bytes() for path in write_comparison(fair)]
    assert [path.read_bytes() for path in write_comparison(fair)] == first
    assert not list((fair / "tables").glob("*.tmp"))


def test_the_functions_take_what_the_tables_hold(fair):
    paths, study = write_comparison(fair), read_study(fair / "study.json")
    trials, epochs = map(read_table, paths[:2])
    found = arms_table(trials, epochs, study)
    judged, spent = pairs_table(found, trials, study), ledger_table(trials)
    assert found["halfway_accuracy"].isna().all() and found["test_mean"].tolist() == [90.2, 92.0]
    assert judged["winner"].tolist() == ["a"] and len(verdict_lines(judged)) == 1
    assert len(caveats(found, judged, spent, trials, study)) > 2


def test_torch_hydra_and_optuna_are_not_imported():
    names = {"torch", "hydra", "optuna", "scipy.stats"}
    script = f"import sys, headstart.analysis.comparison; print(sorted({names} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60).stdout
    assert out == "[]\n"
