"""What a notebook gets from a folder of runs: frames, plots, networks. `headstart.load("outputs/quickstart")`."""

import dataclasses
import html
import inspect
import logging
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from headstart.analysis import CaveatKind, Results, html_table, load_results
from headstart.errors import UserError, listed
from headstart.report import PLOTS, DrawnFigure, Material, style
from headstart.store import expanded, find_runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from headstart.inference import Classifier


log = logging.getLogger(__name__)


def load(path: str | Path, *more: str | Path) -> "Study":
    """Return the runs below a folder as frames; with several folders, their studies side by side in one.

    Everything is read from the runs themselves, so that a study in progress and a moved folder load too, and files are
    neither needed in tables/ nor written. Where only tables/*.csv is left of a study, these are read.

    Raises:
        UserError: a path is not a folder, or two of them hold the same runs.
    """
    return Study(**vars(load_results(path, *more)))


def load_model(path: str | Path, arm: str | None = None) -> "Classifier":
    """Return a trained network that classifies pictures.

    path: the folder of a run, or of a study with `arm`, which may be left out where the study has one arm alone; or
    what `headstart weights export` has written, a file or a folder.

    Raises:
        UserError: there is no such path, it holds no trained network, or several and no `arm` is given.
    """
    from headstart.inference import Classifier

    folder = expanded(path)
    if not folder.exists():
        raise UserError(f"{path} does not exist; give the folder of a run or a study, or a file of weights")
    if not _holds_runs(folder):
        is_run = folder.is_dir() and bool(find_runs(folder, most=1))
        if arm is not None:
            raise UserError(f"{path} holds one network, so there is no arm to choose: {arm}")
        if folder.is_dir() and not is_run and not any(folder.glob("*model.*")):  # as exported, or kept by a hub
            raise UserError(f"{path} holds no trained network: no run, no study and no model.safetensors")
        return Classifier.of_run(folder) if is_run else Classifier.of_file(folder)
    study = load(folder)
    arms = list(study.arms["arm"])
    if not arms:
        raise UserError(f"{path} holds no run yet")
    if arm is None and len(arms) != 1:
        raise UserError(f"{path} holds {len(arms)} arms: {', '.join(arms)}; say which one (--arm, or in Python arm=)")
    return study.model(arms[0] if arm is None else arm)


def load_models(path: str | Path, arm: str | None = None) -> "dict[str, Classifier | str]":
    """Return the trained network of every arm of a study by its name, of `arm` alone, or the one that `path` holds.

    In place of a network that was not kept stands why. Raises UserError as `load_model` does.
    """
    folder = expanded(path)
    if arm is not None or not _holds_runs(folder):
        return {arm or Path(path).name: load_model(path, arm)}
    study, found = load(folder), {}
    for name in study.arms["arm"]:
        try:
            found[name] = study.model(name)
        except UserError as error:
            found[name] = str(error)
    return found


def _holds_runs(folder: Path) -> bool:
    """Whether a folder is of a study, or of several runs or studies; False of a run's own folder."""
    found = find_runs(folder, most=2) if folder.is_dir() else []
    if found:
        return found != [folder]
    return (folder / "study.json").exists() or (folder / "tables" / "trials.csv").exists()


@dataclasses.dataclass(frozen=True, repr=False)
class Study(Results):
    """What `load` returns: `Results`, and what is drawn and computed from them."""

    @cached_property
    def plot(self) -> "Plots":
        """The plots of the report by name: `study.plot.learning_rate(ax=None)`."""
        return Plots(self)

    def _repr_html_(self) -> str:
        said = [f"<p>{html.escape(repr(self).strip('<>'))}</p>"]
        unfinished = [str(caveat) for caveat in self.caveats if caveat.kind is CaveatKind.UNFINISHED]
        said += [f"<p><b>Unfinished.</b> {html.escape(sentence)}</p>" for sentence in unfinished]
        short = self.short.rename(columns=lambda name: name.replace("_", " "))
        said += [html_table(short), self.verdict()._repr_html_()]
        if (page := self.root / "report.html").is_file():
            said.append(f"<p>{html.escape(str(page))}</p>")
        return "".join(said)

    def model(self, arm: str) -> "Classifier":
        """Return the arm's network with trained weights, to classify pictures; only here torch is imported.

        Of the best trial's repeats, that with the highest validation accuracy; without one, the best trial's own. Of
        single runs on the same data likewise the best, which is said where there are others.

        Raises:
            UserError: there is no such arm, its weights were not kept or are damaged, or it is single runs on different
                data, of which none is the better.
        """
        from headstart.inference import Classifier

        self._choose_single(arm)
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
        raise UserError(
            f"the weights of {arm} are not here: not kept (keep=best and keep=all do), deleted, or only its tables are."
        )

    def _choose_single(self, arm: str) -> None:
        """Say which of several single runs it is. Raises UserError for runs on different data."""
        single = self.single_runs(arm)
        if single["data"].nunique() > 1:
            best = single.sort_values("val_accuracy", ascending=False).drop_duplicates("data")
            named = listed(f"{self.root / row['run_dir']} ({row['data']})" for _, row in best.iterrows())
            raise UserError(f"{self.root} holds runs of {arm} on different data; give the folder of one: {named}")
        if len(single) > 1:
            said = "of %d single runs of %s: that of the highest validation accuracy, %.2f %%"
            log.warning(said, len(single), arm, single["val_accuracy"].max())


class Plots:
    """The plots of the report, drawn from one study: each method draws on `ax` or a new figure, and returns the axes.

    Options are those of the function of the same name in `headstart.report.plots`. An arm looks the same in all plots.
    Arms of several studies are called STUDY/ARM.

    Raises:
        UserError: there is no arm of a name that is given, or the study has nothing to draw.
    """

    def __init__(self, study: Study):
        self._study, self._material = study, Material(study)

    def __getitem__(self, name: str) -> DrawnFigure:
        """The picture as the page has it, with its caption: `study.plot["confusion"]`; its `figure` is matplotlib's.

        Raises:
            UserError: there is no such picture, or the study has nothing to draw.
        """
        known = {plot.name: plot for plot in PLOTS}
        if name not in known:
            raise UserError(f"there is no picture {name!r}; there are {', '.join(known)}.")
        with style():
            drawn = known[name].figure(self._material)
        if drawn is None:
            raise UserError(f"{name} needs {known[name].needs or 'runs that it shows'}, so the page has none.")
        return drawn

    def _repr_html_(self) -> str:
        rows = [(f"study.plot.{plot.name}({'arm' if plot.of_one_arm else ''})", plot.description) for plot in PLOTS]
        return html_table(pd.DataFrame(rows, columns=["plot", "shows"]))

    def _draw(self, plot: Any, given: Any, ax: "Axes | None", options: dict[str, Any]) -> "Axes":
        lines = options.get("lines")
        if options.get("forecast") is not None:
            self._study.forecast(options["forecast"], lines)  # which refuses arms that were not trained alike
        if lines is not None:
            options["lines"] = {name: [self._study.known_as(arm) for arm in own] for name, own in lines.items()}
        if ax is None:
            from matplotlib import pyplot

            with style():
                ax = pyplot.subplots(layout="constrained")[1]
        drawn = plot.draw(given, ax, **options)
        if drawn is None:
            raise UserError(f"{plot.name} needs {plot.needs}.")
        return drawn


def _method(plot: Any) -> Callable[..., Any]:
    """The plot as a method of `Plots`, with what it takes and shows for whoever asks `study.plot.NAME?`."""

    def draw(self: Plots, ax: "Axes | None" = None, **options: Any) -> "Axes":
        return self._draw(plot, plot.given(self._material), ax, options)

    def draw_arm(self: Plots, arm: str, ax: "Axes | None" = None, **options: Any) -> "Axes":
        return self._draw(plot, plot.given(self._material, self._study.known_as(arm)), ax, options)

    method = draw_arm if plot.of_one_arm else draw
    known = inspect.signature(plot.function).parameters.values()
    *own, _ = inspect.signature(method).parameters.values()
    options = [option for option in known if option.kind is inspect.Parameter.KEYWORD_ONLY]
    method.__signature__ = inspect.Signature([*own, *options])
    method.__name__, method.__qualname__, method.__doc__ = plot.name, f"Plots.{plot.name}", plot.description
    return method


for _plot in PLOTS:
    setattr(Plots, _plot.name, _method(_plot))
