"""Searches that were repeated with other seeds, compared with the luck of the search inside the interval.

The confirmation seeds of one study repeat the setting that its search found; whether another search would have found
as good a one they cannot say. Studies that differ in nothing but `seed` (and `name`) are repeats of the search itself:
the sampler's draws, initial weights, order and augmentation vary together (Bouthillier et al. 2021, arXiv 2103.03098).
"""

import itertools
import json
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from headstart import statistics
from headstart.arm_rows import Study, item, without_number
from headstart.columns import PAIR_COLUMNS, frame_of, known
from headstart.pair_rows import edge_of, planned_epochs, reasons_against, same_images, sampling_width
from headstart.statistics import Edge, PairedDifference
from headstart.tables import COLUMNS, TABLES, Column
from headstart.verdict import PairEvidence, verdict

SEARCH_COLUMNS: dict[str, Column] = {
    "search": Column("string", "", "what the repeats share of their studies' names; the arm where a study has several"),
    "arm": COLUMNS["arm"],
    "repeats": Column("Int64", "count", "studies that differ in the seed alone: n of the statistics"),
    "trials": Column("Int64", "count", "trials of each search"),
    "epochs_searched": Column("Float64", "epochs", "epochs that a search's trials trained, mean over repeats"),
    "best_lr_low": Column("Float64", "", "lowest of the learning rates that the searches found best"),
    "best_lr_high": Column("Float64", "", "highest of them"),
    "val_mean": Column("Float64", "percent", "validation accuracy of the best trial, mean over repeats"),
    "val_lowest": Column("Float64", "percent", "the same of the least lucky search"),
    "test_mean": Column("Float64", "percent", "test accuracy of the best trial's confirmations, mean over repeats"),
    "test_std": Column("Float64", "points", "its standard deviation over repeats (n - 1)"),
    "test_ci_low": Column("Float64", "percent", "lower bound of its 95 % interval (Student t)"),
    "test_ci_high": Column("Float64", "percent", "upper bound of its 95 % interval (Student t)"),
    "test_lowest": Column("Float64", "percent", "the same of the least lucky search"),
    "data": COLUMNS["data"],
    "train_size": COLUMNS["train_size"],
}

SEARCH_PAIR_COLUMNS: dict[str, Column] = {
    "search_a": Column("string", "", "first search"),
    "search_b": Column("string", "", "second search, on the same images"),
    "repeats": Column("Int64", "count", "study seeds that both were repeated with"),
    "val_difference": Column("Float64", "points", "validation accuracy of the best trial a - b, mean over these seeds"),
    "val_ci_low": Column("Float64", "points", "lower bound of its 95 % interval (paired Student t), not corrected"),
    "val_ci_high": Column("Float64", "points", "upper bound of its 95 % interval (paired Student t), not corrected"),
    **{name: PAIR_COLUMNS[name] for name in ("difference", "ci_low", "ci_high", "level", "p", "p_holm")},
    "family": Column("Int64", "count", "pairs of searches that the correction counts"),
    "winner": Column("string", "", "search that the verdict names; empty: none"),
    "verdict": PAIR_COLUMNS["verdict"],
    "next": PAIR_COLUMNS["next"],
}

TABLES.update(searches=SEARCH_COLUMNS, search_pairs=SEARCH_PAIR_COLUMNS)


class Repeated(NamedTuple):
    """The tables of repeated searches, and what has to be said beside them."""

    searches: pd.DataFrame
    pairs: pd.DataFrame
    caveats: list[str]


@dataclass(frozen=True)
class _Search:
    """One arm of one study: a search that has ended, with the confirmations of what it found."""

    study: str
    arm: pd.Series
    alone: bool  # the study has no other arm
    seed: int
    confirm_seeds: int
    epochs: int  # trained by its trials


def repeated(studies: Sequence[tuple[Study, pd.DataFrame, pd.DataFrame]]) -> Repeated:
    """Find the searches that were repeated with other seeds, and compare those on the same images, paired by seed.

    `studies`: of each what its study.json holds, its arms and its trials (`arm_rows.arms`, `tables.trials`). The tables
    are empty where nothing was repeated.
    """
    groups: dict[str, dict[int, _Search]] = defaultdict(dict)
    caveats = []
    for settings, search in itertools.chain.from_iterable(itertools.starmap(_ended, studies)):
        first = groups[settings].setdefault(search.seed, search)
        if first is not search:
            caveats.append(f"{search.study} and {first.study} are one search with one seed; the first is counted.")
    named: dict[str, dict[int, _Search]] = {}
    for group in groups.values():
        if len(group) > 1:
            named[_name(list(group.values()), taken=named)] = group
            caveats += _shared_seeds(sorted(group.values(), key=lambda search: search.seed))
    rows = [_search_row(name, list(group.values())) for name, group in named.items()]
    return Repeated(frame_of(rows, SEARCH_COLUMNS), frame_of(_pair_rows(named), SEARCH_PAIR_COLUMNS), caveats)


def _ended(study: Study, arms: pd.DataFrame, trials: pd.DataFrame) -> Iterator[tuple[str, _Search]]:
    """The study's searches that have ended and were confirmed, each with everything but the seed that was set for it.

    Nothing is known of a study that names no seed or whose search may go on; its own report says so.
    """
    seed, confirm_seeds = (item(study, key, int) for key in ("seed", "confirm_seeds"))
    epochs = trials[trials["phase"] == "search"].groupby("arm")["epochs_run"].sum()
    for _, arm in arms.iterrows():
        own = item(item(study, "arms", dict), arm["arm"], dict)
        ended = arm["trials"] + arm["failed"] >= item(study, "n_trials", int)
        if not own or not ended or pd.isna(arm["test_mean"]):
            continue
        common = item(study, "common", dict)
        settings = [arm["arm"], own, common, study.get("n_trials"), confirm_seeds, known(arm["data_sha256"])]
        key = json.dumps(_without_seeds(settings), sort_keys=True)
        yield key, _Search(arm["study"], arm, len(arms) == 1, seed, confirm_seeds, int(epochs[arm["arm"]]))


def _without_seeds(settings: Any) -> Any:
    if isinstance(settings, dict):
        return {key: _without_seeds(value) for key, value in settings.items() if key != "seed"}
    return [_without_seeds(value) for value in settings] if isinstance(settings, list) else settings


def _name(group: list[_Search], taken: Container[str]) -> str:
    """What the studies' names share when their seeds are left out: lr_grid_1 and lr_grid_2 are lr_grid."""
    shared = {without_number(search.study, "seed", search.seed) for search in group}
    for stem in ("".join(shared) if len(shared) == 1 else "", " and ".join(search.study for search in group)):
        name = stem if group[0].alone else f"{stem}/{group[0].arm['arm']}"
        if stem and name not in taken:
            break
    return name


def _shared_seeds(group: list[_Search]) -> Iterator[str]:
    """Confirmations with the same seed in two searches are no two draws of luck."""
    near = [b.study for a, b in itertools.pairwise(group) if b.seed - a.seed < a.confirm_seeds]
    if near:
        yield (
            f"{', '.join([group[0].study, *near])} ({group[0].arm['arm']}) share confirmation seeds, so that their "
            f"interval is too narrow; leave {group[0].confirm_seeds} or more between the studies' seeds."
        )


def _search_row(name: str, group: list[_Search]) -> dict[str, Any]:
    first = group[0].arm
    lr, validation, test = (
        [float(s.arm[column]) for s in group if not pd.isna(s.arm[column])]
        for column in ("best_lr", "val_accuracy", "test_mean")
    )
    summary = statistics.summarise(test)
    return dict(
        search=name, arm=first["arm"], repeats=len(group), trials=first["trials"],
        epochs_searched=statistics.summarise([s.epochs for s in group]).mean, best_lr_low=min(lr, default=None),
        best_lr_high=max(lr, default=None), val_mean=statistics.summarise(validation).mean, val_lowest=min(validation),
        test_mean=summary.mean, test_std=summary.std, test_ci_low=summary.low, test_ci_high=summary.high,
        test_lowest=min(test), data=first["data"], train_size=first["train_size"],
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------- pairs


def _pair_rows(groups: Mapping[str, Mapping[int, _Search]]) -> list[dict[str, Any]]:
    """A row per pair of searches on the same images, corrected as one family."""
    couples = []
    for (name_a, a), (name_b, b) in itertools.combinations(groups.items(), 2):
        shared = sorted(a.keys() & b.keys())
        if shared and same_images(a[shared[0]].arm, b[shared[0]].arm):
            couples.append(((name_a, [a[seed] for seed in shared]), (name_b, [b[seed] for seed in shared])))
    compared = statistics.compare_pairs([(_scores(a), _scores(b)) for (_, a), (_, b) in couples])
    return [_pair_row(*a, *b, test, len(couples)) for (a, b), test in zip(couples, compared, strict=True)]


def _scores(group: Iterable[_Search], column: str = "test_mean") -> list[float]:
    return [float(search.arm[column]) for search in group]


def _pair_row(
    name_a: str, a: list[_Search], name_b: str, b: list[_Search], test: PairedDifference, family: int
) -> dict[str, Any]:
    first, second = a[0].arm, b[0].arm
    evidence = PairEvidence(
        name_a, name_b, test.difference, test.low, test.high, test.p_holm, test.n, int(first["trials"]),
        int(second["trials"]), *planned_epochs(first, second), _edge(a), _edge(b), pairs=family,
        test_sampling=sampling_width(first, second), repeats="searches",
        reasons=tuple(reason for search in (*a, *b) for reason in reasons_against(search.arm)),
    )  # fmt: skip
    found = verdict(evidence)
    validation = statistics.paired_difference(_scores(a, "val_accuracy"), _scores(b, "val_accuracy"))
    return dict(
        search_a=name_a, search_b=name_b, repeats=test.n, val_difference=validation.difference,
        val_ci_low=validation.low, val_ci_high=validation.high, difference=test.difference, ci_low=test.low,
        ci_high=test.high, level=test.level, p=test.p, p_holm=test.p_holm, family=family, winner=found.winner or None,
        verdict=found.sentence, next=found.hint or None,
    )  # fmt: skip


def _edge(group: Iterable[_Search]) -> Edge | None:
    """The first edge that one of the searches ended at."""
    return next(filter(None, (edge_of(search.arm) for search in group)), None)
