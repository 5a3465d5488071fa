"""The end of a single run in the terminal: what was measured, and nothing that was not."""

import pytest

from headstart.cli.run_summary import percent, print_run

SCORES = {"val_accuracy": 81.234, "test_accuracy": 80.5, "test_precision_macro": 79.0, "test_recall_macro": 78.125}
SIZE = {"parameters": 1_143_875, "parameters_trainable": 7_690, "seconds_train": 12.34, "images_per_second": 4321.0}
FACTS = {"model": "cnn", "data": "digits", "device": "cpu", "threads": 2, "precision": "fp32"}
RESULT = {"state": "COMPLETE", "best_epoch": 2, "test_reads": 1, "test_f1_macro": None} | SCORES | SIZE | FACTS


@pytest.fixture
def printed(capsys, monkeypatch, tmp_path):
    """`printed(**changes)` returns the rows that are printed of a result, and asserts that the folder comes last."""
    monkeypatch.setenv("COLUMNS", "120")

    def run(**changes) -> dict[str, str]:
        print_run(RESULT | changes, tmp_path)
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].strip() == "cnn on digits" and lines[-1] == str(tmp_path)
        rows = [[cell.strip() for cell in line.split("│")[1:3]] for line in lines if "│" in line]
        return dict(rows)

    return run


def test_a_run_that_has_read_the_test_split_shows_all_that_was_measured(printed):
    assert printed() == {
        "state": "COMPLETE",
        "validation accuracy": "81.23 %  (best epoch 2)",
        "test accuracy": "80.50 %",
        "test precision / recall / F1": "79.00 % / 78.12 % / -",
        "training": "12.3 s, 4,321 images/s",
        "parameters": "1,143,875 (7,690 trainable)",
        "on": "cpu, 2 threads, fp32",
    }


def test_what_was_not_read_or_does_not_apply_is_left_out(printed):
    rows = printed(test_reads=0, parameters=None, images_per_second=None, best_epoch=None, precision=None)
    assert list(rows) == ["state", "validation accuracy", "training", "on", "test split"]
    assert rows["test split"] == "not read"
    assert (rows["training"], rows["validation accuracy"], rows["on"]) == ("12.3 s", "81.23 %", "cpu, 2 threads")


def test_a_run_that_failed_says_why_and_folds_stand_beside_the_validation_accuracy(printed):
    folds = dict(cv_folds=5, cv_accuracy_mean=80.0, cv_accuracy_std=1.5)
    rows = printed(state="DIVERGED", reason="loss is not finite", val_accuracy=None, best_epoch=None, **folds)
    assert rows["state"] == "DIVERGED (loss is not finite)" and rows["validation accuracy"] == "-"
    assert list(rows)[2] == "5-fold cross-validation"
    assert rows["5-fold cross-validation"] == "80.00 %, standard deviation 1.50"


def test_a_value_that_is_none_is_a_dash():
    assert [percent(81.234), percent(0.0), percent(None)] == ["81.23 %", "0.00 %", "-"]


def test_a_run_that_is_validated_on_a_fold_says_on_which(printed):
    assert printed(folds=3, fold=1)["validation accuracy"] == "81.23 %  (best epoch 2)  (fold 1 of 0 to 2)"
