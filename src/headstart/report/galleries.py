"""Galleries of test images: what the thumbnails that a run stored show of one or two arms' errors."""

import itertools
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.analysis import Predictions, same_answers
from headstart.report.plots.style import drawn
from headstart.store import UNREADABLE_ARRAYS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

logger = logging.getLogger(__name__)

EXPLAINED = "explained.npz"  # of a study: where its arms looked on test pictures
MOST_CLASSES = 20  # sample pictures
GALLERY_COLUMNS = 8
GALLERY_PAIRS = 4

Gallery = list[tuple[str, list[tuple[np.ndarray, str]]]]  # rows: what they show, and images with their words


@drawn
def gallery(rows: Gallery, ax: "Axes") -> "Axes | None":
    """Draw rows of images, each row under its heading, each image over its words; None where there is no image."""
    rows = [(heading, images) for heading, images in rows if images]
    if not rows:
        return None
    width = max(GALLERY_COLUMNS, *(len(images) for _, images in rows))
    for i, (heading, images) in enumerate(rows):
        top = -1.75 * i
        ax.text(0, top + 0.1, heading, va="bottom", fontweight="bold")
        for j, (image, words) in enumerate(images):
            ax.imshow(image, extent=(j + 0.05, j + 0.95, top - 0.9, top), interpolation="none", aspect="equal")
            ax.text(j + 0.5, top - 0.95, words, ha="center", va="top", fontsize=7.5).set_in_layout(False)
    ax.set_xlim(0, width)
    ax.set_ylim(-1.75 * len(rows) + 0.3, 0.4)
    ax.set_axis_off()
    return ax


def confidently_wrong(predictions: Mapping[str, Sequence[Predictions]], columns: int = GALLERY_COLUMNS) -> Gallery:
    """The images with a stored thumbnail that each arm gets wrong with the most confidence, averaged over its runs."""
    rows: Gallery = []
    for arm, runs in predictions.items():
        stored = _thumbnails(runs)
        if not stored:
            continue
        blame = np.mean([np.where(r.correct, 0.0, r.confidence) for r in runs], axis=0)
        worst = sorted((p for p in stored if blame[p] > 0), key=lambda p: (-blame[p], p))[:columns]
        rows.append((arm, [(stored[p], _wrong_words(runs, p)) for p in worst]))
    return rows


def _wrong_words(runs: Sequence[Predictions], position: int) -> str:
    wrong = [r for r in runs if not r.correct[position]]
    answer = Counter(int(r.predicted[position]) for r in wrong).most_common(1)[0][0]
    sure = np.mean([r.confidence[position] for r in wrong])
    classes = wrong[0].classes
    seeds = f"\n{len(wrong)} of {len(runs)} seeds" if len(runs) > 1 else ""
    return f"is {classes[wrong[0].labels[position]]}\nsaid {classes[answer]}, {100 * sure:.0f} %{seeds}"


def disagreements(
    predictions: Mapping[str, Sequence[Predictions]],
    pairs: Sequence[tuple[str, str]] | None = None,
    columns: int = GALLERY_COLUMNS,
) -> Gallery:
    """The images that most runs of one arm get right and most runs of the other wrong, two rows for each pair of arms.

    `pairs`: the first four are shown; default: all. Arms that were tested on other images are never set side by side.
    """
    rows: Gallery = []
    couples = pairs if pairs is not None else list(itertools.combinations(predictions, 2))
    known = [(a, b) for a, b in couples if same_answers(predictions.get(a), predictions.get(b))]
    for a, b in known[:GALLERY_PAIRS]:
        for right, wrong in ((a, b), (b, a)):
            found = _only_one_right(predictions[right], predictions[wrong], columns)
            rows.append((f"{right} right, {wrong} wrong", found))
    return rows


def _only_one_right(
    right: Sequence[Predictions], wrong: Sequence[Predictions], columns: int
) -> list[tuple[np.ndarray, str]]:
    stored = _thumbnails([*right, *wrong])
    shares = [np.mean([run.correct for run in runs], axis=0) for runs in (right, wrong)]
    gap = np.where((shares[0] > 0.5) & (shares[1] < 0.5), shares[0] - shares[1], 0)
    chosen = sorted((p for p in stored if gap[p] > 0), key=lambda p: (-gap[p], p))[:columns]
    return [(stored[p], _wrong_words(wrong, p)) for p in chosen]


def samples(predictions: Mapping[str, Sequence[Predictions]]) -> Gallery:
    """One test image of every class, from the first arm that has thumbnails; at most 20 classes."""
    for runs in predictions.values():
        stored, labels = _thumbnails(runs), runs[0].labels if runs else []
        first = {int(labels[p]): p for p in sorted(stored, reverse=True)}
        images = [(stored[p], runs[0].classes[k]) for k, p in sorted(first.items())][:MOST_CLASSES]
        if images:
            parts = [images[i : i + GALLERY_COLUMNS] for i in range(0, len(images), GALLERY_COLUMNS)]
            return [("one test image of each class" if i == 0 else "", part) for i, part in enumerate(parts)]
    return []


def _thumbnails(runs: Sequence[Predictions]) -> dict[int, np.ndarray]:
    return {position: image for run in reversed(runs) for position, image in run.thumbnails.items()}


def explained(path: Path, runs: list[str]) -> Gallery:
    """The rows that `headstart report --explain` has left; [] where there is no such file, or it is damaged.

    runs: folders of those behind the arms; a file of other ones is of a choice that holds no more, and shows nothing.
    """
    if not path.exists():
        return []
    try:
        with np.load(path, allow_pickle=False) as kept:
            if kept["runs"].tolist() != runs:
                return []
            rows = zip(kept["headings"].tolist(), kept["images"], kept["words"].tolist(), strict=True)
            return [(heading, list(zip(images, words, strict=True))) for heading, images, words in rows]
    except UNREADABLE_ARRAYS as error:
        logger.warning("%s is left out: %s", path, error)
        return []
