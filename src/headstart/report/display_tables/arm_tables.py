"""The tables of arms: what each reached, how fast, what its answers take, and how they differ."""

from typing import Any

import pandas as pd

from headstart.analysis import TARGETS, Results, counted, runs_of_arm
from headstart.report.display_tables.frame import (
    Cell,
    DisplayColumn,
    DisplayTable,
    Row,
    difference_columns,
    interval_of,
    link,
    records,
    study_column,
    table,
    text_of,
    value_of,
)
from headstart.report.formatting import ABSENT, count, duration, is_missing, number, significant, text, unbroken
from headstart.statistics import UNBALANCED


def arms(results: Results) -> DisplayTable:
    """Per arm: its search, its best setting, and its test accuracy over the confirmation seeds."""
    frame = results.arms
    swept = [name for name in results.trials if name.startswith("params_") and name != "params_lr"]
    rows = [row | {"best": _best_run(row, results.trials)} for row in records(frame)]
    found = any(row["best"] is not None and row["best"][swept].notna().any() for row in rows)
    heading = "Best setting" if found else "Best learning rate"
    return table(
        "Each arm's best trial, and the test accuracy of what its search chose",
        rows,
        [
            DisplayColumn("Arm", _linked_arm, numeric=False),
            *study_column(frame),
            *([text_of("model", "Model")] if frame["model"].nunique() > 1 else []),
            value_of("test_mean", "Test, mean %"),
            interval_of("test_ci_low", "test_ci_high"),
            value_of("test_std", "Standard deviation"),
            value_of("seeds", "Seeds", count),
            *([value_of("test_balanced_accuracy", "Balanced accuracy, %")] if _is_unbalanced(frame) else []),
            value_of("test_f1_macro", "Macro F1, %"),
            value_of("val_accuracy", "Validation, %"),
            *([value_of("val_mean", "Validation, mean over folds, %")] if frame["folds"].notna().any() else []),
            DisplayColumn(heading, lambda row: _best_setting(row, swept)),
            value_of("trials", "Trials", count),
            *_halfway(frame),
            value_of("parameters", "Parameters", count),
        ],
    )


def _is_unbalanced(arms: pd.DataFrame) -> bool:
    """Whether some arm was trained on classes of such different sizes that accuracy alone says little of the rare."""
    return bool(arms["class_ratio"].gt(UNBALANCED).any())


def _halfway(frame: pd.DataFrame) -> list[DisplayColumn]:
    """Epochs to half-way between guessing and all right, or why there are none; [] where no run has epochs."""
    if frame["epochs_to_halfway_censored"].isna().all():
        return []
    targets = frame["halfway_accuracy"].dropna().unique()
    heading = f"Epochs to {targets[0]:.4g} %" if len(targets) == 1 else "Epochs to half-way"
    return [DisplayColumn(heading, _epochs_to_halfway)]


def _epochs_to_halfway(row: Row) -> str:
    epochs = row["epochs_to_halfway"]
    return _why_not(row, "halfway") if is_missing(epochs) else count(epochs)


def _why_not(row: Row, target: str) -> str:
    """`never`, `not yet`, `no epochs` or `not run`; tables of before do not say it."""
    return text(row[f"reached_{target}"])


def _best_run(arm: Row, trials: pd.DataFrame) -> pd.Series | None:
    """The arm's best trial, or single run."""
    study = trials["study"].isna() if is_missing(arm["study"]) else trials["study"] == arm["study"]
    return runs_of_arm(trials[study & (trials["arm"] == arm["arm"])]).best


def _linked_arm(row: Row) -> Cell:
    return Cell(text(row["arm"]), None if row["best"] is None else link(row["best"]["run_dir"]))


def _best_setting(row: Row, swept: list[str]) -> str:
    """The learning rate, which is the rule, and what else was searched, by name: `0.001`, `model.C=0.1`."""
    rate = significant(row["best_lr"]) + ("" if is_missing(row["edge_side"]) else f" (at the {row['edge_side']} edge)")
    found = {} if row["best"] is None else row["best"][swept].dropna()
    others = [f"{name.removeprefix('params_')}={significant(value)}" for name, value in found.items()]
    return ", ".join(([] if others and is_missing(row["best_lr"]) else [rate]) + others)


def speed(results: Results) -> DisplayTable | None:
    """Per arm: median epochs and training seconds to stated validation accuracies; None where no run has epochs."""
    frame, heading = results.arms, {"halfway": "half-way from chance", "99_of_final": "99 % of its own end"}
    reached = [t for t in TARGETS if frame[[f"epochs_to_{t}_censored", f"epochs_to_{t}"]].notna().any(axis=None)]
    if not reached:
        return None
    targets = [
        DisplayColumn(heading.get(t, f"{t} %"), lambda row, t=t: _time_to(row, t), numeric=False) for t in reached
    ]
    caption = "Median epochs and training time to a validation accuracy, over the confirmation runs"
    return table(caption, records(frame), [text_of("arm", "Arm"), *study_column(frame), *targets])


def _time_to(row: Row, target: str) -> str:
    epochs, seconds = row[f"epochs_to_{target}"], row[f"seconds_to_{target}"]
    censored = row[f"epochs_to_{target}_censored"]
    if is_missing(censored):
        return _why_not(row, target)
    never = unbroken(f"{censored} of {row['confirmations']}") + " never"
    if is_missing(epochs):
        return f"not yet ({never})" if _why_not(row, target) == "not yet" else f"not reached ({never})"
    median = unbroken(f"{counted(epochs, 'epoch')},") + f" {duration(seconds)}"
    return f"{median} ({never})" if censored else median


def footprint(results: Results) -> DisplayTable | None:
    """Per arm: what an answer takes, beside how good it is; None where no run has recorded it."""
    frame = results.arms
    if frame[["multiply_adds", "latency_seconds", "test_corrupted_mean"]].isna().all(axis=None):
        return None
    processors = list(frame["processor"].dropna().unique())
    where = f" ({processors[0]})" if len(processors) == 1 else ""
    return table(
        f"What an answer takes: latencies are of one picture on one thread of the processor{where}, in float32",
        records(frame),
        [
            text_of("arm", "Arm"),
            *study_column(frame),
            value_of("test_mean", "Test, mean %"),
            *_corrupted(frame),
            value_of("parameters", "Parameters", count),
            value_of("weights_bytes", "Weights, MB", lambda value: _scaled(value, 1e-6)),
            value_of("multiply_adds", "Multiply-adds, millions", lambda value: _scaled(value, 1e-6)),
            value_of("latency_seconds", "Latency, ms", lambda value: _scaled(value, 1e3)),
            value_of("latency_p95_seconds", "95th percentile, ms", lambda value: _scaled(value, 1e3)),
            value_of("answers_per_second", "Pictures a second, in batches", lambda value: number(value, 0)),
            *([text_of("processor", "Processor")] if len(processors) > 1 else []),
        ],
    )


def _corrupted(frame: pd.DataFrame) -> list[DisplayColumn]:
    asked = frame["test_corrupted_mean"].notna().any()
    return [value_of("test_corrupted_mean", "On worse pictures, mean %")] if asked else []


def _scaled(value: Any, factor: float) -> str:
    """Three digits, or all before the point: `0.775`, `11.4`, `1,820`."""
    if is_missing(value):
        return ABSENT
    value = float(value) * factor
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def pairs(results: Results) -> DisplayTable:
    """Per pair of arms: the difference with its interval, and what belongs to it."""
    frame = results.pairs
    return table(
        "Differences in test accuracy between arms, paired by seed",
        records(frame),
        [
            DisplayColumn("Arms", lambda row: f"{text(row['arm_a'])} − {text(row['arm_b'])}", numeric=False),
            *study_column(frame),
            value_of("seeds", "Seeds", count),
            *difference_columns("Difference, points"),
            value_of("probability_of_improvement", "P(first > second)"),
            DisplayColumn("Speed-up, epochs", _speedup),
            DisplayColumn("Untuned above the other's best", _untuned),
        ],
    )


def _speedup(row: Row) -> str:
    if is_missing(row["speedup_epochs"]):
        return ABSENT
    bounds = [row[f"speedup_epochs_{end}"] for end in ("low", "high")]
    interval = " to ".join(ABSENT if is_missing(bound) else f"{bound:.2g}" for bound in bounds)
    return f"{row['speedup_epochs']:.2g} × to {row['speedup_threshold']:g} % ({interval})"


def _untuned(row: Row) -> str:
    shares = (row["untuned_a"], row["untuned_b"])
    return " / ".join(ABSENT if is_missing(share) else f"{share:.0f} %" for share in shares)
