"""The pictures that integers are fitted to, and others that say what it cost: never a run's test pictures."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from headstart.config import composed, make
from headstart.data import Dataset, Tree, read_labelled
from headstart.errors import UserError, first_line
from headstart.inference.classifier import Classifier
from headstart.inference.evaluation import NAMED, places_of
from headstart.inference.pictures import Picture, decode_pictures
from headstart.store import expanded, read_run

FITTED = 256  # pictures that the ranges of activations are found by
HINT = "give labelled pictures by --calibrate DATA: a folder of class folders, a list of labels, or {}".format(
    ", ".join(NAMED)
)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Pictures as the network's run took them, uint8 [N, picture_size, picture_size, 3]."""

    fitted: np.ndarray  # by which ranges are found
    judged: np.ndarray  # none of the others
    labels: np.ndarray  # int64 [N] of those that are judged, positions in the network's classes
    said: str  # which pictures these are

    def __str__(self) -> str:
        return f"{len(self.judged):,} {self.said}"


def calibration(classifier: Classifier, data: str | None = None) -> Calibration:
    """Return the run's own training and validation pictures, or those of `data` but for a part called test.

    data: labelled pictures, as `labelled_pictures` takes them. Where they have no part `val`, every other picture
    judges and the rest is fitted to.

    Raises:
        UserError: the run's pictures are not at hand or other ones now, `data` is none, or its classes are others.
    """
    if data is None:
        return _of_data_set(classifier, _own_data_set(classifier), "validation pictures of its run")
    if data in NAMED and not Path(data).exists():
        return _of_data_set(classifier, make(composed([f"data={data}"]).data), f"validation pictures of {data}")
    root = expanded(data)
    if not root.exists():
        raise UserError(f"{data} does not exist; {HINT}")
    return _of_files(classifier, read_labelled(root), data)


def _own_data_set(classifier: Classifier) -> Dataset:
    saved = classifier.path / ".hydra" / "config.yaml"
    node = OmegaConf.load(saved).get("data") if saved.is_file() else None
    if node is None:
        raise UserError(f"{classifier.path} does not say what it was trained on; {HINT}")
    try:
        settings = OmegaConf.to_container(node, resolve=True)
        data = make(settings | ({"download": False} if "download" in settings else {}))
    except (UserError, OmegaConfBaseException) as error:
        raise UserError(f"the pictures of {classifier.path} are not at hand ({first_line(error)}); {HINT}") from error
    if read_run(classifier.path).get("data_sha256") not in (None, data.sha256):
        raise UserError(f"the pictures that {classifier.path} was trained on have changed; {HINT}")
    return data


def _of_data_set(classifier: Classifier, data: Dataset, said: str) -> Calibration:
    place_of = np.array(places_of(classifier.classes, data.classes))
    chosen = _spread(len(data.train.labels), FITTED)
    fitted = data.train.pictures(torch.from_numpy(chosen)).numpy()
    if (size := fitted.shape[1]) != classifier.picture_size:
        raise UserError(f"{data.name} has pictures of {size} px, the network takes {classifier.picture_size}; {HINT}")
    return Calibration(fitted, data.val.images.numpy(), place_of[data.val.labels.numpy()], said)


def _spread(count: int, most: int) -> np.ndarray:
    """At most so many positions of 0 .. count - 1, evenly apart."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _of_files(classifier: Classifier, tree: Tree, data: str) -> Calibration:
    parts = {name: files for name, files in tree.parts.items() if name != "test"}
    every = [file for files in parts.values() for file in files]
    if {"train", "val"} <= parts.keys():
        fitted, judged, said = parts["train"], parts["val"], f"validation pictures of {data}"
    else:
        fitted, judged, said = every[::2], every[1::2], f"pictures of {data}, every other one"
    place_of = np.array(places_of(classifier.classes, tree.classes))
    fitted = [fitted[place] for place in _spread(len(fitted), FITTED)]
    pictures, _ = _decoded(classifier, tree, fitted, data)
    shown, labels = _decoded(classifier, tree, judged, data)
    return Calibration(pictures, shown, place_of[labels], said)


def _decoded(
    classifier: Classifier, tree: Tree, files: list[tuple[str, int]], data: str
) -> tuple[np.ndarray, np.ndarray]:
    """Those of the files that can be read, with their labels."""
    found = decode_pictures([Picture(path, tree.root / path) for path, _ in files], classifier.picture_size)
    good = [place for place, array in enumerate(found) if not isinstance(array, str)]
    if not good:
        raise UserError(f"none of {len(files)} pictures of {data} can be read; {HINT}")
    return np.stack([found[place] for place in good]), np.array([files[place][1] for place in good])
