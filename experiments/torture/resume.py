"""Bit-exact resume: optimizer x schedule x augmentation x freezing x early stopping x halving, cut in every epoch.

Wanted of each: the weights, predictions, rows and outcome of a run that was never cut, to the byte. The networks are
the toys of the tests, with batch norm and dropout; a cut is an exception at a batch, as in the middle of a kill.
"""

import itertools
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from training.helpers_training import (
    AUGMENTATIONS,
    OPTIMIZERS,
    SCHEDULES,
    Cut,
    Pausing,
    fingerprint,
    frozen_network,
    small_network,
    trainer,
)

from headstart.data import Dataset, augmentation
from headstart.data.sources import digits
from headstart.training import trial_context

FURTHER = {
    "cutout": partial(augmentation.cutout, size=8, padding=4),
    "cutmix": partial(augmentation.cutmix, alpha=1.0, padding=4),
    "randaugment": partial(augmentation.randaugment, operations=2, magnitude=9, padding=4),
    "trivialaugment": partial(augmentation.trivialaugment, padding=4),
}
CHANGES = AUGMENTATIONS | FURTHER
FREEZING = ("none", "backbone", "backbone_then_none", "backbone_until:2")
PATIENCE = (None, 2)
RUNGS = {"": (4,), "halving": (1, 2, 4)}  # epochs after which the trial pauses, its last one included
EPOCHS, BATCHES = 4, 3  # of a run, and in an epoch
KEYS = ("optimizer", "schedule", "augmentation", "freeze", "patience", "halving")


def attempts(work: Path, seed: int) -> Iterator[tuple[tuple[str, ...], Callable[[], dict[str, object]]]]:
    """Every combination in an order that the seed shuffles, and what tries it."""
    found = list(itertools.product(OPTIMIZERS, SCHEDULES, CHANGES, FREEZING, map(str, PATIENCE), RUNGS))
    random.Random(seed).shuffle(found)
    for combination in found:
        yield combination, partial(try_combination, work, seed, *combination)


def is_wanted(row: dict[str, str]) -> bool:
    """Whether all cuts of a combination ended in the same bytes."""
    return not row["differs"]


def try_combination(work: Path, seed: int, *combination: str) -> dict[str, object]:
    """Run it whole, with a cut in each epoch, at a batch that the seed draws, and with two; a row of resume.csv."""
    rng, began = random.Random(f"{seed} {combination}"), time.monotonic()
    *options, rungs = combination
    expected = _run(work / "whole", options)
    cuts = [(BATCHES * epoch + rng.randint(1, BATCHES),) for epoch in range(EPOCHS)]
    cuts.append((rng.randint(1, 6), rng.randint(1, 6)))
    ended = {cut: _cut_and_go_on(work / "cut", options, cut, RUNGS[rungs]) for cut in cuts}
    differs = [cut for cut, (found, _) in ended.items() if found != expected]
    reached = sum(count for _, count in ended.values())
    return dict(cuts=reached, differs="; ".join(map(str, differs)), seconds=round(time.monotonic() - began, 2))


def _cut_and_go_on(
    folder: Path, options: list[str], cuts: tuple[int, ...], rungs: tuple[int, ...]
) -> tuple[tuple, int]:
    """What a run comes to that pauses at these epochs, each part of it cut at these batches, counted within one life.

    Returned with the number of cuts that it came to: one that patience ends, or a rung, may not come to all.
    """
    shutil.rmtree(folder, ignore_errors=True)
    reached = 0
    for rung in rungs:
        trial_context.trial = Pausing(rung) if len(rungs) > 1 else None
        for cut in cuts:
            try:
                _trainer(folder, options, cut=cut).run()
            except Cut:
                reached += 1
        found = _run(folder, options, anew=False)
    trial_context.trial = None
    return found, reached


def _run(folder: Path, options: list[str], anew: bool = True) -> tuple:
    """Train to the end, or to where the trial pauses."""
    if anew:
        shutil.rmtree(folder, ignore_errors=True)
    run = _trainer(folder, options)
    return fingerprint(run, run.run())


def _trainer(folder: Path, options: list[str], cut: int = 0):
    optimizer, schedule, augment, freeze, patience = options
    torch.manual_seed(0)
    model = (
        frozen_network("cnn", freeze=freeze, width=4) if freeze.startswith("backbone_until") else small_network(freeze)
    )
    own = dict(model=model, patience=None if patience == "None" else int(patience), epochs=EPOCHS, cut=cut)
    return trainer(_pictures(), folder, optimizer, schedule, CHANGES[augment], **own)


@lru_cache(maxsize=1)
def _pictures() -> Dataset:
    """80 digits to train on, three batches of 32 with the last one short."""
    return digits(train_size=80)
