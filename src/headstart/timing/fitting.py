"""What a study can be in a given time: how many trials, epochs and seeds each arm gets, the same for all of them.

There is one ladder, `MILESTONES`, from the smallest study that says anything to a thorough one, and a study is as far
up as its time allows. So more time never buys less, and what was typed stays as it was on every step.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from headstart.errors import UserError
from headstart.statistics import expected_share, rungs
from headstart.timing.estimate import SECONDS_A_RUN, Pace, Work, by_the_clock, seconds_of, seconds_once

# Share of the epochs asked for, trials, seeds. First what makes a comparison at all, then whole trials, then more of
# them, then seeds, which decide what difference can be shown.
MILESTONES = ((0.25, 5, 3), (0.5, 5, 3), (1.0, 8, 4), (1.0, 12, 5), (1.0, 29, 10), (1.0, 59, 15))
HALVED = (*MILESTONES[:4], (1.0, 12, 10))  # with more trials the usual pruner takes hardly longer
HALVING = 3.0
ENOUGH = 12  # trials; with fewer by the usual pruner, halving takes its place where that buys something
FEWEST_TRIALS, FEWEST_SEEDS, FEWEST_EPOCHS = MILESTONES[0][1], MILESTONES[0][2], 3
STARTUP = 5  # trials that the usual pruner lets come to their end
PRUNED_SHARE = 0.3  # of its epochs that it leaves a later trial: experiments/benchmarks/README.md, "Pruning"
FACTORS = (0.2, 20.0)  # between which runs may take longer than was timed
ALMOST = 0.3  # of a seed of all arms that may be missing to begin it
FITTED = ("epochs", "n_trials", "confirm_seeds")


@dataclass(frozen=True)
class Size:
    """What each arm gets."""

    epochs: int
    trials: int
    seeds: int
    halved: bool = False  # the usual pruner replaced by `HALVING`


@dataclass(frozen=True)
class ArmTime:
    """What is known of the time of an arm's runs."""

    pace: Pace
    settings: float = math.inf  # different ones that there are to try
    warmup: float = 0.0  # share of the epochs in which the learning rate rises
    frozen: int = 0  # first epochs in which a backbone stands still that learns later
    own_epochs: bool = False  # it has those that were timed, whatever the others get


@dataclass(frozen=True)
class Frame:
    """What a study has to fit into, but for the time itself."""

    arms: Mapping[str, ArmTime]
    epochs: int  # as many as the study asks for
    fixed: Mapping[str, int]  # what was typed of `FITTED`
    most_trials: int = MILESTONES[-1][1]
    most_seeds: int = MILESTONES[-1][2]
    folds: int = 1  # of whose multiples the seeds are one, so that all folds are used equally often
    least_epochs: int = FEWEST_EPOCHS
    may_halve: bool = False
    prunes: bool = False  # by the usual pruner, where it doesn't halve
    halving: float | None = None  # by which factor it halves anyway
    jobs: int = 1
    before: float = 0.0  # seconds until the first trial begins
    after: float = 0.0  # seconds behind the last confirmation
    factor: float = 1.0  # how much longer runs take than was timed


class TooShortError(UserError):
    """Not even the smallest plan fits."""

    def __init__(self, smallest: Size, seconds: float):
        super().__init__(f"the smallest plan, {smallest}, takes {seconds:.0f} s")
        self.smallest, self.seconds = smallest, seconds


def fit(frame: Frame, seconds: float) -> Size:
    """The furthest step of the ladder that takes no longer. Raises TooShortError."""
    plain, at = _furthest(frame, seconds, list(_steps(frame, MILESTONES, halved=False)))
    may_halve = frame.may_halve and frame.fixed.get("n_trials", FEWEST_TRIALS) >= FEWEST_TRIALS
    if may_halve and (plain is None or plain.trials < min(ENOUGH, frame.most_trials)):
        halved, halved_at = _furthest(frame, seconds, list(_steps(frame, HALVED, halved=True)))
        if halved is not None and halved_at > at:
            return halved
    if plain is not None:
        return plain
    smallest = next(_steps(frame, MILESTONES, halved=False))
    sizes = [smallest, *([replace(smallest, halved=True)] if may_halve else [])]
    cheapest = min(sizes, key=lambda size: seconds_for(frame, size))
    raise TooShortError(cheapest, seconds_for(frame, cheapest))


def _furthest(frame: Frame, seconds: float, steps: list[Size]) -> tuple[Size | None, float]:
    """The last step that fits, and how far it is along the milestones; none of them: None and -1."""
    found, at = None, -1.0
    for size in steps:
        if seconds_for(frame, size) <= seconds:
            found, at = size, size.epochs / frame.epochs * 1e6 + size.trials * 1e3 + size.seeds
    return found, at


def _steps(frame: Frame, milestones: tuple[tuple[float, int, int], ...], *, halved: bool) -> Iterator[Size]:
    """The steps from milestone to milestone, each one trial, one seed or one epoch more, as evenly as it goes."""
    points = [(max(1, math.ceil(share * frame.epochs)), trials, seeds) for share, trials, seeds in milestones]
    before = None
    for low, high in itertools.pairwise(points):
        count = max(1, *(abs(b - a) for a, b in zip(low, high, strict=True)))
        for step in range(count + 1):
            size = _within(frame, *(round(a + (b - a) * step / count) for a, b in zip(low, high, strict=True)))
            if size != before:
                yield replace(size, halved=halved)
            before = size


def _within(frame: Frame, epochs: int, trials: int, seeds: int) -> Size:
    """The size with what was typed in its place, and no more than there is to try."""
    fixed = frame.fixed
    epochs = max(epochs, min(frame.least_epochs, frame.epochs))
    return Size(
        fixed.get("epochs", epochs),
        fixed.get("n_trials", min(trials, frame.most_trials)),
        fixed.get("confirm_seeds", seeds_within(frame, seeds)),
    )


def seeds_within(frame: Frame, seeds: int) -> int:
    """So many seeds or fewer, where not even the fewest are left: these; a multiple of the folds where there is one."""
    most = max(frame.most_seeds, FEWEST_SEEDS)
    step = frame.folds if frame.folds <= most else 1
    fewest = math.ceil(FEWEST_SEEDS / step) * step
    return max(min(seeds, most) // step * step, fewest if fewest <= most else step)


# ---- what a size takes


def seconds_for(frame: Frame, size: Size) -> float:
    """Seconds of the whole study, by the clock on the wall."""
    runs = by_the_clock([_seconds_of_arm(frame, arm, size) for arm in frame.arms.values()], frame.jobs)
    longest = max(pace_of(arm, size.epochs).whole + arm.pace.test for arm in frame.arms.values())
    waiting = (frame.jobs - 1) / frame.jobs * longest  # at the end of the search and of the whole, half of it each
    return frame.before + frame.after + frame.factor * (runs + waiting)


def _seconds_of_arm(frame: Frame, arm: ArmTime, size: Size) -> tuple[float, float]:
    """Seconds of its runs, one after the other, and those of them in which one works for all."""
    trials = int(min(size.trials, arm.settings))
    pace, work = pace_of(arm, size.epochs), Work(trials, share_of(frame, arm, size, trials), size.seeds)
    return seconds_of(pace, work), seconds_once(pace, work)


def pace_of(arm: ArmTime, epochs: int) -> Pace:
    """The arm's pace in runs of so many epochs; those beyond what was timed are like the last one."""
    if arm.own_epochs:
        return arm.pace
    known = arm.pace.epochs[:epochs]
    return replace(arm.pace, epochs=known + known[-1:] * (epochs - len(known)))


def share_of(frame: Frame, arm: ArmTime, size: Size, trials: int) -> float:
    """Share of the epochs of so many trials that is trained, as some are stopped early."""
    factor = HALVING if size.halved else frame.halving
    if factor is not None:
        return _halved_share(trials, len(pace_of(arm, size.epochs).epochs), arm.warmup, arm.frozen, factor)
    if frame.prunes and trials > STARTUP:
        return (STARTUP + PRUNED_SHARE * (trials - STARTUP)) / trials
    return 1.0


@lru_cache(maxsize=4096)
def _halved_share(trials: int, epochs: int, warmup: float, frozen: int, factor: float) -> float:
    return expected_share(trials, rungs(epochs, warmup, frozen), factor)


# ---- corrected while it goes on


def slower_by(frame: Frame, size: Size, trained: Mapping[str, Sequence[int]], seconds: float) -> float:
    """How much longer runs take than was timed. trained: epochs of each of the trials so far, by arm; seconds: theirs.

    Above 1 on a machine that others use, too, or where a run does what nothing here times.
    """
    arms = [(pace_of(frame.arms[arm], size.epochs), own) for arm, own in trained.items() if own]
    timed = by_the_clock([(_seconds_of_trials(*arm), arm[0].prepare) for arm in arms], frame.jobs)
    low, high = FACTORS
    return min(max(seconds / timed, low), high) if timed else 1.0


def _seconds_of_trials(pace: Pace, epochs: Sequence[int]) -> float:
    return sum(sum(pace.epochs[:trained]) + SECONDS_A_RUN for trained in epochs) + pace.prepare


def refit(frame: Frame, size: Size, seconds: float, begun: int) -> Size:
    """The trials and seeds that fit, now that `frame.factor` is known and so many trials of each arm have begun.

    Epochs and what stops trials are as they began.
    """
    halving = HALVING if size.halved else frame.halving
    going = replace(frame, fixed={**frame.fixed, "epochs": size.epochs}, may_halve=False, halving=halving)
    try:
        found = fit(going, seconds)
    except TooShortError as error:
        found = error.smallest
    return replace(size, trials=max(found.trials, min(begun, size.trials)), seeds=found.seeds)


def seeds_in(frame: Frame, size: Size, seconds: float, unfinished: float) -> int:
    """With how many seeds each arm can be confirmed in the seconds that are left: as many as fit, from the fewest on.

    unfinished: seconds of trials that still run, one after the other.
    """
    if "confirm_seeds" in frame.fixed:
        return frame.fixed["confirm_seeds"]
    paces = [pace_of(arm, size.epochs) for arm in frame.arms.values()]
    waiting = (frame.jobs - 1) / 2 * max(pace.whole + pace.test for pace in paces)

    def fit_in(seeds: int) -> bool:
        runs = seeds - ALMOST
        arms = [(runs * (pace.whole + pace.test) + pace.prepare_test, pace.prepare_test) for pace in paces]
        return by_the_clock(arms, frame.jobs) + (unfinished + waiting) / frame.jobs <= seconds / frame.factor

    return seeds_within(frame, sum(map(fit_in, range(1, frame.most_seeds + 1))))
