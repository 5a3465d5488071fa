"""Plots of what the arms reached: learning curves, time to target, test accuracy, accuracy against data size."""

import textwrap
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from headstart.analysis import TARGETS, ArmRuns, runs_of_arm, without_number
from headstart.report.plots.style import (
    GREY,
    INK,
    Look,
    arm_order,
    drawn,
    integers,
    legend,
    log_axis,
    looks_for,
    numbers,
    sample,
    say,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNITS = {"epochs": "epochs", "steps": "optimizer steps", "images": "images seen", "seconds": "training time (s)"}

Looks = Mapping[str, Look] | None


@drawn
def learning_curves(
    epochs: pd.DataFrame,
    trials: pd.DataFrame,
    ax: "Axes",
    *,
    looks: Looks = None,
    chance: float | None = None,
) -> "Axes":
    """Draw validation accuracy (%) against epoch: mean over the runs behind an arm, band from lowest to highest.

    These are the best trial's confirmations (of an arm of single runs the best and its repeats), as in arms.csv. An arm
    without any is drawn by its best run so far, and its legend says so. Where some of the runs have ended or not come
    that far, the mean is faint and without a band. Returns `ax`.
    """
    ax.set_title("Learning curves of each arm's best setting")
    names = arm_order(epochs, looks)
    if not names:
        return say(ax, "No epoch has ended yet.")
    looks, entries, band = looks_for(names, looks), [], False
    groups = dict(list(epochs[epochs["phase"] != "source"].groupby("arm")))
    for i, name in enumerate(names):
        rows, words = _shown(groups[name], runs_of_arm(trials[trials["arm"] == name]))
        curve, runs = _curve(rows), rows["run_dir"].nunique()
        if curve.empty:
            continue
        _draw_curve(ax, curve, runs, looks[name], i)
        entries.append((sample(looks[name]), f"{name} ({words})"))
        band = band or runs > 1
    if not entries:
        return say(ax, "No epoch with a validation accuracy has ended yet.")
    if band:
        ax.set_title("Learning curves of each arm's best setting: mean over seeds, band from lowest to highest")
    if chance is not None:
        line = ax.axhline(chance, color=GREY, linewidth=1, linestyle=(0, (1, 3)))
        entries.append((line, f"guessing ({chance:.3g} %)"))
    legend(ax, entries)
    integers(ax.xaxis)
    ax.set_xlabel("epoch")
    ax.set_ylabel("validation accuracy (%)")
    return ax


def _shown(own: pd.DataFrame, runs: ArmRuns) -> tuple[pd.DataFrame, str]:
    """The epochs of the runs to draw for an arm, and what they are."""
    repeats = own[own["run_dir"].isin(runs.repeats["run_dir"])]
    if len(repeats):
        count = repeats["run_dir"].nunique()
        return repeats, "1 seed" if count == 1 else f"{count} seeds"
    search = own[own["phase"] == "search"]
    rows, words = (search, "best trial of the search") if len(search) else (own, "best single run")
    if runs.best is not None:
        return rows[rows["run_dir"] == runs.best["run_dir"]], words
    reached = rows.assign(reached=numbers(rows["val_accuracy"])).groupby("run_dir")["reached"].max()
    return (rows[rows["run_dir"] == reached.idxmax()], words) if reached.notna().any() else (rows.iloc[:0], words)


def _curve(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean, lowest, highest and number of validation accuracies, by epoch."""
    values = pd.Series(numbers(rows["val_accuracy"]), index=numbers(rows["epoch"])).dropna()
    return values.groupby(level=0).agg(["mean", "min", "max", "count"])


def _draw_curve(ax: "Axes", curve: pd.DataFrame, runs: int, look: Look, place: int) -> None:
    whole = curve["count"] == runs
    every = max(1, len(curve) // 8)
    marks = [i for i in range(len(curve)) if i % every == place % every] or [0]
    drawing = dict(color=look.colour, linestyle=look.linestyle)
    ax.plot(curve.index, curve["mean"].where(whole), marker=look.marker, markevery=marks, label="_mean", **drawing)
    if not whole.all():
        ax.plot(curve.index, curve["mean"], alpha=0.4, linewidth=1, label="_mean of some", **drawing)
    if runs > 1:
        ax.fill_between(
            curve.index, curve["min"], curve["max"], where=whole, color=look.colour, alpha=0.15, linewidth=0
        )


# ---------------------------------------------------------------------------------------------------------- convergence


@drawn
def time_to_target(
    arms: pd.DataFrame,
    ax: "Axes",
    *,
    trials: pd.DataFrame | None = None,
    measure: str = "epochs",
    looks: Looks = None,
) -> "Axes":
    """Draw how long each arm's confirmation runs take to stated validation accuracies; return `ax`.

    `measure`: epochs, steps, images or seconds. Large markers: Kaplan-Meier median of arms.csv; small dots: the single
    runs, where `trials` is given. An arm whose median run never gets there lies in the strip on top; runs that don't
    are counted beside the marker. Targets that no arm's median run reaches are left out.
    """
    ax.set_title(f"{UNITS[measure].capitalize()} to a validation accuracy (median over seeds)")
    arms = arms[[_begun(arm, measure) for _, arm in arms.iterrows()]]
    targets = [t for t in TARGETS if (c := f"{measure}_to_{t}") in arms and arms[c].notna().any()]
    if not targets:
        return say(ax, "No arm's confirmation runs have reached one of the stated accuracies yet.")
    names, looks = list(arms["arm"]), looks_for(arms["arm"], looks)
    everything = [_draw_times(ax, arms, i, targets, measure, looks, trials) for i in range(len(arms))]
    ax.set_xticks(range(len(targets)), [_target_label(t, arms) for t in targets])
    ax.set_xlim(-0.5, len(targets) - 0.5)
    ax.set_xlabel("target: validation accuracy")
    ax.set_ylabel(UNITS[measure])
    values = np.concatenate(everything)
    _scale(ax, values[values > 0])
    entries = [(sample(looks[name], linestyle="none", markersize=7), name) for name in names]
    if any(arms[f"{measure}_to_{t}"].isna().any() for t in targets):
        ax.axhspan(0.93, 1, transform=ax.transAxes, facecolor="#dddddd", zorder=0)
        ax.patches[-1].set_transform(ax.transAxes)
        entries.append(
            (sample(fillstyle="none", markersize=7), "in the grey strip: half of the runs or more never got there")
        )
    if trials is not None:
        entries.append((sample(markersize=3, alpha=0.5), "single run"))
    legend(ax, entries)
    return ax


def _scale(ax: "Axes", values: np.ndarray) -> None:
    """A linear axis from 0, or a log one where times differ by more than a factor of 30; with room for the strip."""
    if len(values) and values.max() > 30 * values.min():
        log_axis(ax, "y", values.min(), values.max() * (values.max() / values.min()) ** 0.12)
        ax.set_ylabel(f"{ax.get_ylabel()}, log axis")
    else:
        ax.set_ylim(0, 1.18 * max([*values, 0]) or 1)


def _target_label(target: str, arms: pd.DataFrame) -> str:
    if target == "halfway":
        known = arms["halfway_accuracy"].dropna().unique()
        return f"half-way\n({known[0]:.3g} %)" if len(known) == 1 else "half-way\nfrom chance"
    return "99 % of the\narm's final" if target == "99_of_final" else f"{target} %"


def _draw_times(
    ax: "Axes", arms: pd.DataFrame, place: int, targets: list[str], measure: str, looks: Mapping[str, Look], trials: Any
) -> np.ndarray:
    """Draw one arm's times; return all that were drawn."""
    arm, many = arms.iloc[place], len(arms)
    look = looks[arm["arm"]]
    runs = _repeats(arm, trials) if trials is not None else None
    drawn_values = []
    for i, target in enumerate(targets):
        x, column = i + 0.7 * ((place + 0.5) / many - 0.5), f"{measure}_to_{target}"
        if runs is not None and column in runs:
            single = numbers(runs[column])
            ax.plot(np.full(len(single), x), single, ".", color=look.colour, alpha=0.5, markersize=4, label="_run")
            drawn_values += list(single[np.isfinite(single)])
        median = arm[column]
        known = median is not pd.NA and np.isfinite(median)
        where = {} if known else {"transform": ax.get_xaxis_transform(), "fillstyle": "none"}
        y = float(median) if known else 0.965
        ax.plot([x], [y], look.marker, color=look.colour, markersize=7, label="_median", **where)
        drawn_values += [float(median)] if known else []
        _censored_note(ax, arm, column, x, float(median) if known else None, many)
    return np.array(drawn_values, dtype=float)


def _repeats(arm: pd.Series, trials: pd.DataFrame) -> pd.DataFrame:
    return runs_of_arm(trials[trials["arm"] == arm["arm"]]).repeats


def _begun(arm: pd.Series, measure: str) -> bool:
    """Whether confirmation runs of the arm have epochs: a model without any has no time to a target."""
    columns = [f"{measure}_to_{t}{end}" for t in TARGETS for end in ("", "_censored")]
    return any(arm.get(column, pd.NA) is not pd.NA for column in columns)


def _censored_note(ax: "Axes", arm: pd.Series, column: str, x: float, y: float | None, many: int) -> None:
    """Beside a marker, how many runs never got there; left out in a crowd, where it would not be readable."""
    censored = arm.get(f"{column}_censored", pd.NA)
    if censored is pd.NA or not censored or many > 4:
        return
    transform = ax.get_xaxis_transform() if y is None else ax.transData
    ax.annotate(
        f"{censored} of {arm['confirmations']} never", (x, 0.965 if y is None else y), (6, 0), xycoords=transform,
        textcoords="offset points", va="center", fontsize=6.5, color=INK,
    )  # fmt: skip


# -------------------------------------------------------------------------------------------------------- test accuracy


@drawn
def arms(arms: pd.DataFrame, trials: pd.DataFrame, ax: "Axes", *, looks: Looks = None) -> "Axes":
    """Draw each arm's mean test accuracy (%) with its 95 % interval (Student t), and every seed as a dot; return `ax`.

    `arms`: arms.csv. An arm without a reading of the test split keeps its row and says so.
    """
    ax.set_title("Test accuracy: mean and 95 % interval over seeds, a dot per seed")
    if arms.empty or arms["test_mean"].isna().all():
        return say(ax, "No run has read the test split yet: confirmations do, when the search has ended.")
    looks, labels = looks_for(arms["arm"], looks), []
    for y, (_, arm) in enumerate(arms.iterrows()):
        _draw_arm(ax, arm, y, numbers(_repeats(arm, trials)["test_accuracy"]), looks[arm["arm"]])
        seeds = int(arm["seeds"])
        labels.append(f"{textwrap.fill(arm['arm'], 28)}\n{'1 seed' if seeds == 1 else f'{seeds} seeds'}")
    ax.set_yticks(range(len(arms)), labels)
    ax.set_ylim(len(arms) - 0.5, -0.5)
    ax.margins(x=0.06)
    low, high = ax.get_xlim()
    ax.set_xlim(max(low, -2), min(high, 101.5))  # an interval of few, very different seeds goes on beyond 100 %
    ax.set_xlabel("test accuracy (%)")
    return ax


def _draw_arm(ax: "Axes", arm: pd.Series, y: int, seeds: np.ndarray, look: Look) -> None:
    if arm["test_mean"] is pd.NA:
        ax.text(
            0.02, y, "no reading of the test split yet", transform=ax.get_yaxis_transform(), va="center", color=GREY
        )
        return
    ax.plot(seeds, np.full(len(seeds), y + 0.24), ".", color=look.colour, alpha=0.6, label="_seeds")
    if arm["test_ci_low"] is not pd.NA:
        bounds = [float(arm["test_ci_low"]), float(arm["test_ci_high"])]
        ax.plot(bounds, [y, y], color=look.colour, marker="|", markersize=9, label="_interval")
    ax.plot([float(arm["test_mean"])], [y], look.marker, color=look.colour, markersize=8, label="_mean")
    ax.annotate(
        f"{arm['test_mean']:.2f}",
        (float(arm["test_mean"]), y),
        (0, 7),
        textcoords="offset points",
        ha="center",
        fontsize=8,
    )


@drawn
def data_size(
    arms: pd.DataFrame, ax: "Axes", *, lines: Mapping[str, Collection[str]] | None = None, looks: Looks = None
) -> "Axes | None":
    """Draw mean test accuracy (%) with its 95 % interval against the number of training images (log axis).

    Arms that differ in nothing but the size are one line; their names without the size say which those are. `lines`,
    {name: its arms}, joins others, such as those of several studies, and leaves out what it does not name. Returns
    None, and draws nothing, where all arms have the same training images.
    """
    known = arms[arms["train_size"].notna() & arms["test_mean"].notna()]
    if lines is None:
        sized = zip(known["arm"], known["train_size"], strict=True)
        series = [without_number(arm, "train_size", size) or "all arms" for arm, size in sized]
    else:
        line_of = {arm: name for name, own in lines.items() for arm in own}
        series = [line_of.get(arm) for arm in known["arm"]]
    known = known.assign(series=pd.array(series, dtype="string")).dropna(subset="series")
    if known["train_size"].nunique() < 2:
        return None
    names = list(known["series"].unique())
    looks = looks_for(names, looks)
    for i, name in enumerate(names):
        own, look = known[known["series"] == name].sort_values("train_size"), looks[name]
        x = numbers(own["train_size"]) * 1.02 ** (i - (len(names) - 1) / 2)  # side by side where intervals overlap
        mean = numbers(own["test_mean"])
        reach = np.nan_to_num(np.abs([mean - numbers(own["test_ci_low"]), numbers(own["test_ci_high"]) - mean]))
        ax.errorbar(
            x,
            mean,
            yerr=reach,
            color=look.colour,
            marker=look.marker,
            linestyle=look.linestyle,
            capsize=3,
            elinewidth=1,
        )
    sizes = numbers(known["train_size"])
    log_axis(ax, "x", sizes.min(), sizes.max())
    ax.set_xticks(np.unique(sizes), [f"{size:,.0f}" for size in np.unique(sizes)])
    ax.minorticks_off()
    ax.set_title("Test accuracy against training images: mean and 95 % interval over seeds")
    ax.set_xlabel("training images (log axis)")
    ax.set_ylabel("test accuracy (%)")
    legend(ax, [(sample(looks[name]), name) for name in names])
    return ax
