"""Pictures made worse in known steps, to see how much of its accuracy a network keeps.

Kinds and strengths are those of CIFAR-10-C for small pictures and of ImageNet-C for larger ones (Hendrycks and
Dietterich 2019, 1903.12261): https://github.com/hendrycks/robustness.
"""

import io
from collections.abc import Iterable

import numpy as np

STRENGTHS = (1, 2, 3, 4, 5)
SMALL = 64  # pixels a side, up to which CIFAR-10-C's strengths apply
_OF_SMALL = {
    "noise": (0.04, 0.06, 0.08, 0.09, 0.10),  # standard deviation, of values in 0..1
    "blur": (0.4, 0.6, 0.7, 0.8, 1.0),  # radius in pixels
    "jpeg": (80, 65, 58, 50, 40),  # quality
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),  # what is left of the distance to the mean
}
_OF_LARGE = {
    "noise": (0.08, 0.12, 0.18, 0.26, 0.38),
    "blur": (1, 2, 3, 4, 6),
    "jpeg": (25, 18, 15, 10, 7),
    "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),
}
CORRUPTIONS = tuple(_OF_SMALL)


def corrupted(pictures: Iterable[np.ndarray], kind: str, strength: int, seeds: Iterable[int]) -> np.ndarray:
    """Pictures of one size, each made worse by `corrupt` with a seed of its own: uint8 [N, H, W, 3]."""
    return np.stack([corrupt(picture, kind, strength, seed) for picture, seed in zip(pictures, seeds, strict=True)])


def corrupt(picture: np.ndarray, kind: str, strength: int, seed: int) -> np.ndarray:
    """The picture, uint8 [H, W, 3], made worse: `kind` of CORRUPTIONS, `strength` of STRENGTHS.

    seed: of the noise. Raises KeyError for another kind and IndexError for another strength.
    """
    from PIL import Image, ImageFilter

    amount = (_OF_SMALL if max(picture.shape) <= SMALL else _OF_LARGE)[kind][strength - 1]
    if kind == "blur":
        return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(amount)))
    if kind == "jpeg":
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=amount)
        return np.asarray(Image.open(buffer))
    values = picture / 255
    if kind == "noise":
        values = values + np.random.default_rng(seed).normal(0, amount, picture.shape)
    else:
        mean = values.mean((0, 1), keepdims=True)
        values = (values - mean) * amount + mean
    return (values.clip(0, 1) * 255).round().astype(np.uint8)
