"""Every column of every table: pandas type, unit, meaning. The one place to add or look one up.

Types are Int64, Float64, string and boolean; a missing value is an empty cell. Reading, writing, computing and the data
dictionary in outputs/README.md go by this file alone.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

THRESHOLDS = (70, 80, 90, 93, 95)  # percent validation accuracy at which speed is compared
TARGETS = ("halfway", *map(str, THRESHOLDS), "99_of_final")
SORTED_BY = ("study", "arm", "phase", "number", "seed", "run_dir")
CORRUPTED = ("test_corrupted_mean", *(f"test_{kind}_mean" for kind in ("noise", "blur", "jpeg", "contrast")))
SCORES = ("test_balanced_accuracy", "test_precision_macro", "test_recall_macro", "test_f1_macro")
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
ERRORS = ("val_mse", "val_mae", "val_r2", "test_mse", "test_mae", "test_r2")


@dataclass(frozen=True)
class Column:
    """One column: pandas type, unit, meaning."""

    dtype: str
    unit: str
    meaning: str


Columns = dict[str, Column]  # of one table, in order


def _text(meaning: str, unit: str = "") -> Column:
    return Column("string", unit, meaning)


def _integer(unit: str, meaning: str) -> Column:
    return Column("Int64", unit, meaning)


def _count(meaning: str) -> Column:
    return _integer("count", meaning)


def _number(unit: str, meaning: str) -> Column:
    return Column("Float64", unit, meaning)


def _percent(meaning: str) -> Column:
    return _number("percent", meaning)


def _points(meaning: str) -> Column:
    return _number("points", meaning)


def _seconds(meaning: str) -> Column:
    return _number("seconds", meaning)


def _flag(meaning: str) -> Column:
    return Column("boolean", "", meaning)


# ---- trials.csv: a row per run


def _time_to_thresholds() -> Iterator[tuple[str, Column]]:
    measures = {"epochs": ("Int64", "epochs"), "seconds": ("Float64", "training time (no evaluation, no loading)")}
    for (measure, (dtype, what)), threshold in itertools.product(measures.items(), THRESHOLDS):
        yield (
            f"{measure}_to_{threshold}",
            Column(
                dtype,
                measure,
                f"{what} to the end of the first epoch with val_accuracy >= {threshold}, computed from epochs.csv; "
                f"empty: censored, see reached_{threshold}",
            ),
        )
    for threshold in THRESHOLDS:
        yield (
            f"reached_{threshold}",
            _text(
                f"whether an epoch had val_accuracy >= {threshold}: yes; never, in the epochs run; not yet, as the run "
                "goes on or may; no epochs, as it was fitted in one go; not run, as it ended before its first epoch"
            ),
        )


def _regression(images: str, part: str) -> Columns:
    what = f"of a regressor's outputs against 1 for the image's class and 0 for the others, over {images}"
    return {
        f"{part}_mse": _number("", f"mean squared error {what}; empty: a classifier"),
        f"{part}_mae": _number("", f"mean absolute error {what}"),
        f"{part}_r2": _number("", f"coefficient of determination (R²) {what}, mean over classes"),
    }


TRIALS: Columns = {
    "study": _text("name of the study (`name=`)"),
    "arm": _text("name of the arm, what is compared"),
    "phase": _text("run (single run), search, confirm or source"),
    "number": _integer("count from 0", "Optuna's number of the trial within the arm; empty for single runs"),
    "search_trials": _integer(
        "trials",
        "after how many trials of its arm's search the choice was made that a confirmation repeats; empty: "
        "it trains the best trial's settings (confirm=best)",
    ),
    "state": _text("COMPLETE, CHANCE, PRUNED, DIVERGED, FAILED, RUNNING, INTERRUPTED; only COMPLETE can be selected"),
    "reason": _text(
        "why the state is not COMPLETE, why training ended early or did not converge, and what was unreadable in the "
        "run's files"
    ),
    "model": _text("network or scikit-learn pipeline"),
    "weights": _text("initial weights as given: a tag or a path; empty: random"),
    "freeze": _text(
        "what is not trained: none, backbone, backbone_then_none or backbone_until:N (its N lowest stages)"
    ),
    "batch_norm": _text(
        "fixed: the backbone's batch normalisation keeps the statistics that came with its weights; empty: it learns "
        "them, or there is none"
    ),
    "stem": _text("first layers: imagenet or cifar (3x3, stride 1, no pool); empty: the model has no choice"),
    "data": _text("data set"),
    "train_size": _integer("images", "training images, validation split taken off"),
    "val_size": _integer("images", "validation images"),
    "train_images": _integer("images", "images trained on, copies and the validation split taken off"),
    "val_images": _integer("images", "images validated on"),
    "test_images": _integer("images", "images of the test split"),
    "class_ratio": _number("", "images trained on of the largest class / those of the smallest"),
    "class_weights": _text("weights of the classes in the training loss (data.class_weights); empty: every image is 1"),
    "copies_dropped": _count(
        "training images left out as exact copies of validation or test images, or as they lie in two classes; empty: "
        "nobody looked, as in CIFAR and the digits"
    ),
    "copies_kept": _count("validation and test images that another part has, too, pixel for pixel"),
    "look_alikes": _count("validation and test images that look like a training image, by a perceptual hash"),
    "folds": _count("folds that the images for training and validation were dealt out to (data.folds); empty: none"),
    "fold": _integer("count from 0", "the one of them that validates; the others are the training images"),
    "image_size": _integer("pixels", "height and width of what enters the network"),
    "augmentation": _text("augmentation of the training images"),
    "optimizer": _text("optimizer"),
    "schedule": _text("schedule of the learning rate"),
    "lr": _number("", "learning rate, the schedule's highest; empty: the model has none"),
    "batch_size": _integer("images", "images in a step"),
    "epochs": _integer("epochs", "epochs planned"),
    "epochs_run": _integer("epochs", "epochs that ended"),
    "seed": _integer("", "seed of initial weights, order and augmentation, or of the estimator's random_state"),
    "split_seed": _integer("", "seed of the split into training and validation images"),
    "val_accuracy": _percent(
        "validation accuracy of the best epoch, or of a model fitted in one go; empty until the run has ended"
    ),
    "val_loss": _number(
        "nats",
        "validation cross-entropy of the best epoch; of an estimator without probabilities, such as model=linear, that "
        "of the softmax of its outputs",
    ),
    **_regression("validation images", "val"),
    "cv_folds": _count("folds of the cross-validation on the training images; empty: none was asked"),
    "cv_accuracy_mean": _percent("accuracy on the folds left out, mean over folds"),
    "cv_accuracy_std": _points("its standard deviation over folds (n - 1)"),
    "best_epoch": _integer("count from 1", "epoch with the highest validation accuracy, whose weights are kept"),
    "train_accuracy": _percent("training accuracy of that epoch as in epochs.csv: mean over it, augmented images"),
    "test_accuracy": _percent("accuracy of the best epoch's weights on the test split; empty: not read"),
    "test_balanced_accuracy": _percent("test accuracy of each class, mean over classes; the same as test_recall_macro"),
    "test_precision_macro": _percent("test precision, mean over classes"),
    "test_recall_macro": _percent("test recall, mean over classes: the balanced accuracy"),
    "test_f1_macro": _percent("test F1, mean over classes"),
    **_regression("test images", "test"),
    "test_corrupted_mean": _percent(
        "accuracy on the test images under noise, blur, JPEG and low contrast at five strengths each, mean over them; "
        "empty: not asked for (corruptions=true)"
    ),
    "test_noise_mean": _percent("the same under noise, mean over strengths"),
    "test_blur_mean": _percent("the same under blur"),
    "test_jpeg_mean": _percent("the same under JPEG"),
    "test_contrast_mean": _percent("the same under low contrast"),
    **dict(_time_to_thresholds()),
    "seconds_train": _seconds("training time, or that of the fit: no evaluation, compilation or loading of data"),
    "images_per_second": _number("images per second", "images seen by training / seconds_train"),
    "seconds_features": _seconds(
        "time to compute features of a frozen backbone, not in seconds_train; 0: earlier runs had left them; empty: "
        "none are kept, the backbone runs in every epoch"
    ),
    "steps": _integer("steps", "optimizer steps of the epochs in epochs.csv"),
    "images": _integer("images", "images seen by training in the epochs in epochs.csv, repeats counted"),
    "parameters": _count(
        "parameters of the network, frozen ones too, and the estimator's coefficients and intercepts; empty: an "
        "estimator without, such as trees"
    ),
    "parameters_trainable": _count("parameters that are trained (at the end of the run)"),
    "parameters_with_statistics": _count(
        "parameters and the moving means and variances of batch norm, as Keras counts"
    ),
    "multiply_adds": _count(
        "multiply-adds of one picture's answer: convolutions and matrix products as they run, by torch's "
        "FlopCounterMode, and the coefficients of a linear estimator; empty: another estimator, or not counted"
    ),
    "weights_bytes": _integer(
        "bytes", "the network's tensors in float32, its file without the header; empty: an estimator, which has no file"
    ),
    "latency_seconds": _seconds(
        "from one prepared picture to its answer, median of up to 200 after 3 that don't count: in float32 on one "
        "thread of `processor`, whose own time it is, without waiting for it; empty: not measured, as of untested runs"
    ),
    "latency_p95_seconds": _seconds("the same, 95th percentile"),
    "answers_per_second": _number(
        "images per second", "the same in batches of 16; of 4 or 1 where 5 batches of 16 take longer than 0.3 s"
    ),
    "processor": _text("the processor that this was measured on, by its maker's name"),
    "weights_sha256": _text("SHA-256 of the file of the initial weights; empty: random", "hexadecimal"),
    "normalisation": _text(
        "whose mean and standard deviation the inputs were normalised with: data or imagenet per channel, "
        "standard_scaler per feature"
    ),
    "test_reads": _count("how often this run read the test split"),
    "device": _text("device that trained"),
    "threads": _count("CPU threads of the run; bit-identity is promised at equal threads and device"),
    "precision": _text("arithmetic of the forward pass"),
    "torch_version": _text("version of torch"),
    "sklearn_version": _text("version of scikit-learn, where it fitted the model"),
    "headstart_version": _text("version of headstart"),
    "git_commit": _text("commit of the code; empty outside a clone", "hexadecimal"),
    "config_hash": _text("hash of every setting that changes the result", "hexadecimal"),
    "data_sha256": _text("SHA-256 of pixels, labels and split", "hexadecimal"),
    "command": _text("the command that repeats this run"),
    "run_dir": _text("folder of the run, relative to the folder collated"),
}


def _of_trials(*names: str) -> Columns:
    """Columns that mean in another table what they mean in trials.csv."""
    return {name: TRIALS[name] for name in names}


# ---- epochs.csv: a row per run and epoch

EPOCHS: Columns = {
    **_of_trials(*SORTED_BY),
    "epoch": _integer("count from 1", "epoch"),
    "steps": _integer("steps", "optimizer steps so far"),
    "images": _integer("images", "images seen by training so far, repeats counted"),
    "lr": _number("", "learning rate of the epoch's last step (first parameter group)"),
    "train_loss": _number("nats", "training loss, mean over the epoch, augmented images"),
    "train_accuracy": _percent("training accuracy, mean over the epoch, augmented images"),
    "val_loss": _number("nats", "validation cross-entropy after the epoch"),
    "val_accuracy": _percent("validation accuracy after the epoch"),
    "seconds_train": _seconds("training time of this epoch, no evaluation"),
    "images_per_second": _number("images per second", "images of this epoch / seconds_train"),
    "seconds_total": _seconds("training time so far"),
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
            yield f"{column}_censored", _count(f"confirmation runs that never had {reached}")
    for target in TARGETS:
        meaning = (
            f"whether the confirmation runs had val_accuracy >= {accuracy.get(target, target)}: yes, in the median; "
            "never, half of them or more; not yet, as some go on; no epochs, as they were fitted in one go; not run; "
            "empty: the accuracy is not known"
        )
        yield f"reached_{target}", _text(meaning)


_ARMS: Columns = {
    **_of_trials("study", "arm"),
    "tuned": _flag("searched in a study; false: single runs, which are described and not judged"),
    "trials": _count("search trials that ended, failed ones not counted: the budget used"),
    "pruned": _count("search trials that the pruner ended, or paused and did not go on with"),
    "diverged": _count("search trials with a loss of NaN or infinity"),
    "failed": _count("search trials that ended with an exception; not in `trials`"),
    "chance": _count("search trials not above guessing by 3 standard errors"),
    "open": _count("search trials running or interrupted; not in `trials`"),
    "best_number": _integer("count from 0", "COMPLETE trial of the highest val_accuracy, the earlier of equals"),
    "best_lr": _number("", "its learning rate"),
    "lr_low": _number("", "lower bound of the learning rates searched, as extended; empty: not searched"),
    "lr_high": _number("", "upper bound of the learning rates searched, as extended; empty: not searched"),
    "edge": _flag(
        "best learning rate, or 2 of the best 3, within 10 % of the log range from a bound; empty: the range is not "
        "known"
    ),
    "edge_side": _text("bound in question: low or high; empty: not flagged"),
    "edge_try_low": _number("", "lower bound to try next; empty: not flagged"),
    "edge_try_high": _number("", "upper bound to try next; empty: not flagged"),
    "lr_tolerance_decades": _number(
        "decades",
        "learning rates within 1 point of the arm's best val_accuracy, interpolated between trials spread over the "
        "range (with TPE: the first points and the best), paused ones with their value and what others gained from "
        "there on; empty: trials pruned for good or gaps above a decade",
    ),
    "lr_tolerance_low": _number(
        "decades",
        "lower bound of a 95 % interval of the same by simulated repetitions of the search, inside what it tried",
    ),
    "lr_tolerance_high": _number("decades", "upper bound of the same interval"),
    "val_accuracy": _percent("validation accuracy of the best trial"),
    "val_mean": _percent("validation accuracy of the confirmations, mean over seeds; with folds, of the folds' means"),
    "confirmations": _count("confirmation runs of the best trial, any state (single runs: repeats)"),
    "confirmations_lost": _count("those of them that DIVERGED: without a test accuracy"),
    "seeds": _count("confirmation seeds with a test accuracy: n of the statistics"),
    "train_mean": _percent(
        "train_accuracy, mean over the same seeds; far above test_mean: over-fitted; empty: trained in no epochs, or "
        "they are not there"
    ),
    "test_mean": _percent("test accuracy, mean over seeds"),
    "test_std": _points("its standard deviation over seeds (n - 1)"),
    "test_ci_low": _percent(
        "lower bound of its 95 % interval (Student t on log odds) for new seeds; for new test images too where the "
        "predictions are there, for a repeated search where the confirmations repeat the choice, and for other "
        "training images of the same folds where there are folds"
    ),
    "test_ci_high": _percent("upper bound of the same interval"),
    "test_seeds_ci_low": _percent("lower bound of the interval for new seeds alone, on these test images"),
    "test_seeds_ci_high": _percent("upper bound of the same interval"),
    "smoothed_best": _text("settings at the optimum of a smooth response fitted to the search's trials"),
    "smoothed_lr": _number("", "learning rate of these settings"),
    "confirmed_lr_low": _number(
        "", "lowest learning rate that a confirmation trained with, as each repeats the choice"
    ),
    "confirmed_lr_high": _number("", "highest of them"),
    "disagreement": _text(
        "what the arm's runs differ in, though they must not: pictures, weights, settings; empty: none"
    ),
    "luck_std": _points("standard deviation of the accuracy that repeated searches would lead to; empty: confirm=best"),
    "overtuning": _points(
        "val_accuracy of the best trial above the mean of its confirmations', with folds of those on the same one: the "
        "luck in its choice"
    ),
    **{name: _percent(TRIALS[name].meaning + ", mean over seeds") for name in (*SCORES, *CORRUPTED)},
    **{name: _number(TRIALS[name].unit, TRIALS[name].meaning + "; mean as val_mean has it") for name in ERRORS},
    "halfway_accuracy": _percent("half-way between chance (100 / classes) and 100"),
    "final_val_accuracy": _percent("validation accuracy after the last epoch, mean over seeds"),
    **dict(_time_to_targets()),
    **_of_trials("model", "parameters", "parameters_with_statistics", "multiply_adds", "weights_bytes"),
    "latency_seconds": _seconds(
        "from one prepared picture to its answer, in float32 on one thread of `processor`: median of the "
        "confirmations' medians; a timing, which decides nothing"
    ),
    "latency_p95_seconds": _seconds("the same, median of their 95th percentiles"),
    "answers_per_second": _number("images per second", "the same in batches, median of the confirmations'"),
    "processor": _text("the processor that all of them were measured on; empty: on several, or not measured"),
    **_of_trials("weights", "weights_sha256"),
    **_of_trials("data", "train_size", "image_size", "folds", "class_ratio", "class_weights", "data_sha256"),
    **_of_trials("test_images", "epochs", "device", "threads"),
}
ARMS: Columns = {name: _ARMS[name] for name in READ_FIRST} | _ARMS

# ---- arms_short.csv: the first ten columns of arms.csv, under names that say what they are

ARMS_SHORT: Columns = {short: ARMS[name] for name, short in READ_FIRST.items()} | {
    "arm": _text("name of the arm, what is compared; STUDY/ARM where there are several studies"),
    "test_accuracy_percent": _percent("test accuracy of what the arm's search chose, mean over seeds"),
    "test_interval_low_percent": ARMS["test_ci_low"],
    "test_interval_high_percent": _percent("upper bound of the same interval"),
    "target_validation_accuracy_percent": _percent("half-way between guessing (100 / classes) and 100"),
    "epochs_to_target": _integer(
        "epochs", "epochs to it: median over the confirmation runs; empty: see target_reached"
    ),
    "training_seconds_to_target": _seconds(
        "training time to it (no evaluation, no loading), median over the confirmation runs; empty: see target_reached"
    ),
    "target_reached": _text(
        "yes, by the median confirmation run; never, by half of them or more; not yet, as some go on; no epochs, as "
        "they were fitted in one go; not run; empty: the target is not known"
    ),
}

# ---- pairs.csv: a row per pair of arms that can be compared

PAIRS: Columns = {
    **_of_trials("study"),
    "arm_a": _text("first arm: that with pretrained weights, or if both or neither has any, the more accurate one"),
    "arm_b": _text("second arm, on the same data and train_size"),
    **_of_trials("data", "train_size"),
    "seeds": _count("seeds that both were confirmed with; where fewer named a winner already, these"),
    "difference": _points("test accuracy a - b, mean over these seeds"),
    "ci_low": _points("lower bound of its interval (paired Student t) at `level`, for what `holds_for` says"),
    "ci_high": _points("upper bound of the same interval"),
    "holds_for": _text(
        "what the interval generalises to: new seeds, new test images, repeated searches, other training images of the "
        "same folds"
    ),
    "seeds_ci_low": _points("lower bound of the 95 % interval for new seeds alone, not corrected"),
    "seeds_ci_high": _points("upper bound of the same interval"),
    "level": _number("", "level of the interval, by Holm's step and the error that is spent at this number of seeds"),
    "detectable": _points(
        "true difference that such an interval would have told from zero 80 times in 100; empty: not even one of 100"
    ),
    "probability_of_improvement": _number("", "P(a > b) of fresh runs, over all combinations of seeds"),
    "p": _number("", "two-sided p-value of the paired t test"),
    "p_holm": _number("", "the same, corrected for all looks at the seeds and, by Holm, for all pairs of `family`"),
    "family": _count("pairs of the study that the correction counts"),
    "speedup_epochs": _number("", "epochs of b / epochs of a to `speedup_threshold`: above 1, a is sooner"),
    "speedup_seconds": _number("", "the same in training seconds; empty where device or threads of the arms differ"),
    "speedup_epochs_low": _number(
        "",
        "lower bound of its 95 % interval: geometric mean over paired seeds, Student t on logarithms; a run that never "
        "got there counts with what it lasted, and the bound on its side stays open (empty)",
    ),
    "speedup_epochs_high": _number("", "upper bound of the same interval; empty: open"),
    "speedup_seconds_low": _number("", "lower bound of the same interval in training seconds; empty: open"),
    "speedup_seconds_high": _number("", "upper bound of it; empty: open"),
    "speedup_threshold": _percent("highest stated val_accuracy that the median run of both reaches; empty: none"),
    "untuned_a": _percent(
        "trials of a at its first points, which are tried whatever the search finds, that had more val_accuracy than "
        "b's best: learning rates at which a need not be tuned to beat b; empty: none are known"
    ),
    "untuned_b": _percent("the same of b's against a's best"),
    "test_sampling": _points("± that the choice of test images alone gives an accuracy (95 %)"),
    "pictures": _count("test pictures that both answered; empty: not known"),
    "pictures_alone": _points(
        "± that the choice of these alone leaves of the difference, by these very models, at `level`; it is in the "
        "interval, too"
    ),
    "pictures_paired": _flag(
        "whether that is by the pictures on which the arms differ; no: predictions were not kept, and it is as of two "
        "accuracies on pictures of their own, which is more"
    ),
    "winner": _text("arm that the verdict names; empty: none"),
    "undecided": _flag("whether more seeds could still decide the pair"),
    "verdict": _text("the one sentence that the evidence allows"),
    "next": _text("what to run next; empty: nothing is missing"),
}

# ---- ledger.csv: a row per arm with what it has cost, and last their sum

LEDGER: Columns = {
    **_of_trials("study"),
    "arm": _text("arm; `source`: the run before all arms; the last row of a study, `all`, is the sum"),
    "trials": _count("search trials begun, in any state"),
    "complete": _count("search trials that ended and may be selected"),
    **{name: ARMS[name] for name in ("chance", "pruned", "diverged")},
    "failed": _count("search trials that ended with an exception"),
    "running": _count("search trials whose process is alive"),
    "interrupted": _count("search trials whose process is gone; the same command goes on with them"),
    "retried": _count("attempts that failed and were made again under the same number"),
    "confirmations": _count("confirmation runs begun, those of an earlier best trial too"),
    "other_runs": _count("single runs and source runs"),
    "test_reads": _count("readings of the test split"),
    "test_reads_earlier_choice": _count("those of them for a trial that is the arm's best no more"),
    "epochs": _integer("epochs", "epochs trained, over all runs"),
    "images": _integer("images", "images seen by training, over all runs, repeats counted"),
    "seconds": _seconds("training time, over all runs"),
}

# ---- reported.csv: a row per figure that others reported for an arm of the study

REPORTED: Columns = {
    "arm": _text("arm of this study"),
    "metric": _text("column of arms.csv that the figure is compared with"),
    "reported": _number("percent, or a count", "the figure as others reported it"),
    "ours": _number("percent, or a count", "the same column of arms.csv, or what `ours_is` says; empty: not measured"),
    "ours_is": _text("what stands in `ours` of an arm that no run was selected of; empty: the column of arms.csv"),
    "ci_low": _percent("lower end of our 95 % interval, for test_mean"),
    "ci_high": _percent("upper end of our 95 % interval, for test_mean"),
    "difference": _number("points, or a count", "ours - reported"),
    "source": _text("who reported it"),
    "note": _text("why the two may differ"),
}

# ---- corruptions.csv: a row per arm, kind and strength

CORRUPTIONS: Columns = {
    **_of_trials("study", "arm"),
    "corruption": _text("what was done to the test images: noise, blur, jpeg or contrast"),
    "strength": _integer("1 to 5", "how much, as CIFAR-10-C and above 64 pixels ImageNet-C have it"),
    "seeds": _count("confirmation seeds that answered them"),
    "accuracy_mean": _percent("accuracy on them, mean over seeds"),
    "accuracy_std": _points("its standard deviation over seeds (n - 1)"),
}

# ---- searches.csv and search_pairs.csv: searches that were repeated with other seeds, and their pairs

SEARCHES: Columns = {
    "search": _text("what the repeats share of their studies' names; the arm where a study has several"),
    **_of_trials("arm"),
    "repeats": _count("studies that differ in the seed alone and have a score: n of the statistics"),
    "led_nowhere": _count(
        "further repeats: no trial may be selected, or confirmations DIVERGED; the means are too high without them, "
        "and no winner is named"
    ),
    "trials": _count("trials of each search; the fewest, where they differ"),
    "epochs_searched": _number("epochs", "epochs that a search's trials trained, mean over repeats"),
    "best_lr_low": _number("", "lowest of the learning rates that the searches found best"),
    "best_lr_high": _number("", "highest of them"),
    "val_mean": _percent("validation accuracy of the best trial, mean over repeats"),
    "val_lowest": _percent("the same of the least lucky search"),
    "test_mean": _percent("test accuracy of the best trial's confirmations, mean over repeats"),
    "test_std": _points("its standard deviation over repeats (n - 1)"),
    "test_ci_low": _percent("lower bound of its 95 % interval (Student t on log odds) for repeated searches"),
    "test_ci_high": _percent("upper bound of the same interval"),
    "test_lowest": _percent("the same of the least lucky search"),
    **_of_trials("data", "train_size"),
}

SEARCH_PAIRS: Columns = {
    "search_a": _text("first search"),
    "search_b": _text("second search, on the same images"),
    "repeats": _count("study seeds that both were repeated with"),
    "val_difference": _points("validation accuracy of the best trial a - b, mean over these seeds"),
    "val_ci_low": _points("lower bound of its 95 % interval (paired Student t), not corrected"),
    "val_ci_high": _points("upper bound of its 95 % interval (paired Student t), not corrected"),
    **{name: PAIRS[name] for name in ("difference", "ci_low", "ci_high", "level", "p", "p_holm")},
    "family": _count("pairs of searches that the correction counts"),
    **{name: PAIRS[name] for name in ("pictures", "pictures_alone", "pictures_paired")},
    "winner": _text("search that the verdict names; empty: none"),
    **{name: PAIRS[name] for name in ("verdict", "next")},
}

# ---- forecast.csv: a row per line of arms that differ in their training images alone, and per pair of lines

FORECAST: Columns = {
    "images": _integer("images", "training images that the forecast is for"),
    "line_a": _text("arms that differ in nothing but their training images, by what their names share"),
    "line_b": _text("a second such line; empty: the row is about the accuracy of the first one alone"),
    "sizes": _count("numbers of training images that the forecast is made from; the fewer, of two lines"),
    "largest": _integer("images", "the largest of them; the smaller, of two lines"),
    "forecast": _number(
        "percent, or points", "test accuracy of line_a at `images`; of two lines what a is above b; a median"
    ),
    "ci_low": _number(
        "percent, or points",
        "lower bound of its 95 % interval, for what seeds, subsets and the law of the curve leave open; assumed is the "
        "same recipe at all sizes",
    ),
    "ci_high": _number("percent, or points", "upper bound of the same interval"),
    "measured": _number(
        "percent, or points", "the same from arms of exactly `images`, which the forecast does not know; empty: none"
    ),
    "held": _flag("whether the interval holds what was measured; empty: nothing was"),
    "differs": _text("what was measured with another recipe than the arms of the forecast; empty: nothing"),
    "sentence": _text("the row in words"),
}

TABLES: dict[str, Columns] = {
    "trials": TRIALS,
    "epochs": EPOCHS,
    "arms_short": ARMS_SHORT,
    "arms": ARMS,
    "pairs": PAIRS,
    "ledger": LEDGER,
    "reported": REPORTED,
    "corruptions": CORRUPTIONS,
    "searches": SEARCHES,
    "search_pairs": SEARCH_PAIRS,
    "forecast": FORECAST,
}  # by the file's name without .csv


def dictionary_markdown() -> str:
    """Return the data dictionary of all tables as Markdown, a section with a table each."""
    return "\n".join(line for name, columns in TABLES.items() for line in _section(name, columns))


def _section(name: str, columns: Columns) -> Iterator[str]:
    yield f"## {name}.csv\n"
    yield "| column | type | unit | meaning |"
    yield "| --- | --- | --- | --- |"
    for column, about in columns.items():
        yield f"| `{column}` | {about.dtype} | {about.unit} | {about.meaning.replace('|', chr(92) + '|')} |"
    if columns is TRIALS:
        yield "| `params_<key>` | by content | | the value of a swept setting `<key>`, one column each, by name |"
    yield ""
