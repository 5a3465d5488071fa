"""All plots of a study, in the order of the page: a plot is added here, and the page and `study.plot` have it."""

from headstart.analysis import Results
from headstart.report import captions, plots
from headstart.report.data_samples import DATA_SAMPLES
from headstart.report.drawing import NARROW, DrawnFigure, Given, Plot, given
from headstart.report.galleries import gallery
from headstart.report.material import Material
from headstart.report.plots.critical_difference import beaten, families
from headstart.report.plots.hyperparameters import swept
from headstart.report.plots.predictions import MOST_CLASSES
from headstart.report.use_figures import CORRUPTIONS, LATENCY


def draw_all(results: Results) -> list[DrawnFigure]:
    """Draw every plot that there is something for; nothing is written (`save_figures` does)."""
    material = Material(results)
    with plots.style():
        return [figure for plot in PLOTS if (figure := plot.figure(material))]


def _crowd(m: Material) -> float:
    """Inches that the legend of many arms needs beyond a plot's usual height."""
    return max(0.0, 0.28 * (len(m.arms) - 7))


def _reaches_a_target(m: Material) -> bool:
    columns = [c for c in m.arms if c.startswith("epochs_to_") and not c.endswith("censored")]
    return bool(m.arms[columns].notna().any(axis=None))


def _epochs(m: Material) -> Given:
    return given(m.epochs, m.trials, looks=m.looks)


def _has_epochs(m: Material) -> bool:
    return bool(m.epochs["train_accuracy"].notna().any())


def _times(m: Material) -> Given:
    return given(m.arms, trials=m.trials, looks=m.looks)


def _by_epochs_and_seconds(m: Material) -> list[list[Given]]:
    data, options = _times(m)
    return [[given(*data, **options, measure="epochs")], [given(*data, **options, measure="seconds", key=False)]]


def _rates(m: Material) -> Given:
    """Repeats of a search are drawn as one."""
    trials, arms = (frame.assign(arm=frame["arm"].replace(m.searches)) for frame in (m.trials, m.arms))
    return given(trials, arms=arms, looks=m.looks, chance=m.chance)


def _has_search(m: Material) -> bool:
    return bool((m.trials["phase"] == "search").any())


def _has_rates(m: Material) -> bool:
    return bool(m.trials.loc[m.trials["phase"].isin(["search", "run"]), "lr"].gt(0).any())


def _confusion(m: Material, arm: str) -> Given:
    results = m.confused.get(arm, [])
    runs = "1 run" if len(results) == 1 else f"sum of {len(results)} runs"
    return given(results, title=f"{arm} ({runs})")


def _confusions(m: Material) -> list[list[Given]]:
    """Two in a row, the scale of their shades at the end of it."""
    arms = list(m.confused)
    rows = [arms[i : i + 2] for i in range(0, len(arms), 2)]
    drawings = [[_confusion(m, arm) for arm in row] for row in rows]
    return [[given(*d.data, **d.options, bar=d is row[-1]) for d in row] for row in drawings]


def _height_of_classes(m: Material) -> float:
    classes = min(MOST_CLASSES, max(len(result["confusion"]) for own in m.confused.values() for result in own))
    return max(2.6 + _crowd(m), 1.2 + classes * max(0.32, 0.11 * len(m.confused)))


def _gallery(name: str, title: str, caption: str) -> Plot:
    return Plot(
        name=name,
        section="errors",
        function=gallery,
        given=lambda m: given(m.galleries[name]),
        width=8.6,
        height=lambda m: 0.3 + 1.62 * len(m.galleries[name]),
        title=title,
        caption=caption,
        words=lambda m, _: captions.gallery(m, name, title),
        needs="thumbnails of test images",
        about=caption,
    )


PLOTS = (
    Plot(
        name="arms",
        section="answer",
        function=plots.arms,
        given=lambda m: given(m.arms, m.trials, looks=m.looks),
        width=NARROW,
        height=lambda m: 1.3 + 0.55 * max(2, len(m.arms)),
        caption="Mean accuracy on the test split of what the search chose; dots: single seeds. What the interval holds "
        "for, beside new seeds, is said in the verdict: new test pictures, repeated searches.",
        words=captions.arms,
    ),
    Plot(
        name="critical_difference",
        section="verdict",
        function=plots.critical_difference,
        given=lambda m: given(m.trials, m.pairs, looks=m.looks),
        grid=lambda m: [[given(m.trials, own, looks=m.looks)] for own in families(m.pairs)],
        is_there=lambda m: bool(families(m.pairs)),
        height=lambda m: sum(1.6 + 0.24 * len(beaten(own)) for own in families(m.pairs)),
        title="Average rank of each arm's test accuracy",
        caption=captions.critical_difference_caption,
        words=captions.critical_difference,
        needs="more than six arms on the same data and train_size",
    ),
    DATA_SAMPLES,
    Plot(
        name="learning_curves",
        section="answer",
        function=plots.learning_curves,
        given=lambda m: given(m.epochs, m.trials, looks=m.looks, chance=m.chance),
        is_there=lambda m: m.arms.empty or not captions.fitted_at_once(m).all(),
        width=NARROW,
        height=lambda m: 4.0 + _crowd(m),
        caption=captions.learning_curves_caption,
        words=captions.learning_curves,
    ),
    Plot(
        name="learning_rate",
        section="tuning",
        function=plots.learning_rate,
        given=_rates,
        is_there=_has_rates,
        height=lambda m: 4.2 if m.searches else 4.2 + _crowd(m),
        caption=captions.learning_rate_caption,
        words=captions.learning_rate,
    ),
    Plot(
        name="history",
        section="tuning",
        function=plots.history,
        given=lambda m: given(m.trials, looks=m.looks, chance=m.chance),
        is_there=_has_search,
        height=lambda m: 4.0 + _crowd(m),
        caption="Markers: trials in the order they were numbered. Steps: the best complete trial so far.",
        words=captions.history,
    ),
    Plot(
        name="budget",
        section="tuning",
        function=plots.budget,
        given=lambda m: given(m.trials, m.arms, study=m.study, looks=m.looks, chance=m.chance),
        is_there=_has_search,
        height=lambda m: 3.6 + _crowd(m),
        caption=captions.budget_caption,
        words=captions.budget,
    ),
    Plot(
        name="time_to_target",
        section="speed",
        function=plots.time_to_target,
        given=_times,
        grid=_by_epochs_and_seconds,
        is_there=_reaches_a_target,
        height=lambda m: 6.2 + _crowd(m),
        title="Time to a validation accuracy",
        caption="Large markers: median over the confirmation runs (Kaplan-Meier; runs that never get there are "
        "counted). Seconds are of training alone, and compare only between runs on the same machine with the same "
        "load.",
        words=captions.time_to_target,
    ),
    Plot(
        name="overfitting",
        section="speed",
        function=plots.overfitting,
        given=_epochs,
        grid=lambda m: [[_epochs(m)], [given(*_epochs(m).data, looks=m.looks, measure="loss", key=False)]],
        is_there=_has_epochs,
        height=lambda m: 6.2 + _crowd(m),
        title="Training and validation images",
        caption="Means over the confirmation runs. A training line that goes on rising, or whose loss goes on falling, "
        "while the validation line doesn't: over-fitting. Training images are augmented, so theirs may be lower.",
        words=captions.overfitting,
    ),
    Plot(
        name="data_size",
        section="answer",
        function=plots.data_size,
        given=lambda m: given(m.arms, forecast=m.forecast),  # a line is no arm, and has no arm's look
        height=lambda m: 4.0 + _crowd(m),
        caption=captions.data_size_caption,
        words=captions.data_size,
        needs="arms that differ in data.train_size",
    ),
    Plot(
        name="image_size",
        section="answer",
        function=plots.image_size,
        given=lambda m: given(m.arms),
        height=lambda m: 4.0 + _crowd(m),
        caption="Arms are compared at equal sizes, above each other: another size is another experiment.",
        words=captions.image_size,
        needs="arms that differ in image_size",
    ),
    Plot(
        name="parallel_coordinates",
        section="tuning",
        function=plots.parallel_coordinates,
        given=lambda m: given(m.trials, looks=m.looks),
        is_there=lambda m: not set(swept(m.trials)) <= {"params_lr"},
        height=lambda m: 4.2 + _crowd(m),
        caption="Each line is a complete trial: through the values it was given, to the accuracy it reached.",
        words=captions.parallel_coordinates,
    ),
    Plot(
        name="importances",
        section="tuning",
        function=plots.importances,
        given=lambda m: given(m.trials, looks=m.looks),
        is_there=lambda m: any(len(swept(own)) > 1 for _, own in m.trials.groupby("arm")),
        height=lambda m: max(2.4 + _crowd(m), 1.2 + 0.5 * len(swept(m.trials))),
        caption="How much of the spread in validation accuracy each swept value explains, within an arm (Optuna's "
        "PED-ANOVA).",
        words=captions.importances,
    ),
    LATENCY,
    CORRUPTIONS,
    Plot(
        name="confusion",
        section="errors",
        function=plots.confusion,
        of_one_arm=True,
        given=_confusion,
        grid=_confusions,
        is_there=lambda m: bool(m.confused),
        width=lambda m: 5.2 if len(m.confused) == 1 else 9.6,
        height=lambda m: 4.1 * -(-len(m.confused) // 2),
        title="Confusion matrices on the test split",
        caption="Rows: true class; columns: what the model said; numbers: test images, summed over the confirmation "
        "runs. The shade exaggerates small shares.",
        words=captions.confusion,
    ),
    Plot(
        name="per_class",
        section="errors",
        function=plots.per_class,
        given=lambda m: given(m.confused, looks=m.looks),
        is_there=lambda m: bool(m.confused),
        height=_height_of_classes,
        caption="Share of each class's test images that is recognised (recall), the hardest class on top.",
        words=captions.per_class,
    ),
    Plot(
        name="calibration",
        section="errors",
        function=plots.calibration,
        given=lambda m: given(m.predictions, looks=m.looks),
        is_there=lambda m: any(m.predictions.values()),
        height=lambda m: 4.4 + _crowd(m),
        caption="Below the dotted line the model is surer than it is right. Larger markers: more images; faint ones "
        "stand for fewer than 20. Runs of an arm are drawn together.",
        words=captions.calibration,
    ),
    _gallery("samples", "Sample pictures", "The first test image of each class."),
    _gallery(
        "confidently_wrong",
        "Most confidently wrong",
        "Test images that an arm gets wrong with the highest confidence, averaged over its seeds.",
    ),
    _gallery(
        "disagreements",
        "Right in one arm, wrong in the other",
        "Test images that most seeds of one arm recognise and most of the other don't, among those whose thumbnails "
        "were stored.",
    ),
    _gallery(
        "explained",
        "Where the arms looked",
        "The same test pictures, and what on them spoke for each arm's answer: bright places (Grad-CAM, one run of the "
        "arm, computed in the last layer whose maps have 4 x 4 cells or more).",
    ),
)
