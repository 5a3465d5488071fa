"""A simulated study compared in memory: choices, intervals, looks and verdicts, as they are behind the tables."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats
from studies import BEST, RANGE, Arm, Scenario, write_run

from headstart import statistics
from headstart.analysis.verdict import ArmEvidence, HoldsFor, NextStep, PairEvidence, Verdict, verdict
from headstart.statistics import Looks, PairedDifference, Uncertainty


@dataclass(frozen=True)
class Compared:
    """What a study said."""

    winners: set[tuple[str, str]]  # and losers
    intervals: dict[tuple[str, str], tuple[float, float]]  # by pair, a - b in points


class Search:
    """An arm's trials, and the confirmations that they lead to."""

    def __init__(self, arm: Arm):
        self.arm, self.folder = arm, None
        self.trials = arm.search()
        self.choice = arm.choice(self.trials)
        self.complete = [t for t in self.trials if t["state"] == "COMPLETE"]
        self.best = max(self.complete, key=lambda t: t["val_accuracy"], default=None)
        self.answers: list[np.ndarray | None] = []  # by confirmation, which test pictures are right; None: it diverged
        self.seeds = 0  # confirmations that the study asked for

    def write_to(self, folder: Path) -> None:
        """Leave the trials there, and the confirmations to come."""
        self.folder = folder
        for trial in self.trials:
            write_run(folder / "search" / f"{trial['number']:03d}", self.arm, "search", **trial)

    def confirm(self, seeds: int) -> None:
        """Have it confirmed with so many seeds."""
        self.seeds = max(self.seeds, seeds)
        if self.choice is None or self.best is None:
            return
        for number in range(len(self.answers) + 1, seeds + 1):
            seed = self.arm.study_seed + number
            params = self.choice.repeated(seed)
            self.answers.append(right := self.arm.confirm(params["lr"]))
            if self.folder is None:
                continue
            facts = dict(number=self.best["number"], seed=seed, params=params, search_trials=len(self.trials), **params)
            facts |= dict(state="COMPLETE" if right is not None else "DIVERGED", val_accuracy=BEST)
            place = self.folder / "confirm" / f"after-{len(self.trials):03d}" / f"seed-{seed}"
            write_run(place, self.arm, "confirm", right, **facts)

    @property
    def epochs(self) -> int:
        """Of its trials."""
        return sum(trial["epochs_run"] for trial in self.trials)

    @property
    def evidence(self) -> ArmEvidence:
        """For a verdict."""
        tried = [trial["lr"] for trial in self.trials]
        low, high = (end([*tried, RANGE["lr"][name]]) for name, end in (("low", min), ("high", max)))
        rates, values = ([t[key] for t in self.complete] for key in ("lr", "val_accuracy"))
        found = statistics.edge(rates, values, low, high) if rates else None
        return ArmEvidence(self.arm.name, len(self.trials), edge=found if found and found.side else None)

    def reasons(self, seeds: int) -> list[str]:
        """Against any winner."""
        lost = any(answer is None for answer in self.answers[:seeds])
        return ["nothing to confirm"] * (self.best is None) + ["confirmations lost"] * lost


def compare_directly(scenario: Scenario, searches: list[Search]) -> Compared:
    """By the looks that the scenario plans, or makes."""
    if not scenario.planned:
        return _look_again(scenario, searches)
    looks = Looks(scenario.looks, scenario.looks[-1])
    for search in searches:
        search.confirm(looks.at[-1])
        search.seeds = looks.at[0]
    for look, following in itertools.pairwise(looks.at):
        found = _verdicts(searches, looks, look)
        for pair in (pair for pair, (said, _) in found.items() if NextStep("seeds") in said.next_steps):
            for search in pair:
                search.seeds = following
    return _compared(_verdicts(searches, looks, looks.at[-1]))


def _look_again(scenario: Scenario, searches: list[Search]) -> Compared:
    """As who adds seeds until there is a winner."""
    for number, seeds in enumerate(scenario.looks, 1):
        for search in searches:
            search.confirm(seeds)
        looks = Looks(scenario.looks[:number], scenario.looks[-1] if scenario.auto else scenario.looks[0])
        if (found := _compared(_verdicts(searches, looks, seeds))).winners:
            break
    return found


Verdicts = dict[tuple[Search, Search], tuple[Verdict, PairedDifference]]


def _verdicts(searches: Sequence[Search], looks: Looks, seeds: int) -> Verdicts:
    """Of all pairs, with so many seeds."""
    pairs = list(itertools.combinations(searches, 2))
    compared = statistics.compare_pairs([_differences(*pair, looks, seeds) for pair in pairs], looks=looks)
    found = {}
    for (a, b), difference in zip(pairs, compared, strict=True):
        reasons = tuple(a.reasons(seeds) + b.reasons(seeds))
        facts = dict(reasons=reasons, holds_for=HoldsFor(pictures=True, searches=True), looks=len(looks.at))
        found[a, b] = verdict(PairEvidence(a.evidence, b.evidence, difference, len(pairs), **facts)), difference
    return found


def _differences(a: Search, b: Search, looks: Looks, seeds: int) -> list[PairedDifference]:
    both = [
        pair for pair in zip(a.answers[:seeds], b.answers[:seeds], strict=False) if pair[0] is not None is not pair[1]
    ]
    reached = [look for look in looks.at if look <= len(both)]
    return [_difference(a, b, both[:look]) for look in reached] or [_difference(a, b, both)]


def _difference(a: Search, b: Search, both: Sequence[tuple[np.ndarray, np.ndarray]]) -> PairedDifference:
    right = 100.0 * np.array(both) if both else np.empty((0, 2, 0))  # [seeds, arms, pictures]
    scores = right.mean(axis=2) if both else np.empty((0, 2))
    if len(both) < 2:
        return statistics.paired_difference(scores[:, 0], scores[:, 1])
    lucks = [Uncertainty(search.choice.luck, statistics.SPREAD_DF) for search in (a, b)]
    known = statistics.together(statistics.crossed_uncertainty(right[:, 0] - right[:, 1]), *lucks)
    return statistics.paired_difference(scores[:, 0], scores[:, 1], uncertainty=known)


def _compared(found: Verdicts) -> Compared:
    names = {pair: tuple(search.arm.name for search in pair) for pair in found}
    winners = {pair: said.winner for pair, (said, _) in found.items() if said.winner}
    named = {(name, next(other for other in names[pair] if other != name)) for pair, name in winners.items()}
    intervals = {names[pair]: (d.low, d.high) for pair, (_, d) in found.items() if not np.isnan(d.low)}
    return Compared(named, intervals)


def named_before(searches: list[Search], seeds: int) -> set[tuple[str, str]]:
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
