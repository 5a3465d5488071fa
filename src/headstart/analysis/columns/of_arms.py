"""Columns of arms.csv, and of what else is said of an arm: what it cost, what others reported, worse pictures."""

import itertools
from collections.abc import Iterator

from headstart.analysis.columns.kinds import (
    Column,
    Columns,
    count,
    flag,
    integer,
    number,
    percent,
    points,
    seconds,
    text,
)
from headstart.analysis.columns.of_runs import THRESHOLDS, TRIALS, of_trials

TARGETS = ("halfway", *map(str, THRESHOLDS), "99_of_final")
CORRUPTED = ("test_corrupted_mean", *(f"test_{kind}_mean" for kind in ("noise", "blur", "jpeg", "contrast")))
SCORES = ("test_balanced_accuracy", "test_precision_macro", "test_recall_macro", "test_f1_macro")
ERRORS = ("val_mse", "val_mae", "val_r2", "test_mse", "test_mae", "test_r2")
READ_FIRST = {  # columns of arms.csv that stand first in it, and what they are called in arms_short.csv
    "arm": "arm",
    "test_mean": "test_accuracy_percent",
    "test_ci_low": "test_interval_low_percent",
    "test_ci_high": "test_interval_high_percent",
    "seeds": "seeds_tested",
    "best_lr": "best_learning_rate",
    "halfway_accuracy": "target_validation_accuracy_percent",
    "epochs_to_halfway": "epochs_to_target",
    "seconds_to_halfway": "training_seconds_to_target",
    "reached_halfway": "target_reached",
}

# ---- arms.csv: a row per arm


def _time_to_targets() -> Iterator[tuple[str, Column]]:
    measures = {
        "epochs": ("Int64", "epochs"),
        "steps": ("Int64", "optimizer steps"),
        "images": ("Int64", "images seen by training, repeats counted,"),
        "seconds": ("Float64", "training time (no evaluation, no loading)"),
    }
    accuracy = {"halfway": "halfway_accuracy", "99_of_final": "99 % of final_val_accuracy"}
    for (measure, (dtype, what)), target in itertools.product(measures.items(), TARGETS):
        column, reached = f"{measure}_to_{target}", f"val_accuracy >= {accuracy.get(target, target)}"
        meaning = f"{what} to the first epoch with {reached}: Kaplan-Meier median over the confirmation runs"
        yield column, Column(dtype, measure, f"{meaning}; empty: see reached_{target}")
        if measure in ("epochs", "seconds"):
            yield f"{column}_censored", count(f"confirmation runs that never had {reached}")
    for target in TARGETS:
        meaning = (
            f"whether the confirmation runs had val_accuracy >= {accuracy.get(target, target)}: yes, in the median; "
            "never, half of them or more; not yet, as some go on; no epochs, as they were fitted in one go; not run; "
            "empty: the accuracy is not known"
        )
        yield f"reached_{target}", text(meaning)


_ARMS: Columns = {
    **of_trials("study", "arm"),
    "tuned": flag("searched in a study; false: single runs, which are described and not judged"),
    "trials": count("search trials that ended, failed ones not counted: the budget used"),
    "pruned": count("search trials that the pruner ended, or paused and did not go on with"),
    "diverged": count("search trials with a loss of NaN or infinity"),
    "failed": count("search trials that ended with an exception; not in `trials`"),
    "chance": count("search trials not above guessing by 3 standard errors"),
    "open": count("search trials running or interrupted; not in `trials`"),
    "best_number": integer("count from 0", "COMPLETE trial of the highest val_accuracy, the earlier of equals"),
    "best_lr": number("", "its learning rate"),
    "lr_low": number("", "lower bound of the learning rates searched, as extended; empty: not searched"),
    "lr_high": number("", "upper bound of the learning rates searched, as extended; empty: not searched"),
    "edge": flag(
        "best learning rate, or 2 of the best 3, within 10 % of the log range from a bound; empty: the range is not "
        "known"
    ),
    "edge_side": text("bound in question: low or high; empty: not flagged"),
    "edge_try_low": number("", "lower bound to try next; empty: not flagged"),
    "edge_try_high": number("", "upper bound to try next; empty: not flagged"),
    "lr_tolerance_decades": number(
        "decades",
        "learning rates within 1 point of the arm's best val_accuracy, interpolated between trials spread over the "
        "range (with TPE: the first points and the best), paused ones with their value and what others gained from "
        "there on; empty: trials pruned for good or gaps above a decade",
    ),
    "lr_tolerance_low": number(
        "decades",
        "lower bound of a 95 % interval of the same by simulated repetitions of the search, inside what it tried",
    ),
    "lr_tolerance_high": number("decades", "upper bound of the same interval"),
    "val_accuracy": percent("validation accuracy of the best trial"),
    "val_mean": percent("validation accuracy of the confirmations, mean over seeds; with folds, of the folds' means"),
    "confirmations": count("confirmation runs of the best trial, any state (single runs: repeats)"),
    "confirmations_lost": count("those of them that DIVERGED: without a test accuracy"),
    "seeds": count("confirmation seeds with a test accuracy: n of the statistics"),
    "train_mean": percent(
        "train_accuracy, mean over the same seeds; far above test_mean: over-fitted; empty: trained in no epochs, or "
        "they are not there"
    ),
    "test_mean": percent("test accuracy, mean over seeds"),
    "test_std": points("its standard deviation over seeds (n - 1)"),
    "test_ci_low": percent(
        "lower bound of its 95 % interval (Student t on log odds) for new seeds; for new test images too where the "
        "predictions are there, for a repeated search where the confirmations repeat the choice, and for other "
        "training images of the same folds where there are folds"
    ),
    "test_ci_high": percent("upper bound of the same interval"),
    "test_seeds_ci_low": percent("lower bound of the interval for new seeds alone, on these test images"),
    "test_seeds_ci_high": percent("upper bound of the same interval"),
    "smoothed_best": text("settings at the optimum of a smooth response fitted to the search's trials"),
    "smoothed_lr": number("", "learning rate of these settings"),
    "confirmed_lr_low": number("", "lowest learning rate that a confirmation trained with, as each repeats the choice"),
    "confirmed_lr_high": number("", "highest of them"),
    "disagreement": text(
        "what the arm's runs differ in, though they must not: pictures, weights, settings; empty: none"
    ),
    "luck_std": points("standard deviation of the accuracy that repeated searches would lead to; empty: confirm=best"),
    "overtuning": points(
        "val_accuracy of the best trial above the mean of its confirmations', with folds of those on the same one: the "
        "luck in its choice"
    ),
    **{name: percent(TRIALS[name].meaning + ", mean over seeds") for name in (*SCORES, *CORRUPTED)},
    **{name: number(TRIALS[name].unit, TRIALS[name].meaning + "; mean as val_mean has it") for name in ERRORS},
    "halfway_accuracy": percent("half-way between chance (100 / classes) and 100"),
    "final_val_accuracy": percent("validation accuracy after the last epoch, mean over seeds"),
    **dict(_time_to_targets()),
    **of_trials("model", "parameters", "parameters_with_statistics", "multiply_adds", "weights_bytes"),
    "latency_seconds": seconds(
        "from one prepared picture to its answer, in float32 on one thread of `processor`: median of the "
        "confirmations' medians; a timing, which decides nothing"
    ),
    "latency_p95_seconds": seconds("the same, median of their 95th percentiles"),
    "answers_per_second": number("images per second", "the same in batches, median of the confirmations'"),
    "processor": text("the processor that all of them were measured on; empty: on several, or not measured"),
    **of_trials("weights", "weights_sha256"),
    **of_trials("data", "train_size", "image_size", "folds", "class_ratio", "class_weights", "data_sha256"),
    **of_trials("test_images", "epochs", "device", "threads"),
}
ARMS: Columns = {name: _ARMS[name] for name in READ_FIRST} | _ARMS

# ---- arms_short.csv: the first ten columns of arms.csv, under names that say what they are

ARMS_SHORT: Columns = {short: ARMS[name] for name, short in READ_FIRST.items()} | {
    "arm": text("name of the arm, what is compared; STUDY/ARM where there are several studies"),
    "test_accuracy_percent": percent("test accuracy of what the arm's search chose, mean over seeds"),
    "test_interval_low_percent": ARMS["test_ci_low"],
    "test_interval_high_percent": percent("upper bound of the same interval"),
    "target_validation_accuracy_percent": percent("half-way between guessing (100 / classes) and 100"),
    "epochs_to_target": integer("epochs", "epochs to it: median over the confirmation runs; empty: see target_reached"),
    "training_seconds_to_target": seconds(
        "training time to it (no evaluation, no loading), median over the confirmation runs; empty: see target_reached"
    ),
    "target_reached": text(
        "yes, by the median confirmation run; never, by half of them or more; not yet, as some go on; no epochs, as "
        "they were fitted in one go; not run; empty: the target is not known"
    ),
}

# ---- ledger.csv: a row per arm with what it has cost, and last their sum

LEDGER: Columns = {
    **of_trials("study"),
    "arm": text("arm; `source`: the run before all arms; the last row of a study, `all`, is the sum"),
    "trials": count("search trials begun, in any state"),
    "complete": count("search trials that ended and may be selected"),
    **{name: ARMS[name] for name in ("chance", "pruned", "diverged")},
    "failed": count("search trials that ended with an exception"),
    "running": count("search trials whose process is alive"),
    "interrupted": count("search trials whose process is gone; the same command goes on with them"),
    "retried": count("attempts that failed and were made again under the same number"),
    "confirmations": count("confirmation runs begun, those of an earlier best trial too"),
    "other_runs": count("single runs and source runs"),
    "test_reads": count("readings of the test split"),
    "test_reads_earlier_choice": count("those of them for a trial that is the arm's best no more"),
    "epochs": integer("epochs", "epochs trained, over all runs"),
    "images": integer("images", "images seen by training, over all runs, repeats counted"),
    "seconds": seconds("training time, over all runs"),
}

# ---- reported.csv: a row per figure that others reported for an arm of the study

REPORTED: Columns = {
    "arm": text("arm of this study"),
    "metric": text("column of arms.csv that the figure is compared with"),
    "reported": number("percent, or a count", "the figure as others reported it"),
    "ours": number("percent, or a count", "the same column of arms.csv, or what `ours_is` says; empty: not measured"),
    "ours_is": text("what stands in `ours` of an arm that no run was selected of; empty: the column of arms.csv"),
    "ci_low": percent("lower end of our 95 % interval, for test_mean"),
    "ci_high": percent("upper end of our 95 % interval, for test_mean"),
    "difference": number("points, or a count", "ours - reported"),
    "source": text("who reported it"),
    "note": text("why the two may differ"),
}

# ---- corruptions.csv: a row per arm, kind and strength

CORRUPTIONS: Columns = {
    **of_trials("study", "arm"),
    "corruption": text("what was done to the test images: noise, blur, jpeg or contrast"),
    "strength": integer("1 to 5", "how much, as CIFAR-10-C and above 64 pixels ImageNet-C have it"),
    "seeds": count("confirmation seeds that answered them"),
    "accuracy_mean": percent("accuracy on them, mean over seeds"),
    "accuracy_std": points("its standard deviation over seeds (n - 1)"),
}
