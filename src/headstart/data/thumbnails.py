"""Small copies of test images: which ones a run stores, so that a report can be made again without the data."""

import numpy as np

THUMBNAIL = 64  # pixels: the largest side of a stored thumbnail


def choose_thumbnails(labels: np.ndarray, probabilities: np.ndarray, count: int) -> np.ndarray:
    """Positions [n] of the test images whose thumbnails a run should store, without repeats.

    First the `count` most confidently wrong ones, the surest first; then for each class that occurs its first image in
    the test split, the same one for every run. `labels`: [N] in 0..K-1; `probabilities`: [N, K].
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    predicted, confidence = probabilities.argmax(1), probabilities.max(1)
    wrong = np.flatnonzero(predicted != labels)
    surest = wrong[np.argsort(-confidence[wrong], kind="stable")][: max(0, count)]
    _, first = np.unique(labels, return_index=True)
    return np.array(list(dict.fromkeys([*surest.tolist(), *first.tolist()])), dtype=np.int64)


def shrink(images: np.ndarray, largest: int = THUMBNAIL) -> np.ndarray:
    """Images uint8 [n, H, W, 3] made smaller by a whole factor (mean over squares) until no side exceeds `largest`."""
    factor = -(-max(images.shape[1:3]) // largest)
    if factor <= 1:
        return images
    height, width = (side // factor for side in images.shape[1:3])
    cut = images[:, : height * factor, : width * factor]
    squares = cut.reshape(len(images), height, factor, width, factor, images.shape[3])
    return (squares.mean(axis=(2, 4)) + 0.5).astype(np.uint8)
