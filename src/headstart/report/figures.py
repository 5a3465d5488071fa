"""Which pictures a study has, drawn and put into words for a report."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from headstart.analysis import SETTINGS, Predictions, read_predictions, runs_of_arm, same_answers, told_apart
from headstart.errors import UserError
from headstart.report import galleries as pictures
from headstart.report.galleries import gallery
from headstart.report.plots.arms import arms, data_size, learning_curves, time_to_target
from headstart.report.plots.hyperparameters import importances, parallel_coordinates, swept
from headstart.report.plots.predictions import (
    MOST_CLASSES,
    calibration,
    confusion,
    has_confusion,
    per_class,
    summed_confusion,
)
from headstart.report.plots.search import budget, history, learning_rate, random_draws
from headstart.report.plots.style import Look, arm_order, palette, style
from headstart.store import read_json

WIDTH = 8.6  # inches, legend included
# Columns of trials.csv that plots read, beside those that `_gather` knows by their beginning: selecting rows is dear.
_NEEDED = (
    "study",
    "arm",
    "phase",
    "number",
    "state",
    "lr",
    "seed",
    "val_accuracy",
    "test_accuracy",
    "run_dir",
    *SETTINGS,
)


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure with its file name (no suffix), heading, how to read it, and the same in words for who can't see it."""

    name: str
    title: str
    caption: str
    alt: str
    figure: Figure


@dataclass(frozen=True, eq=False)
class _Material:
    """What the pictures of a study are drawn from."""

    trials: pd.DataFrame
    epochs: pd.DataFrame
    arms: pd.DataFrame
    pairs: pd.DataFrame
    study: Mapping[str, Any]
    looks: dict[str, Look]
    searches: dict[str, str]  # of arms whose searches were repeated: what the repeats are called together
    chance: float | None
    results: dict[str, list[dict[str, Any]]]
    predictions: dict[str, list[Predictions]]


def draw_all(root: str | Path, frames: Any) -> list[Picture]:
    """Draw every picture that the study in `root` has something for; nothing is written (`save` does).

    `frames`: an object with the tables `trials`, `epochs`, `arms` and `pairs`, as `comparison.compare` returns them,
    and `study`, what study.json holds ({} or missing: not known). `root` is needed for result.json and predictions.npz
    of the runs. Arms of several studies are told apart by the study's name.
    """
    material = _gather(Path(root), frames)
    with style():
        return [picture for make in _PICTURES for picture in make(material)]


def _gather(root: Path, frames: Any) -> _Material:
    trials, epochs, arm_rows, pair_rows = told_apart(frames).values()
    trials = trials[[c for c in trials if c in _NEEDED or c.startswith(("params_", "epochs_to", "seconds_to"))]]
    study = (trials["study"].nunique(dropna=False) <= 1 and getattr(frames, "study", None)) or {}
    searches = _repeated(getattr(frames, "searches", None), arm_rows)
    looks = palette(dict.fromkeys(searches.get(arm, arm) for arm in [*arm_rows["arm"].dropna(), *arm_order(trials)]))
    looks |= {arm: looks[search] for arm, search in searches.items()}
    shown = {arm: runs_of_arm(trials[trials["arm"] == arm]).repeats for arm in arm_rows["arm"]}
    folders = {arm: [root / d for d in own.loc[own["test_accuracy"].notna(), "run_dir"]] for arm, own in shown.items()}
    halfway = arm_rows["halfway_accuracy"].dropna().unique()
    return _Material(
        trials, epochs, arm_rows, pair_rows, study, looks, searches,
        2 * float(halfway[0]) - 100 if len(halfway) == 1 else None,
        {arm: [r for d in own if (r := _result(d / "result.json"))] for arm, own in folders.items()},
        {arm: _same_split([read_predictions(d / "predictions.npz") for d in own]) for arm, own in folders.items()},
    )  # fmt: skip


def _repeated(searches: pd.DataFrame | None, arm_rows: pd.DataFrame) -> dict[str, str]:
    """Arms named STUDY/ARM to the search that they repeat: called by what its studies share, or that and the arm."""
    if searches is None:
        return {}
    parts, found = [name.partition("/") for name in searches["search"]], {}
    for arm in arm_rows["arm"].dropna():
        study, _, own = arm.rpartition("/")
        names = [stem + slash + of for stem, slash, of in parts if study.startswith(stem) and of in ("", own)]
        if names:
            found[arm] = max(names, key=len)
    return found


def _result(path: Path) -> dict[str, Any] | None:
    try:
        result = read_json(path)
    except UserError:
        return None  # the row's `reason` in trials.csv says what is wrong with it
    return result if isinstance(result, dict) else None


def _same_split(runs: list[Predictions | None]) -> list[Predictions]:
    """The runs that could be read and answered the same images as the first of them."""
    known = [run for run in runs if run is not None]
    return [run for run in known if same_answers([known[0]], [run])]


def _figure(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    figure = _empty(width, height)
    return figure, figure.subplots()


def _empty(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    return figure


def _picture(name: str, figure: Figure, caption: str, alt: str, title: str = "") -> Picture:
    return Picture(name, title or figure.axes[0].get_title(loc="left"), caption, alt, figure)


def _percent(value: Any) -> str:
    return "not known" if value is pd.NA or value != value else f"{value:.2f} %"


def _crowd(material: _Material) -> float:
    """Inches that the legend of many arms needs beyond a plot's usual height."""
    return max(0.0, 0.28 * (len(material.arms) - 7))


def _arms(m: _Material) -> Iterator[Picture]:
    figure, ax = _figure(1.3 + 0.55 * max(2, len(m.arms)), 7.4)
    arms(m.arms, m.trials, ax, looks=m.looks)
    words = [f"{r['arm']} {_score(r)}" for _, r in m.arms.iterrows()]
    caption = (
        "Accuracy on the test split of the setting that the search chose. The interval is Student's, over seeds; "
        "it does not hold the luck of the search."
    )
    yield _picture("arms", figure, caption, f"Test accuracy by arm: {'; '.join(words) or 'no arm yet'}.")


def _score(arm: pd.Series) -> str:
    if arm["test_mean"] is pd.NA:
        return "not tested yet"
    if arm["test_ci_low"] is pd.NA:
        return f"{_percent(arm['test_mean'])} (1 seed)"
    bounds = f"{_percent(arm['test_ci_low'])} to {_percent(arm['test_ci_high'])}"
    return f"{_percent(arm['test_mean'])} (95 % interval {bounds}, {arm['seeds']} seeds)"


def _learning_curves(m: _Material) -> Iterator[Picture]:
    fitted = m.arms.loc[_fitted_at_once(m), "arm"]
    if len(fitted) == len(m.arms) > 0:
        return
    figure, ax = _figure(4.0 + _crowd(m))
    learning_curves(m.epochs, m.trials, ax, looks=m.looks, chance=m.chance)
    final = [f"{r['arm']} {_percent(r['final_val_accuracy'])}" for _, r in m.arms.iterrows()]
    caption = (
        "Validation accuracy after each epoch. Lines: mean over the confirmation runs; bands: from the lowest to the "
        "highest seed."
    ) + (f" Fitted in one go, and without a curve: {', '.join(fitted)}." if len(fitted) else "")
    yield _picture(
        "learning_curves",
        figure,
        caption,
        f"Validation accuracy by epoch; after the last one: {'; '.join(final) or 'no arm yet'}.",
    )


def _fitted_at_once(m: _Material) -> pd.Series:
    """Which arms have been fitted and not trained in epochs."""
    return m.arms["epochs"].isna() & m.arms["best_number"].notna() & ~m.arms["arm"].isin(m.epochs["arm"])


def _learning_rate(m: _Material) -> Iterator[Picture]:
    rows = m.trials[m.trials["phase"].isin(["search", "run"])]
    if not rows["lr"].gt(0).any():
        return
    together = m.trials.assign(arm=m.trials["arm"].replace(m.searches))
    figure, ax = _figure(4.2 if m.searches else 4.2 + _crowd(m))
    learning_rate(together, ax, m.study.get("spaces") or {}, looks=m.looks, chance=m.chance)
    best = [f"{r['arm']} {r['best_lr']:.3g}" for _, r in m.arms.iterrows() if r["best_lr"] is not pd.NA]
    caption = (
        "Each marker is a trial. Rings: learning rates that a hand search by factors of 10 would have tried. "
        "A best rate beside a bound means that the range was too narrow."
    ) + (" Repeats of a search are drawn alike." if m.searches else "")
    yield _picture(
        "learning_rate",
        figure,
        caption,
        f"Validation accuracy against learning rate; best rate: {'; '.join(best) or 'none yet'}.",
    )


def _history(m: _Material) -> Iterator[Picture]:
    if not (m.trials["phase"] == "search").any():
        return
    figure, ax = _figure(4.0 + _crowd(m))
    history(m.trials, ax, looks=m.looks, chance=m.chance)
    caption = "Markers: trials in the order they were numbered. Steps: the best complete trial so far."
    best = [f"{r['arm']} {_percent(r['val_accuracy'])} in {r['trials']} trials" for _, r in m.arms.iterrows()]
    yield _picture("history", figure, caption, f"Validation accuracy by trial; best: {'; '.join(best)}.")


def _budget(m: _Material) -> Iterator[Picture]:
    search = m.trials[m.trials["phase"] == "search"]
    if search.empty:
        return
    figure, ax = _figure(3.6 + _crowd(m))
    budget(m.trials, ax, study=m.study, looks=m.looks, chance=m.chance)
    expected = [n for n in arm_order(search) if random_draws(search[search["arm"] == n], n, m.study)]
    caption = "What the arm's best trial reaches after so many trials" + (
        ", expected over all orders of its random draws." if expected else
        ", in the order they ran. It is not an expectation: the trials are no unpruned random draws."
    )  # fmt: skip
    yield _picture("budget", figure, caption, f"{ax.get_title(loc='left')}; one rising line for each arm.")


def _time_to_target(m: _Material) -> Iterator[Picture]:
    if not any(c.startswith("epochs_to_") and not c.endswith("censored") and m.arms[c].notna().any() for c in m.arms):
        return
    figure = _empty(WIDTH, 6.2 + _crowd(m))
    for ax, measure in zip(figure.subplots(2), ("epochs", "seconds"), strict=True):
        time_to_target(m.arms, ax, trials=m.trials, measure=measure, looks=m.looks)
    if (second := figure.axes[1].get_legend()) is not None:
        second.remove()  # it says the same as the first
    caption = (
        "Large markers: median over the confirmation runs (Kaplan-Meier; runs that never get there are counted). "
        "Seconds are of training alone, and compare only between runs on the same machine with the same load."
    )
    words = [
        f"{r['arm']}: "
        + ", ".join(
            f"{t} % after {r[f'epochs_to_{t}']}" for t in (70, 80, 90, 93, 95) if r[f"epochs_to_{t}"] is not pd.NA
        )
        for _, r in m.arms.iterrows()
    ]
    yield _picture(
        "time_to_target",
        figure,
        caption,
        f"Median epochs to a validation accuracy. {'; '.join(words)}.",
        "Time to a validation accuracy",
    )


def _data_size(m: _Material) -> Iterator[Picture]:
    figure, ax = _figure(4.0 + _crowd(m))
    if data_size(m.arms, ax) is None:
        return
    words = [f"{r['arm']} ({r['train_size']} images) {_percent(r['test_mean'])}" for _, r in m.arms.iterrows()]
    caption = (
        "Arms are compared at equal sizes: above each other. The smaller training sets are parts of the larger ones."
    )
    yield _picture("data_size", figure, caption, f"Test accuracy by training images: {'; '.join(words)}.")


def _confusion(m: _Material) -> Iterator[Picture]:
    shown = {arm: own for arm, own in m.results.items() if any(map(has_confusion, own))}
    if not shown:
        return
    columns = min(len(shown), 2)
    rows = -(-len(shown) // columns)
    figure = _empty(5.2 if columns == 1 else 9.6, 4.1 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for i, (ax, (arm, own)) in enumerate(zip(axes, shown.items(), strict=False)):
        runs = "1 run" if len(own) == 1 else f"sum of {len(own)} runs"
        confusion(own, ax, title=f"{arm} ({runs})", bar=i % columns == columns - 1 or i == len(shown) - 1)
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    caption = (
        "Rows: true class; columns: what the model said; numbers: test images, summed over the confirmation runs. "
        "The shade exaggerates small shares."
    )
    words = [f"{arm}: {_commonest_error(own)}" for arm, own in shown.items()]
    yield _picture(
        "confusion", figure, caption, f"Confusion matrices. {'; '.join(words)}.", "Confusion matrices on the test split"
    )


def _commonest_error(results: list[dict[str, Any]]) -> str:
    matrix, classes = summed_confusion(results)
    errors = matrix - np.diag(np.diag(matrix))
    if not errors.any():
        return "no errors"
    true, said = divmod(int(errors.argmax()), len(errors))
    return f"most often {classes[true]} taken for {classes[said]} ({errors[true, said]} times)"


def _per_class(m: _Material) -> Iterator[Picture]:
    shown = {arm: own for arm, own in m.results.items() if any(map(has_confusion, own))}
    if not shown:
        return
    classes = min(MOST_CLASSES, max(len(r["confusion"]) for own in shown.values() for r in own if has_confusion(r)))
    figure, ax = _figure(max(2.6 + _crowd(m), 1.2 + classes * max(0.32, 0.11 * len(shown))))
    per_class(shown, ax, looks=m.looks)
    caption = "Share of each class's test images that is recognised (recall), the hardest class on top."
    yield _picture(
        "per_class", figure, caption, f"{ax.get_title(loc='left')}; hardest: {ax.get_yticklabels()[0].get_text()}."
    )


def _calibration(m: _Material) -> Iterator[Picture]:
    if not any(m.predictions.values()):
        return
    figure, ax = _figure(4.4 + _crowd(m))
    calibration(m.predictions, ax, looks=m.looks)
    caption = (
        "Below the dotted line the model is surer than it is right. Larger markers: more images; faint ones stand for "
        "fewer than 20. Runs of an arm are drawn together."
    )
    words = [text.get_text().replace("\n", " ") for text in ax.get_legend().get_texts()][:-1]
    yield _picture("calibration", figure, caption, f"Confidence against accuracy. {'; '.join(words)}.")


def _galleries(m: _Material) -> Iterator[Picture]:
    known = {arm: runs for arm, runs in m.predictions.items() if runs}
    couples = sorted(
        zip(m.pairs["arm_a"], m.pairs["arm_b"], m.pairs["difference"].fillna(0).abs(), strict=True), key=lambda p: -p[2]
    )
    couples = [(a, b) for a, b, _ in couples] if couples else None
    made: list[tuple[str, str, str, Callable[[], pictures.Gallery]]] = [
        ("samples", "Sample pictures", "The first test image of each class.", lambda: pictures.samples(known)),
        (
            "confidently_wrong", "Most confidently wrong",
            "Test images that an arm gets wrong with the highest confidence, averaged over its seeds.",
            lambda: pictures.confidently_wrong(known),
        ),
        (
            "disagreements", "Right in one arm, wrong in the other",
            "Test images that most seeds of one arm recognise and most of the other don't, among those whose "
            "thumbnails were stored.",
            lambda: pictures.disagreements(known, couples),
        ),
    ]  # fmt: skip
    for name, title, caption, rows in made:
        shown = [(heading, images) for heading, images in rows() if images]
        figure, ax = _figure(0.3 + 1.62 * len(shown), 7.6)
        if gallery(shown, ax) is None:
            continue
        words = [f"{heading}: " + ", ".join(w.replace("\n", " ") for _, w in images) for heading, images in shown]
        yield _picture(name, figure, caption, f"{title}. {'; '.join(words)}.", title)


def _several_values(m: _Material) -> Iterator[Picture]:
    columns = swept(m.trials)
    if set(columns) <= {"params_lr"}:
        return
    keys = ", ".join(c.removeprefix("params_") for c in columns)
    figure, ax = _figure(4.2 + _crowd(m))
    parallel_coordinates(m.trials, ax, looks=m.looks)
    caption = "Each line is a complete trial: through the values it was given, to the accuracy it reached."
    yield _picture("parallel_coordinates", figure, caption, f"Parallel coordinates of {keys} and validation accuracy.")
    if all(len(swept(own)) < 2 for _, own in m.trials.groupby("arm")):
        return
    figure, ax = _figure(max(2.4 + _crowd(m), 1.2 + 0.5 * len(columns)))
    importances(m.trials, ax, looks=m.looks)
    caption = (
        "How much of the spread in validation accuracy each swept value explains, within an arm (Optuna's PED-ANOVA)."
    )
    yield _picture("importances", figure, caption, f"Importance of {keys} for the validation accuracy.")


_PICTURES: tuple[Callable[[_Material], Iterator[Picture]], ...] = (
    _arms, _learning_curves, _learning_rate, _history, _budget, _time_to_target, _data_size, _several_values,
    _confusion, _per_class, _calibration, _galleries,
)  # fmt: skip
