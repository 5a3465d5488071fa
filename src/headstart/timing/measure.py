"""Time a few steps of a prepared run, and the evaluation of a few pictures, on the device that it would train on."""

import time
from collections.abc import Callable

import torch

from headstart.models import is_frozen
from headstart.timing.estimate import Pace
from headstart.training import NetworkTrainer, Trainer

SECONDS = 0.6  # for a measurement, after one that doesn't count
LONGEST = 2.0  # seconds of a single step; of a slower network a smaller batch is timed and the rest added by rule
EVALUATED = 64  # pictures whose evaluation is timed
BUSY_SECONDS = 1.0  # for finding out what else goes on
FEW = 4  # pictures in the step that doesn't count


def measure_pace(trainer: Trainer) -> Pace | None:
    """Return what a run takes as it stands; its weights are other ones afterwards. None: fitted in one go.

    The test split stays sealed: validation pictures are timed in place of as many as it has.
    """
    if not isinstance(trainer, NetworkTrainer):
        return None
    test_images = trainer.data.test_images or 0
    model, epochs = trainer.model, trainer.settings.epochs
    frozen = [is_frozen(model, epoch) for epoch in range(1, epochs + 1)]
    missing = trainer.features.missing(trainer.data) if any(frozen) else None  # None, too: they aren't kept
    answer = feature = 0.0  # of what no part of the run does
    if missing is None or not all(frozen):
        answer = _seconds_an_image(lambda count: trainer.predict(trainer.data.val.choose(slice(count))), trainer)
    if missing is not None:
        at_once = trainer.features.at_once()
        feature = _seconds_an_image(lambda n: trainer.features.compute(_pictures(trainer, n)), trainer, at_once)
    validation = len(trainer.val.labels) * answer
    phases = {}
    for stands_still in set(frozen):
        trainer.state.set_trainable(1 if stands_still else epochs)
        kept = stands_still and missing is not None
        step = _classifier_steps(trainer) if kept else _learning_steps(trainer)
        phases[stands_still] = _seconds_a_pass(trainer, step) + validation * (not kept)
    ends_kept = frozen[-1] and missing is not None
    return Pace(
        epochs=tuple(phases[stands_still] for stands_still in frozen),
        prepare=(missing or 0) * feature,
        test=0.0 if ends_kept else test_images * answer,
        prepare_test=test_images * feature if ends_kept else 0.0,
        test_images=test_images,
    )


def _pictures(trainer: NetworkTrainer, count: int) -> torch.Tensor:
    return trainer.train.pictures(slice(count))


def _seconds_an_image(work: Callable[[int], object], trainer: NetworkTrainer, most: int = EVALUATED) -> float:
    """Seconds for each picture of an evaluation, of so many at a time at most."""
    count = min(most, EVALUATED, len(trainer.val.labels), len(trainer.train.labels))
    return _seconds(work, count) / count


def _learning_steps(trainer: NetworkTrainer) -> Callable[[int], object]:
    """A step on so many training images, by the whole network."""
    generator = torch.Generator().manual_seed(trainer.settings.seed)
    return lambda count: trainer.step(torch.arange(count, device=trainer.settings.device), generator)


def _classifier_steps(trainer: NetworkTrainer) -> Callable[[int], object]:
    """A step on so many training images whose features are there."""
    batch = min(trainer.settings.batch_size, len(trainer.train.labels))
    features = trainer.features.compute(_pictures(trainer, min(batch, EVALUATED))).clone()  # not of inference mode
    rows = torch.arange(batch, device=features.device) % len(features)
    features, labels = features[rows], trainer.train.labels[rows]
    return lambda count: trainer.classifier_step(features[:count], labels[:count])


def _seconds_a_pass(trainer: NetworkTrainer, step: Callable[[int], object]) -> float:
    """Seconds of one pass over the training images."""
    batch, steps = min(trainer.settings.batch_size, len(trainer.train.labels)), len(trainer.starts)
    return steps * _seconds(step, batch)


def _seconds(work: Callable[[int], object], count: int) -> float:
    """Seconds of `work(count)`; where that is long by a straight line through two smaller ones."""
    few = min(FEW, count)
    work(few)
    short = _fastest(work, few)
    if short * count / few <= LONGEST or few == count:
        work(count)
        return _fastest(work, count)
    more = max(min(2 * few, count), min(count, int(few * LONGEST / short)))
    longer = _fastest(work, more)
    return longer + max(0.0, longer - short) * (count - more) / max(1, more - few)


def _fastest(work: Callable[[int], object], count: int) -> float:
    """The shortest of some runs, as whatever else goes on here only makes them longer."""
    taken, begin = [], time.perf_counter()
    while not taken or (time.perf_counter() - begin < SECONDS and len(taken) < 20):
        start = time.perf_counter()
        work(count)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return min(taken)


def how_busy() -> float:
    """How many times longer work takes here on average than when nothing else goes on; 1.0 on a machine of one's own.

    A pace is that of the fastest steps. On a GPU, whose steps are hardly the CPU's, it is 1.
    """
    if torch.cuda.is_available():
        return 1.0
    matrix, taken, begin = torch.rand(256, 256), [], time.perf_counter()
    while time.perf_counter() - begin < BUSY_SECONDS:
        start = time.perf_counter()
        for _ in range(4):
            matrix @ matrix
        taken.append(time.perf_counter() - start)
    undisturbed = sorted(taken)[len(taken) // 10]
    return max(1.0, sum(taken) / len(taken) / undisturbed)
