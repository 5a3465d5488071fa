"""What the plots of some results are drawn from: the page and notebooks take it from here."""

from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from headstart.analysis import (
    ArmRuns,
    Predictions,
    Results,
    forecast_lines,
    read_predictions,
    runs_of_arm,
    same_answers,
    told_apart,
)
from headstart.errors import UserError
from headstart.report.data_of_results import KeptData, kept_data
from headstart.report.galleries import EXPLAINED, Gallery, confidently_wrong, disagreements, explained, samples
from headstart.report.plots.predictions import has_confusion
from headstart.report.plots.style import Look, arm_order, palette
from headstart.store import StudyFile, read_json


class Material:
    """The tables of some results, arms of several studies told apart, and what their runs left on the test split.

    `trials`, `epochs`, `arms` and `pairs` are those of `Results` with arms called STUDY/ARM where there are several
    studies; `study` is what study.json says, nothing of several. Files of the runs are read when a plot needs them.
    """

    def __init__(self, results: Results):
        self._results = results
        self.trials, self.epochs, self.arms, self.pairs = told_apart(results).values()
        self.study = results.study_file if results.trials["study"].nunique(dropna=False) <= 1 else StudyFile()

    @property
    def forecast(self) -> int | None:
        """Training images that the report forecasts; None: it was not asked to."""
        return int(self._results.forecasts["images"].iloc[0]) if len(self._results.forecasts) else None

    @property
    def forecast_lines(self) -> list[str]:
        """What the forecast says, a sentence a pair of lines."""
        return list(forecast_lines(self._results.forecasts))

    @cached_property
    def corruptions(self) -> pd.DataFrame:
        """corruptions.csv, arms of several studies told apart."""
        several = self.arms["arm"].to_numpy() != self._results.arms["arm"].to_numpy()
        found = self._results.corruptions
        return found.assign(arm=found["study"] + "/" + found["arm"]) if several.any() else found

    @cached_property
    def data(self) -> list[KeptData]:
        """What was kept of the data sets of these runs, the first one's first."""
        return kept_data(self._results)

    @cached_property
    def searches(self) -> dict[str, str]:
        """Arms whose searches were repeated, to what the repeats are called together: what their studies share."""
        parts, found = [name.partition("/") for name in self._results.searches["search"]], {}
        for arm in self.arms["arm"].dropna():
            study, _, own = arm.rpartition("/")
            names = [stem + slash + of for stem, slash, of in parts if study.startswith(stem) and of in ("", own)]
            if names:
                found[arm] = max(names, key=len)
        return found

    @cached_property
    def looks(self) -> dict[str, Look]:
        """How each arm is drawn; repeats of a search look alike."""
        names = [*self.arms["arm"].dropna(), *arm_order(self.trials)]
        looks = palette(self.searches.get(name, name) for name in names)
        return looks | {arm: looks[search] for arm, search in self.searches.items()}

    @cached_property
    def chance(self) -> float | None:
        """Accuracy (%) of guessing; None where it is not known, or not the same for all arms."""
        halfway = self.arms["halfway_accuracy"].dropna().unique()
        return 2 * float(halfway[0]) - 100 if len(halfway) == 1 else None

    @cached_property
    def runs(self) -> dict[str, ArmRuns]:
        """The runs behind each arm."""
        return {arm: runs_of_arm(self.trials[self.trials["arm"] == arm]) for arm in self.arms["arm"]}

    @cached_property
    def results(self) -> dict[str, list[dict[str, Any]]]:
        """What result.json holds, of every arm's runs that have read the test split and can be read."""
        found = {arm: [_read_result(folder / "result.json") for folder in own] for arm, own in self._tested.items()}
        return {arm: [result for result in own if result] for arm, own in found.items()}

    @cached_property
    def confused(self) -> dict[str, list[dict[str, Any]]]:
        """Those of `results` that have a confusion matrix, of every arm that has any."""
        found = {arm: [result for result in own if has_confusion(result)] for arm, own in self.results.items()}
        return {arm: own for arm, own in found.items() if own}

    @cached_property
    def predictions(self) -> dict[str, list[Predictions]]:
        """What these runs answered: of every arm those that can be read, on the images that its first run was given."""
        found = {
            arm: [read_predictions(folder / "predictions.npz") for folder in own] for arm, own in self._tested.items()
        }
        known = {arm: [run for run in own if run is not None] for arm, own in found.items()}
        return {arm: [run for run in own if same_answers(own[:1], [run])] for arm, own in known.items()}

    @cached_property
    def galleries(self) -> dict[str, Gallery]:
        """Rows of test images by what they show, rows without any left out."""
        known = {arm: runs for arm, runs in self.predictions.items() if runs}
        apart = self.pairs.assign(apart=self.pairs["difference"].fillna(0).abs())
        apart = apart.sort_values("apart", ascending=False, kind="stable")
        couples = list(zip(apart["arm_a"], apart["arm_b"], strict=True))
        found = dict(
            samples=samples(known),
            confidently_wrong=confidently_wrong(known),
            disagreements=disagreements(known, couples or None),
            explained=explained(self._results.root / EXPLAINED, self.tested_runs),
        )
        return {name: [(heading, images) for heading, images in rows if images] for name, rows in found.items()}

    @property
    def tested_runs(self) -> list[str]:
        """Folders of the runs behind the arms that have read the test split, sorted."""
        return sorted(place for runs in self.runs.values() for place in runs.tested["run_dir"])

    @cached_property
    def _tested(self) -> dict[str, list[Path]]:
        return {
            arm: [self._results.root / place for place in runs.tested["run_dir"]] for arm, runs in self.runs.items()
        }


def _read_result(path: Path) -> dict[str, Any] | None:
    """None where it is damaged, which the row's `reason` in trials.csv says."""
    try:
        result = read_json(path)
    except UserError:
        return None
    return result if isinstance(result, dict) else None
