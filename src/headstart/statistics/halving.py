"""Successive halving: after some epochs only the best trials go on, and those left behind can be woken later.

Trials are ranked in the order of their numbers: of the first k that were trained to a rung, the best k / factor go on
to the next one, for every k. What goes on after n trials therefore also goes on where there are more of them, whatever
order they ended in, and how many were running at a time. (Jamieson & Talwalkar 2016, AISTATS; its promotion by ranks as
results arrive is that of Li et al. 2020, MLSys, "asynchronous", here in an order that is always the same.)

Guesses have no ranks: where a trial at chance level would go on, all that are at it do. Networks from random weights
may need epochs to leave it, at any learning rate, and pretrained ones none; luck would choose for one arm alone.
"""

import bisect
import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

FEW = 4  # trials, to choose from
LAST_RUNG = 0.4  # of the epochs after warm-up: after more of them there is little left to save
NOWHERE = -math.inf  # the value of a trial that diverged or failed


def rungs(epochs: int, warmup: float = 0.0, frozen: int = 0) -> list[int]:
    """After which epochs trials are compared: 1, 2, 5, 10, 20, 50 ..., up to 40 % of all; the last one is the end.

    warmup: share of the epochs in which the learning rate rises. Before they are over a large one looks bad, so they
    are compared first at their end, and then 2, 5, 10 ... epochs later. frozen: so many first epochs in which a
    backbone stands still. Its classifier wants other rates than all of it, so they are compared first one epoch later.
    """
    rising = math.ceil(round(warmup * epochs, 6))
    start = max(rising, frozen)
    series = [step * 10**power for power in range(len(str(epochs))) for step in (1, 2, 5)]
    later = [step for step in series if step <= LAST_RUNG * (epochs - start)]
    return [*([max(rising, frozen + 1)] * bool(later)), *(start + step for step in later[1:]), epochs]


@dataclass(frozen=True)
class Curve:
    """How far a trial has come: its validation accuracy by epoch."""

    values: Mapping[int, float]  # by epoch, counted from 1
    has_ended: bool = False  # nothing will be added
    led_nowhere: bool = False  # it diverged or failed: what it would have had later is worse than anything
    chance: float = NOWHERE  # up to which a value is a guess; the same for all trials of an arm

    @property
    def epochs(self) -> int:
        """The last one that ended."""
        return max(self.values, default=0)

    def at(self, epoch: int, since: int = 1) -> float | None:
        """The best value up to that epoch, of those from `since` on if there are any; None while it is not known."""
        if self.epochs >= epoch or (self.has_ended and not self.led_nowhere and self.values):
            until = {at: value for at, value in self.values.items() if at <= epoch}
            return max([value for at, value in until.items() if at >= since] or until.values())
        return NOWHERE if self.has_ended else None

    def is_guess(self, value: float | None) -> bool:
        """Whether what `at` gives is at chance level, which the trial may leave later."""
        return value is not None and NOWHERE < value <= self.chance


def goals(curves: Sequence[Curve], at: Sequence[int], factor: float, total: int) -> list[int]:
    """To which epoch each trial is to be trained, by what is known now: a rung, [n]; it only ever rises.

    curves: of the trials that have begun, in the order of their numbers. at: the rungs; what a trial had before the
    first one is not compared, as a frozen backbone's accuracy outlives in it what becomes of that backbone later.
    total: how many trials there will be; what it is makes no difference where they are `factor` or more, but where all
    have come to their goal and none to the end, as when the best diverged: then the one that came furthest, or of
    several the best, goes on.
    """
    if total == 1:
        return [at[-1]] * len(curves)
    found, level, first = [at[0]] * len(curves), list(range(len(curves))), min(math.ceil(factor), total)
    for rung, following in itertools.pairwise(at):
        of_level = [curves[trial] for trial in level]
        values = [curve.at(rung, at[0]) for curve in of_level]
        guessed = [curve.is_guess(value) for curve, value in zip(of_level, values, strict=True)]
        places, first = _going_on(values, guessed, factor, first)
        level = [level[place] for place in places]
        for trial in level:
            found[trial] = following
    if (
        len(curves) == total
        and is_settled(curves, found)
        and not any(c.has_ended and not c.led_nowhere for c in curves)
    ):
        left = [trial for trial, curve in enumerate(curves) if not curve.has_ended]
        for trial in sorted(left, key=lambda t: (curves[t].epochs, curves[t].at(found[t])))[-1:]:
            found[trial] = at[-1]
    return found


def _going_on(
    values: Sequence[float | None], guessed: Sequence[bool], factor: float, first: int
) -> tuple[list[int], int]:
    """The places of a rung's trials that go on, in the order in which it is known.

    first: so many are ranked together. Also returned is how many of these go on: so many it will be at the next rung.
    """
    together = 0
    ranked: list[tuple[float, int]] = []
    chosen: dict[int, None] = {}
    guesses: list[int] = []  # that have not been chosen together yet
    for count, value in enumerate(values, start=1):
        if value is None:
            break
        entry = (-value, count)
        bisect.insort(ranked, entry)
        guesses += [count - 1] * guessed[count - 1]
        best, before = math.ceil(count / factor), math.ceil((count - 1) / factor)
        if count < first:
            continue
        joining = [entry, ranked[best - 1]] if best > before else [entry]  # no other can come to be among the best
        joining = ranked[:best] if count == first else sorted(e for e in joining if e <= ranked[best - 1])
        chosen |= dict.fromkeys(place - 1 for _, place in joining)
        if guessed[ranked[best - 1][1] - 1]:
            chosen |= dict.fromkeys(guesses)
            guesses.clear()
        together = together or len(chosen)
    return list(chosen), together


def is_settled(curves: Sequence[Curve], reached: Sequence[int]) -> bool:
    """Whether every trial has come as far as it is to, `reached` by `goals`, or has ended."""
    return all(curve.has_ended or curve.epochs >= goal for curve, goal in zip(curves, reached, strict=True))


def expected_share(trials: int, at: Sequence[int], factor: float) -> float:
    """Share of all epochs that so many trials take on average, where every order of their ranks is as likely."""
    random = np.random.RandomState(0)
    spent, orders = 0, max(1, min(200, 2000 // trials))
    for _ in range(orders):
        ranks = [Curve(dict.fromkeys(at, float(rank))) for rank in random.permutation(trials)]
        spent += sum(goals(ranks, at, factor, trials))
    return spent / (orders * trials * at[-1])


def at_equal_epochs(curves: Sequence[Curve], stopped: Collection[int]) -> list[float]:
    """What each trial would have at the end, [n], where some were stopped before: their value and what others gained.

    From each epoch at which trials stopped, the mean gain up to the next one, of the trials that went on, is added.
    Those are the better ones, and a lucky value gains less: what is added is rather too little than too much. stopped:
    the places in `curves` of the trials that were; the others have what they have.
    """
    at = sorted({curves[place].epochs for place in stopped})
    ends = [*at, max((curve.epochs for curve in curves), default=0)]
    found = [max(curve.values.values()) for curve in curves]
    for start, end in itertools.pairwise(ends):
        went_on = [c for place, c in enumerate(curves) if c.epochs > start or place not in stopped]
        went_on = [c for c in went_on if c.epochs >= end or c.has_ended]
        gain = float(np.mean([c.at(end) - c.at(start) for c in went_on])) if went_on else 0.0
        for place in stopped:
            found[place] += gain if curves[place].epochs <= start else 0.0
    return found


def to_choose_from(curves: Sequence[Curve], stopped: Collection[int]) -> tuple[list[int], list[float]]:
    """The trials that a choice between settings is made from, as places in `curves`, and their values at equal epochs.

    Not those that were stopped first of all, where enough went on: after an epoch or so other settings are ahead than
    at the end, and what the others gained from there on is not what they would have. stopped: as `at_equal_epochs` has.
    """
    first = min((curves[place].epochs for place in stopped), default=0)
    went_on = [place for place, curve in enumerate(curves) if place not in stopped or curve.epochs > first]
    places = went_on if len(went_on) >= FEW else list(range(len(curves)))
    left = [index for index, place in enumerate(places) if place in stopped]
    return places, at_equal_epochs([curves[place] for place in places], left)
