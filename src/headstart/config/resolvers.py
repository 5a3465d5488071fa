"""What `${name:...}` means in the configuration files; registered with OmegaConf when this module is imported."""

import math
import os
from datetime import datetime
from functools import lru_cache
from typing import Any

from omegaconf import OmegaConf

from headstart.config.groups import help_text
from headstart.config.search_path import experiments_folder


def decades(low: float, high: float) -> list[float]:
    """The powers of 10 within [low, high], largest first: what a hand search by factors of 10 tries."""
    first, last = math.floor(math.log10(high) + 1e-9), math.ceil(math.log10(low) - 1e-9)
    return [float(f"1e{e}") for e in range(first, last - 1, -1)]


def first_pruned_epoch(epochs: int, warmup: float) -> int:
    """The first epoch after which a search trial may be pruned; warmup: share of the epochs in which the rate rises."""
    return math.ceil(round(warmup * epochs, 6)) + max(2, math.ceil(epochs / 15))


def unless(other: Any, value: Any) -> Any:
    """The value where the other key has none, or leaves it open; null where it has one, which takes its place."""
    return value if other in (None, "auto") else None


def study_name(name: str | None) -> str:
    """The study's folder below outputs/: of one without a name the time of its start, the same in all its processes."""
    return name if name is not None else os.environ.setdefault("HEADSTART_SWEEP", f"sweep-{_stamp()}")


@lru_cache(maxsize=1)
def _stamp() -> str:
    return datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")


def study_storage(path: str) -> str:
    """The URL that $HEADSTART_STORAGE has, else SQLAlchemy's of a database's file at that path.

    A path is none by itself, as `?` begins a URL's options and `%` an escape.
    """
    from sqlalchemy import URL

    if given := os.environ.get("HEADSTART_STORAGE"):
        return given
    return URL.create("sqlite", database=path).render_as_string()


RESOLVERS = {
    "config_root": lambda _="": str(experiments_folder().parent),
    "help_text": lambda _="": help_text(),
    "unless": unless,
    "study_name": study_name,
    "study_storage": study_storage,
    "first_pruned_epoch": first_pruned_epoch,
    "decades": lambda low, high: f"choice({','.join(map(repr, decades(low, high)))})",  # as Hydra's sweep syntax
}
for _name, _resolver in RESOLVERS.items():  # what they are given is checked when they compute with it
    OmegaConf.register_resolver(_name, _resolver, replace=True, annotation_validation="off")
