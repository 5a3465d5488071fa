"""The columns of arms.csv, pairs.csv and ledger.csv: type, unit, meaning; and frames that have them."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from headstart import tables
from headstart.tables import THRESHOLDS, Column

TARGETS = ("halfway", *map(str, THRESHOLDS), "99_of_final")


def _speed_columns() -> Iterator[tuple[str, Column]]:
    what = {
        "epochs": ("Int64", "epochs", "epochs"),
        "steps": ("Int64", "steps", "optimizer steps"),
        "images": ("Int64", "images", "images seen by training, repeats counted,"),
        "seconds": ("Float64", "seconds", "training time (no evaluation, no loading)"),
    }
    accuracy = {"halfway": "halfway_accuracy", "99_of_final": "99 % of final_val_accuracy"}
    for (measure, (dtype, unit, name)), target in itertools.product(what.items(), TARGETS):
        column, reached = f"{measure}_to_{target}", f"val_accuracy >= {accuracy.get(target, target)}"
        meaning = f"{name} to the first epoch with {reached}: Kaplan-Meier median over the confirmation runs"
        yield column, Column(dtype, unit, f"{meaning}; empty: half of them or more never got there")
        if measure in ("epochs", "seconds"):
            yield f"{column}_censored", Column("Int64", "count", f"confirmation runs that never had {reached}")


_STUDY = {"study": tables.COLUMNS["study"]}
SCORES = ("test_precision_macro", "test_recall_macro", "test_f1_macro")

ARM_COLUMNS: dict[str, Column] = {
    **_STUDY,
    "arm": tables.COLUMNS["arm"],
    "tuned": Column("boolean", "", "searched in a study; false: single runs, which are described and not judged"),
    "trials": Column("Int64", "count", "search trials that ended, failed ones not counted: the budget used"),
    "pruned": Column("Int64", "count", "search trials that the pruner ended"),
    "diverged": Column("Int64", "count", "search trials with a loss of NaN or infinity"),
    "failed": Column("Int64", "count", "search trials that ended with an exception; not in `trials`"),
    "chance": Column("Int64", "count", "search trials not above guessing by 3 standard errors"),
    "open": Column("Int64", "count", "search trials running or interrupted; not in `trials`"),
    "best_number": Column("Int64", "count from 0", "COMPLETE trial of the highest val_accuracy, the earlier of equals"),
    "best_lr": Column("Float64", "", "its learning rate"),
    "lr_low": Column("Float64", "", "lower bound of the learning rates searched, as extended; empty: not searched"),
    "lr_high": Column("Float64", "", "upper bound of the learning rates searched, as extended; empty: not searched"),
    "edge": Column(
        "boolean", "", "best learning rate, or 2 of the best 3, within 10 % of the log range from a bound; empty: "
        "the range is not known"
    ),
    "edge_side": Column("string", "", "bound in question: low or high; empty: not flagged"),
    "edge_try_low": Column("Float64", "", "lower bound to try next; empty: not flagged"),
    "edge_try_high": Column("Float64", "", "upper bound to try next; empty: not flagged"),
    "lr_tolerance_decades": Column(
        "Float64", "decades", "learning rates within 1 point of the arm's best val_accuracy, interpolated between "
        "trials spread over the range (with TPE: the first points and the best); empty: pruned trials or gaps above a "
        "decade"
    ),
    "val_accuracy": Column("Float64", "percent", "validation accuracy of the best trial"),
    "confirmations": Column("Int64", "count", "confirmation runs of the best trial, any state (single runs: repeats)"),
    "confirmations_lost": Column("Int64", "count", "those of them that DIVERGED: without a test accuracy"),
    "seeds": Column("Int64", "count", "confirmation seeds with a test accuracy: n of the statistics"),
    "test_mean": Column("Float64", "percent", "test accuracy, mean over seeds"),
    "test_std": Column("Float64", "points", "its standard deviation over seeds (n - 1)"),
    "test_ci_low": Column("Float64", "percent", "lower bound of its 95 % interval (Student t)"),
    "test_ci_high": Column("Float64", "percent", "upper bound of its 95 % interval (Student t)"),
    **{name: Column("Float64", "percent", tables.COLUMNS[name].meaning + ", mean over seeds") for name in SCORES},
    "halfway_accuracy": Column("Float64", "percent", "half-way between chance (100 / classes) and 100"),
    "final_val_accuracy": Column("Float64", "percent", "validation accuracy after the last epoch, mean over seeds"),
    **dict(_speed_columns()),
    **{name: tables.COLUMNS[name] for name in ("model", "parameters", "weights", "weights_sha256")},
    **{name: tables.COLUMNS[name] for name in ("data", "train_size", "data_sha256")},
    "test_images": Column("Int64", "images", "images of the test split"),
    "epochs": tables.COLUMNS["epochs"],
    "device": tables.COLUMNS["device"],
    "threads": tables.COLUMNS["threads"],
}  # fmt: skip

PAIR_COLUMNS: dict[str, Column] = {
    **_STUDY,
    "arm_a": Column("string", "", "first arm"),
    "arm_b": Column("string", "", "second arm, on the same data and train_size"),
    "data": tables.COLUMNS["data"],
    "train_size": tables.COLUMNS["train_size"],
    "seeds": Column("Int64", "count", "seeds that both were confirmed with"),
    "difference": Column("Float64", "points", "test accuracy a - b, mean over these seeds"),
    "ci_low": Column("Float64", "points", "lower bound of its interval (paired Student t) at `level`"),
    "ci_high": Column("Float64", "points", "upper bound of its interval (paired Student t) at `level`"),
    "level": Column("Float64", "", "level of the interval that matches Holm's step; 0.95 for a single pair"),
    "probability_of_improvement": Column("Float64", "", "P(a > b) of fresh runs, over all combinations of seeds"),
    "p": Column("Float64", "", "two-sided p-value of the paired t test"),
    "p_holm": Column("Float64", "", "the same, Holm-corrected over `family`"),
    "family": Column("Int64", "count", "pairs of the study that the correction counts"),
    "speedup_epochs": Column("Float64", "", "epochs of b / epochs of a to `speedup_threshold`: above 1, a is sooner"),
    "speedup_seconds": Column(
        "Float64", "", "the same in training seconds; empty where device or threads of the arms differ"
    ),
    "speedup_threshold": Column(
        "Float64", "percent", "highest stated val_accuracy that the median run of both reaches; empty: none"
    ),
    "untuned_a": Column(
        "Float64",
        "percent",
        "trials of a at its first points, which are tried whatever the search finds, that had more "
        "val_accuracy than b's best: learning rates at which a need not be tuned to beat b; empty: none are known",
    ),
    "untuned_b": Column("Float64", "percent", "the same of b's against a's best"),
    "test_sampling": Column("Float64", "points", "± that the choice of test images alone gives an accuracy (95 %)"),
    "winner": Column("string", "", "arm that the verdict names; empty: none"),
    "verdict": Column("string", "", "the one sentence that the evidence allows"),
    "next": Column("string", "", "what to run next; empty: nothing is missing"),
}

COUNTED = {
    "complete": ("COMPLETE", "search trials that ended and may be selected"),
    "chance": ("CHANCE", ARM_COLUMNS["chance"].meaning),
    "pruned": ("PRUNED", ARM_COLUMNS["pruned"].meaning),
    "diverged": ("DIVERGED", ARM_COLUMNS["diverged"].meaning),
    "failed": ("FAILED", "search trials that ended with an exception"),
    "running": ("RUNNING", "search trials whose process is alive"),
    "interrupted": ("INTERRUPTED", "search trials whose process is gone; the same command goes on with them"),
}

LEDGER_COLUMNS: dict[str, Column] = {
    **_STUDY,
    "arm": Column("string", "", "arm; `source`: the run before all arms; the last row of a study, `all`, is the sum"),
    "trials": Column("Int64", "count", "search trials begun, in any state"),
    **{name: Column("Int64", "count", meaning) for name, (_, meaning) in COUNTED.items()},
    "retried": Column("Int64", "count", "attempts that failed and were made again under the same number"),
    "confirmations": Column("Int64", "count", "confirmation runs begun, those of an earlier best trial too"),
    "other_runs": Column("Int64", "count", "single runs and source runs"),
    "test_reads": Column("Int64", "count", "readings of the test split"),
    "test_reads_earlier_choice": Column("Int64", "count", "those of them for a trial that is the arm's best no more"),
    "epochs": Column("Int64", "epochs", "epochs trained, over all runs"),
    "images": Column("Int64", "images", "images seen by training, over all runs, repeats counted"),
    "seconds": Column("Float64", "seconds", "training time, over all runs"),
}

tables.TABLES.update(arms=ARM_COLUMNS, pairs=PAIR_COLUMNS, ledger=LEDGER_COLUMNS)


def frame_of(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, Column]) -> pd.DataFrame:
    """Rows as a frame of exactly these columns and types; what a row lacks, NaN and infinity are missing."""
    return pd.DataFrame(
        {name: pd.array([known(row.get(name)) for row in rows], dtype=c.dtype) for name, c in columns.items()}
    )


def known(value: Any) -> Any:
    """The value, or None where it is missing."""
    missing = value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value))
    return None if missing else value
