"""From what the parts of a run take to what a study takes: plain sums."""

from collections.abc import Sequence
from dataclasses import dataclass

SECONDS_A_RUN = 0.3  # starting one, and writing what stays of it, beside training and evaluation


@dataclass(frozen=True)
class Pace:
    """What a run of one configuration consists of, and the seconds of each part on this machine."""

    epochs: tuple[float, ...]  # seconds of each epoch, its validation included
    prepare: float  # once for all of an arm's runs: features that are kept, of training and validation pictures
    test: float  # reading the test split, each time
    prepare_test: float  # once: features of the test pictures
    test_images: int = 0  # that the test split has

    @property
    def whole(self) -> float:
        """Seconds of a run from its first epoch to its last, without the test split."""
        return sum(self.epochs) + SECONDS_A_RUN


@dataclass(frozen=True)
class Work:
    """What an arm still has to run."""

    trials: int
    share: float  # of a trial's epochs that are trained, as some are stopped early
    confirmations: int


def seconds_of(pace: Pace, work: Work) -> float:
    """Seconds that the arm takes, one run after the other."""
    searching = work.trials * (sum(pace.epochs) * work.share + SECONDS_A_RUN)
    confirming = work.confirmations * (pace.whole + pace.test)
    return searching + confirming + seconds_once(pace, work)


def seconds_once(pace: Pace, work: Work) -> float:
    """Seconds of it that one process works and the arm's other runs wait: for features that are kept."""
    before = pace.prepare if work.trials + work.confirmations else 0.0
    return before + (pace.prepare_test if work.confirmations else 0.0)


def by_the_clock(arms: Sequence[tuple[float, float]], jobs: int) -> float:
    """Seconds that arms take with so many runs at a time. arms: what `seconds_of` and `seconds_once` are of each."""
    alone = [once + (own - once) / jobs for own, once in arms]
    return max([sum(own for own, _ in arms) / jobs, *alone])
