"""What a run answered on the test split, read from its predictions.npz."""

import logging
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Predictions:
    """One run's answers on the test split: labels, answers and confidences [N]; thumbnails by position in the split."""

    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    indices: np.ndarray
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
            labels, probabilities = stored["test_labels"], stored["test_probabilities"]
            thumbnails = {}
            if "thumbnails" in stored and "thumbnail_indices" in stored:
                thumbnails = dict(zip(stored["thumbnail_indices"].tolist(), stored["thumbnails"], strict=True))
            classes = stored["classes"] if "classes" in stored else range(probabilities.shape[1])
            return Predictions(
                labels, probabilities.argmax(1), probabilities.max(1), stored["test_indices"], tuple(map(str, classes)),
                {i: image for i, image in thumbnails.items() if 0 <= i < len(labels) and image.ndim == 3},
            )  # fmt: skip
    except (OSError, ValueError, KeyError, EOFError, IndexError, zipfile.BadZipFile) as error:
        logger.warning("%s is left out of the plots: %s", path, error)
        return None


def same_answers(a: Sequence[Predictions] | None, b: Sequence[Predictions] | None) -> bool:
    """Whether the runs of two arms answered the same test images."""
    if not a or not b:
        return False
    return np.array_equal(a[0].indices, b[0].indices) and np.array_equal(a[0].labels, b[0].labels)
