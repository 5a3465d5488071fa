"""The tables of a report as they are read: which columns, in which words, with how many digits."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pandas as pd

from headstart.analysis import TARGETS, Results
from headstart.store import METRICS

LONGEST_CELL = 300  # characters; a reason can be a whole traceback


@dataclass(frozen=True)
class Cell:
    """A table's cell: its text, and the link below it if there is one."""

    text: str
    link: str | None = None


@dataclass(frozen=True)
class Table:
    """A table as the templates draw it; the first cell of a row names it."""

    caption: str
    columns: list[str]
    numeric: list[bool]
    rows: list[list[Cell]]


# ---------------------------------------------------------------------------------------------------------------- cells


def number(value: Any, digits: int = 2) -> str:
    """`81.23`; a dash where there is no value."""
    return "–" if _missing(value) else f"{value:,.{digits}f}"


def short(value: Any) -> str:
    """A learning rate or another swept value, in as few digits as say it: `0.001`, `3.16e-05`."""
    return "–" if _missing(value) else f"{value:.3g}" if isinstance(value, float) else str(value)


def text(value: Any) -> str:
    """Anything as a cell's text; what has no end is cut."""
    shown = "–" if _missing(value) else str(value)
    return shown if len(shown) <= LONGEST_CELL else shown[:LONGEST_CELL] + "…"


def count(value: Any) -> str:
    """`1,234`."""
    return "–" if _missing(value) else f"{value:,}"


def duration(seconds: Any) -> str:
    """`45.3 s`, `12 min 5 s`, `3 h 20 min`, which no line break divides."""
    if _missing(seconds):
        return "–"
    if seconds < 100:
        return _unbroken(f"{seconds:.1f} s")
    minutes, rest = divmod(round(seconds), 60)
    return _unbroken(f"{minutes} min {rest} s" if minutes < 100 else f"{minutes // 60:,} h {minutes % 60} min")


def _unbroken(words: str) -> str:
    return words.replace(" ", "\N{NO-BREAK SPACE}")


def interval(low: Any, high: Any) -> str:
    """`93.86 to 94.56`."""
    return "–" if _missing(low) or _missing(high) else f"{low:.2f} to {high:.2f}"


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or value != value


def _link(folder: Any) -> str | None:
    """A relative link to a folder; every character that could make it anything else is escaped."""
    return None if _missing(folder) else "./" + quote(str(folder), errors="replace") + "/"


# --------------------------------------------------------------------------------------------------------------- tables

Column = tuple[str, bool, Callable[[Mapping[str, Any]], str | Cell]]  # heading, whether it holds numbers, its cell


def _table(caption: str, rows: Iterable[Mapping[str, Any]], columns: Sequence[Column]) -> Table:
    cells = [[cell if isinstance(cell := make(row), Cell) else Cell(cell) for _, _, make in columns] for row in rows]
    return Table(caption, [heading for heading, _, _ in columns], [numeric for _, numeric, _ in columns], cells)


def _plain(name: str, heading: str, show: Callable[[Any], str] = text) -> Column:
    return heading, show is not text, lambda row: show(row[name])


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [] if frame.empty else frame.astype(object).to_dict("records")


def _study_column(frame: pd.DataFrame) -> list[Column]:
    return [_plain("study", "Study")] if frame["study"].nunique() > 1 else []


def arms(study: Results) -> Table:
    """Per arm: its search, its best setting, and its test accuracy over the confirmation seeds."""
    frame = study.arms
    best, found = _best_runs(study), _found_values(study)
    several = frame["model"].nunique() > 1
    heading = "Best learning rate" if not any(found.values()) else "Best setting"
    return _table(
        "Each arm's best setting, and its test accuracy over seeds",
        _records(frame),
        [
            ("Arm", False, lambda row: Cell(text(row["arm"]), best.get((row["study"], row["arm"])))),
            *_study_column(frame),
            *([_plain("model", "Model")] if several else []),
            _plain("test_mean", "Test, mean %", number),
            ("95 % interval", True, lambda row: interval(row["test_ci_low"], row["test_ci_high"])),
            _plain("test_std", "Standard deviation", number),
            _plain("seeds", "Seeds", count),
            _plain("test_f1_macro", "Macro F1, %", number),
            _plain("val_accuracy", "Validation, %", number),
            (heading, True, lambda row: _best_setting(row, found.get((row["study"], row["arm"]), {}))),
            _plain("trials", "Trials", count),
            _plain("parameters", "Parameters", count),
        ],
    )


def _best_setting(row: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """The learning rate, which is the rule, and what else was searched, by name: `0.001`, `model.C=0.1`."""
    rate = short(row["best_lr"]) + ("" if _missing(row["edge_side"]) else f" (at the {row['edge_side']} edge)")
    others = [f"{key}={short(value)}" for key, value in found.items()]
    return ", ".join(([] if others and _missing(row["best_lr"]) else [rate]) + others)


def _found_values(study: Results) -> dict[tuple[Any, Any], dict[str, Any]]:
    """What the search found for an arm beside a learning rate, by study and arm."""
    swept = [name for name in study.trials if name.startswith("params_") and name != "params_lr"]
    search = study.trials[study.trials["phase"] == "search"][["study", "arm", "number", *swept]]
    best = study.arms[["study", "arm", "best_number"]].merge(
        search, left_on=["study", "arm", "best_number"], right_on=["study", "arm", "number"]
    )
    return {
        (row["study"], row["arm"]): {n.removeprefix("params_"): row[n] for n in swept if not _missing(row[n])}
        for row in _records(best)
    }


def _best_runs(study: Results) -> dict[tuple[Any, Any], str | None]:
    """Links to the folders of the arms' best trials, by study and arm."""
    search = study.trials[study.trials["phase"] == "search"][["study", "arm", "number", "run_dir"]]
    found = study.arms[["study", "arm", "best_number"]].merge(
        search, left_on=["study", "arm", "best_number"], right_on=["study", "arm", "number"]
    )
    return {(row["study"], row["arm"]): _link(row["run_dir"]) for row in _records(found)}


def searches(study: Results) -> Table | None:
    """Searches that were repeated with other seeds; None where none was."""
    if study.searches.empty:
        return None
    return _table(
        "Searches repeated with other seeds",
        _records(study.searches),
        [
            _plain("search", "Search"),
            _plain("repeats", "Repeats", count),
            *([_plain("led_nowhere", "Led nowhere", count)] if study.searches["led_nowhere"].any() else []),
            _plain("trials", "Trials", count),
            _plain("epochs_searched", "Epochs searched, mean", lambda value: number(value, 0)),
            _plain("val_mean", "Validation, mean %", number),
            _plain("val_lowest", "lowest", number),
            _plain("test_mean", "Test, mean %", number),
            ("95 % interval", True, lambda row: interval(row["test_ci_low"], row["test_ci_high"])),
            _plain("test_lowest", "lowest", number),
            ("Best learning rates", True, lambda row: _between(row["best_lr_low"], row["best_lr_high"])),
        ],
    )


def _between(low: Any, high: Any) -> str:
    return short(low) if _missing(low) or low == high else f"{short(low)} to {short(high)}"


def search_pairs(study: Results) -> Table | None:
    """Per pair of repeated searches: the differences with their intervals; None where there are none."""
    if study.search_pairs.empty:
        return None
    return _table(
        "Differences between repeated searches, paired by the studies' seeds",
        _records(study.search_pairs),
        [
            ("Searches", False, lambda row: f"{text(row['search_a'])} − {text(row['search_b'])}"),
            _plain("repeats", "Repeats", count),
            _plain("val_difference", "Validation, points", number),
            ("95 % interval", True, lambda row: interval(row["val_ci_low"], row["val_ci_high"])),
            *_difference("Test, points"),
        ],
    )


def reported(study: Results) -> Table | None:
    """Figures of others beside ours; None where the study has none."""
    if study.reported.empty:
        return None
    return _table(
        "What others reported for these arms, and what this study measured",
        _records(study.reported),
        [
            _plain("arm", "Arm"),
            ("Figure", False, lambda row: METRICS[row["metric"]]),
            ("Reported", True, lambda row: _figure(row, row["reported"])),
            ("Here", True, lambda row: _figure(row, row["ours"])),
            ("95 % interval", True, lambda row: interval(row["ci_low"], row["ci_high"])),
            _plain("source", "Reported by"),
            _plain("note", "Why they may differ"),
        ],
    )


def _figure(row: Mapping[str, Any], value: Any) -> str:
    return count(value if _missing(value) else int(value)) if row["metric"] == "parameters" else number(value)


def reported_lines(study: Results) -> list[str]:
    """The same as lines for the terminal."""
    return [
        f"{row['arm']}, {METRICS[row['metric']]}: {_figure(row, row['reported'])} reported by {row['source']}, "
        f"{_figure(row, row['ours'])} here"
        for row in _records(study.reported)
    ]


def speed(study: Results) -> Table | None:
    """Per arm: median epochs and training seconds to stated validation accuracies; None where no run has epochs."""
    heading = {"halfway": "half-way from chance", "99_of_final": "99 % of its own end"}
    reached = [t for t in TARGETS if study.arms[[f"epochs_to_{t}_censored", f"epochs_to_{t}"]].notna().any(axis=None)]
    if not reached:
        return None
    targets = [(heading.get(t, f"{t} %"), False, lambda row, t=t: _reached(row, t)) for t in reached]
    return _table(
        "Median epochs and training time to a validation accuracy, over the confirmation runs",
        _records(study.arms),
        [_plain("arm", "Arm"), *_study_column(study.arms), *targets],
    )


def _reached(row: Mapping[str, Any], target: str) -> str:
    epochs, seconds = row[f"epochs_to_{target}"], row[f"seconds_to_{target}"]
    censored = row[f"epochs_to_{target}_censored"]
    if _missing(censored):
        return "–"
    never = _unbroken(f"{censored} of {row['confirmations']}") + " never"
    if _missing(epochs):
        return f"not reached ({never})"
    median = _unbroken(f"{count(epochs)} epoch{'' if epochs == 1 else 's'},") + f" {duration(seconds)}"
    return f"{median} ({never})" if censored else median


def pairs(study: Results) -> Table:
    """Per pair of arms: the difference with its interval, and what belongs to it."""
    frame = study.pairs
    return _table(
        "Differences in test accuracy between arms, paired by seed",
        _records(frame),
        [
            ("Arms", False, lambda row: f"{text(row['arm_a'])} − {text(row['arm_b'])}"),
            *_study_column(frame),
            _plain("seeds", "Seeds", count),
            *_difference("Difference, points"),
            _plain("probability_of_improvement", "P(first > second)", number),
            ("Speed-up, epochs", True, _speedup),
            (
                "Untuned above the other's best",
                True,
                lambda row: " / ".join(map(_share, (row["untuned_a"], row["untuned_b"]))),
            ),
        ],
    )


def _share(percent: Any) -> str:
    return "–" if _missing(percent) else f"{percent:.0f} %"


def _difference(heading: str) -> list[Column]:
    """The difference on the test images with its interval, that interval's level, and p."""
    return [
        _plain("difference", heading, number),
        ("Interval", True, lambda row: interval(row["ci_low"], row["ci_high"])),
        ("Its level", True, lambda row: "–" if _missing(row["level"]) else f"{100 * row['level']:.4g} %"),
        _plain("p_holm", "p, Holm", lambda p: "–" if _missing(p) else f"{p:.2g}"),
    ]


def _speedup(row: Mapping[str, Any]) -> str:
    if _missing(row["speedup_epochs"]):
        return "–"
    return f"{row['speedup_epochs']:.2g} × to {row['speedup_threshold']:g} %"


def ledger(study: Results) -> Table:
    """What every arm has cost, and how often it read the test split."""
    counted = ["complete", "chance", "pruned", "diverged", "failed", "running", "interrupted", "retried"]
    shown = [name for name in counted if name == "complete" or study.ledger[name].any()]
    order = {arm: place for place, arm in enumerate(study.arms["arm"])} | {"all": len(study.arms) + 1}
    rows = sorted(_records(study.ledger), key=lambda row: order.get(row["arm"], len(study.arms)))
    return _table(
        "What every arm has cost",
        rows,
        [
            _plain("arm", "Arm"),
            *_study_column(study.ledger),
            _plain("trials", "Trials", count),
            *(_plain(name, name.capitalize(), count) for name in shown),
            _plain("confirmations", "Confirmations", count),
            _plain("other_runs", "Other runs", count),
            _plain("test_reads", "Readings of the test split", count),
            _plain("epochs", "Epochs", count),
            _plain("images", "Images", count),
            _plain("seconds", "Training time", duration),
        ],
    )


def trials(study: Results) -> Table:
    """Every run, in whatever state."""
    frame = study.trials
    swept = [name for name in frame if name.startswith("params_") and name != "params_lr"]
    return _table(
        f"All {len(frame):,} runs",
        _records(frame),
        [
            ("Run", False, lambda row: Cell(text(row["run_dir"]), _link(row["run_dir"]))),
            *_study_column(frame),
            _plain("arm", "Arm"),
            _plain("phase", "Phase"),
            _plain("state", "State"),
            _plain("reason", "Reason"),
            _plain("lr", "Learning rate", short),
            *(_plain(name, name.removeprefix("params_"), lambda value: text(short(value))) for name in swept),
            _plain("seed", "Seed", count),
            _plain("epochs_run", "Epochs", count),
            _plain("val_accuracy", "Validation, %", number),
            _plain("test_accuracy", "Test, %", number),
            _plain("seconds_train", "Training time", duration),
        ],
    )


def settings(study: Results) -> list[Table]:
    """What was fixed: the keys all arms share, and those in which they differ. [] where it is not known."""
    arms = study.study.get("arms")
    own = {str(name): keys for name, keys in arms.items() if isinstance(keys, dict)} if isinstance(arms, dict) else {}
    common = study.study.get("common")
    names = list(dict.fromkeys(key for keys in own.values() for key in keys))
    absent = "–"  # the model of that arm has no such key, or it is searched
    equal = [key for key in names if len({repr(keys.get(key, absent)) for keys in own.values()}) == 1]
    rows = dict(common) if isinstance(common, dict) else {}
    rows |= {key: next(iter(own.values()))[key] for key in equal}
    rows |= {key: study.study[key] for key in ("n_trials", "confirm_seeds") if key in study.study}
    differing = [
        {"key": key, **{name: keys.get(key, absent) for name, keys in own.items()}} for key in names if key not in equal
    ]
    found = []
    if differing:
        columns = [(name, False, lambda row, name=name: _setting(row[name])) for name in own]
        found.append(_table("Settings in which the arms differ", differing, [_plain("key", "Key"), *columns]))
    if rows:
        pairs = [{"key": key, "value": value} for key, value in rows.items()]
        value = ("Value", False, lambda row: _setting(row["value"]))
        found.append(_table("Settings that all arms share", pairs, [_plain("key", "Key"), value]))
    return found


def _setting(value: Any) -> str:
    """A setting as it would be typed: null, true, a list in brackets."""
    if isinstance(value, dict):
        return ", ".join(f"{key}={_setting(item)}" for key, item in value.items()) or "{}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_setting, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else text(value)


def versions(study: Results) -> Table:
    """Versions and hardware as the runs recorded them, with the number of runs where they differ."""
    named = {
        "headstart_version": "headstart", "git_commit": "commit", "torch_version": "torch",
        "sklearn_version": "scikit-learn", "device": "device",
        "threads": "threads", "precision": "precision", "data": "data", "data_sha256": "SHA-256 of the data",
    }  # fmt: skip
    rows = [{"what": what, "found": _counted(study.trials[name])} for name, what in named.items()]
    return _table("Versions and hardware", rows, [_plain("what", "What"), _plain("found", "Used")])


def _counted(values: pd.Series) -> str:
    found = values.value_counts(dropna=True, sort=False)
    if len(found) == 1:
        return text(found.index[0])
    each = [f"{text(value)} ({count(int(runs))} run{'' if runs == 1 else 's'})" for value, runs in found.items()]
    return ", ".join(each) or "–"
