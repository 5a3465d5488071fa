"""One simulated study from its search to the sentence, by the code that compares real ones."""

import itertools
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from directly import Compared, Search, compare_directly, named_before
from studies import EPOCHS, Scenario, arms_of, write_study

from headstart import load
from headstart.analysis import seeds_wanted


@dataclass(frozen=True)
class Outcome:
    """What a study said, where its arms' true accuracies are known."""

    false_winner: bool  # an arm was named that is not better
    right_winner: float  # share of the pairs with a true difference in which the better arm was named; NaN without
    covered: float  # share of the intervals that hold the true difference; NaN without intervals
    seeds: float  # confirmations of an arm, mean
    epochs: float  # trained, over those of the same search with five seeds an arm
    false_before: bool  # what the best trial's setting for every seed, and the seeds alone, would have named
    right_before: float


def run_study(scenario: Scenario, seed: int, files: bool = False) -> Outcome:
    """Simulate one study: with files, through them and all tables, else by the statistics and the verdict alone.

    Both ways say the same (tests/test_calibration.py); the tables take ten times as long.
    """
    random = np.random.default_rng(seed)
    searches = [Search(arm) for arm in arms_of(scenario, random)]
    compared = compare_files(scenario, searches) if files else compare_directly(scenario, searches)
    return _outcome(scenario, searches, compared)


def compare_files(scenario: Scenario, searches: list[Search]) -> Compared:
    """As a user does: a study in a folder that is removed, its tables written and read."""
    folder = Path(tempfile.mkdtemp(prefix="calibration-"))
    study_seed = searches[0].arm.study_seed
    try:
        for search in searches:
            search.write_to(folder / search.arm.name)
        if scenario.planned:
            write_study(folder, scenario, scenario.looks, study_seed)
            for search in searches:  # all that there may be: a decision is the same whatever came after it
                search.confirm(scenario.looks[-1])
            wanted = seeds_wanted(folder, scenario.arms)
            for search in searches:
                search.seeds = wanted[search.arm.name]
            return _read(folder)
        for number, seeds in enumerate(scenario.looks, 1):
            write_study(folder, scenario, scenario.looks[:number], study_seed)
            for search in searches:
                search.confirm(seeds)
            if (found := _read(folder)).winners:
                break
        return found
    finally:
        shutil.rmtree(folder)


def _read(folder: Path) -> Compared:
    pairs = load(folder).pairs
    rows = pairs[pairs["winner"].notna()]
    winners = {(row.winner, row.arm_b if row.winner == row.arm_a else row.arm_a) for row in rows.itertuples()}
    known = pairs.dropna(subset=["ci_low"])
    ends = zip(known["ci_low"].astype(float), known["ci_high"].astype(float), strict=True)
    return Compared(winners, dict(zip(zip(known["arm_a"], known["arm_b"], strict=True), ends, strict=True)))


def _outcome(scenario: Scenario, searches: list[Search], compared: Compared) -> Outcome:
    gap = dict(zip(scenario.arms, scenario.gaps, strict=True))
    unequal = [(a, b) for a, b in itertools.permutations(gap, 2) if gap[a] > gap[b]]
    inside = [low <= gap[a] - gap[b] <= high for (a, b), (low, high) in compared.intervals.items()]
    before, named = named_before(searches, scenario.looks[0 if scenario.planned else -1]), compared.winners
    searched = sum(search.epochs for search in searches)
    seeds = np.mean([search.seeds for search in searches])
    return Outcome(
        false_winner=any(gap[winner] <= gap[loser] for winner, loser in named),
        right_winner=float(np.mean([pair in named for pair in unequal])) if unequal else np.nan,
        covered=float(np.mean(inside)) if inside else np.nan,
        seeds=float(seeds),
        epochs=(searched + EPOCHS * seeds * len(searches)) / (searched + EPOCHS * 5 * len(searches)),
        false_before=any(gap[winner] <= gap[loser] for winner, loser in before),
        right_before=float(np.mean([pair in before for pair in unequal])) if unequal else np.nan,
    )
