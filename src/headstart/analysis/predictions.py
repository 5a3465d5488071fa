"""What runs answered on the test split, read from predictions.npz; and on its pictures made worse."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from headstart.analysis.columns import CORRUPTIONS
from headstart.analysis.csv_tables import frame_of
from headstart.analysis.runs_of_arm import runs_of_arm
from headstart.store import UNREADABLE_ARRAYS, read_record

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Predictions:
    """One run's answers on the test split: labels, answers and confidences [N]; thumbnails by position in the split."""

    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    indices: np.ndarray  # of the images in the data set
    classes: tuple[str, ...]
    thumbnails: Mapping[int, np.ndarray]

    @property
    def correct(self) -> np.ndarray:
        """Whether each image was classified correctly, [N]."""
        return self.predicted == self.labels


def read_predictions(path: str | Path) -> Predictions | None:
    """Read a run's predictions.npz; None, with a line in the log, where it is missing, damaged or has no test split."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return _predictions(stored)
    except UNREADABLE_ARRAYS as error:
        logger.warning("%s is left out: %s", path, error)
        return None


def _predictions(stored: Mapping[str, np.ndarray]) -> Predictions:
    labels, probabilities, indices = (stored[f"test_{name}"] for name in ("labels", "probabilities", "indices"))
    if not labels.shape == indices.shape == probabilities.shape[:1]:
        raise ValueError(f"{labels.shape} labels, {indices.shape} indices and {probabilities.shape} probabilities")
    if labels.ndim != 1 or probabilities.ndim != 2 or {labels.dtype.kind, indices.dtype.kind} - set("iu"):
        raise ValueError("expected whole numbers as labels and indices, and a row of probabilities for each")
    if probabilities.dtype.kind != "f" or not np.isfinite(probabilities).all():
        raise ValueError("expected finite probabilities")
    if not ((labels >= 0) & (labels < probabilities.shape[1])).all():
        raise ValueError(f"expected labels below {probabilities.shape[1]}, the number of classes")
    images = {}
    if "thumbnails" in stored and "thumbnail_indices" in stored:
        images = dict(zip(stored["thumbnail_indices"].tolist(), stored["thumbnails"], strict=True))
    classes = stored["classes"] if "classes" in stored else range(probabilities.shape[1])
    return Predictions(
        labels=labels,
        predicted=probabilities.argmax(1),
        confidence=probabilities.max(1),
        indices=indices,
        classes=tuple(map(str, classes)),
        thumbnails={i: image for i, image in images.items() if 0 <= i < len(labels) and image.ndim == 3},
    )


def same_answers(a: Sequence[Predictions] | None, b: Sequence[Predictions] | None) -> bool:
    """Whether the runs of two arms answered the same test images."""
    if not a or not b:
        return False
    return np.array_equal(a[0].indices, b[0].indices) and np.array_equal(a[0].labels, b[0].labels)


@dataclass(frozen=True, eq=False)
class Answers:
    """Which test images an arm's confirmations classified correctly, over all its seeds."""

    seeds: tuple[int, ...]
    images: np.ndarray  # [N], rising positions in the data set
    right: np.ndarray  # bool [seeds, N]

    def of(self, seeds: Sequence[int]) -> np.ndarray:
        """The rows of these seeds, in their order, as points: 0 or 100, [len(seeds), N]."""
        return 100.0 * self.right[[self.seeds.index(seed) for seed in seeds]]


def averaged(answers: Sequence[Answers | None]) -> tuple[np.ndarray, ...] | None:
    """Of each, how often its runs classified an image correctly, as points, [N]; None where some lack, or are of other
    images."""
    found = [own for own in answers if own is not None]
    if not found or len(found) < len(answers) or any(not np.array_equal(own.images, found[0].images) for own in found):
        return None
    return tuple(100.0 * own.right.mean(axis=0) for own in found)


def read_answers(root: Path, tested: pd.DataFrame) -> Answers | None:
    """Read the predictions of an arm's confirmations; None where some are not there, or of other images.

    `tested`: rows of trials.csv, their run_dir below `root`.
    """
    if tested.empty or tested["seed"].isna().any():
        return None
    images, rows = None, []
    for run_dir in tested["run_dir"]:
        path = root / run_dir / "predictions.npz"
        found = read_predictions(path) if path.exists() else None  # with keep=none there are none
        if found is None:
            return None
        order = np.argsort(found.indices, kind="stable")
        if images is not None and not np.array_equal(images, found.indices[order]):
            return None
        images = found.indices[order]
        rows.append(found.correct[order])
    return Answers(tuple(tested["seed"].astype(int)), images, np.array(rows))


# ---- test pictures made worse


def corruptions_table(root: str | Path, trials: pd.DataFrame, arms: pd.DataFrame) -> pd.DataFrame:
    """Return a row (`columns.CORRUPTIONS`) per arm, corruption and strength, of arms whose runs were asked for it.

    trials, arms: rows of trials.csv and arms.csv, whose runs lie below `root`. A result that cannot be read is left
    out, as the row's `reason` in trials.csv says.
    """
    asked = trials[trials["test_corrupted_mean"].notna()]
    rows: list[dict[str, Any]] = []
    for study, arm in zip(arms["study"], arms["arm"], strict=True) if len(asked) else ():
        own = trials[(trials["arm"] == arm) & (trials["study"].isna() if study is pd.NA else trials["study"] == study)]
        tested = runs_of_arm(own).tested
        known = tested.loc[tested["test_corrupted_mean"].notna(), "run_dir"]
        rows += _rows_of_corruptions(
            study, arm, [_corrupted(Path(root) / run_dir / "result.json") for run_dir in known]
        )
    return frame_of(rows, CORRUPTIONS)


def _rows_of_corruptions(study: Any, arm: str, found: list[pd.DataFrame]) -> Iterator[dict[str, Any]]:
    """found: of each run a row per kind, a column per strength, in percent."""
    runs = [run for run in found if not run.empty]
    if not runs:
        return
    each = pd.concat(runs).groupby(level=0, sort=False)
    mean, std = each.mean(), each.std(ddof=1)
    for kind in mean.index:
        for strength in mean.columns:
            row = dict(study=study, arm=arm, corruption=kind, strength=strength, seeds=len(runs))
            yield row | dict(accuracy_mean=mean.loc[kind, strength], accuracy_std=std.loc[kind, strength])


def _corrupted(path: Path) -> pd.DataFrame:
    record, _, _ = read_record(path)
    try:
        found = pd.DataFrame((record or {}).get("corrupted") or {}, dtype=float).T
    except ValueError:  # not as many strengths of each kind
        return pd.DataFrame()
    return found.set_axis(range(1, found.shape[1] + 1), axis=1)
