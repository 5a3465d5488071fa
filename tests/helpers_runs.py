"""Runs and studies on disk, as training and sweeps leave them, without either: for tests of what reads them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from store.helpers_store import epoch_row

from headstart.store import append_epoch, write_json

FACTS = dict(study="tiny", model="cnn", freeze="none", data="digits", train_size=50, image_size=32)
FACTS |= dict(augmentation="none", optimizer="adam", schedule="constant", batch_size=10, epochs=3, split_seed=0)
FACTS |= dict(normalisation="data", device="cpu", threads=1, precision="fp32", torch_version="2.15.0")
FACTS |= dict(headstart_version="0.1.0", git_commit="f00d", data_sha256="1" * 64)
FACTS |= dict(parameters=1000, parameters_trainable=1000, parameters_with_statistics=1000)
OF_THE_RESULT = ("state", "reason", "val_accuracy", "test_accuracy", "confusion")  # not known when a run begins
ARMS = {"random": 80.0, "pretrained": 90.0}  # validation accuracy of each one's best trial, percent
SPACE = {"lr": {"low": 1e-5, "high": 1e-1, "log": True, "step": None}}


def make_run(root: Path, place: str, *, accuracies: tuple[float, ...] = (40.0, 60.0, 75.0), **values: Any) -> Path:
    """Leave a run's files in `root`/`place`, ended where `values` has a `state`; accuracies: of each epoch, percent."""
    folder = root / place
    folder.mkdir(parents=True)
    facts = FACTS | {"command": f"headstart lr={values.get('lr')}"} | values
    result = {key: facts.pop(key) for key in OF_THE_RESULT if key in facts}
    write_json(folder / "run.json", facts)
    for epoch, accuracy in enumerate(accuracies, 1):
        append_epoch(folder, epoch_row(epoch, val_accuracy=accuracy, seconds_total=10.0 * epoch))
    if result.get("state"):
        ended = dict(epochs_run=len(accuracies), best_epoch=len(accuracies), seconds_train=10.0 * len(accuracies))
        scores = {f"test_{k}_macro": 80.0 for k in ("precision", "recall", "f1")} if "test_accuracy" in result else {}
        ended |= scores | dict(test_reads=int("test_accuracy" in result))
        write_json(folder / "result.json", facts | ended | result)
    return folder


def write_predictions(folder: Path, labels: np.ndarray, probabilities: np.ndarray, **further: np.ndarray) -> Path:
    """Leave the predictions.npz of a run: labels [N] and probabilities [N, classes] of the test split, by its order."""
    path = folder / "predictions.npz"
    arrays = dict(test_labels=labels, test_probabilities=probabilities, test_indices=np.arange(len(labels)))
    np.savez(path, **(arrays | further))
    return path


def make_study(
    root: Path,
    accuracies: Mapping[str, float] = ARMS,
    *,
    trials: int = 5,
    seeds: int = 5,
    name="tiny",
    images: int = 10_000,
    **study: Any,
) -> Path:
    """Leave a finished study in `root`: a search over factors of ten, and the best rate confirmed over seeds.

    accuracies: of each arm's best trial, percent. images: in the test part. study: fields of study.json that differ.
    """
    for kind, (arm, accuracy) in enumerate(accuracies.items(), 1):
        place = re.sub(r"[^a-z]", "", arm) or "arm"
        for number in range(trials):
            lr, score = 10.0 ** -(number + 1), accuracy - 5 * abs(number - 2)
            common = dict(study=name, arm=arm, number=number, lr=lr, params={"lr": lr}, val_accuracy=score)
            make_run(root, f"{place}/search/{number:03d}", phase="search", seed=0, state="COMPLETE", **common)
        for seed in range(1, seeds + 1):
            common = dict(study=name, arm=arm, number=2, lr=1e-3, val_accuracy=accuracy, params={"lr": 1e-3})
            scores = dict(
                test_accuracy=accuracy + seed * kind % 4,
                confusion=[[4 * images // 10, images // 10], [images // 10, 4 * images // 10]],
            )
            place_of_seed = f"{place}/confirm/002/seed-{seed}"
            make_run(root, place_of_seed, phase="confirm", seed=seed, state="COMPLETE", **common, **scores)
    file = dict(name=name, experiment=None, command=f"headstart -m name={name}", n_trials=trials, confirm_seeds=seeds)
    file |= dict(common={"protocol": 1}, arms={arm: {"epochs": 3, "model.weights": arm} for arm in accuracies}, seed=0)
    file |= dict(arm_order=list(accuracies), spaces=dict.fromkeys(accuracies, SPACE), unpruned=True, sampler="decades")
    write_json(root / "study.json", file | study)
    return root
