"""Several studies and single runs below one folder; the files are the frames."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from analysis.helpers_analysis import SPACE, A, B, confirm, describe_study, row_of, run, said, search
from headstart.analysis.arms_table import arms_table
from headstart.analysis.caveats import caveats
from headstart.analysis.columns import ARMS, LEDGER, PAIRS
from headstart.analysis.comparison import compare, seeds_wanted, write_comparison
from headstart.analysis.csv_tables import read_table
from headstart.analysis.ledger import ledger_table
from headstart.analysis.pairs_table import pairs_table, verdict_lines
from headstart.analysis.runs_of_arm import runs_by_arm
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
        assert [path.name for path in paths] == [
            f"{name}.csv" for name in ("trials", "epochs", *TABLE_COLUMNS, "arms_short")
        ]
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
    for path, name in zip(paths[2:-1], TABLE_COLUMNS, strict=True):
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
    runs = runs_by_arm(trials, study)
    found = arms_table(runs, epochs, study)
    judged, spent = pairs_table(found, runs, study), ledger_table(trials, runs)
    assert found["halfway_accuracy"].isna().all() and found["test_mean"].tolist() == [90.2, 92.0]
    assert judged["winner"].tolist() == ["a"] and len(verdict_lines(judged)) == 1
    assert len(caveats(found, judged, spent, trials, runs, study)) > 2


def test_torch_hydra_and_optuna_are_not_imported():
    names = {"torch", "hydra", "optuna", "scipy.stats"}
    script = f"import sys, headstart.analysis.comparison; print(sorted({names} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60).stdout
    assert out == "[]\n"


# ---- how many seeds there have to be


LOOKS = dict(confirm_seeds="auto", looks=[3, 5, 7], planned_seeds=7)
BAD, GOOD = [70.0, 70.2, 70.1, 70.3, 70.0, 70.1, 70.2], [90.1, 90.2, 90.0, 90.1, 90.2, 90.0, 90.1]
CLOSE = [90.2, 89.9, 90.1, 90.3, 90.1, 90.0, 90.2]


def arms_of(folder, seeds=7, **scores):
    describe_study(folder, *scores, **LOOKS)
    for arm, own in scores.items():
        search(folder, arm)
        confirm(folder, arm, own[:seeds])


def test_arms_that_are_told_apart_get_no_more_seeds_and_others_up_to_the_limit(tmp_path):
    arms = dict(bad=BAD, good=GOOD, alike=CLOSE)
    for ended, wanted in ((0, (3, 3, 3)), (2, (3, 3, 3)), (3, (3, 5, 5)), (5, (3, 7, 7)), (7, (3, 7, 7))):
        arms_of(tmp_path / str(ended), ended, **arms)
        assert seeds_wanted(tmp_path / str(ended), arms) == dict(zip(arms, wanted, strict=True))


def test_what_ran_beyond_a_look_changes_nothing_of_what_it_decided(tmp_path):
    arms_of(tmp_path / "s", bad=BAD, good=GOOD)  # as another arm's pair once needed them
    assert seeds_wanted(tmp_path / "s", ["bad", "good"]) == {"bad": 3, "good": 3}
    pair = compare(tmp_path / "s").pairs.iloc[0]
    assert (pair["winner"], pair["seeds"], bool(pair["undecided"])) == ("good", 3, False)


@pytest.mark.parametrize("margin", [None, 3.0])
def test_a_pair_is_decided_where_no_difference_that_matters_is_left(tmp_path, margin):
    arms_of(tmp_path / "s", 5, a=CLOSE, b=[score + 0.1 * (-1) ** n for n, score in enumerate(CLOSE)])
    describe_study(tmp_path / "s", "a", "b", **LOOKS, margin=margin)
    pair = compare(tmp_path / "s").pairs.iloc[0]
    assert pair["winner"] is pd.NA and bool(pair["undecided"]) == (margin is None)
    assert ("a differ by less than 3 points" in pair["verdict"]) == (margin is not None)
    assert seeds_wanted(tmp_path / "s", "ab") == dict.fromkeys("ab", 7 if margin is None else 3)


def test_a_pair_that_no_seed_can_decide_gets_no_more(tmp_path):
    arms_of(tmp_path / "s", 3, a=CLOSE, b=[None, *CLOSE])  # DIVERGED
    assert seeds_wanted(tmp_path / "s", "ab") == {"a": 3, "b": 3}


def test_an_arm_with_nothing_to_confirm_holds_nobody_up(tmp_path):
    arms_of(tmp_path / "s", 3, a=CLOSE, b=CLOSE[::-1])
    describe_study(tmp_path / "s", "a", "b", "c", **LOOKS)
    search(tmp_path / "s", "c", vals=[None] * 5)
    assert seeds_wanted(tmp_path / "s", "abc") == {"a": 5, "b": 5, "c": 3}


def test_without_a_plan_of_looks_no_more_seeds_are_wanted(tmp_path):
    assert seeds_wanted(tmp_path, "ab") == {}


def test_seeds_that_were_added_after_a_look_have_less_error_to_spend(tmp_path):
    found = []
    for folder, looks in (("planned", [5]), ("added", [3, 5])):
        arms_of(tmp_path / folder, 5, a=A, b=B)
        described = dict(confirm_seeds=5, looks=looks, planned_seeds=looks[0])
        describe_study(tmp_path / folder, "a", "b", **described)
        found.append(compare(tmp_path / folder).pairs.iloc[0])
    assert found[0]["level"] == pytest.approx(0.955)
    assert found[1]["seeds"] == 3 or found[1]["level"] > 0.99
    assert "corrected for 2 looks" in found[1]["verdict"]


def test_an_arm_that_the_command_leaves_out_holds_nobody_up(tmp_path):
    arms_of(tmp_path / "s", 3, a=CLOSE, b=CLOSE[::-1])
    describe_study(tmp_path / "s", "a", "b", "left", **LOOKS)
    search(tmp_path / "s", "left")
    assert seeds_wanted(tmp_path / "s", "ab") == {"a": 5, "b": 5}


@pytest.mark.parametrize("planned", [10**12, 10**15])
def test_a_plan_that_nobody_can_have_made_names_no_winner_and_breaks_nothing(tmp_path, planned):
    arms_of(tmp_path / "s", a=BAD, b=GOOD)
    describe_study(tmp_path / "s", "a", "b", **LOOKS | dict(planned_seeds=planned))
    pair = compare(tmp_path / "s").pairs.iloc[0]
    assert pair["winner"] is pd.NA and pair["level"] < 1


def test_beyond_the_usual_limit_the_hint_raises_it(tmp_path):
    describe_study(tmp_path / "s", "a", "b", confirm_seeds=20, looks=[20], planned_seeds=20)
    rng = np.random.default_rng(0)
    for arm in "ab":
        search(tmp_path / "s", arm)
        confirm(tmp_path / "s", arm, list(np.round(90 + rng.standard_normal(20), 1)))
    hint = compare(tmp_path / "s").pairs["next"][0]
    assert hint == "the same command with confirm_seeds=auto confirm_seeds_max=30"
