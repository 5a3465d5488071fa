"""How good a trained network is on labelled pictures that its run has not seen."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from headstart.config import composed, make
from headstart.data import CORRUPTIONS, STRENGTHS, corrupted, read_labelled
from headstart.errors import UserError, first_line, printable
from headstart.inference.classifier import Classifier, class_columns
from headstart.inference.pictures import Picture, in_batches
from headstart.statistics import expected_calibration_error
from headstart.store import PREDICTIONS, UNREADABLE_ARRAYS, expanded
from headstart.training import classification_metrics

NAMED = ("cifar10", "cifar100", "digits")  # data sets that are no files of pictures; their test part is meant

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class LabelledPictures:
    """Pictures and what is on them."""

    pictures: list[Picture]
    labels: np.ndarray  # int64 [N], positions in `classes`
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()  # what else there is to say, such as what was left out


def labelled_pictures(data: str, part: str | None = None) -> LabelledPictures:
    """Return the labelled pictures of `data`: a folder or a list, as data=folder and data=table take, or NAMED.

    part: train, val, test or all; None: all where there are no parts, else test.

    Raises:
        UserError: there is no such data, or it has no such part.
    """
    if data in NAMED and not Path(data).exists():
        if part not in (None, "test"):
            raise UserError(f"of {data} the test part is evaluated alone; leave --part {part} out")
        found = make(composed([f"data={data}"]).data)
        test = found.test()
        images = test.images.numpy()
        pictures = [Picture(f"test/{place}", image) for place, image in zip(test.indices.tolist(), images, strict=True)]
        return LabelledPictures(pictures, test.labels.numpy(), found.classes)
    root = expanded(data)
    if not root.exists():
        raise UserError(
            f"{data} does not exist; give a folder of class folders, a list of labels, or {', '.join(NAMED)}"
        )
    tree = read_labelled(root)
    there = list(tree.parts)
    if part is None and len(there) > 1 and "test" not in there:
        raise UserError(f"{data} has the parts {', '.join(there)}; say which one: --part {there[0]}, or --part all")
    chosen = there if part == "all" or (part is None and len(there) == 1) else [part or "test"]
    if missing := [name for name in chosen if name not in there]:
        raise UserError(f"{data} has no part {missing[0]}; there is {', '.join(there)}")
    files = [file for name in chosen for file in tree.parts[name]]
    pictures = [Picture(path, tree.root / path) for path, _ in files]
    return LabelledPictures(pictures, np.array([label for _, label in files]), tree.classes, tuple(tree.notes))


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a network answered on labelled pictures, those that can be read."""

    classes: tuple[str, ...]  # of the network, in the order of the probabilities
    names: list[str]  # [N]
    labels: np.ndarray  # int64 [N]
    probabilities: np.ndarray  # float32 [N, classes]
    unread: dict[str, str]  # name: why it could not be read
    temperature: float | None  # by which the logits are divided to fit the validation split; None: it is not at hand
    robustness: pd.DataFrame | None = None  # accuracy in percent on them made worse, by kind and strength, if asked for

    def metrics(self) -> dict[str, Any]:
        """Accuracy with its 95 % interval, macro precision, recall, F1 and calibration errors in percent; the loss."""
        from scipy.stats import binomtest

        found = classification_metrics(self.labels, self.probabilities, self.classes)
        right = int((self.probabilities.argmax(1) == self.labels).sum())
        interval = binomtest(right, len(self.labels)).proportion_ci(method="wilson")
        found |= dict(accuracy_low=100 * interval.low, accuracy_high=100 * interval.high, images=len(self.labels))
        found["calibration_error"] = self._calibration_error(self.probabilities)
        if self.temperature is not None:
            found["temperature"] = self.temperature
            scaled = tempered(self.probabilities, self.temperature)
            found["calibration_error_scaled"] = self._calibration_error(scaled)
        return found

    def _calibration_error(self, probabilities: np.ndarray) -> float:
        return expected_calibration_error(probabilities.max(1), probabilities.argmax(1) == self.labels)

    def predictions(self) -> pd.DataFrame:
        """A row per picture: image, label, predicted, probability of the predicted class, and of every class."""
        columns = class_columns(self.classes, ("image", "label", "predicted", "probability"))
        each = pd.DataFrame(self.probabilities, columns=columns)
        names = np.array(self.classes, dtype=object)
        first = dict(image=self.names, label=names[self.labels], predicted=names[self.probabilities.argmax(1)])
        return pd.concat([pd.DataFrame(first | dict(probability=self.probabilities.max(1))), each], axis=1)

    def mistakes(self, count: int) -> pd.DataFrame:
        """The most confident wrong answers, of `predictions` without the probability of every class."""
        rows = self.predictions()[["image", "label", "predicted", "probability"]]
        return rows[rows["label"] != rows["predicted"]].sort_values("probability", ascending=False).head(count)


def evaluate(classifier: Classifier, given: LabelledPictures, *, corruptions: bool = False) -> Evaluation:
    """Let the network answer; labels go by the classes' names.

    corruptions: also about the pictures made worse, each at the size to which it is decoded.

    Raises:
        UserError: the pictures' classes are not the network's, or none of the pictures can be read.
    """
    labels = np.array(places_of(classifier.classes, given.classes))[given.labels]
    read, shares, right, unread = [], [], [], {}
    for places, images in _readable(given.pictures, classifier.picture_size, unread):
        read += places
        shares.append(classifier.probabilities(images))
        if corruptions:
            right.append(_right_when_worse(classifier, images, places, labels[places]))
    if not read:
        first, reason = next(iter(unread.items()))
        raise UserError(f"none of {len(given.pictures)} pictures can be read; the first: {first}: {reason}")
    names = [given.pictures[place].name for place in read]
    found = classifier.classes, names, labels[read], np.concatenate(shares), unread, fitted_temperature(classifier)
    return Evaluation(*found, 100 * sum(right) / len(read) if corruptions else None)


def _readable(pictures: Sequence[Picture], size: int, unread: dict[str, str]) -> Iterator[tuple[list[int], np.ndarray]]:
    """Positions of the pictures that can be read, and these decoded, batch by batch; to `unread` why others can't."""
    start = 0
    for some, decoded in in_batches(pictures, size):
        good = [place for place, array in enumerate(decoded) if not isinstance(array, str)]
        unread |= {p.name: array for p, array in zip(some, decoded, strict=True) if isinstance(array, str)}
        if good:
            images = np.stack([decoded[place] for place in good])
            del decoded  # which would be held beside them
            yield [start + place for place in good], images
        start += len(some)


def places_of(ours: Sequence[str], theirs: Sequence[str]) -> list[int]:
    """The position among our classes of each of theirs. Raises UserError where they are not the same names."""
    unknown, missing = (sorted(set(a) - set(b)) for a, b in ((theirs, ours), (ours, theirs)))
    if unknown or missing:
        said = [("the network has no", unknown), ("the pictures have no", missing)]
        lines = [
            f"{words} {', '.join(map(printable, names[:5]))}" + ", ..." * (len(names) > 5)
            for words, names in said
            if names
        ]
        raise UserError(
            f"the classes differ: {'; '.join(lines)}. The network's: {', '.join(map(printable, ours[:20]))}"
        )
    return [list(ours).index(name) for name in theirs]


# ---------------------------------------------------------------------------------------------------------- calibration


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """The softmax of logits divided by the temperature, from the softmax of the logits: [N, classes]."""
    from scipy.special import log_softmax, softmax

    logits = np.log(np.maximum(probabilities.astype(np.float64), np.finfo(np.float64).tiny))
    return softmax(log_softmax(logits, axis=1) / temperature, axis=1)


def fitted_temperature(classifier: Classifier) -> float | None:
    """The temperature that fits the validation answers of the classifier's run; None where they are not kept.

    Source: Guo et al. (2017), 1706.04599, section 4.2.
    """
    path = classifier.path / PREDICTIONS
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as kept:
            return temperature_for(kept["val_labels"], kept["val_probabilities"])
    except KeyError:  # the run keeps none
        return None
    except UNREADABLE_ARRAYS as error:
        log.warning("%s is damaged, so no temperature is fitted: %s", path, first_line(error)[:100])
        return None


def temperature_for(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature in 0.05..20 with the smallest cross-entropy; labels [N], probabilities [N, classes]."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        scaled = tempered(probabilities, np.exp(log_temperature))[np.arange(len(labels)), labels]
        return -float(np.log(np.maximum(scaled, np.finfo(np.float64).tiny)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded").x))


# --------------------------------------------------------------------------------------------------------- corruptions


def _right_when_worse(
    classifier: Classifier, images: np.ndarray, places: Sequence[int], labels: np.ndarray
) -> pd.DataFrame:
    """Right answers about the pictures made worse: a row per kind of CORRUPTIONS, a column per strength."""
    right = pd.DataFrame(0, index=pd.Index(CORRUPTIONS, name="corruption"), columns=list(STRENGTHS))
    for kind in CORRUPTIONS:
        for strength in STRENGTHS:
            worse = corrupted(images, kind, strength, places)
            right.loc[kind, strength] = int((classifier.probabilities(worse).argmax(1) == labels).sum())
    return right
