"""The words beside a plot: what it shows, for those who cannot see it, and captions that depend on what is drawn."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from headstart.analysis import THRESHOLDS, counted
from headstart.report.formatting import percent
from headstart.report.material import Material
from headstart.report.plots.critical_difference import beaten, families, paired_ranks
from headstart.report.plots.hyperparameters import swept
from headstart.report.plots.predictions import summed_confusion
from headstart.report.plots.search import budget_curves, random_draws
from headstart.statistics import BAND_LEVEL, BudgetCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def arms(m: Material, _: "Axes") -> str:
    """Test accuracy of each arm."""
    words = [f"{row['arm']} {_score(row)}" for _, row in m.arms.iterrows()]
    return f"Test accuracy by arm: {'; '.join(words) or 'no arm yet'}."


def _score(arm: pd.Series) -> str:
    if arm["test_mean"] is pd.NA:
        return "not tested yet"
    if arm["test_ci_low"] is pd.NA:
        return f"{percent(arm['test_mean'])} (1 seed)"
    bounds = f"{percent(arm['test_ci_low'])} to {percent(arm['test_ci_high'])}"
    return f"{percent(arm['test_mean'])} (95 % interval {bounds}, {arm['seeds']} seeds)"


def critical_difference(m: Material, _: "Axes") -> str:
    """Each arm's average rank, and what it is better than."""
    return " ".join(_ranked(m, own) for own in families(m.pairs))


def _ranked(m: Material, pairs: pd.DataFrame) -> str:
    ranks, better = paired_ranks(m.trials, pairs), beaten(pairs)
    if ranks.empty:
        return "Average ranks of test accuracy: no seed tested in all arms yet."
    words = [
        f"{arm} {rank:.2f}" + (f" (better than {', '.join(better[arm])})" if better[arm] else "")
        for arm, rank in ranks.mean().sort_values(kind="stable").items()
    ]
    return f"Average rank of test accuracy over {counted(len(ranks), 'seed')}: {'; '.join(words)}."


def critical_difference_caption(m: Material) -> str:
    """What the bars join, and which arms are not there."""
    out = [arm for own in families(m.pairs) for arm in beaten(own) if arm not in paired_ranks(m.trials, own)]
    caption = (
        "Critical-difference diagram (Demšar 2006): each arm's rank by test accuracy, 1 the best, averaged over the "
        "seeds that all arms were confirmed with. A bar joins the arms whose dots it carries: between them the "
        "verdicts name no winner. Arms that no bar joins differ by the Holm-adjusted p of their pair, below 0.05."
    )
    return caption + (f" Not tested yet, and not there: {', '.join(out)}." if out else "")


def learning_curves(m: Material, _: "Axes") -> str:
    """Where each arm's curve ends."""
    final = [f"{row['arm']} {percent(row['final_val_accuracy'])}" for _, row in m.arms.iterrows()]
    return f"Validation accuracy by epoch; after the last one: {'; '.join(final) or 'no arm yet'}."


def learning_curves_caption(m: Material) -> str:
    """How to read the curves, and which arms have none."""
    fitted = m.arms.loc[fitted_at_once(m), "arm"]
    caption = (
        "Validation accuracy after each epoch. Lines: mean over the confirmation runs; bands: from the lowest to the "
        "highest seed."
    )
    return caption + (f" Fitted in one go, and without a curve: {', '.join(fitted)}." if len(fitted) else "")


def overfitting(m: Material, _: "Axes") -> str:
    """How far training and validation accuracy lie apart at the end."""
    known = m.arms[m.arms["train_mean"].notna()]
    words = [f"{r['arm']} {percent(r['train_mean'])} and {percent(r['val_accuracy'])}" for _, r in known.iterrows()]
    return f"Training and validation accuracy by epoch; of the best epoch: {'; '.join(words) or 'no arm yet'}."


def fitted_at_once(m: Material) -> pd.Series:
    """Which arms have been fitted and not trained in epochs."""
    return m.arms["epochs"].isna() & m.arms["best_number"].notna() & ~m.arms["arm"].isin(m.epochs["arm"])


def learning_rate(m: Material, _: "Axes") -> str:
    """The best learning rate of each arm."""
    best = [f"{row['arm']} {row['best_lr']:.3g}" for _, row in m.arms.iterrows() if row["best_lr"] is not pd.NA]
    return f"Validation accuracy against learning rate; best rate: {'; '.join(best) or 'none yet'}."


def learning_rate_caption(m: Material) -> str:
    """How to read it, and that repeats look alike."""
    caption = (
        "Each marker is a trial. Rings: learning rates that a hand search by factors of 10 would have tried. "
        "A best rate beside a bound means that the range was too narrow."
    )
    return caption + (" Repeats of a search are drawn alike." if m.searches else "")


def history(m: Material, _: "Axes") -> str:
    """The best trial of each arm."""
    best = [f"{row['arm']} {percent(row['val_accuracy'])} in {row['trials']} trials" for _, row in m.arms.iterrows()]
    return f"Validation accuracy by trial; best: {'; '.join(best)}."


def budget(m: Material, ax: "Axes") -> str:
    """Which of both best accuracies the lines are, and where they end."""
    curves = budget_curves(m.trials, m.arms, m.study, m.chance)
    ends = [f"{arm} {_end_of(curve)}" for arm, curve in curves.items()]
    return f"{ax.get_title(loc='left')}; one rising line for each arm, at the end: {'; '.join(ends)}."


def _end_of(curve: BudgetCurve) -> str:
    band = "" if curve.low is None else f" (band {percent(curve.low[-1])} to {percent(curve.high[-1])})"
    return f"{percent(curve.values[-1])} after {counted(len(curve.values), 'trial')}{band}"


def budget_caption(m: Material) -> str:
    """Whether it is an expectation, and whether it has a band."""
    random = random_draws(m.trials, m.arms, m.study)
    others = [arm for arm in m.arms["arm"] if arm not in random]
    words = "What the arm's best trial reaches after so many trials, "
    if not random:
        return (
            f"{words}in the order they ran. It is not an expectation: the trials are no unpruned random draws. For "
            "those alone there is an exact band, so none is drawn."
        )
    caption = (
        f"{words}expected over all orders of its random draws. Bands: {100 * BAND_LEVEL:g} %, simultaneous, so that "
        "the whole curve of an arm lies inside, whatever the budget (Lourie, Cho & He 2024); how good the rarest "
        "settings are is not known, which is why they reach up to 100 %."
    )
    if not others:
        return caption
    return f"{caption} Best so far, without a band, as their trials are no unpruned random draws: {', '.join(others)}."


def time_to_target(m: Material, _: "Axes") -> str:
    """Median epochs to stated accuracies."""
    words = [f"{row['arm']}: {', '.join(_epochs_to(row))}" for _, row in m.arms.iterrows()]
    return f"Median epochs to a validation accuracy. {'; '.join(words)}."


def _epochs_to(arm: pd.Series) -> list[str]:
    known = {target: arm[f"epochs_to_{target}"] for target in THRESHOLDS}
    return [f"{target} % after {epochs}" for target, epochs in known.items() if epochs is not pd.NA]


def data_size(m: Material, _: "Axes") -> str:
    """Size and test accuracy of each arm."""
    words = [f"{r['arm']} ({r['train_size']} images) {percent(r['test_mean'])}" for _, r in m.arms.iterrows()]
    return f"Test accuracy by training images: {'; '.join(words)}."


def image_size(m: Material, _: "Axes") -> str:
    """Pixels and test accuracy of each arm."""
    words = [f"{r['arm']} ({r['image_size']} px) {percent(r['test_mean'])}" for _, r in m.arms.iterrows()]
    return f"Test accuracy by image size: {'; '.join(words)}."


def data_size_caption(m: Material) -> str:
    """How to read it, and what a forecast rests on."""
    caption = "Arms are compared at equal sizes: above each other. Smaller training sets are parts of the larger ones."
    if m.forecast is None:
        return caption
    said = " ".join(f"{line[0].upper()}{line[1:]}." for line in m.forecast_lines)
    return (
        f"{caption} Dashed: what each line would reach with up to {m.forecast:,} images, and its 95 % interval, were "
        f"every size trained and tuned alike. {said}"
    )


def parallel_coordinates(m: Material, _: "Axes") -> str:
    """What was searched."""
    return f"Parallel coordinates of {_swept_names(m)} and validation accuracy."


def importances(m: Material, _: "Axes") -> str:
    """What was searched."""
    return f"Importance of {_swept_names(m)} for the validation accuracy."


def _swept_names(m: Material) -> str:
    return ", ".join(column.removeprefix("params_") for column in swept(m.trials))


def confusion(m: Material, _: "Axes") -> str:
    """The commonest error of each arm."""
    words = [f"{arm}: {_commonest_error(own)}" for arm, own in m.confused.items()]
    return f"Confusion matrices. {'; '.join(words)}."


def _commonest_error(results: list[dict[str, Any]]) -> str:
    matrix, classes = summed_confusion(results)
    errors = matrix - np.diag(np.diag(matrix))
    if not errors.any():
        return "no errors"
    true, said = divmod(int(errors.argmax()), len(errors))
    return f"most often {classes[true]} taken for {classes[said]} ({errors[true, said]} times)"


def per_class(_: Material, ax: "Axes") -> str:
    """The hardest class."""
    return f"{ax.get_title(loc='left')}; hardest: {ax.get_yticklabels()[0].get_text()}."


def calibration(_: Material, ax: "Axes") -> str:
    """Each arm's calibration error."""
    words = [text.get_text().replace("\n", " ") for text in ax.get_legend().get_texts()][:-1]
    return f"Confidence against accuracy. {'; '.join(words)}."


def gallery(m: Material, name: str, title: str) -> str:
    """What stands below each image."""
    rows = [f"{h}: " + ", ".join(words.replace("\n", " ") for _, words in images) for h, images in m.galleries[name]]
    return f"{title}. {'; '.join(rows)}."
