"""Two arms as a verdict sees them: accuracies seed by seed, answers picture by picture, the luck of both searches."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from headstart import statistics
from headstart.analysis.arm_speed import costs_to
from headstart.analysis.csv_tables import known
from headstart.analysis.predictions import Answers
from headstart.analysis.runs_of_arm import ArmRuns
from headstart.analysis.verdict import HoldsFor
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
        scores = self.scores.iloc[:seeds]
        alone = statistics.paired_difference(scores["a"], scores["b"])
        parts = [Uncertainty(alone.variance, alone.df)]
        if self.answered is not None and alone.n > 1:
            a, b = self.answered
            parts = [statistics.crossed_uncertainty(a[: alone.n] - b[: alone.n])]
        if self.has_luck:
            parts += [self.a.luck, self.b.luck]
        return statistics.paired_difference(scores["a"], scores["b"], uncertainty=statistics.together(*parts))

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
        pictures, folds = self.answered is not None and len(self.seeds) > 1, min(self.a.runs.folds, self.b.runs.folds)
        return HoldsFor(pictures=pictures, searches=self.has_luck, folds=folds > 1)
