"""The ledger counts every run, whatever became of it."""

from analysis.helpers_analysis import confirm, row_of, run, said
from headstart.analysis.columns import LEDGER
from headstart.analysis.comparison import compare
from headstart.store import lock_run


def test_the_ledger_counts_every_run_and_ends_with_the_sum(fair):
    run(fair, "source", arm="source", phase="source", curve=(50, 60))
    for number, state in enumerate(["PRUNED", "FAILED", "CHANCE", None], 5):
        run(fair, f"a/search/{number:03d}", arm="a", phase="search", number=number, lr=2e-3, state=state)
    (fair / "a/search/006/result.failed-1.json").write_text("{}")
    with lock_run(fair / "a/search/008"):
        found = compare(fair).ledger
    row = row_of(found, arm="a")
    assert list(found["arm"]) == ["a", "b", "source", "all"]
    assert row[list(LEDGER)[2:15]].tolist() == [9, 4, 1, 1, 1, 1, 1, 0, 1, 5, 0, 5, 0]
    assert (row["epochs"], row["images"], row["seconds"]) == (
        41,
        5 * 640 + 9 * 2560,
        41.0,
    )  # the search of the template has one epoch a trial
    assert row_of(found, arm="source")[["trials", "other_runs", "epochs"]].tolist() == [0, 1, 2]
    numbers = found.drop(columns=["study", "arm"])
    assert numbers.iloc[:-1].sum().tolist() == numbers.iloc[-1].tolist()


def test_a_run_that_lost_its_facts_stays_in_the_ledger(fair):
    (fair / "a/search/004/run.json").write_text("{")
    (fair / "a/search/004/result.json").unlink()
    found = compare(fair).ledger
    assert found["arm"].isna().sum() == 1 and found["other_runs"].iloc[-1] == 1


def test_confirmations_of_an_earlier_best_trial_count_in_the_ledger_only(fair):
    confirm(fair, "a", [10.0], number=1)
    confirm(fair, "a", [11.0], number=3)
    found = compare(fair)
    row, spent = row_of(found.arms, arm="a"), row_of(found.ledger, arm="a")
    assert (row["test_mean"], row["seeds"], row["confirmations"]) == (92.0, 5, 5)
    assert (spent["confirmations"], spent["test_reads"], spent["test_reads_earlier_choice"]) == (7, 7, 2)
    assert row_of(found.ledger, arm="b")["test_reads_earlier_choice"] == 0
    assert said(found, "had been read 2 times for an earlier choice of a's best trial") and said(found, "read 12 times")
    assert found.pairs["seeds"].tolist() == [5]
