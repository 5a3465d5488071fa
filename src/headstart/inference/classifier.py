"""A trained network that classifies pictures, made from what a run left on disk or from a file given away."""

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf

from headstart.config import make
from headstart.data import normalise
from headstart.errors import UserError, printable
from headstart.inference.finished import check_finished
from headstart.inference.networks import chosen, fitting, made
from headstart.inference.pictures import PREDICTION_BATCH, Picture, find_pictures, in_batches
from headstart.models import Weights, evaluation_batch, from_file
from headstart.store import expanded

log = logging.getLogger(__name__)

# Pixels a side, for runs whose weights do not say it yet; sources of files have a key for it.
SOURCE_SIZES = {"cifar10": 32, "cifar100": 32, "digits": 8}


@dataclass(frozen=True, repr=False)
class Classifier:
    """A trained network that classifies pictures on the CPU, in float32.

    A picture is taken as the run took those of its data: its largest centred square made `picture_size` pixels wide,
    normalised, then resized to `image_size`; so its probabilities are those of the run's own evaluation.
    """

    path: Path  # run folder or file that the weights are from
    network: torch.nn.Module  # in eval mode
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int  # pixels a side that the network was trained with
    picture_size: int  # pixels a side of the pictures that were resized to that

    def __repr__(self) -> str:
        return f"<{type(self.network).__name__} of {self.path}: {', '.join(self.classes)}>"

    def _repr_html_(self) -> str:
        facts = {
            "network": type(self.network).__name__,
            "parameters": f"{sum(p.numel() for p in self.network.parameters()):,}",
            "classes": ", ".join(self.classes),
            "image size": f"{self.image_size} px",
            "weights of": str(self.path),
        }
        return pd.DataFrame(facts.items()).to_html(index=False, header=False, border=0)

    @classmethod
    def of_run(cls, run_dir: str | Path) -> Self:
        """Build the network of a finished run from its saved configuration and best.safetensors.

        Raises:
            UserError: the run has no weights or no configuration, or they are damaged.
        """
        run_dir = expanded(run_dir)
        check_finished(run_dir)
        path, saved = run_dir / "best.safetensors", run_dir / ".hydra" / "config.yaml"
        if not saved.is_file():
            raise UserError(f"{run_dir} has no .hydra/config.yaml, which says what network its weights belong to.")
        loaded = _complete(from_file(path), "was it written by a run?")
        try:
            config = OmegaConf.load(saved)
            node = config.model
        except Exception as error:  # a damaged YAML file raises several kinds
            raise UserError(f"{saved} cannot be read: {error}") from error
        trained = dict(classes=len(loaded.classes), class_names=loaded.classes, image_size=loaded.image_size)
        unfrozen = dict(freeze="none", unfreeze_epoch=None, backbone_lr_factor=1, batch_norm="learn")
        model = make(node, weights=str(path), keep_classifier=True, **trained, **unfrozen)
        return cls._of(run_dir, model.network, loaded, _picture_size(loaded, config))

    @classmethod
    def of_file(cls, path: str | Path) -> Self:
        """Build the network of a file, or folder with model.safetensors, that `headstart weights export` has written.

        Files of others do as well that say their classes, normalisation and image size, as timm's folders do.

        Raises:
            UserError: it can't be read, says too little, or no network that is known has its tensors.
        """
        loaded = _complete(from_file(expanded(path)), "headstart weights export RUN_DIR writes such files")
        networks = fitting(loaded)
        if loaded.network is not None and [*networks, []][0] != loaded.network.split():
            raise UserError(f"{path} is of {printable(loaded.network)}, which is no network here, or has other tensors")
        if not networks:
            raise UserError(f"{path} fits no network of conf/model and none of timm or torchvision that it names")
        if loaded.network is None:
            log.warning("%s does not say what network it is of; it is taken for %s", path, " ".join(networks[0]))
        kept = dict(weights=loaded.origin, keep_classifier=True)
        model = made(loaded, chosen(tuple(networks[0])), loaded.image_size, **kept)
        return cls._of(Path(path), model.network, loaded, loaded.picture_size or loaded.image_size)

    @classmethod
    def _of(cls, path: Path, network: torch.nn.Module, loaded: Weights, picture_size: int) -> Self:
        norm = loaded.normalisation
        return cls(path, network.eval(), loaded.classes, norm.mean, norm.std, loaded.image_size, picture_size)

    def predict(self, pictures: Any, *, errors: Literal["raise", "row"] = "raise") -> pd.DataFrame:
        """Return a row per picture: the class found, its probability in 0..1, and the probability of every class.

        pictures: a path, a folder, a pattern, a picture of Pillow's, an array uint8 [H, W, 3] or [N, H, W, 3], or a
        list of these; see `find_pictures`. errors: what becomes of one that can't be decoded; `row`: a row with its
        `error` and nothing else, which is a further column then.

        Raises:
            UserError: there is no such path, or with errors="raise" a picture that cannot be read.
        """
        rows = list(self.predictions(find_pictures(pictures), errors=errors))
        return pd.concat(rows) if rows else self._frame([], [], errors)

    def predictions(
        self, pictures: list[Picture], *, errors: Literal["raise", "row"] = "raise", batch: int | None = None
    ) -> Iterator[pd.DataFrame]:
        """Yield what `predict` returns, `batch` pictures at a time (None: PREDICTION_BATCH), as they are done."""
        for some, decoded in in_batches(pictures, self.picture_size, batch or PREDICTION_BATCH):
            for picture, array in zip(some, decoded, strict=True):
                if isinstance(array, str) and errors == "raise":
                    raise UserError(f"{picture.name} cannot be read as an image: {array}")
            yield self._frame([picture.name for picture in some], decoded, errors)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """The probability of every class, float32 [N, classes], of uint8 [N, picture_size, picture_size, 3]."""
        with torch.inference_mode():
            some = torch.from_numpy(images).split(evaluation_batch(self.image_size, torch.device("cpu")))
            return torch.cat([self._logits(pictures) for pictures in some]).softmax(1).numpy()

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(normalise(images, self.mean, self.std, size=self.image_size))

    def _frame(self, names: list[str], decoded: list[np.ndarray | str], errors: str) -> pd.DataFrame:
        good = [place for place, array in enumerate(decoded) if not isinstance(array, str)]
        shares = np.full((len(names), len(self.classes)), np.nan, np.float32)
        found = pd.array([None] * len(names), dtype="string")
        if good:
            shares[good] = self.probabilities(np.stack([decoded[place] for place in good]))
            found[good] = [self.classes[place] for place in shares[good].argmax(1)]
        columns = class_columns(self.classes, ("image", "class", "probability", "error"))
        each = pd.DataFrame(shares, index=pd.Index(names, name="image", dtype="string"), columns=columns)
        first = {"class": found, "probability": shares.max(1)}
        if errors == "row":
            reasons = [array if isinstance(array, str) else None for array in decoded]
            first["error"] = pd.array(reasons, dtype="string")
        return pd.concat([pd.DataFrame(first, each.index), each], axis=1)


def class_columns(classes: Sequence[str], taken: Collection[str]) -> list[str]:
    """Names of columns for the classes: their own, or `class NAME` where another column has that name."""
    return [f"class {name}" if name in taken else name for name in classes]


def _complete(loaded: Weights, hint: str) -> Weights:
    if loaded.classes is None or loaded.normalisation is None or loaded.image_size is None:
        raise UserError(f"{loaded.origin} does not say its classes, normalisation and image size; {hint}")
    return loaded


def _picture_size(loaded: Weights, config: DictConfig) -> int:
    """Pixels a side of the pictures of the run's data."""
    if loaded.picture_size is not None:
        return loaded.picture_size
    data = config.get("data") or {}
    source = str(data.get("_target_")).rpartition(".")[2]
    return data.get("size") or SOURCE_SIZES.get(source) or loaded.image_size
