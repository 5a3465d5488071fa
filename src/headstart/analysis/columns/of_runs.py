"""Columns of trials.csv and epochs.csv: what a run is, and what came of it."""

import itertools
from collections.abc import Iterator

from headstart.analysis.columns.kinds import Column, Columns, count, integer, number, percent, points, seconds, text

THRESHOLDS = (70, 80, 90, 93, 95)  # percent validation accuracy at which speed is compared
SORTED_BY = ("study", "arm", "phase", "number", "seed", "run_dir")

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
            text(
                f"whether an epoch had val_accuracy >= {threshold}: yes; never, in the epochs run; not yet, as the run "
                "goes on or may; no epochs, as it was fitted in one go; not run, as it ended before its first epoch"
            ),
        )


def _regression(images: str, part: str) -> Columns:
    what = f"of a regressor's outputs against 1 for the image's class and 0 for the others, over {images}"
    return {
        f"{part}_mse": number("", f"mean squared error {what}; empty: a classifier"),
        f"{part}_mae": number("", f"mean absolute error {what}"),
        f"{part}_r2": number("", f"coefficient of determination (R²) {what}, mean over classes"),
    }


TRIALS: Columns = {
    "study": text("name of the study (`name=`)"),
    "arm": text("name of the arm, what is compared"),
    "phase": text("run (single run), search, confirm or source"),
    "number": integer("count from 0", "Optuna's number of the trial within the arm; empty for single runs"),
    "search_trials": integer(
        "trials",
        "after how many trials of its arm's search the choice was made that a confirmation repeats; empty: "
        "it trains the best trial's settings (confirm=best)",
    ),
    "state": text("COMPLETE, CHANCE, PRUNED, DIVERGED, FAILED, RUNNING, INTERRUPTED; only COMPLETE can be selected"),
    "reason": text(
        "why the state is not COMPLETE, why training ended early or did not converge, and what was unreadable in the "
        "run's files"
    ),
    "model": text("network or scikit-learn pipeline"),
    "weights": text("initial weights as given: a tag or a path; empty: random"),
    "freeze": text("what is not trained: none, backbone, backbone_then_none or backbone_until:N (its N lowest stages)"),
    "batch_norm": text(
        "fixed: the backbone's batch normalisation keeps the statistics that came with its weights; empty: it learns "
        "them, or there is none"
    ),
    "stem": text("first layers: imagenet or cifar (3x3, stride 1, no pool); empty: the model has no choice"),
    "data": text("data set"),
    "train_size": integer("images", "training images, validation split taken off"),
    "val_size": integer("images", "validation images"),
    "train_images": integer("images", "images trained on, copies and the validation split taken off"),
    "val_images": integer("images", "images validated on"),
    "test_images": integer("images", "images of the test split"),
    "class_ratio": number("", "images trained on of the largest class / those of the smallest"),
    "class_weights": text("weights of the classes in the training loss (data.class_weights); empty: every image is 1"),
    "copies_dropped": count(
        "training images left out as exact copies of validation or test images, or as they lie in two classes; empty: "
        "nobody looked, as in CIFAR and the digits"
    ),
    "copies_kept": count("validation and test images that another part has, too, pixel for pixel"),
    "look_alikes": count("validation and test images that look like a training image, by a perceptual hash"),
    "folds": count("folds that the images for training and validation were dealt out to (data.folds); empty: none"),
    "fold": integer("count from 0", "the one of them that validates; the others are the training images"),
    "image_size": integer("pixels", "height and width of what enters the network"),
    "augmentation": text("augmentation of the training images"),
    "optimizer": text("optimizer"),
    "schedule": text("schedule of the learning rate"),
    "lr": number("", "learning rate, the schedule's highest; empty: the model has none"),
    "batch_size": integer("images", "images in a step"),
    "epochs": integer("epochs", "epochs planned"),
    "epochs_run": integer("epochs", "epochs that ended"),
    "seed": integer("", "seed of initial weights, order and augmentation, or of the estimator's random_state"),
    "split_seed": integer("", "seed of the split into training and validation images"),
    "val_accuracy": percent(
        "validation accuracy of the best epoch, or of a model fitted in one go; empty until the run has ended"
    ),
    "val_loss": number(
        "nats",
        "validation cross-entropy of the best epoch; of an estimator without probabilities, such as model=linear, that "
        "of the softmax of its outputs",
    ),
    **_regression("validation images", "val"),
    "cv_folds": count("folds of the cross-validation on the training images; empty: none was asked"),
    "cv_accuracy_mean": percent("accuracy on the folds left out, mean over folds"),
    "cv_accuracy_std": points("its standard deviation over folds (n - 1)"),
    "best_epoch": integer("count from 1", "epoch with the highest validation accuracy, whose weights are kept"),
    "train_accuracy": percent("training accuracy of that epoch as in epochs.csv: mean over it, augmented images"),
    "test_accuracy": percent("accuracy of the best epoch's weights on the test split; empty: not read"),
    "test_balanced_accuracy": percent("test accuracy of each class, mean over classes; the same as test_recall_macro"),
    "test_precision_macro": percent("test precision, mean over classes"),
    "test_recall_macro": percent("test recall, mean over classes: the balanced accuracy"),
    "test_f1_macro": percent("test F1, mean over classes"),
    **_regression("test images", "test"),
    "test_corrupted_mean": percent(
        "accuracy on the test images under noise, blur, JPEG and low contrast at five strengths each, mean over them; "
        "empty: not asked for (corruptions=true)"
    ),
    "test_noise_mean": percent("the same under noise, mean over strengths"),
    "test_blur_mean": percent("the same under blur"),
    "test_jpeg_mean": percent("the same under JPEG"),
    "test_contrast_mean": percent("the same under low contrast"),
    **dict(_time_to_thresholds()),
    "seconds_train": seconds("training time, or that of the fit: no evaluation, compilation or loading of data"),
    "images_per_second": number("images per second", "images seen by training / seconds_train"),
    "seconds_features": seconds(
        "time to compute features of a frozen backbone, not in seconds_train; 0: earlier runs had left them; empty: "
        "none are kept, the backbone runs in every epoch"
    ),
    "steps": integer("steps", "optimizer steps of the epochs in epochs.csv"),
    "images": integer("images", "images seen by training in the epochs in epochs.csv, repeats counted"),
    "parameters": count(
        "parameters of the network, frozen ones too, and the estimator's coefficients and intercepts; empty: an "
        "estimator without, such as trees"
    ),
    "parameters_trainable": count("parameters that are trained (at the end of the run)"),
    "parameters_with_statistics": count("parameters and the moving means and variances of batch norm, as Keras counts"),
    "multiply_adds": count(
        "multiply-adds of one picture's answer: convolutions and matrix products as they run, by torch's "
        "FlopCounterMode, and the coefficients of a linear estimator; empty: another estimator, or not counted"
    ),
    "weights_bytes": integer(
        "bytes", "the network's tensors in float32, its file without the header; empty: an estimator, which has no file"
    ),
    "latency_seconds": seconds(
        "from one prepared picture to its answer, median of up to 200 after 3 that don't count: in float32 on one "
        "thread of `processor`, whose own time it is, without waiting for it; empty: not measured, as of untested runs"
    ),
    "latency_p95_seconds": seconds("the same, 95th percentile"),
    "answers_per_second": number(
        "images per second", "the same in batches of 16; of 4 or 1 where 5 batches of 16 take longer than 0.3 s"
    ),
    "processor": text("the processor that this was measured on, by its maker's name"),
    "weights_sha256": text("SHA-256 of the file of the initial weights; empty: random", "hexadecimal"),
    "normalisation": text(
        "whose mean and standard deviation the inputs were normalised with: data or imagenet per channel, "
        "standard_scaler per feature"
    ),
    "test_reads": count("how often this run read the test split"),
    "device": text("device that trained"),
    "threads": count("CPU threads of the run; bit-identity is promised at equal threads and device"),
    "precision": text("arithmetic of the forward pass"),
    "torch_version": text("version of torch"),
    "sklearn_version": text("version of scikit-learn, where it fitted the model"),
    "headstart_version": text("version of headstart"),
    "git_commit": text("commit of the code; empty outside a clone", "hexadecimal"),
    "config_hash": text("hash of every setting that changes the result", "hexadecimal"),
    "data_sha256": text("SHA-256 of pixels, labels and split", "hexadecimal"),
    "command": text("the command that repeats this run"),
    "run_dir": text("folder of the run, relative to the folder collated"),
}


def of_trials(*names: str) -> Columns:
    """Columns that mean in another table what they mean in trials.csv."""
    return {name: TRIALS[name] for name in names}


# ---- epochs.csv: a row per run and epoch

EPOCHS: Columns = {
    **of_trials(*SORTED_BY),
    "epoch": integer("count from 1", "epoch"),
    "steps": integer("steps", "optimizer steps so far"),
    "images": integer("images", "images seen by training so far, repeats counted"),
    "lr": number("", "learning rate of the epoch's last step (first parameter group)"),
    "train_loss": number("nats", "training loss, mean over the epoch, augmented images"),
    "train_accuracy": percent("training accuracy, mean over the epoch, augmented images"),
    "val_loss": number("nats", "validation cross-entropy after the epoch"),
    "val_accuracy": percent("validation accuracy after the epoch"),
    "seconds_train": seconds("training time of this epoch, no evaluation"),
    "images_per_second": number("images per second", "images of this epoch / seconds_train"),
    "seconds_total": seconds("training time so far"),
}
