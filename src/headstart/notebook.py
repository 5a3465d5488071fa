"""A folder of runs as frames, plots and answers for notebooks: `headstart.load("outputs/quickstart")`."""

import dataclasses
import inspect
import itertools
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from headstart.analysis import (
    SEARCH_PAIRS,
    SEARCHES,
    ArmRuns,
    compare,
    frame_of,
    read_table,
    repeated,
    reported,
    runs_of_arm,
)
from headstart.errors import UserError
from headstart.store import find_runs, read_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from headstart.inference import Classifier

FRAMES = ("trials", "epochs", "arms", "pairs", "ledger")
REPEATS = ("searches", "search_pairs")  # tables where searches were repeated with other seeds


class Best(NamedTuple):
    """An arm's best trial: its run folder, and the values that the search found for it."""

    path: Path
    params: dict[str, Any]


@dataclass(frozen=True, repr=False)
class Study:
    """What `load` returns. The frames are those of tables/*.csv; `headstart.analysis.columns` says what a column
    means."""

    root: Path  # what `run_dir` in the frames is relative to
    trials: pd.DataFrame  # a row per run: searched, confirmed, single, failed ones too
    epochs: pd.DataFrame  # a row per run and epoch
    arms: pd.DataFrame  # a row per arm
    pairs: pd.DataFrame  # a row per pair of arms that can be compared
    ledger: pd.DataFrame  # what every arm has cost, last the sum
    study: dict[str, Any] = field(default_factory=dict)  # study.json; of several studies the question that they share
    verdicts: list[str] = field(default_factory=list)  # a sentence per pair
    caveats: list[str] = field(default_factory=list)  # what has to be said beside them
    searches: pd.DataFrame = field(default_factory=lambda: frame_of([], SEARCHES))  # repeated with other seeds
    search_pairs: pd.DataFrame = field(default_factory=lambda: frame_of([], SEARCH_PAIRS))  # compared

    def __repr__(self) -> str:
        names = ", ".join(self.arms["study"].dropna().unique()) or "single runs"
        return f"<{names}: {len(self.arms)} arms, {len(self.trials)} runs in {self.root}>"

    def verdict(self) -> str:
        """Return the verdict of every pair of arms, a line each, and what to run next where something is missing."""
        return "\n".join(self.verdicts) or "There are no two arms to compare."

    @property
    def reported(self) -> pd.DataFrame:
        """Figures that others reported for these arms beside ours (`columns.REPORTED`)."""
        return reported(self.study, self.arms)

    @property
    def plot(self) -> "Plots":
        """The plots of the report by name: `study.plot.learning_rate(ax=None)`."""
        return Plots(self)

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

    def model(self, arm: str) -> "Classifier":
        """Return the arm's network with trained weights, to classify pictures; only here torch is imported.

        Of the best trial's repeats, that with the highest validation accuracy; without one, the best trial's own.

        Raises:
            UserError: there is no such arm, its weights were not kept or are damaged.
        """
        from headstart.inference import Classifier

        best, runs = self.best(arm).path, self.runs(arm)
        repeats = runs.repeats[runs.repeats["state"] == "COMPLETE"].sort_values("val_accuracy", ascending=False)
        for folder in [*(self.root / place for place in repeats["run_dir"]), best]:
            if (folder / "best.safetensors").is_file():
                return Classifier.of_run(folder)
        if runs.best["epochs"] is pd.NA:
            raise UserError(
                f"{arm} is an estimator of scikit-learn, of which no file is kept: a pickle would run code when read.\n"
                "The `command` of its runs fits it again; what it predicted is in their predictions.npz."
            )
        raise UserError(f"no run of {arm} has its weights any more; keep=best or keep=all would have kept them.")

    def runs(self, arm: str) -> ArmRuns:
        """Return the runs behind an arm, rows of `trials`: its best trial, and those that repeat it over seeds.

        Raises:
            UserError: there is no such arm.
        """
        row, trials = self._arm(arm), self.trials
        own = trials["study"].isna() if row["study"] is pd.NA else (trials["study"] == row["study"]).fillna(False)
        return runs_of_arm(trials[own & (trials["arm"] == row["arm"])])

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


def told_apart(study: Any) -> dict[str, pd.DataFrame]:
    """Return `trials`, `epochs`, `arms` and `pairs`; where there are several studies, arms are called STUDY/ARM.

    Single runs, which belong to no study, count as one called `runs`.
    """
    frames = {name: getattr(study, name) for name in ("trials", "epochs", "arms", "pairs")}
    if frames["trials"]["study"].nunique(dropna=False) <= 1:
        return frames
    named = {name: ("arm_a", "arm_b") if name == "pairs" else ("arm",) for name in frames}
    return {
        name: frame.assign(**{c: frame["study"].fillna("runs") + "/" + frame[c] for c in named[name]})
        for name, frame in frames.items()
    }


# -------------------------------------------------------------------------------------------------------------- loading


def load(path: str | Path, *more: str | Path) -> Study:
    """Return the runs below a folder as frames; with several folders, their studies side by side in one.

    Everything is read from the runs themselves, so that a study in progress and a moved folder load too, and files are
    neither needed in tables/ nor written. Where only tables/*.csv is left of a study, these are read.

    Raises:
        UserError: a path is not a folder, or two of them hold the same runs.
    """
    if more:
        _refuse_doubled([Path(one) for one in (path, *more)])
        return side_by_side([load(one) for one in (path, *more)])
    root = Path(path)
    found = compare(root)
    frames, verdicts = {name: getattr(found, name) for name in FRAMES}, found.verdicts
    if found.trials.empty and (root / "tables" / "trials.csv").is_file() and not find_runs(root):
        paths = {name: root / "tables" / f"{name}.csv" for name in (*FRAMES, *REPEATS)}
        frames |= {name: read_table(path) for name, path in paths.items() if path.is_file()}
        compared = [frames[name] for name in ("search_pairs", "pairs") if name in frames]
        verdicts = [text for pairs in compared for text in verdicts(pairs)]
    return Study(root, **frames, study=_study_json(root), verdicts=verdicts, caveats=found.caveats)


def _refuse_doubled(paths: list[Path]) -> None:
    for one, other in itertools.permutations(paths, 2):
        if one.resolve().is_relative_to(other.resolve()):
            where = "the same folder as" if one.resolve() == other.resolve() else "inside"
            raise UserError(f"{one} is {where} {other}, so its runs would count twice; give each study once.")


def _study_json(root: Path) -> dict[str, Any]:
    try:
        found = read_json(root / "study.json")
    except UserError:
        return {}  # no study, or a damaged file, which `comparison` warns of
    return found if isinstance(found, dict) else {}


def side_by_side(studies: list[Study]) -> Study:
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
    again = repeated([(m.study, m.arms, m.trials) for m in moved])
    verdicts = [f"{name}: {text}" for m, name in zip(moved, names, strict=True) for text in m.verdicts]
    said: dict[str, list[str]] = {}
    for m, name in zip(moved, names, strict=True):
        for text in m.caveats:
            said.setdefault(text, []).append(name)
    caveats = [f"{_which(own, names)}: {text}" for text, own in said.items()]
    verdicts, caveats = [*verdicts(again.pairs), *verdicts], [*again.caveats, *caveats]
    asked = [m.study.get("question") for m in moved]
    common = {"question": asked[0]} if asked[0] and all(text == asked[0] for text in asked) else {}
    return Study(root, **frames, study=common, verdicts=verdicts, caveats=caveats, searches=again.searches,
                 search_pairs=again.pairs)  # fmt: skip


def _labels(studies: Iterable[Study]) -> list[str]:
    names = [", ".join(s.trials["study"].dropna().unique()) or s.root.name for s in studies]
    return names if len(set(names)) == len(names) else [str(s.root) for s in studies]


def _which(own: list[str], names: list[str]) -> str:
    return f"each of the {len(names)} studies" if len(own) == len(names) > 1 else ", ".join(own)


def _moved(study: Study, root: Path, name: str) -> Study:
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


# ---------------------------------------------------------------------------------------------------------------- plots


class Plots:
    """The plots of the report, drawn from one study: each method draws on `ax` or a new figure, and returns the axes.

    Further options are those of the function of the same name in `headstart.report.plots.all`. An arm looks the same in
    all. Arms of several studies are called STUDY/ARM.
    """

    def __init__(self, study: Study):
        self._loaded, self._study = study, dataclasses.replace(study, **told_apart(study))

    def arms(self, ax: "Axes | None" = None) -> "Axes":
        """Mean test accuracy of each arm with its 95 % interval, and every seed."""
        return self._draw("arms", ax, self._study.arms, self._study.trials)

    def learning_curves(self, ax: "Axes | None" = None, **options: Any) -> "Axes":
        """Validation accuracy against epoch of each arm's best setting, mean and range over seeds."""
        return self._draw("learning_curves", ax, self._study.epochs, self._study.trials, **options)

    def learning_rate(self, ax: "Axes | None" = None, **options: Any) -> "Axes":
        """Validation accuracy against learning rate of every search trial."""
        spaces = self._study.study.get("spaces") or {}
        return self._draw("learning_rate", ax, self._study.trials, **{"spaces": spaces} | options)

    def history(self, ax: "Axes | None" = None, **options: Any) -> "Axes":
        """Every search trial in order, and the best so far."""
        return self._draw("history", ax, self._study.trials, **options)

    def budget(self, ax: "Axes | None" = None, **options: Any) -> "Axes":
        """Best validation accuracy against the number of trials spent."""
        return self._draw("budget", ax, self._study.trials, study=self._study.study, **options)

    def time_to_target(self, ax: "Axes | None" = None, measure: str = "epochs", **options: Any) -> "Axes":
        """Epochs, steps, images or seconds (`measure`) to stated validation accuracies."""
        options |= {"trials": self._study.trials, "measure": measure}
        return self._draw("time_to_target", ax, self._study.arms, **options)

    def data_size(self, ax: "Axes | None" = None, lines: Mapping[str, Collection[str]] | None = None) -> "Axes":
        """Test accuracy against the number of training images; `lines` ({name: arms}) joins those of several studies.

        Raises:
            UserError: all arms were trained on the same number of images, or there is no arm of that name.
        """
        if lines is not None:
            lines = {name: [self._name(arm) for arm in own] for name, own in lines.items()}
        drawn = self._draw("data_size", ax, self._study.arms, lines=lines, looks=None)  # a line is no arm
        if drawn is None:
            raise UserError("data_size needs arms that differ in data.train_size.")
        return drawn

    def parallel_coordinates(self, ax: "Axes | None" = None) -> "Axes":
        """Swept values and accuracy of every complete trial."""
        return self._draw("parallel_coordinates", ax, self._study.trials)

    def importances(self, ax: "Axes | None" = None) -> "Axes":
        """How much of the spread in accuracy each swept value explains."""
        return self._draw("importances", ax, self._study.trials)

    def confusion(self, arm: str, ax: "Axes | None" = None, **options: Any) -> "Axes":
        """Confusion matrix of an arm's confirmation runs together, test images.

        Raises:
            UserError: there is no such arm.
        """
        arm = self._name(arm)
        rows = [_result(folder) for folder in self._tested(arm)]
        return self._draw("confusion", ax, [row for row in rows if row], **{"title": arm} | options)

    def per_class(self, ax: "Axes | None" = None, **options: Any) -> "Axes":
        """Test accuracy of every class by arm."""
        results = {
            arm: [found for folder in folders if (found := _result(folder))]
            for arm, folders in self._all_tested().items()
        }
        return self._draw("per_class", ax, results, **options)

    def calibration(self, ax: "Axes | None" = None, **options: Any) -> "Axes":
        """Reliability diagram and expected calibration error by arm, test images."""
        from headstart.report.galleries import read_predictions

        predictions = {
            arm: [found for d in folders if (found := read_predictions(d / "predictions.npz")) is not None]
            for arm, folders in self._all_tested().items()
        }
        return self._draw("calibration", ax, predictions, **options)

    def _draw(self, name: str, ax: "Axes | None", *data: Any, **options: Any) -> Any:
        from headstart.report.plots import all as plots

        function = getattr(plots, name)
        known = inspect.signature(function).parameters
        common = {"looks": plots.palette(self._study.arms["arm"].dropna())} if "looks" in known else {}
        options = {key: value for key, value in (common | options).items() if value is not None}
        if ax is None:
            from matplotlib import pyplot

            with plots.style():
                ax = pyplot.subplots(layout="constrained")[1]
        return function(*data, ax=ax, **options)

    def _all_tested(self) -> dict[str, list[Path]]:
        return {arm: self._tested(arm) for arm in self._study.arms["arm"]}

    def _name(self, arm: str) -> str:
        """What the arm is called in these plots; its study may be left out where no other has an arm of its name."""
        return self._study.arms.at[self._loaded._arm(arm).name, "arm"]

    def _tested(self, arm: str) -> list[Path]:
        """Folders of the runs behind the arm that have read the test split."""
        return [self._study.root / place for place in self._study.runs(arm).tested["run_dir"]]


def _result(folder: Path) -> dict[str, Any] | None:
    """What result.json holds; None where it is damaged, which `reason` in trials.csv says."""
    try:
        found = read_json(folder / "result.json")
    except UserError:
        return None
    return found if isinstance(found, dict) else None
