"""The runs below a folder as frames and sentences: what reports and notebooks are made from."""

import dataclasses
import html
import itertools
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from headstart.analysis.arms_table import NO_STUDY, of_several_studies, short_table, with_study
from headstart.analysis.caveats import Caveat
from headstart.analysis.columns import FORECAST, SEARCH_PAIRS, SEARCHES
from headstart.analysis.comparison import compare
from headstart.analysis.csv_tables import frame_of, read_table
from headstart.analysis.forecasts import Lines, forecast_table
from headstart.analysis.pairs_table import verdict_lines
from headstart.analysis.predictions import corruptions_table
from headstart.analysis.published_figures import reported_table
from headstart.analysis.repeated_searches import repeated_searches
from headstart.analysis.runs_of_arm import ArmRuns, html_table, runs_of_arm
from headstart.errors import UserError
from headstart.store import StudyFile, expanded, find_runs, read_json

FRAMES = ("trials", "epochs", "arms", "pairs", "ledger")
REPEATS = ("searches", "search_pairs")  # tables where searches were repeated with other seeds


class Best(NamedTuple):
    """An arm's best trial: its run folder, and the values that the search found for it."""

    path: Path
    params: dict[str, Any]

    def _repr_html_(self) -> str:
        return html_table(pd.DataFrame({**self.params, "folder": str(self.path)}, index=[0]))


class Verdict(str):
    """The verdict on every pair of arms, a line each; a notebook shows a list."""

    def _repr_html_(self) -> str:
        return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in self.splitlines()) + "</ul>"


@dataclass(frozen=True, repr=False)
class Results:
    """What `load_results` returns: the frames of tables/*.csv, whose columns `headstart.analysis.columns` explains."""

    root: Path  # what `run_dir` in the frames is relative to
    trials: pd.DataFrame  # a row per run: searched, confirmed, single, failed ones too
    epochs: pd.DataFrame  # a row per run and epoch
    arms: pd.DataFrame  # a row per arm
    pairs: pd.DataFrame  # a row per pair of arms that can be compared
    ledger: pd.DataFrame  # what every arm has cost, last the sum
    study: dict[str, Any] = field(default_factory=dict)  # study.json; of several studies the question that they share
    study_file: StudyFile = NO_STUDY  # the same with types, for code that asks it
    verdicts: list[str] = field(default_factory=list)  # a sentence per pair
    caveats: list[Caveat] = field(default_factory=list)  # what has to be said beside them
    searches: pd.DataFrame = field(default_factory=lambda: frame_of([], SEARCHES))  # repeated with other seeds
    search_pairs: pd.DataFrame = field(default_factory=lambda: frame_of([], SEARCH_PAIRS))  # compared
    forecasts: pd.DataFrame = field(default_factory=lambda: frame_of([], FORECAST))  # that a report was asked for

    def __repr__(self) -> str:
        names = ", ".join(self.arms["study"].dropna().unique()) or "single runs"
        return f"<{names}: {len(self.arms)} arms, {len(self.trials)} runs in {self.root}>"

    def verdict(self) -> Verdict:
        """Return the verdict of every pair of arms, a line each, and what to run next where something is missing."""
        return Verdict("\n".join(self.verdicts) or "There are no two arms to compare.")

    @property
    def short(self) -> pd.DataFrame:
        """The ten columns of `arms` that are read first, under plain names (`columns.ARMS_SHORT`): arms_short.csv."""
        return short_table(self.arms, of_several_studies(self.trials))

    @property
    def reported(self) -> pd.DataFrame:
        """Figures that others reported for these arms beside ours (`columns.REPORTED`)."""
        return reported_table(self.study_file.reported, self.arms, self.trials)

    @property
    def corruptions(self) -> pd.DataFrame:
        """Accuracy on test images made worse, by arm, kind and strength (`columns.CORRUPTIONS`), where it was asked."""
        return corruptions_table(self.root, self.trials, self.arms)

    def forecast(self, images: int, lines: Lines = None) -> pd.DataFrame:
        """Return what arms would reach with more training images, and what their gaps would be (`columns.FORECAST`).

        lines: {name: its arms}, as `plot.data_size` takes them; None: arms that differ in the size alone, by name. The
        arms of a line have to be trained alike. Those of exactly `images` are held against the forecast.

        Raises:
            UserError: there is no such arm, no line has two sizes below `images`, or its arms were not trained alike.
        """
        frames = told_apart(self)
        if lines is not None:
            lines = {name: [self.known_as(arm) for arm in own] for name, own in lines.items()}
        return forecast_table(frames["arms"], frames["trials"], images, lines)

    def known_as(self, arm: str) -> str:
        """What an arm is called among those of several studies; its study may be left out where that is clear.

        Raises:
            UserError: there is no such arm, or several studies have one.
        """
        return told_apart(self)["arms"].at[self._arm(arm).name, "arm"]

    def best(self, arm: str) -> Best:
        """Return the run folder and the swept values of the arm's best trial by validation accuracy.

        Raises:
            UserError: there is no such arm, or none of its trials may be selected.
        """
        best = self.runs(arm).best
        if best is None:
            raise UserError(f"{arm} has no trial that may be selected: COMPLETE, with a validation accuracy.")
        swept = {name.removeprefix("params_"): best[name] for name in self.trials if name.startswith("params_")}
        known = {key: value for key, value in swept.items() if value is not pd.NA}
        plain = {key: value.item() if hasattr(value, "item") else value for key, value in known.items()}
        return Best(self.root / best["run_dir"], plain)

    def runs(self, arm: str) -> ArmRuns:
        """Return the runs behind an arm, rows of `trials`: its best trial, and those that repeat it over seeds.

        Raises:
            UserError: there is no such arm.
        """
        return runs_of_arm(self._rows(arm))

    def single_runs(self, arm: str) -> pd.DataFrame:
        """Those of an arm's runs, rows of `trials`, that belong to no search and have ended well; none where one does.

        Raises:
            UserError: there is no such arm.
        """
        rows = self._rows(arm)
        if (rows["phase"] == "search").any():
            return rows.iloc[:0]
        return rows[(rows["phase"] == "run") & (rows["state"] == "COMPLETE")]

    def _rows(self, arm: str) -> pd.DataFrame:
        row, trials = self._arm(arm), self.trials
        own = trials["study"].isna() if row["study"] is pd.NA else (trials["study"] == row["study"]).fillna(False)
        return trials[own & (trials["arm"] == row["arm"])]

    def _arm(self, arm: str) -> pd.Series:
        """The row of arms.csv of an arm, which is called STUDY/ARM where several studies have one of its name."""
        names = told_apart(self)["arms"]["arm"]
        rows = self.arms[(names == arm) | (self.arms["arm"] == arm)]
        if rows.empty:
            raise UserError(f"there is no arm {arm!r} in {self.root}; its arms: {', '.join(names.dropna()) or 'none'}.")
        if len(rows) > 1:
            raise UserError(
                f"several studies in {self.root} have an arm {arm!r}; give {' or '.join(names[rows.index])}."
            )
        return rows.iloc[0]


def told_apart(study: Results) -> dict[str, pd.DataFrame]:
    """Return `trials`, `epochs`, `arms` and `pairs`; where there are several studies, arms are called STUDY/ARM.

    Single runs, which belong to no study, count as one called `runs`.
    """
    frames = {name: getattr(study, name) for name in ("trials", "epochs", "arms", "pairs")}
    if not of_several_studies(frames["trials"]):
        return frames
    named = {name: ("arm_a", "arm_b") if name == "pairs" else ("arm",) for name in frames}
    return {name: with_study(frame, *named[name]) for name, frame in frames.items()}


# -------------------------------------------------------------------------------------------------------------- loading


def load_results(path: str | Path, *more: str | Path) -> Results:
    """Return the runs below a folder as frames; with several folders, their studies side by side in one.

    Everything is read from the runs themselves, so that a study in progress and a moved folder load too, and files are
    neither needed in tables/ nor written. Where only tables/*.csv is left of a study, these are read.

    Raises:
        UserError: a path is not a folder, or two of them hold the same runs.
    """
    if more:
        _refuse_doubled([expanded(one) for one in (path, *more)])
        return side_by_side([load_results(one) for one in (path, *more)])
    root = expanded(path)
    found = compare(root)
    frames, verdicts = {name: getattr(found, name) for name in FRAMES}, found.verdicts
    if found.trials.empty and (root / "tables" / "trials.csv").is_file() and not find_runs(root):
        paths = {name: root / "tables" / f"{name}.csv" for name in (*FRAMES, *REPEATS)}
        frames |= {name: read_table(path) for name, path in paths.items() if path.is_file()}
        compared = [frames[name] for name in ("search_pairs", "pairs") if name in frames]
        verdicts = [text for pairs in compared for text in verdict_lines(pairs)]
    about = {"study": _study_json(root), "study_file": found.study_file}
    return Results(root, **frames, **about, verdicts=verdicts, caveats=found.caveats)


def _refuse_doubled(paths: list[Path]) -> None:
    for one, other in itertools.permutations(paths, 2):
        if one.resolve().is_relative_to(other.resolve()):
            where = "the same folder as" if one.resolve() == other.resolve() else "inside"
            raise UserError(f"{one} is {where} {other}, so its runs would count twice; give each study once.")


def _study_json(root: Path) -> dict[str, Any]:
    try:
        found = read_json(root / "study.json")
    except UserError:
        return {}  # no study, or a damaged file, which `read_study` warns of
    return found if isinstance(found, dict) else {}


def side_by_side(studies: list[Results]) -> Results:
    """Return several studies in one, `run_dir` relative to the first one's parent folder; arms stay in their study.

    Studies of the same name are told apart by their folders. Those that differ in nothing but `seed` are repeats of a
    search: `searches` and `search_pairs` compare them with the luck of the search in the interval.
    """
    root = studies[0].root.absolute().parent
    names = _labels(studies)
    moved = [_moved(study, root, name) for study, name in zip(studies, names, strict=True)]
    frames = {name: pd.concat([getattr(m, name) for m in moved], ignore_index=True) for name in FRAMES}
    trials = frames["trials"]  # a value swept in one study only has no column in the others
    fixed = [name for name in trials if not name.startswith("params_")]
    frames["trials"] = trials[fixed + sorted(set(trials) - set(fixed))]
    again = repeated_searches(((m.study_file, m.arms, m.trials) for m in moved), root)
    verdicts = [f"{name}: {text}" for m, name in zip(moved, names, strict=True) for text in m.verdicts]
    verdicts, caveats = [*verdict_lines(again.pairs), *verdicts], [*again.caveats, *_said_once(moved, names)]
    asked = [m.study.get("question") for m in moved]
    common = {"question": asked[0]} if asked[0] and all(text == asked[0] for text in asked) else {}
    frames |= {"searches": again.searches, "search_pairs": again.pairs}
    about = {"study": common, "study_file": StudyFile.of(common)}
    return Results(root, **frames, **about, verdicts=verdicts, caveats=caveats)


def _said_once(studies: list[Results], names: list[str]) -> list[Caveat]:
    """The caveats of all, each with the names of the studies that it is said of."""
    said: dict[Caveat, list[str]] = {}
    for study, name in zip(studies, names, strict=True):
        for caveat in study.caveats:
            said.setdefault(caveat, []).append(name)
    return [caveat.said_of(_which(own, names)) for caveat, own in said.items()]


def _labels(studies: Iterable[Results]) -> list[str]:
    names = [", ".join(s.trials["study"].dropna().unique()) or s.root.name for s in studies]
    return names if len(set(names)) == len(names) else [str(s.root) for s in studies]


def _which(own: list[str], names: list[str]) -> str:
    return f"each of the {len(names)} studies" if len(own) == len(names) > 1 else ", ".join(own)


def _moved(study: Results, root: Path, name: str) -> Results:
    """The study with run folders relative to `root`, called `name` where it holds a single study."""
    prefix = Path(os.path.relpath(study.root.absolute(), root)).as_posix()
    changed = {}
    for kind in FRAMES:
        frame = getattr(study, kind).copy()
        if "run_dir" in frame:
            frame["run_dir"] = (prefix + "/" + frame["run_dir"]).astype("string")
        if frame["study"].nunique() <= 1:
            frame["study"] = pd.array([name] * len(frame), dtype="string")
        changed[kind] = frame
    return dataclasses.replace(study, **changed)
