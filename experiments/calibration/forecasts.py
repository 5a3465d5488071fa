"""How often the interval of a forecast from small to large training sets held, on simulated and on real curves.

    python experiments/calibration/forecasts.py [--curves 200] [--lcdb site-packages/lcdb]

Simulated: curves of seven families whose accuracy at nine times the largest size is known.
Real: classifiers on CIFAR-10 that `curves.py` trained (experiments/calibration/curves.csv), and with `--lcdb` the
Learning Curve Database (Mohr et al. 2022, ECML PKDD; `pip install lcdb`, MIT licence). The table is
outputs/calibration/forecasts.csv, too.
"""

import argparse
import itertools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from headstart.statistics import SizeCurve, forecast_gap, size_curve

FOLDER = Path("outputs/calibration")
CURVES = Path(__file__).with_name("curves.csv")
GUESSING = 0.9  # error, with ten classes
SIZES = ((500, 5000), (500, 1000, 5000), (500, 1000, 2000, 5000), (100, 200, 500, 1000, 2000, 5000))
TARGET = 45_000
RANGES = (  # of the real curves: what is forecast from what, nine or ten times as far
    *((sizes, TARGET) for sizes in SIZES),
    ((500, 2000), 20_000),
    ((100, 200, 500, 1000, 2000), 20_000),
    ((100, 200, 500, 1000), 10_000),
    ((100, 500), 5000),
    ((100, 200, 500), 5000),
)
OF_DATABASE = (((128, 512), 4096), ((32, 128, 512), 4096), ((45, 128, 362, 1024), 8192), ((64, 181, 512, 1448), 11_585))
FEWEST_TESTED = 2000  # below, the truth itself is uncertain by more than a point


@dataclass(frozen=True)
class Case:
    """A curve whose accuracy at `images` is known: what was measured below, and that."""

    kind: str
    group: object  # gaps are between cases of one group
    sizes: tuple[int, ...]
    accuracies: Sequence[np.ndarray]  # percent, of each size's seeds
    images: int
    truth: float
    chance: float

    def curve(self) -> SizeCurve:
        """What the forecast knows."""
        spread = [own.std(ddof=1) if len(own) > 1 else np.nan for own in self.accuracies]
        means, seeds = [own.mean() for own in self.accuracies], [len(own) for own in self.accuracies]
        return size_curve(self.sizes, means, spread, seeds, self.chance)


# ---- curves whose truth is known

Error = Callable[[np.ndarray], np.ndarray]


def power_law(random: np.random.Generator, floors: bool) -> Error:
    """Error a n^-b, with a floor of up to nine tenths of what it is at 5,000 images; below guessing at 100."""
    error, floor = random.uniform(0.15, 0.5), random.uniform(0, 0.9) * floors
    slope = random.uniform(0.05, min(0.45, np.log(0.85 / error) / np.log(50)))
    return lambda n: error * (floor + (1 - floor) * (n / 5000) ** -slope)


def from_guessing(random: np.random.Generator) -> Error:
    """Rosenfeld et al.'s (2020): a power law with a floor that bends into guessing where images are few."""
    law, few = power_law(random, floors=True), random.uniform(0.3, 1.5)
    return lambda n: GUESSING * law(n) / np.hypot(law(n), few)


def logistic(random: np.random.Generator) -> Error:
    """Accuracy a logistic curve over log n, between guessing and a floor of the error."""
    floor, half, slope = random.uniform(0, 0.3), 10 ** random.uniform(2, 4.5), random.uniform(0.3, 0.9)
    return lambda n: floor + (GUESSING - floor) / (1 + (n / half) ** slope)


def logarithmic(random: np.random.Generator) -> Error:
    """As many points more with each doubling, up to all."""
    at_5000, per_decade = random.uniform(0.2, 0.6), random.uniform(0.03, 0.18)
    return lambda n: np.maximum(at_5000 - per_decade * np.log10(n / 5000), 0.01)


def exponential(random: np.random.Generator) -> Error:
    """A stretched exponential towards a floor."""
    floor, scale, stretch = random.uniform(0.05, 0.4), 10 ** random.uniform(2.5, 4.5), random.uniform(0.2, 0.5)
    return lambda n: floor + (GUESSING - floor) * np.exp(-((n / scale) ** stretch))


def broken(random: np.random.Generator) -> Error:
    """A power law whose slope changes, smoothly and somewhere, to up to twice or half of it (Caballero et al. 2022)."""
    error, change = random.uniform(0.15, 0.5), 2.0 ** random.uniform(-1, 1)
    slope = random.uniform(0.05, min(0.4, np.log(0.85 / error) / np.log(50)))
    at, sharp = 10 ** random.uniform(2.5, 4.5), 0.3

    def law(n: np.ndarray) -> np.ndarray:
        return n**-slope * (1 + (n / at) ** (1 / sharp)) ** (-slope * (change - 1) * sharp)

    return lambda n: np.minimum(error * law(n) / law(np.array(5000.0)), GUESSING)


FAMILIES: dict[str, Callable[[np.random.Generator], Error]] = {
    "power law": lambda random: power_law(random, floors=False),
    "power law with a floor": lambda random: power_law(random, floors=True),
    "from guessing to a floor": from_guessing,
    "logistic": logistic,
    "logarithmic": logarithmic,
    "stretched exponential": exponential,
    "broken power law": broken,
}


def simulated(curves: int) -> Iterator[Case]:
    """So many curves of each family and number of sizes, two by two; five seeds, one choice of images per size."""
    for (name, family), sizes in itertools.product(FAMILIES.items(), SIZES):
        random = np.random.default_rng([len(sizes), *name.encode()])
        for number in range(curves):
            error, of_seed = family(random), random.uniform(0.005, 0.03)
            n = np.array(sizes, dtype=float)
            of_subset = 0.03 * np.sqrt(100 / n) * random.standard_normal(len(n))
            noise = of_subset + of_seed * random.standard_normal((5, len(n)))
            seen = np.minimum(error(n) * np.exp(noise), 0.99)
            truth = 100 * (1 - float(error(np.array(float(TARGET)))))
            kind = f"simulated, {name}, {len(sizes)} sizes"
            yield Case(kind, number // 2, sizes, 100 * (1 - seen.T), TARGET, truth, 100 * (1 - GUESSING))


# ---- curves that were measured


def of_cifar10() -> Iterator[Case]:
    """Those of `curves.py`; a choice of the small subsets (`split_seed`) is a study of its own."""
    table = pd.read_csv(CURVES)
    by_size = {key: own["accuracy"].to_numpy() for key, own in table.groupby(["learner", "split_seed", "train_size"])}
    learners, splits = table["learner"].unique(), table["split_seed"].unique()
    for (sizes, images), split, learner in itertools.product(RANGES, splits, learners):
        truth = by_size.get((learner, split, images), by_size.get((learner, 0, images)))
        seen = [by_size.get((learner, split, size)) for size in sizes]
        if truth is not None and all(own is not None for own in seen):
            kind = f"CIFAR-10, {len(sizes)} sizes up to {sizes[-1]:,}, for {images:,}"
            yield Case(kind, split, sizes, seen, images, truth.mean(), 100 * (1 - GUESSING))


def of_database(folder: Path) -> Iterator[Case]:
    """Tables and 20 classifiers of scikit-learn, where these learn more than to name the commonest class."""
    sets = pd.read_csv(folder / "datasets.csv").set_index("openmlid")
    commonest = sets["MajorityClassSize"] / sets["NumberOfInstances"]
    wanted = ["openmlid", "learner", "size_train", "size_test", "outer_seed", "score_test"]
    table = pd.read_csv(folder / "database-accuracy.csv", usecols=wanted)
    table = table[(table["outer_seed"] == 0) & (table["size_test"] >= FEWEST_TESTED)]
    for (data, _), own in table.groupby(["openmlid", "learner"]):
        by_size = {size: 100 * rows["score_test"].to_numpy() for size, rows in own.groupby("size_train")}
        for sizes, images in OF_DATABASE:
            chance = 100 * commonest.get(data, np.nan)
            if {*sizes, images} <= by_size.keys() and chance > 0:
                seen, truth = [by_size[size] for size in sizes], by_size[images].mean()
                errors = 100 - seen[-1].mean()
                if 1 < errors < 0.9 * (100 - chance):
                    kind = f"database, {len(sizes)} sizes up to {sizes[-1]:,}, for {images:,}"
                    yield Case(kind, (data, sizes), sizes, seen, images, truth, chance)


# ---- how often it held


def checked(cases: Sequence[Case], gaps: bool) -> pd.DataFrame:
    """A row per forecast: lines, and with `gaps` every two neighbours of a group."""
    known = [(case, case.curve()) for case in cases]
    rows = [_row(case.kind, "accuracy", curve.forecast(case.images), case.truth) for case, curve in known]
    groups = itertools.groupby(known, key=lambda pair: (pair[0].kind, pair[0].group))
    for (a, of_a), (b, of_b) in (pair for _, own in groups for pair in itertools.pairwise(own) if gaps):
        rows.append(_row(a.kind, "gap", forecast_gap(of_a, of_b, a.images), a.truth - b.truth))
    return pd.DataFrame(rows)


def _row(kind: str, what: str, found, truth: float) -> dict[str, object]:
    return {
        "curves": kind,
        "what": what,
        "held": found.low <= truth <= found.high,
        "width": found.high - found.low,
        "error": abs(found.middle - truth),
    }


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """A row per kind: how many, how often the interval held (percent), its width and the error, medians in points."""
    groups = rows.groupby(["curves", "what"], sort=False)
    held = groups["held"].agg(["size", "mean"])
    table = pd.DataFrame({"forecasts": held["size"], "held": (100 * held["mean"]).round(1)})
    table["width"], table["error"] = groups["width"].median().round(1), groups["error"].median().round(1)
    return table.reset_index()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--curves", type=int, default=200, help="simulated, of each family and number of sizes")
    parser.add_argument("--lcdb", type=Path, help="folder of the package lcdb, which holds its tables")
    given = parser.parse_args()
    found = [summary(checked(list(simulated(given.curves)), gaps=True))]
    if CURVES.exists():
        found.append(summary(checked(list(of_cifar10()), gaps=True)))
    if given.lcdb is not None:
        found.append(summary(checked(list(of_database(given.lcdb)), gaps=False)))
    table = pd.concat(found, ignore_index=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    table.to_csv(FOLDER / "forecasts.csv", index=False)
    shown = Table(*table.columns)
    for row in table.astype(str).to_numpy():
        shown.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 130).print(shown)


if __name__ == "__main__":
    main()
