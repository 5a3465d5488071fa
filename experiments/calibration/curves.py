"""Learning curves of cheap classifiers on CIFAR-10 up to all its images, for `forecasts.py` to forecast and check.

    python experiments/calibration/curves.py --weights resnet18_cifar100_32px.safetensors [--only WORDS]

Every fit is a line of outputs/calibration/curves.csv, and the same command goes on where it was stopped. Subsets are
those of `data.train_size`: nested, as many pictures of each class, in an order that `split_seed` decides. With three of
these an arm of few pictures is measured three times; with all pictures, where they hardly differ, once.
HEADSTART_DATA holds the data; about half an hour on one core.
"""

import argparse
import csv
import itertools
import os
import time
import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier as tree

from headstart.data import normalise
from headstart.data.sources import cifar10
from headstart.models import backbone_features
from headstart.models.builders import timm_model

PATH = Path("outputs/calibration/curves.csv")
COLUMNS = ["learner", "split_seed", "train_size", "seed", "accuracy", "seconds"]
SMALL = (100, 200, 500, 1000, 2000, 5000)
LARGE = (10_000, 20_000, 45_000)
SPLITS = (0, 1, 2)
Fit = Callable[[np.ndarray, np.ndarray, int], object]


def scaled(make: Callable[[int], object]) -> Callable[[int], object]:
    """The same classifier on standardised inputs."""
    return lambda seed: make_pipeline(StandardScaler(), make(seed))


def mlp(seed: int, hidden: int = 128) -> object:
    """A network of two layers."""
    return MLPClassifier((hidden,), alpha=1e-2, max_iter=15, early_stopping=False, random_state=seed)


LEARNERS: dict[str, tuple[str, bool, Callable[[int], object]]] = {  # inputs, whether the seed matters, the classifier
    "pixels, naive Bayes": ("small", False, scaled(lambda _: GaussianNB())),
    "pixels, ridge": ("pixels", False, scaled(lambda _: RidgeClassifier(1e4))),
    "pixels, logistic regression": ("small", False, scaled(lambda _: LogisticRegression(C=1e-2, max_iter=200))),
    "pixels, nearest neighbours": ("small", False, scaled(lambda _: KNeighborsClassifier(10))),
    "pixels, extra trees": ("small", True, lambda seed: ExtraTreesClassifier(60, random_state=seed)),
    "pixels, network": ("small", True, scaled(partial(mlp, hidden=256))),
    "pixels, kernel": (
        "pixels", True,
        lambda seed: make_pipeline(
            StandardScaler(), PCA(80, svd_solver="randomized", random_state=seed),
            Nystroem(gamma=2e-4, n_components=1500, random_state=seed), RidgeClassifier(1e-2),
        ),
    ),
    "features, logistic regression": ("features", False, scaled(lambda _: LogisticRegression(C=1e-3, max_iter=200))),
    "features, ridge": ("features", False, scaled(lambda _: RidgeClassifier(1e3))),
    "features, nearest neighbours": ("features", False, scaled(lambda _: KNeighborsClassifier(10))),
    "features, naive Bayes": ("features", False, scaled(lambda _: GaussianNB())),
    "features, discriminants": (
        "features", False, scaled(lambda _: LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1)),
    ),
    "features, extra trees": ("features", True, lambda seed: ExtraTreesClassifier(60, random_state=seed)),
    "features, tree": ("features", True, lambda s: tree(max_depth=12, max_features=64, random_state=s)),
    "features, network": ("features", True, scaled(mlp)),
}  # fmt: skip


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--weights", type=Path, required=True, help="of a ResNet18, whose features are inputs")
    parser.add_argument("--only", default="", help="learners whose names hold these words")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of networks that stop after their epochs
    done = _done()
    for learner, split, size, seed in plan():
        if given.only in learner and (learner, split, size, seed) not in done:
            begin = time.perf_counter()
            accuracy = estimator(learner, split, size, seed, given.weights)
            row = [learner, split, size, seed, round(accuracy, 2), round(time.perf_counter() - begin, 2)]
            with PATH.open("a", newline="") as file:
                csv.writer(file).writerow(row)
            print(*row, flush=True)


def plan() -> Iterator[tuple[str, int, int, int]]:
    """Learner, split seed, training images and seed of every fit: the cheapest sizes of all learners first."""
    for sizes, splits in ((SMALL, SPLITS), (LARGE, SPLITS[:1])):
        for size, split in itertools.product(sizes, splits):
            for learner, (_, random, _) in LEARNERS.items():
                for seed in range(2 if random and size in SMALL else 1):
                    yield learner, split, size, seed


def _done() -> set[tuple[str, int, int, int]]:
    if not PATH.exists():
        PATH.parent.mkdir(parents=True, exist_ok=True)
        PATH.write_text(",".join(COLUMNS) + "\n")
    with PATH.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {(r["learner"], int(r["split_seed"]), int(r["train_size"]), int(r["seed"])) for r in rows}


def estimator(learner: str, split: int, size: int, seed: int, weights: Path) -> float:
    """Test accuracy in percent of one fit."""
    inputs, _, make = LEARNERS[learner]
    data = cifar10(os.environ["HEADSTART_DATA"], train_size=size, split_seed=split, download=False)
    train, test = (_inputs(inputs, part, weights) for part in ("train", "test"))
    rows, labels = data.train.indices.numpy(), data.train.labels.numpy()
    fitted = make(seed).fit(train[rows], labels)
    return 100 * float(fitted.score(test, data.test().labels.numpy()))


@cache
def _inputs(kind: str, part: str, weights: Path) -> np.ndarray:
    """Of all 50,000 or 10,000 pictures: pixels, their means over 2 x 2, or the frozen network's features."""
    data = cifar10(os.environ["HEADSTART_DATA"], download=False)
    pictures = data.train.source if part == "train" else data.test().source
    if kind == "pixels":
        return pictures.reshape(len(pictures), -1).numpy().astype(np.float32)
    if kind == "small":
        return pictures.reshape(-1, 8, 4, 8, 4, 3).float().mean((2, 4)).reshape(len(pictures), -1).numpy()
    frozen = dict(weights=str(weights), keep_classifier=False, freeze="backbone", unfreeze_epoch=None)
    shape = dict(classes=10, class_names=data.classes, image_size=32)
    model = timm_model(name="resnet18", stem="imagenet", backbone_lr_factor=1, **frozen, **shape)
    model.network.eval()
    expected = model.normalisation
    with torch.inference_mode():
        blocks = (normalise(block, expected.mean, expected.std, size=32) for block in pictures.split(1000))
        return torch.cat([backbone_features(model, block) for block in blocks]).float().numpy()


if __name__ == "__main__":
    main()
