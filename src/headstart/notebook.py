"""What a notebook gets from a folder of runs: frames, plots, networks. `headstart.load("outputs/quickstart")`."""

import dataclasses
import inspect
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from headstart.analysis import Results, load_results, told_apart
from headstart.errors import UserError
from headstart.store import read_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from headstart.inference import Classifier


def load(path: str | Path, *more: str | Path) -> "Study":
    """Return the runs below a folder as frames; with several folders, their studies side by side in one.

    Everything is read from the runs themselves, so that a study in progress and a moved folder load too, and files are
    neither needed in tables/ nor written. Where only tables/*.csv is left of a study, these are read.

    Raises:
        UserError: a path is not a folder, or two of them hold the same runs.
    """
    return Study(**vars(load_results(path, *more)))


@dataclasses.dataclass(frozen=True, repr=False)
class Study(Results):
    """What `load` returns: `Results`, and what is drawn and computed from them."""

    @property
    def plot(self) -> "Plots":
        """The plots of the report by name: `study.plot.learning_rate(ax=None)`."""
        return Plots(self)

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
        from headstart.analysis import read_predictions

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
