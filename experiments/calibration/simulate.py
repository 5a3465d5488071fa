"""One simulated study from its search to the sentence, by the code that compares real ones."""

import itertools
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from studies import BEST, EPOCHS, Arm, Scenario, arms_of, write_run, write_study

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


def run_study(scenario: Scenario, seed: int) -> Outcome:
    """Simulate one study in a folder that is removed."""
    random = np.random.default_rng(seed)
    folder = Path(tempfile.mkdtemp(prefix="calibration-"))
    try:
        arms = arms_of(scenario, random)
        studies = [_Search(arm, folder) for arm in arms]
        pairs, named = _compare(scenario, folder, studies)
        return _outcome(scenario, studies, pairs, named)
    finally:
        shutil.rmtree(folder)


class _Search:
    """An arm's trials, and the confirmations that they lead to."""

    def __init__(self, arm: Arm, folder: Path):
        self.arm, self.folder = arm, folder / arm.name
        self.trials = arm.search()
        for trial in self.trials:
            write_run(self.folder / "search" / f"{trial['number']:03d}", arm, "search", **trial)
        self.choice = arm.choice(self.trials)
        usable = [t for t in self.trials if t["state"] == "COMPLETE"]
        self.best = max(usable, key=lambda t: t["val_accuracy"], default=None)
        self.seeds = 0

    def confirm(self, seeds: int) -> None:
        """Confirm it with so many seeds."""
        for number in range(self.seeds + 1, seeds + 1):
            seed = self.arm.study_seed + number
            if self.choice is None or self.best is None:
                break
            params = self.choice.repeated(seed)
            right = self.arm.confirm(params["lr"])
            facts = dict(number=self.best["number"], seed=seed, params=params, search_trials=len(self.trials), **params)
            facts |= dict(state="COMPLETE" if right is not None else "DIVERGED", val_accuracy=BEST)
            place = self.folder / "confirm" / f"after-{len(self.trials):03d}" / f"seed-{seed}"
            write_run(place, self.arm, "confirm", right, **facts)
        self.seeds = max(self.seeds, seeds)

    @property
    def epochs(self) -> int:
        return sum(trial["epochs_run"] for trial in self.trials)


def _compare(scenario: Scenario, folder: Path, searches: list[_Search]) -> tuple[pd.DataFrame, set[tuple[str, str]]]:
    """The last pairs.csv, and (winner, loser) that any look named."""
    named: set[tuple[str, str]] = set()
    if scenario.auto:
        write_study(folder, scenario, scenario.looks, searches[0].arm.study_seed)
        for search in searches:  # all that there may be: what a decision rests on is the same whatever came after it
            search.confirm(scenario.looks[-1])
        wanted = seeds_wanted(folder, scenario.arms)
        for search in searches:
            search.seeds = wanted[search.arm.name]
        pairs = load(folder).pairs
        return pairs, _winners(pairs)
    for number, seeds in enumerate(scenario.looks, 1):
        write_study(folder, scenario, scenario.looks[:number], searches[0].arm.study_seed)
        for search in searches:
            search.confirm(seeds)
        pairs = load(folder).pairs
        named |= _winners(pairs)
        if named:
            break
    return pairs, named


def _winners(pairs: pd.DataFrame) -> set[tuple[str, str]]:
    rows = pairs[pairs["winner"].notna()]
    return {(row.winner, row.arm_b if row.winner == row.arm_a else row.arm_a) for row in rows.itertuples()}


def _outcome(scenario: Scenario, searches: list[_Search], pairs: pd.DataFrame, named: set[tuple[str, str]]) -> Outcome:
    gap = dict(zip(scenario.arms, scenario.gaps, strict=True))
    unequal = [(a, b) for a, b in itertools.permutations(gap, 2) if gap[a] > gap[b]]
    known = pairs.dropna(subset=["ci_low"])
    truth = np.array([gap[a] - gap[b] for a, b in zip(known["arm_a"], known["arm_b"], strict=True)])
    inside = (known["ci_low"].to_numpy(float) <= truth) & (truth <= known["ci_high"].to_numpy(float))
    before = _named_before(searches, scenario.looks[-1] if not scenario.auto else scenario.looks[0])
    searched = sum(search.epochs for search in searches)
    seeds = np.mean([search.seeds for search in searches])
    return Outcome(
        false_winner=any(gap[winner] <= gap[loser] for winner, loser in named),
        right_winner=float(np.mean([pair in named for pair in unequal])) if unequal else np.nan,
        covered=float(inside.mean()) if len(inside) else np.nan,
        seeds=float(seeds),
        epochs=(searched + EPOCHS * seeds * len(searches)) / (searched + EPOCHS * 5 * len(searches)),
        false_before=any(gap[winner] <= gap[loser] for winner, loser in before),
        right_before=float(np.mean([pair in before for pair in unequal])) if unequal else np.nan,
    )


def _named_before(searches: list[_Search], seeds: int) -> set[tuple[str, str]]:
    """By the rules that leave out the luck of the search and of the pictures: paired t tests, Holm's correction."""
    scores = {}
    for search in searches:
        if search.best is None:
            return set()
        answers = [search.arm.confirm(search.best["lr"]) for _ in range(seeds)]
        if any(answer is None for answer in answers):
            return set()
        scores[search.arm.name] = np.array([100 * answer.mean() for answer in answers])
    tests = sorted((stats.ttest_rel(scores[a], scores[b]).pvalue, a, b) for a, b in itertools.combinations(scores, 2))
    named = set()
    for step, (p, a, b) in enumerate(tests):
        if not p < 0.05 / (len(tests) - step):
            break
        named.add((a, b) if scores[a].mean() > scores[b].mean() else (b, a))
    return named
