"""Learning rate schedules: from the share of the training that is done, 0 to 1, to the factor on the learning rate.

They keep no state, so a resumed run and a parameter group that joins later need nothing restored.
"""

import math

from headstart.errors import UserError


def constant(progress: float) -> float:
    """Keep the learning rate as it is."""
    return 1.0


def cosine(progress: float, warmup: float = 0.0) -> float:
    """Half a cosine from 1 to 0 (Loshchilov & Hutter 2017), after a linear rise over the first `warmup` share.

    Raises UserError for a warmup that is no share.
    """
    _check_share(warmup)
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def onecycle(progress: float, warmup: float = 0.3, start: float = 0.04, end: float = 4e-6) -> float:
    """Cosine up from `start` to 1 over the `warmup` share, cosine down to `end` (Smith 2018), as torch's OneCycleLR.

    Raises UserError for a warmup that is no share.
    """
    _check_share(warmup)
    rising = progress < warmup
    low, share = (start, progress / warmup) if rising else (end, (1 - progress) / (1 - warmup))
    return 1.0 + (low - 1.0) * 0.5 * (1 + math.cos(math.pi * share))


def _check_share(warmup: float) -> None:
    if not (isinstance(warmup, int | float) and 0 <= warmup < 1):
        raise UserError(f"schedule.warmup={warmup} is no share of the training; give 0 or more, below 1, e.g. 0.1.")
