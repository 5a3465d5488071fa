"""Learning rate schedules: from the share of the training that is done, 0 to 1, to the factor on the learning rate.

They keep no state, so a resumed run and a parameter group that joins later need nothing restored.
"""

import math
from typing import Annotated

from annotated_types import Ge, Le

from headstart.typed import Share

UpToOne = Annotated[float, Ge(0), Le(1)]


def constant(progress: float) -> float:
    """Keep the learning rate as it is."""
    return 1.0


def cosine(progress: float, warmup: Share = 0.0) -> float:
    """Half a cosine from 1 to 0 (Loshchilov & Hutter 2017), after a linear rise over the first `warmup` share."""
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def onecycle(progress: float, warmup: Share = 0.3, start: UpToOne = 0.04, end: UpToOne = 4e-6) -> float:
    """Cosine up from `start` to 1 over the `warmup` share, cosine down to `end` (Smith 2018), as torch's OneCycleLR."""
    rising = progress < warmup
    low, share = (start, progress / warmup) if rising else (end, (1 - progress) / (1 - warmup))
    return 1.0 + (low - 1.0) * 0.5 * (1 + math.cos(math.pi * share))
