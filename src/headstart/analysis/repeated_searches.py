"""searches.csv and search_pairs.csv: searches repeated with other seeds, with their luck inside the interval.

The confirmation seeds of one study repeat the setting that its search found; whether another search would have found
as good a one they cannot say. Studies that differ in nothing but `seed` (and `name`) are repeats of the search itself:
the sampler's draws, initial weights, order and augmentation vary together (Bouthillier et al. 2021, arXiv 2103.03098).
"""

import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from headstart import statistics
from headstart.analysis.caveats import Caveat, CaveatKind
from headstart.analysis.columns import SEARCH_PAIRS, SEARCHES
from headstart.analysis.csv_tables import frame_of, known
from headstart.analysis.forecasts import without_number
from headstart.analysis.pair import SharedPictures, difference_of, shared_by_searches
from headstart.analysis.pairs_table import (
    difference_columns,
    edge_of,
    pictures_columns,
    planned_epochs,
    reasons_against,
    same_images,
)
from headstart.analysis.predictions import Answers, read_answers
from headstart.analysis.runs_of_arm import runs_of_arm
from headstart.analysis.verdict import ArmEvidence, HoldsFor, PairEvidence, verdict
from headstart.statistics import Edge, PairedDifference
from headstart.store import StudyFile


@dataclass(frozen=True, eq=False)
class RepeatedSearches:
    """The tables of repeated searches, and what has to be said beside them."""

    searches: pd.DataFrame
    pairs: pd.DataFrame
    caveats: list[Caveat]


@dataclass(frozen=True)
class _Search:
    """One arm of one study: its trials, and the confirmations of what they found."""

    study: str
    study_file: StudyFile
    arm: pd.Series
    alone: bool  # the study has no other arm
    answers: Callable[[], Answers | None]  # of its confirmations, on the test pictures
    epochs: int  # trained by its trials

    @property
    def seed(self) -> int:
        """The study's, from which the seeds of its confirmations count on."""
        return self.study_file.seed or 0

    @property
    def settings(self) -> Mapping[str, Any]:
        """What was set for the arm, by key."""
        return self.study_file.arms.get(self.arm["arm"], {})

    @property
    def has_ended(self) -> bool:
        """Whether trials and confirmations are all there; what failed may be tried again and counts as missing."""
        trials = self.number("trials") + self.number("failed")
        is_short = trials < self.study_file.n_trials and not self.study_file.has_tried_all(self.arm["arm"], trials)
        if is_short or self.number("open"):
            return False
        ended = self.number("seeds") + self.number("confirmations_lost")
        return known(self.arm["best_number"]) is None or ended >= self.study_file.least_seeds

    @property
    def is_scored(self) -> bool:
        """Whether every confirmation has a test accuracy; with fewer, means over other seeds would be compared."""
        return self.number("seeds") >= max(1, self.study_file.least_seeds)

    @property
    def tried_all(self) -> bool:
        """Whether its arm has no other settings."""
        return self.study_file.has_tried_all(self.arm["arm"], self.number("trials"))

    def number(self, column: str) -> int:
        """A count of arms.csv; 0 where it is missing, in a table edited by hand."""
        return int(known(self.arm[column]) or 0)


WHICH_TO_BELIEVE = (
    "Searches were repeated for real here: where their comparison and the verdict of a single study differ, believe "
    "the former. Its spread was seen, not simulated from one search; with few repeats its interval is the wider one."
)


@dataclass(frozen=True)
class _Group:
    """The repeats of one search, by the seed of their study."""

    name: str
    by_seed: Mapping[int, _Search]

    @property
    def searches(self) -> list[_Search]:
        """By rising seed."""
        return [self.by_seed[seed] for seed in sorted(self.by_seed)]

    @property
    def arm(self) -> pd.Series:
        """The arm of one of them, for what is the same in all."""
        return self.searches[0].arm

    @property
    def edge(self) -> Edge | None:
        """The first bound of a range that one of them ended at."""
        return next(filter(None, (edge_of(search.arm) for search in self.searches)), None)

    def reasons(self) -> Iterator[str]:
        """Why these repeats may be in no verdict that names a winner."""
        for search in self.searches:
            for reason in reasons_against(search.arm):
                yield f"{search.study}: {reason}"
        for one, other in itertools.pairwise(self.searches):
            if other.seed - one.seed < one.study_file.most_seeds:
                yield (
                    f"{one.study} and {other.study} share confirmation seeds, which makes the interval too narrow "
                    f"(leave {one.study_file.most_seeds} or more between the studies' seeds)"
                )


def repeated_searches(studies: Iterable[tuple[StudyFile, pd.DataFrame, pd.DataFrame]], root: Path) -> RepeatedSearches:
    """Find the searches that were repeated with other seeds, and compare those on the same images, paired by seed.

    `studies`: of each its study.json, and the rows of arms.csv and trials.csv, whose run_dir lies below `root`. The
    tables are empty where nothing was repeated.
    """
    groups, caveats = _groups(search for study in studies for search in _searches(*study, root))
    couples = [_better_first(a, b) for a, b in itertools.combinations(groups, 2) if _comparable(a, b)]
    for a, b in couples:
        if not a.by_seed.keys() & b.by_seed.keys():
            caveats.append(f"{a.name} and {b.name} have no seed in common, and only equal seeds are paired.")
    for group in groups:
        caveats += [f"{group.name}: {reason}." for reason in group.reasons()]
    caveats += [WHICH_TO_BELIEVE] if couples else []
    return RepeatedSearches(
        frame_of([_search_row(group) for group in groups], SEARCHES),
        frame_of(_pair_rows(couples), SEARCH_PAIRS),
        [Caveat(CaveatKind.REPEATS, text) for text in dict.fromkeys(caveats)],
    )


def _better_first(a: _Group, b: _Group) -> tuple[_Group, _Group]:
    means = [pd.Series([search.arm["test_mean"] for search in own.by_seed.values()]).mean() for own in (a, b)]
    return (b, a) if means[1] > means[0] else (a, b)


def _searches(study: StudyFile, arms: pd.DataFrame, trials: pd.DataFrame, root: Path) -> Iterator[_Search]:
    """The study's searches; none where it is not known what was set for them, and with which seed."""
    if study.seed is None:
        return
    epochs = trials[trials["phase"] == "search"].groupby("arm")["epochs_run"].sum()
    for _, arm in arms.iterrows():
        answers = cache(lambda own=trials[trials["arm"] == arm["arm"]]: read_answers(root, runs_of_arm(own).tested))
        search = _Search(arm["study"], study, arm, len(arms) == 1, answers, int(epochs.get(arm["arm"], 0)))
        if search.settings:
            yield search


def _groups(searches: Iterable[_Search]) -> tuple[list[_Group], list[str]]:
    """The searches that were repeated, and what has to be said of those that are not counted."""
    equal: dict[str, list[_Search]] = defaultdict(list)
    for search in searches:
        equal[_all_but_the_seed(search)].append(search)
    groups: dict[str, _Group] = {}
    caveats = []
    for same in (same for same in equal.values() if len(same) > 1):
        by_seed: dict[int, _Search] = {}
        for search in same:
            if not search.has_ended:
                caveats.append(f"{search.study}, {search.arm['arm']}: not counted as a repeat before it has ended.")
            elif (first := by_seed.setdefault(search.seed, search)) is not search:
                caveats.append(f"{first.study} and {search.study} have the same seed: the first is counted.")
        if len(by_seed) < 2:
            continue
        repeats = list(by_seed.values())
        name = _name(repeats, taken=groups)
        if _same_files(repeats):
            groups[name] = _Group(name, by_seed)
        else:
            caveats.append(f"{name}: no repeats, in spite of equal settings: their images or weights differ.")
    return list(groups.values()), caveats


def _all_but_the_seed(search: _Search) -> str:
    """Everything that was set for a search; what is equal in two of them makes them repeats."""
    budget = [search.study_file.n_trials, search.study_file.most_seeds]
    return json.dumps(_without_seeds([search.arm["arm"], search.settings, search.study_file.common, budget]))


def _without_seeds(settings: Any) -> Any:
    if isinstance(settings, dict):
        return {key: _without_seeds(settings[key]) for key in sorted(settings) if key != "seed"}
    return [_without_seeds(value) for value in settings] if isinstance(settings, list) else settings


def _same_files(group: list[_Search]) -> bool:
    """Whether equal settings met equal images and weights; a source run's weights are part of the study's luck."""
    columns = ["data_sha256"] + ["weights_sha256"] * (group[0].settings.get("model.weights") != "source")
    return all(len({known(search.arm[name]) for search in group} - {None}) <= 1 for name in columns)


def _name(group: list[_Search], taken: Container[str]) -> str:
    """What the studies' names share when their seeds are left out: lr_grid_1 and lr_grid_2 are lr_grid."""
    shared = {without_number(search.study, "seed", search.seed) for search in group}
    for stem in (shared.pop() if len(shared) == 1 else "", f"{group[0].study} and {len(group) - 1} more"):
        name = stem if group[0].alone else f"{stem}/{group[0].arm['arm']}"
        if stem and name not in taken:
            break
    return name


def _scores(searches: Iterable[_Search], column: str = "test_mean") -> list[float]:
    return [float(search.arm[column]) for search in searches if known(search.arm[column]) is not None]


def _search_row(group: _Group) -> dict[str, Any]:
    scored = [search for search in group.searches if search.is_scored]
    rates, validation, test = (_scores(scored, column) for column in ("best_lr", "val_accuracy", "test_mean"))
    summary = statistics.summarise(test)
    row: dict[str, Any] = {"search": group.name, "repeats": len(scored)}
    row |= {column: group.arm[column] for column in ("arm", "data", "train_size")}
    row |= {"led_nowhere": len(group.by_seed) - len(scored), "trials": min(s.number("trials") for s in group.searches)}
    row |= {"epochs_searched": statistics.summarise([search.epochs for search in group.searches]).mean}
    row |= {"best_lr_low": min(rates, default=None), "best_lr_high": max(rates, default=None)}
    row |= {"val_mean": statistics.summarise(validation).mean, "val_lowest": min(validation, default=None)}
    row |= {"test_mean": summary.mean, "test_std": summary.std, "test_lowest": min(test, default=None)}
    low, high = statistics.accuracy_interval(summary.mean, summary.uncertainty)
    return row | {"test_ci_low": low, "test_ci_high": high}


# ---------------------------------------------------------------------------------------------------------------- pairs


def _comparable(a: _Group, b: _Group) -> bool:
    """Whether the searches were made by the same rules on the same images."""
    protocols = [group.searches[0].study_file.common.get("protocol") for group in (a, b)]
    return protocols[0] == protocols[1] and same_images(a.arm, b.arm)


def _pair_rows(couples: Sequence[tuple[_Group, _Group]]) -> list[dict[str, Any]]:
    """A row per pair of searches, corrected as one family; of each, the scored searches of the seeds that both have."""
    paired = []
    for a, b in couples:
        both = [(a.by_seed[seed], b.by_seed[seed]) for seed in sorted(a.by_seed.keys() & b.by_seed.keys())]
        paired.append([(one, other) for one, other in both if one.is_scored and other.is_scored])
    scores = [pd.DataFrame({side: _scores(pair[i] for pair in own) for i, side in enumerate("ab")}) for own in paired]
    searches = [[search for pair in own for search in pair] for own in paired]
    pictures = [
        shared_by_searches(own, [s.answers() for s in found], [s.arm for s in found])
        for own, found in zip(scores, searches, strict=True)
    ]
    tests = statistics.compare_pairs([[difference_of(*pair)] for pair in zip(scores, pictures, strict=True)])
    found = zip(couples, paired, pictures, tests, strict=True)
    return [_pair_row(a, b, own, shared, test, len(couples)) for (a, b), own, shared, test in found]


def _pair_row(
    a: _Group,
    b: _Group,
    paired: list[tuple[_Search, _Search]],
    pictures: SharedPictures | None,
    test: PairedDifference,
    family: int,
) -> dict[str, Any]:
    budgets = [(one.number("trials"), other.number("trials")) for one, other in paired]
    unequal = [budget for budget in budgets if budget[0] != budget[1]]
    trials = (*unequal, *budgets, (0, 0))[0]
    sides = [
        ArmEvidence(g.name, n, planned_epochs(g.arm), g.edge, all(s.tried_all for s in g.searches))
        for g, n in zip((a, b), trials, strict=True)
    ]
    alone = None if pictures is None else pictures.at(test.level)
    further = dict(pictures=alone, holds_for=HoldsFor(pictures=alone is not None), reasons=(*a.reasons(), *b.reasons()))
    found = verdict(PairEvidence(*sides, test, family, repeats="searches", **further))
    more = [step.number - test.n for step in found.next_steps if step.kind == "seeds" and step.number is not None]
    hint = f"repeat both with {more[0]} more seeds, the same for both" if more else None
    row = {"search_a": a.name, "search_b": b.name, "repeats": test.n}
    row |= difference_columns(test, family) | _validation_columns(paired) | pictures_columns(alone)
    return row | {"winner": found.winner or None, "verdict": found.sentence, "next": hint}


def _validation_columns(paired: list[tuple[_Search, _Search]]) -> dict[str, float]:
    one, other = (_scores((pair[side] for pair in paired), "val_accuracy") for side in (0, 1))
    found = statistics.paired_difference(one, other)
    return {"val_difference": found.difference, "val_ci_low": found.low, "val_ci_high": found.high}
