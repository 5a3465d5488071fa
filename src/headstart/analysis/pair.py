"""Two arms as a verdict sees them: accuracies seed by seed, answers picture by picture, the luck of both searches."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from headstart import statistics
from headstart.analysis.arm_speed import costs_to
from headstart.analysis.csv_tables import known
from headstart.analysis.predictions import Answers, averaged
from headstart.analysis.runs_of_arm import ArmRuns
from headstart.analysis.verdict import HoldsFor, PicturesAlone
from headstart.statistics import SPREAD_DF, Looks, PairedDifference, Uncertainty


@dataclass(frozen=True, eq=False)
class ArmOfPair:
    """One side of a pair."""

    row: pd.Series  # of arms.csv
    runs: ArmRuns
    first_trials: pd.DataFrame  # at learning rates that are tried whatever the search finds
    answers: Answers | None
    epochs: pd.DataFrame  # rows of epochs.csv, its confirmations' among them

    @property
    def luck(self) -> Uncertainty | None:
        """Of the search; None where its confirmations do not repeat the choice."""
        luck = known(self.row["luck_std"])
        return None if luck is None else Uncertainty(float(luck) ** 2, SPREAD_DF)


@dataclass(frozen=True, eq=False)
class SharedPictures:
    """What the test pictures leave open of the mean difference of two arms."""

    number: int
    difference: np.ndarray | None  # of the answers, in points, [repeats, pictures]; None: not known picture by picture
    means: tuple[float, float]  # accuracies of both, in percent

    @classmethod
    def of(
        cls, scores: pd.DataFrame, answers: tuple[np.ndarray, np.ndarray] | None, *rows: pd.Series
    ) -> "SharedPictures | None":
        """Those of two arms; None where it is not known how many there were.

        scores: columns a and b, a row a repeat; answers: of both at these repeats, in points, [repeats, pictures];
        rows: of arms.csv.
        """
        counts = [known(row.get("test_images")) for row in rows]
        if scores.empty or (answers is None and not all(counts)):
            return None
        number = min(map(int, counts)) if answers is None else answers[0].shape[1]
        difference = None if answers is None else answers[0] - answers[1]
        return cls(number, difference, (float(scores["a"].mean()), float(scores["b"].mean())))

    @property
    def is_paired(self) -> bool:
        """Whether it is known which pictures each arm got right."""
        return self.difference is not None

    @property
    def alone(self) -> Uncertainty:
        """Of the difference on new pictures, by these very models."""
        if self.difference is None:
            return statistics.unpaired_pictures(*self.means, self.number)
        return statistics.pictures_alone(self.difference)

    def at(self, level: float) -> PicturesAlone:
        """What they alone leave, at the level of an interval: at most what two accuracies can differ by."""
        half_width = min(statistics.LARGEST, statistics.half_width(self.alone, level))
        return PicturesAlone(self.number, half_width, self.is_paired)

    def with_repeats(self, repeats: Uncertainty) -> tuple[Uncertainty, ...]:
        """Independent parts of the difference's variance for new repeats on new pictures.

        repeats: the part of seeds, or of searches, NaN where each gave the same difference.
        """
        if self.difference is not None:
            return (statistics.crossed_uncertainty(self.difference),)
        return (self.alone,) if math.isnan(repeats.variance) else (repeats, self.alone)


def shared_by_searches(
    scores: pd.DataFrame, answers: Sequence[Answers | None], rows: Sequence[pd.Series]
) -> SharedPictures | None:
    """The test pictures behind repeated searches, of a and of b in turn; their answers are their confirmations' mean.

    scores: columns a and b, a row a repeat; rows: of arms.csv.
    """
    of_each = averaged(answers) if len(scores) > 1 else None
    both = None if of_each is None else (np.array(of_each[::2]), np.array(of_each[1::2]))
    return SharedPictures.of(scores, both, *rows) if len(scores) > 1 else None


def difference_of(
    scores: pd.DataFrame, pictures: SharedPictures | None, lucks: Sequence[Uncertainty] = ()
) -> PairedDifference:
    """Of the columns a and b, a row a repeat, with repeats, test pictures and further parts in its variance."""
    alone = statistics.paired_difference(scores["a"], scores["b"])
    repeats = Uncertainty(alone.variance, alone.df)
    parts = pictures.with_repeats(repeats) if alone.n > 1 and pictures is not None else (repeats,)
    known = statistics.together(*parts, *lucks)
    return statistics.paired_difference(scores["a"], scores["b"], uncertainty=known)


@dataclass(frozen=True, eq=False)
class Pair:
    """Two arms that are compared."""

    a: ArmOfPair
    b: ArmOfPair

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Test accuracies at the seeds that both have: columns a and b, index seed, rising."""
        own = [arm.runs.tested.dropna(subset="seed").set_index("seed")["test_accuracy"] for arm in (self.a, self.b)]
        return pd.concat({"a": own[0], "b": own[1]}, axis=1, join="inner").sort_index().astype(float)

    @property
    def rows(self) -> tuple[pd.Series, pd.Series]:
        """Of arms.csv."""
        return self.a.row, self.b.row

    @property
    def seeds(self) -> list[int]:
        """Those that both have, rising."""
        return [int(seed) for seed in self.scores.index]

    @cached_property
    def answered(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Both arms' answers at these seeds, in points, [seeds, N]; None where they lack, or are of other images."""
        a, b = self.a.answers, self.b.answers
        if a is None or b is None or not np.array_equal(a.images, b.images):
            return None
        return a.of(self.seeds), b.of(self.seeds)

    def difference(self, seeds: int | None = None) -> PairedDifference:
        """Of the test accuracies, with what is known of seeds, test images and both searches in its variance.

        seeds: over so many, the first ones; None: over all.
        """
        lucks = (self.a.luck, self.b.luck) if self.has_luck else ()
        return difference_of(self.scores.iloc[:seeds], self.pictures(seeds), lucks)

    def pictures(self, seeds: int | None = None) -> SharedPictures | None:
        """What the test pictures leave open over the first so many seeds; None where nothing is known of them."""
        answered = None if self.answered is None else tuple(own[:seeds] for own in self.answered)
        return SharedPictures.of(self.scores.iloc[:seeds], answered, *self.rows)

    def differences(self, looks: Looks | None) -> list[PairedDifference]:
        """At each look that the confirmations have reached; before the first, and without any, as it is."""
        reached = [look for look in looks.at if look <= len(self.seeds)] if looks else []
        return [self.difference(look) for look in reached] or [self.difference()]

    def speedup(self, accuracy: float, measure: str) -> tuple[float, float]:
        """95 % interval of how many times sooner a has that validation accuracy than b, over seeds that both have.

        measure: "epochs" or "seconds". NaN with fewer than 2 seeds, and for costs of 0, which no clock measured.
        """
        a, b = (costs_to(accuracy, measure, arm.runs.repeats, arm.epochs) for arm in (self.a, self.b))
        both = pd.concat({"a": a, "b": b}, axis=1, join="inner").dropna()
        if any((both[side, "cost"] <= 0).any() for side in "ab"):
            return math.nan, math.nan
        return statistics.speedup_interval(*(both[side, what] for what in ("cost", "reached") for side in "ab"))

    @property
    def has_luck(self) -> bool:
        """Whether both arms' confirmations repeat the choice of their search."""
        return self.a.luck is not None and self.b.luck is not None

    @property
    def holds_for(self) -> HoldsFor:
        """What the difference's interval generalises to."""
        pictures, folds = self.pictures() is not None and len(self.seeds) > 1, min(self.a.runs.folds, self.b.runs.folds)
        return HoldsFor(pictures=pictures, searches=self.has_luck, folds=folds > 1)
