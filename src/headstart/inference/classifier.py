"""A trained network that classifies pictures, made from what a run left on disk."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from omegaconf import OmegaConf

from headstart.config import make
from headstart.data import decode, normalise
from headstart.errors import UserError
from headstart.models import from_file
from headstart.store import expanded

PREDICTION_BATCH = 256  # pictures at a time, so that a long list fits into memory


@dataclass(frozen=True, repr=False)
class Classifier:
    """A trained network that classifies pictures on the CPU."""

    path: Path  # run folder that the weights are from
    network: torch.nn.Module  # in eval mode
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int  # pixels that the network was trained with

    def __repr__(self) -> str:
        return f"<{type(self.network).__name__} of {self.path}: {', '.join(self.classes)}>"

    @classmethod
    def of_run(cls, run_dir: str | Path) -> Self:
        """Build the network of a finished run from its saved configuration and best.safetensors.

        Raises:
            UserError: the run has no weights or no configuration, or they are damaged.
        """
        run_dir = expanded(run_dir)
        path, saved = run_dir / "best.safetensors", run_dir / ".hydra" / "config.yaml"
        if not saved.is_file():
            raise UserError(f"{run_dir} has no .hydra/config.yaml, which says what network its weights belong to.")
        loaded = from_file(path)
        if loaded.classes is None or loaded.normalisation is None or loaded.image_size is None:
            raise UserError(f"{path} does not say its classes, normalisation and image size; was it written by a run?")
        try:
            node = OmegaConf.load(saved).model
        except Exception as error:  # a damaged YAML file raises several kinds
            raise UserError(f"{saved} cannot be read: {error}") from error
        trained = dict(classes=len(loaded.classes), class_names=loaded.classes, image_size=loaded.image_size)
        unfrozen = dict(freeze="none", unfreeze_epoch=None, backbone_lr_factor=1, batch_norm="learn")
        model = make(node, weights=str(path), keep_classifier=True, **trained, **unfrozen)
        norm = loaded.normalisation
        return cls(run_dir, model.network.eval(), loaded.classes, norm.mean, norm.std, loaded.image_size)

    def predict(self, images: Iterable[str | os.PathLike | np.ndarray]) -> pd.DataFrame:
        """Return a row per picture: the class found, its probability in 0..1, and the probability of every class.

        `images`: paths of image files, or arrays uint8 [H, W, 3] (so also one array [N, H, W, 3]). Files are read as
        `data=folder` does: upright, RGB, the largest centred square.

        Raises:
            UserError: a file cannot be read, or an array is something else.
        """
        if isinstance(images, str | os.PathLike | Mapping):
            raise UserError("predict takes a list of pictures; put brackets around a single one: predict([...]).")
        pictures = list(images)
        names = [os.fspath(p) if isinstance(p, str | os.PathLike) else str(n) for n, p in enumerate(pictures)]
        chunks = []
        with torch.inference_mode():
            for start in range(0, len(pictures), PREDICTION_BATCH):
                batch = torch.cat([self._input(p) for p in pictures[start : start + PREDICTION_BATCH]])
                chunks.append(self.network(batch).softmax(1))
        shares = torch.cat(chunks).numpy() if chunks else torch.empty(0, len(self.classes)).numpy()
        found = pd.array([self.classes[place] for place in shares.argmax(1)], dtype="string")
        each = pd.DataFrame(shares, index=pd.Index(names, name="image", dtype="string"), columns=list(self.classes))
        return pd.concat([pd.DataFrame({"class": found, "probability": shares.max(1)}, each.index), each], axis=1)

    def _input(self, picture: Any) -> torch.Tensor:
        """One picture as the network takes it: float32 [1, 3, image_size, image_size]."""
        if isinstance(picture, str | os.PathLike):
            try:
                picture = decode(expanded(picture), self.image_size)[0]
            except Exception as error:  # Pillow raises almost anything for a damaged file
                raise UserError(f"{picture} cannot be read as an image: {error or type(error).__name__}") from error
        array = np.asarray(picture)
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
            raise UserError(
                f"a picture is {array.dtype} {list(array.shape)}; expected uint8 [height, width, 3], or a path."
            )
        tensor = torch.from_numpy(np.array(array))[None]  # a copy: what comes may be read-only
        return normalise(tensor, self.mean, self.std, size=self.image_size)
