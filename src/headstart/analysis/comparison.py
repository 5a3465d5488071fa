"""The runs below a folder compared, study by study: all tables, and the sentences that belong to them."""

import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from headstart.analysis.arms_table import NO_STUDY, OPEN, arms_table, of_several_studies, short_table
from headstart.analysis.caveats import Caveat, caveats
from headstart.analysis.collate import Collated, collate
from headstart.analysis.columns import ARMS, LEDGER, PAIRS
from headstart.analysis.csv_tables import first, frame_of, write_further_tables, write_table
from headstart.analysis.ledger import ledger_table
from headstart.analysis.pairs_table import looks_of, pairs_table, verdict_lines
from headstart.analysis.predictions import corruptions_table, read_answers
from headstart.analysis.published_figures import reported_table
from headstart.analysis.runs_of_arm import ArmRuns, runs_by_arm
from headstart.errors import UserError
from headstart.store import StudyFile, read_json, read_study

COMPARED = {"arms": ARMS, "pairs": PAIRS, "ledger": LEDGER}  # tables, and their columns


@dataclass(frozen=True, eq=False)
class Comparison:
    """Everything a report shows: the five tables, and the sentences that belong under the verdicts."""

    trials: pd.DataFrame
    epochs: pd.DataFrame
    arms: pd.DataFrame
    pairs: pd.DataFrame
    ledger: pd.DataFrame
    verdicts: list[str]
    caveats: list[Caveat]
    study_file: StudyFile  # of the folder; an empty one where it holds single runs, or several studies


@dataclass(frozen=True, eq=False)
class _Part:
    """One study, or single runs of one name."""

    arms: pd.DataFrame
    pairs: pd.DataFrame
    ledger: pd.DataFrame
    caveats: list[Caveat]

    @property
    def name(self) -> str:
        return first(self.ledger["study"]) or "single runs"


def compare(root: str | Path) -> Comparison:
    """Compare the arms of the study in `root`, of the studies directly below it, and single runs (only described).

    Arms of different studies are never paired.

    Raises:
        UserError: `root` is not a folder.
    """
    return _compare(Path(root), collate(root))


def write_comparison(root: str | Path) -> list[Path]:
    """Write the tables of the runs below `root` to `root/tables/*.csv`, each atomically; return their paths.

    Raises:
        UserError: `root` is not a folder, cannot be written, or the disk is full.
    """
    collated, folder = collate(root), Path(root) / "tables"
    found, none = _compare(Path(root), collated), pd.DataFrame()
    further = {"reported": reported_table(found.study_file.reported, found.arms, found.trials)}
    further["corruptions"] = corruptions_table(root, found.trials, found.arms)
    return [
        *collated.write(folder),
        *(write_table(folder / f"{name}.csv", getattr(found, name)) for name in COMPARED),
        write_table(folder / "arms_short.csv", short_table(found.arms, of_several_studies(found.trials))),
        # Searches are repeated over several studies.
        *write_further_tables(folder, further | {"searches": none, "search_pairs": none, "forecast": none}),
    ]


def _compare(root: Path, collated: Collated) -> Comparison:
    file = read_study(root / "study.json") or NO_STUDY
    parts = [_part(root, study, own, collated.epochs) for study, own in _studies(root, file, collated.trials)]
    tables = {
        name: pd.concat([getattr(part, name) for part in parts], ignore_index=True) if parts else frame_of([], columns)
        for name, columns in COMPARED.items()
    }
    said = [caveat.said_of(part.name) if len(parts) > 1 else caveat for part in parts for caveat in part.caveats]
    verdicts = verdict_lines(tables["pairs"])
    return Comparison(collated.trials, collated.epochs, **tables, verdicts=verdicts, caveats=said, study_file=file)


def _tables(
    root: Path, study: StudyFile, runs: Mapping[str, ArmRuns], epochs: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """arms.csv and pairs.csv of one study."""
    answers = {name: read_answers(root, own.tested) for name, own in runs.items()}
    arms = arms_table(runs, epochs, study, answers)
    return arms, pairs_table(arms, runs, study, answers, epochs)


def _part(root: Path, study: StudyFile, trials: pd.DataFrame, epochs: pd.DataFrame) -> _Part:
    runs = runs_by_arm(trials, study)
    arms, pairs = _tables(root, study, runs, epochs)
    ledger = ledger_table(trials, runs)
    return _Part(arms, pairs, ledger, caveats(arms, pairs, ledger, trials, runs, study))


def _studies(root: Path, file: StudyFile, trials: pd.DataFrame) -> Iterator[tuple[StudyFile, pd.DataFrame]]:
    """Each study with its rows, by the folder that its study.json is in; other runs by the name they give."""
    trials = _with_facts(root, trials)
    if (root / "study.json").exists():
        yield file.lacking(_ended(trials)), trials
        return
    top = trials["run_dir"].str.partition("/")[0] if len(trials) else trials["run_dir"]
    rest = pd.Series(True, index=trials.index)
    for folder in sorted(path.parent.name for path in root.glob("*/study.json")):
        inside = top == folder
        if inside.any():
            study = read_study(root / folder / "study.json") or NO_STUDY
            yield study.lacking({run.removeprefix(f"{folder}/") for run in _ended(trials[inside])}), trials[inside]
        rest = rest & ~inside
    for _, own in trials[rest].groupby("study", dropna=False, sort=True):
        yield NO_STUDY, own


def _ended(trials: pd.DataFrame) -> set[str]:
    """Folders of the runs that have ended."""
    return set(trials.loc[~trials["state"].isin(OPEN), "run_dir"])


# ---- how many seeds there have to be


def seeds_wanted(root: str | Path, arms: Collection[str]) -> dict[str, int]:
    """With how many seeds these arms of the study in `root` are to be confirmed, as far as its runs tell by now.

    The looks that it plans are repeated one after another, each with the seeds that there were: an arm of a pair that
    is undecided at one of them goes on to the next. So the answer is the same whoever asks, and when.
    """
    root = Path(root)
    collated, study = collate(root), read_study(root / "study.json") or NO_STUDY
    trials, looks = _with_facts(root, collated.trials), looks_of(study)
    if looks is None:
        return {}
    wanted = dict.fromkeys(arms, looks.at[0])
    for look, following in itertools.pairwise(looks.at):
        seen = trials[trials["phase"].ne("confirm") | trials["seed"].le((study.seed or 0) + look).fillna(False)]
        runs = runs_by_arm(seen, study)
        if any(not _has_ended(runs[arm], look) for arm in runs if wanted.get(arm, 0) >= look):
            break
        _, pairs = _tables(root, study, runs, collated.epochs)
        undecided = pairs[pairs["undecided"] & pairs["arm_a"].isin(wanted) & pairs["arm_b"].isin(wanted)]
        wanted |= dict.fromkeys([*undecided["arm_a"], *undecided["arm_b"]], following)
    return wanted


def _has_ended(runs: ArmRuns, seeds: int) -> bool:
    """Whether an arm has so many confirmations that have ended, or nothing to confirm."""
    return runs.best is None or (~runs.repeats["state"].isin(OPEN)).sum() >= seeds


# ---- what result.json knows beyond the columns of trials.csv

FACTS = ("classes", "test_images", "retried")


def _with_facts(root: Path, trials: pd.DataFrame) -> pd.DataFrame:
    """The trials with what their files know beyond the columns: classes and images tested on, and failed attempts."""
    rows = []
    for run_dir, score in zip(trials["run_dir"], trials["test_accuracy"], strict=True):
        folder = root / run_dir
        row: dict[str, int] = {"retried": len(list(folder.glob("result.failed-*.json")))}
        if score is not pd.NA:
            row |= _test_facts(folder / "result.json")
        rows.append(row)
    return trials.assign(**{n: pd.array([row.get(n) for row in rows], dtype="Int64") for n in FACTS})


def _test_facts(path: Path) -> dict[str, int]:
    try:
        confusion = np.asarray(read_json(path)["confusion"], dtype=np.int64)
    except (UserError, ValueError, TypeError, KeyError, OverflowError):
        return {}  # both are only said in addition
    return {"classes": len(confusion), "test_images": int(confusion.sum())} if confusion.ndim == 2 else {}
