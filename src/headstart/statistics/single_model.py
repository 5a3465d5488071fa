"""What one trained model answered: above guessing or not, calibrated or not, changed by something or not."""

import math

import numpy as np
from numpy.typing import ArrayLike

from headstart.statistics.checks import finite_numbers, flags, fraction, refuse_other_lengths

CALIBRATION_BINS = 15


def is_chance(accuracy: float, images: int, classes: int, majority_share: float = 0.0, errors: float = 3.0) -> bool:
    """Whether an accuracy (percent) on `images` images is not above chance by `errors` standard errors (state CHANCE).

    `majority_share`: 0..1, of the largest class, as in `chance_limit`.
    """
    finite_numbers([accuracy], "accuracy")
    if not 0 <= accuracy <= 100:
        raise ValueError(f"accuracy={accuracy}; expected percent.")
    return accuracy <= chance_limit(images, classes, majority_share, errors) + 1e-10


def chance_limit(images: int, classes: int, majority_share: float = 0.0, errors: float = 3.0) -> float:
    """The accuracy (percent) on `images` images that is `errors` standard errors above chance.

    Chance c is 1 / classes, or `majority_share` (0..1, of the largest class) where that is more: a constant answer
    reaches it. The standard error is that of guessing, √(c (1 - c) / images). Where that makes more than all images
    right, as of few images of uneven classes, the limit is what guessing passes once in 741 times (3 errors), by the
    binomial distribution: all right may still pass it.
    """
    finite_numbers([majority_share], "majority_share")
    if images < 1 or classes < 1 or not 0 <= majority_share <= 1:
        raise ValueError(
            f"images={images}, classes={classes}, majority_share={majority_share}; "
            "expected at least one image and class, and a share of 0 to 1."
        )
    chance = max(1 / classes, majority_share)
    limit = 100 * (chance + errors * math.sqrt(chance * (1 - chance) / images))
    if limit < 100:
        return limit
    from scipy.stats import binom, norm

    return 100 * float(binom.isf(norm.sf(errors), images, chance)) / images


def expected_calibration_error(confidences: ArrayLike, correct: ArrayLike, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error in percentage points: |accuracy - confidence| per bin, averaged over images.

    `confidences`: [images], probability of the predicted class, 0..1; `correct`: [images] of true/false. Bins are of
    equal width on 0..1, 15 of them, closed on the right (0 joins the first). NaN without images.
    Source: Guo et al. (2017), 1706.04599, eq. 3 and §2 "Expected Calibration Error".
    """
    confidences, correct = finite_numbers(confidences, "confidences"), flags(correct, "correct")
    refuse_other_lengths(confidences=confidences, correct=correct)
    if not confidences.size:
        return math.nan
    if confidences.min() < 0 or confidences.max() > 1 + 1e-6:  # a softmax in float32 may pass 1 by rounding
        raise ValueError(f"confidences from {confidences.min()} to {confidences.max()}; expected 0 to 1.")
    bin_of = np.clip(np.ceil(confidences * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, weights=correct - confidences, minlength=bins)
    return 100 * float(np.abs(gaps).sum() / confidences.size)


def change_interval(before: ArrayLike, after: ArrayLike, level: float = 0.95) -> tuple[float, float, float]:
    """By how many points of accuracy a change to a model moved it, and its interval for new images: change, low, high.

    `before`, `after`: [images] of true/false, whether the same images were answered right. Only those whose answer
    turned tell anything; one is added to either kind, so that few images on which none turned do not claim that none
    ever will. Source: Bonett & Price (2012), "Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data", Journal of Educational and Behavioral Statistics 37.
    """
    from scipy.special import ndtri

    before, after = flags(before, "before"), flags(after, "after")
    refuse_other_lengths(before=before, after=after)
    if not before.size:
        return math.nan, math.nan, math.nan
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    up, down = ((turned + 1) / (before.size + 2) for turned in (gained, lost))
    middle, spread = up - down, math.sqrt((up + down - (up - down) ** 2) / (before.size + 2))
    half = float(ndtri((1 + fraction(level, "level")) / 2)) * spread
    change = (gained - lost) / before.size
    return 100 * change, 100 * max(-1.0, middle - half), 100 * min(1.0, middle + half)
