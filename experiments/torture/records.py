"""5,000 damaged files of a finished study, each read as a report reads it, without any command.

Wanted of each: the tables of the undamaged study, or a word on what is wrong: in the run's row, or in the log by the
file's name; no exception but a `UserError`.
"""

import logging
import random
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import batches
import pandas as pd
from batches import KEYS, REFUSED, TAKEN, is_wanted  # noqa: F401
from commands import whole_study
from damage import KINDS, STUDIES, damaged, draw_pictures, targets, words_of
from same import is_noted

from headstart.errors import UserError

TOTAL = 5_000
NAMES = ("trials", "epochs", "arms", "pairs")


def attempts(work: Path, seed: int) -> Iterator[tuple[tuple[str, int], Callable[[], dict[str, object]]]]:
    """Every batch and what tries it; the kinds are the studies."""
    draw_pictures(work / "pictures")
    for study in STUDIES:
        whole_study(work / study, words_of(study, work))
        loaded(work / study)  # once, before processes are forked
    return batches.attempts(work, seed, TOTAL, tuple(STUDIES), try_file)


def try_file(work: Path, study: str, seed: int) -> str:
    """Damage a file, read the study, and put the file right again."""
    rng = random.Random(f"{seed} {study}")
    whole = work / study
    path = whole / rng.choice([name for name in targets(whole) if name.startswith("outputs/")])
    kind, before = rng.choice(KINDS), path.read_bytes()
    said = Said()
    logging.getLogger().addHandler(said)
    try:
        if kind == "gone":
            path.unlink()
        else:
            path.write_bytes(damaged(before, kind, path, rng))
        frames, expected = load(whole), loaded(whole)
    except UserError as error:
        return REFUSED if path.name in str(error) else f"{path} {kind}: {error}"
    except Exception as error:
        return f"{path} {kind}: {type(error).__name__}: {error}"
    finally:
        path.write_bytes(before)
        logging.getLogger().removeHandler(said)
    changed = [name for name in NAMES if not frames[name].equals(expected[name])]
    if not changed:
        return TAKEN
    return (
        REFUSED
        if is_noted(frames["trials"]) or path.name in said.text
        else f"{path} {kind}: other {changed} without a word"
    )


class Said(logging.Handler):
    """All that is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.text += record.getMessage() + "\n"


def load(whole: Path) -> dict[str, pd.DataFrame]:
    """The study's tables as a report has them."""
    from headstart.analysis import load_results

    results = load_results(whole / "outputs/study")
    return {name: getattr(results, name) for name in NAMES}


@cache
def loaded(whole: Path) -> dict[str, pd.DataFrame]:
    """The same of the undamaged study."""
    return load(whole)
