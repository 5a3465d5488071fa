"""Arms, pairs and ledger: the tables that compare, computed from trials.csv, epochs.csv and study.json."""

import itertools
import logging
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from headstart import statistics, tables
from headstart.errors import UserError
from headstart.records import read_json
from headstart.statistics import Edge, PairedDifference, PairEvidence
from headstart.tables import THRESHOLDS, Column

logger = logging.getLogger(__name__)

OUTCOMES = ("COMPLETE", "CHANCE", "PRUNED", "DIVERGED")  # a trial that ended so has used its share of the budget
OPEN = ("RUNNING", "INTERRUPTED")
SPREAD = ("decades", "qmc", "random")  # searches whose trials cover the range evenly; TPE looks where it was good
MEASURES = {"epochs": "epoch", "steps": "steps", "images": "images", "seconds": "seconds_total"}
TARGETS = ("halfway", *map(str, THRESHOLDS), "99_of_final")
NOT_CONVERGED = "did not converge"  # in the reason of a COMPLETE run
WEIGHT_FILES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")

Study = Mapping[str, Any]  # what study.json holds


# ------------------------------------------------------------------------------------------------------------- columns


def _speed_columns() -> Iterator[tuple[str, Column]]:
    what = {
        "epochs": ("Int64", "epochs", "epochs"),
        "steps": ("Int64", "steps", "optimizer steps"),
        "images": ("Int64", "images", "images seen by training, repeats counted,"),
        "seconds": ("Float64", "seconds", "training time (no evaluation, no loading)"),
    }
    accuracy = {"halfway": "halfway_accuracy", "99_of_final": "99 % of final_val_accuracy"}
    for (measure, (dtype, unit, name)), target in itertools.product(what.items(), TARGETS):
        column, reached = f"{measure}_to_{target}", f"val_accuracy >= {accuracy.get(target, target)}"
        meaning = f"{name} to the first epoch with {reached}: Kaplan-Meier median over the confirmation runs"
        yield column, Column(dtype, unit, f"{meaning}; empty: half of them or more never got there")
        if measure in ("epochs", "seconds"):
            yield f"{column}_censored", Column("Int64", "count", f"confirmation runs that never had {reached}")


_STUDY = {"study": tables.COLUMNS["study"]}
_SCORES = ("test_precision_macro", "test_recall_macro", "test_f1_macro")

ARM_COLUMNS: dict[str, Column] = {
    **_STUDY,
    "arm": tables.COLUMNS["arm"],
    "tuned": Column("boolean", "", "searched in a study; false: single runs, which are described and not judged"),
    "trials": Column("Int64", "count", "search trials that ended, failed ones not counted: the budget used"),
    "pruned": Column("Int64", "count", "search trials that the pruner ended"),
    "diverged": Column("Int64", "count", "search trials with a loss of NaN or infinity"),
    "failed": Column("Int64", "count", "search trials that ended with an exception; not in `trials`"),
    "chance": Column("Int64", "count", "search trials not above guessing by 3 standard errors"),
    "open": Column("Int64", "count", "search trials running or interrupted; not in `trials`"),
    "best_number": Column("Int64", "count from 0", "COMPLETE trial of the highest val_accuracy, the earlier of equals"),
    "best_lr": Column("Float64", "", "its learning rate"),
    "lr_low": Column("Float64", "", "lower bound of the learning rates searched, as extended; empty: not searched"),
    "lr_high": Column("Float64", "", "upper bound of the learning rates searched, as extended; empty: not searched"),
    "edge": Column(
        "boolean", "", "best learning rate, or 2 of the best 3, within 10 % of the log range from a bound; empty: "
        "the range is not known"
    ),
    "edge_side": Column("string", "", "bound in question: low or high; empty: not flagged"),
    "edge_try_low": Column("Float64", "", "lower bound to try next; empty: not flagged"),
    "edge_try_high": Column("Float64", "", "upper bound to try next; empty: not flagged"),
    "lr_tolerance_decades": Column(
        "Float64", "decades", "learning rates within 1 point of the arm's best val_accuracy, from trials spread over "
        "the range (with TPE: the first points); empty: pruned trials or gaps above a decade"
    ),
    "val_accuracy": Column("Float64", "percent", "validation accuracy of the best trial"),
    "confirmations": Column("Int64", "count", "confirmation runs of the best trial, any state (single runs: repeats)"),
    "confirmations_lost": Column("Int64", "count", "those of them that DIVERGED: without a test accuracy"),
    "seeds": Column("Int64", "count", "confirmation seeds with a test accuracy: n of the statistics"),
    "test_mean": Column("Float64", "percent", "test accuracy, mean over seeds"),
    "test_std": Column("Float64", "points", "its standard deviation over seeds (n - 1)"),
    "test_ci_low": Column("Float64", "percent", "lower bound of its 95 % interval (Student t)"),
    "test_ci_high": Column("Float64", "percent", "upper bound of its 95 % interval (Student t)"),
    **{name: Column("Float64", "percent", tables.COLUMNS[name].meaning + ", mean over seeds") for name in _SCORES},
    "halfway_accuracy": Column("Float64", "percent", "half-way between chance (100 / classes) and 100"),
    "final_val_accuracy": Column("Float64", "percent", "validation accuracy after the last epoch, mean over seeds"),
    **dict(_speed_columns()),
    **{name: tables.COLUMNS[name] for name in ("model", "parameters", "weights", "weights_sha256")},
    **{name: tables.COLUMNS[name] for name in ("data", "train_size", "data_sha256")},
    "test_images": Column("Int64", "images", "images of the test split"),
    "epochs": tables.COLUMNS["epochs"],
    "device": tables.COLUMNS["device"],
    "threads": tables.COLUMNS["threads"],
}  # fmt: skip

PAIR_COLUMNS: dict[str, Column] = {
    **_STUDY,
    "arm_a": Column("string", "", "first arm"),
    "arm_b": Column("string", "", "second arm, on the same data and train_size"),
    "data": tables.COLUMNS["data"],
    "train_size": tables.COLUMNS["train_size"],
    "seeds": Column("Int64", "count", "seeds that both were confirmed with"),
    "difference": Column("Float64", "points", "test accuracy a - b, mean over these seeds"),
    "ci_low": Column("Float64", "points", "lower bound of its interval (paired Student t) at `level`"),
    "ci_high": Column("Float64", "points", "upper bound of its interval (paired Student t) at `level`"),
    "level": Column("Float64", "", "level of the interval that matches Holm's step; 0.95 for a single pair"),
    "probability_of_improvement": Column("Float64", "", "P(a > b) of fresh runs, over all combinations of seeds"),
    "p": Column("Float64", "", "two-sided p-value of the paired t test"),
    "p_holm": Column("Float64", "", "the same, Holm-corrected over `family`"),
    "family": Column("Int64", "count", "pairs of the study that the correction counts"),
    "speedup_epochs": Column("Float64", "", "epochs of b / epochs of a to `speedup_threshold`: above 1, a is sooner"),
    "speedup_seconds": Column(
        "Float64", "", "the same in training seconds; empty where device or threads of the arms differ"
    ),
    "speedup_threshold": Column(
        "Float64", "percent", "highest stated val_accuracy that the median run of both reaches; empty: none"
    ),
    "test_sampling": Column("Float64", "points", "± that the choice of test images alone gives an accuracy (95 %)"),
    "winner": Column("string", "", "arm that the verdict names; empty: none"),
    "verdict": Column("string", "", "the one sentence that the evidence allows"),
    "next": Column("string", "", "what to run next; empty: nothing is missing"),
}

_COUNTED = {
    "complete": ("COMPLETE", "search trials that ended and may be selected"),
    "chance": ("CHANCE", ARM_COLUMNS["chance"].meaning),
    "pruned": ("PRUNED", ARM_COLUMNS["pruned"].meaning),
    "diverged": ("DIVERGED", ARM_COLUMNS["diverged"].meaning),
    "failed": ("FAILED", "search trials that ended with an exception"),
    "running": ("RUNNING", "search trials whose process is alive"),
    "interrupted": ("INTERRUPTED", "search trials whose process is gone; the same command goes on with them"),
}

LEDGER_COLUMNS: dict[str, Column] = {
    **_STUDY,
    "arm": Column("string", "", "arm; `source`: the run before all arms; the last row of a study, `all`, is the sum"),
    "trials": Column("Int64", "count", "search trials begun, in any state"),
    **{name: Column("Int64", "count", meaning) for name, (_, meaning) in _COUNTED.items()},
    "retried": Column("Int64", "count", "attempts that failed and were made again under the same number"),
    "confirmations": Column("Int64", "count", "confirmation runs begun, those of an earlier best trial too"),
    "other_runs": Column("Int64", "count", "single runs and source runs"),
    "test_reads": Column("Int64", "count", "readings of the test split"),
    "test_reads_earlier_choice": Column("Int64", "count", "those of them for a trial that is the arm's best no more"),
    "epochs": Column("Int64", "epochs", "epochs trained, over all runs"),
    "images": Column("Int64", "images", "images seen by training, over all runs, repeats counted"),
    "seconds": Column("Float64", "seconds", "training time, over all runs"),
}

tables.TABLES.update(arms=ARM_COLUMNS, pairs=PAIR_COLUMNS, ledger=LEDGER_COLUMNS)


def _frame(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, Column]) -> pd.DataFrame:
    """Rows as a frame of exactly these columns and types; what a row lacks, NaN and infinity are missing."""
    return pd.DataFrame(
        {name: pd.array([_known(row.get(name)) for row in rows], dtype=c.dtype) for name, c in columns.items()}
    )


def _known(value: Any) -> Any:
    """The value, or None where it is missing."""
    missing = value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value))
    return None if missing else value


# ---------------------------------------------------------------------------------------------------------- whole study


@dataclass(frozen=True)
class Comparison:
    """Everything a report shows: the five tables and the sentences that belong under the verdicts."""

    trials: pd.DataFrame
    epochs: pd.DataFrame
    arms: pd.DataFrame
    pairs: pd.DataFrame
    ledger: pd.DataFrame
    verdicts: list[str]
    caveats: list[str]


def compare(root: str | Path) -> Comparison:
    """Compare the arms of the study in `root`, of the studies directly below it, and single runs (only described).

    Arms of different studies are never paired.

    Raises:
        UserError: `root` is not a folder.
    """
    return _compare(Path(root), *tables.collate(root))


def write_comparison(root: str | Path) -> list[Path]:
    """Write trials, epochs, arms, pairs and ledger to `root/tables/*.csv`, each atomically; return their paths.

    Raises:
        UserError: `root` is not a folder, cannot be written, or the disk is full.
    """
    found = compare(root)
    names = ("trials", "epochs", "arms", "pairs", "ledger")
    return [tables.write_table(Path(root) / "tables" / f"{name}.csv", getattr(found, name)) for name in names]


def _compare(root: Path, trials: pd.DataFrame, epochs: pd.DataFrame) -> Comparison:
    parts = []
    for study, own in _parts(root, _with_facts(root, trials)):
        found = arms(own, epochs, study)
        judged, spent = pairs(found, own, study, root), ledger(own)
        parts.append((found, judged, spent, caveats(found, judged, spent, own, study)))
    several = len(parts) > 1
    notes = [f"{_label(p[2])}: {note}" if several else note for p in parts for note in p[3]]
    empty = (_frame([], ARM_COLUMNS), _frame([], PAIR_COLUMNS), _frame([], LEDGER_COLUMNS))
    joined = [pd.concat([p[i] for p in parts], ignore_index=True) if parts else empty[i] for i in range(3)]
    return Comparison(trials, epochs, *joined, verdicts(joined[1]), notes)


def _label(spent: pd.DataFrame) -> str:
    return _first(spent["study"]) or "single runs"


def _parts(root: Path, trials: pd.DataFrame) -> Iterator[tuple[Study | None, pd.DataFrame]]:
    """Each study with its rows, by the folder that its study.json is in; other runs by the name they give."""
    folders = [""] if (root / "study.json").exists() else sorted(p.parent.name for p in root.glob("*/study.json"))
    top = trials["run_dir"].str.partition("/")[0] if len(trials) else trials["run_dir"]
    rest = pd.Series(True, index=trials.index)
    for folder in folders:
        inside = rest if folder == "" else top == folder
        if inside.any() or folder == "":
            yield _read_study(root / folder / "study.json"), trials[inside]
        rest = rest & ~inside
    for _, own in trials[rest].groupby("study", dropna=False, sort=True):
        yield None, own


def _read_study(path: Path) -> Study | None:
    try:
        study = read_json(path)
    except UserError as error:
        logger.warning("%s; its arms are described and not judged", error)
        return None
    return study if isinstance(study, dict) else None


_FACTS = ("classes", "test_images", "retried")  # what result.json knows beyond the columns of trials.csv


def _with_facts(root: Path, trials: pd.DataFrame) -> pd.DataFrame:
    """The trials with what result.json knows beyond their columns: classes, test_images; and failed attempts before."""
    rows = []
    for run_dir, score in zip(trials["run_dir"], trials["test_accuracy"], strict=True):
        folder = root / run_dir
        row: dict[str, int] = {"retried": len(list(folder.glob("result.failed-*.json")))}
        if score is not pd.NA:
            row |= _test_facts(folder / "result.json")
        rows.append(row)
    return trials.assign(**{n: pd.array([row.get(n) for row in rows], dtype="Int64") for n in _FACTS})


def _test_facts(path: Path) -> dict[str, int]:
    try:
        confusion = np.asarray(read_json(path)["confusion"], dtype=np.int64)
    except (UserError, ValueError, TypeError, KeyError, OverflowError):
        return {}  # both are only said in addition
    return {"classes": len(confusion), "test_images": int(confusion.sum())} if confusion.ndim == 2 else {}


# ----------------------------------------------------------------------------------------------------------------- arms


def arms(trials: pd.DataFrame, epochs: pd.DataFrame, study: Study | None = None) -> pd.DataFrame:
    """Return a row per arm (`ARM_COLUMNS`): its search, its best setting, and that setting over its seeds.

    `trials`, `epochs`: as `tables.trials` and `tables.epochs` return them, of one study; `study`: what its study.json
    holds. Without it ranges and edges are not known. An arm without search trials is made of its single runs: the best
    one and its repeats, equal in everything but the seed. `halfway` columns need the count of classes, which `compare`
    finds in the runs' files (column `classes` of `trials`).
    """
    return _frame([_arm_row(name, rows, epochs, study) for name, rows in _by_arm(trials, study)], ARM_COLUMNS)


def _by_arm(trials: pd.DataFrame, study: Study | None) -> Iterator[tuple[str, pd.DataFrame]]:
    """The arms' rows in the study's order of arms."""
    order = _item(study, "arm_order", list)
    names = dict.fromkeys([*order, *trials["arm"].dropna()])
    for name in names:
        rows = trials[(trials["arm"] == name) & trials["phase"].isin(["search", "confirm", "run"])]
        if len(rows):
            yield name, rows


def _item(holder: Any, key: str, kind: type) -> Any:
    """`holder[key]` if it is there and of that kind, else an empty one: study.json may be of another version."""
    value = holder.get(key) if isinstance(holder, Mapping) else None
    return value if isinstance(value, kind) else kind()


def _arm_row(name: str, rows: pd.DataFrame, epochs: pd.DataFrame, study: Study | None) -> dict[str, Any]:
    search = rows.loc[rows["phase"] == "search", ["number", "state", "lr", "val_accuracy"]]
    best, repeats = _chosen(rows)
    states = search["state"].value_counts()
    row = dict(
        study=_first(rows["study"]), arm=name, tuned=bool(len(search)), trials=sum(states.get(s, 0) for s in OUTCOMES),
        open=sum(states.get(s, 0) for s in OPEN), confirmations=len(repeats),
        confirmations_lost=_lost(repeats).sum(),
        **{column: states.get(column.upper(), 0) for column in ("pruned", "diverged", "failed", "chance")},
    )  # fmt: skip
    facts = rows if best is None else rows.loc[[best.name]]  # without a best trial, what is known of any
    for column in ("model", "parameters", "weights", "weights_sha256", "data", "train_size", "data_sha256", "epochs"):
        row[column] = _first(facts[column])
    if (rows["state"] == "COMPLETE").any() and not rows["epochs_run"].gt(0).any():
        row["epochs"] = None  # a model that isn't trained in epochs, whatever the configuration says
    if best is not None:
        row |= dict(best_number=best["number"], best_lr=best["lr"], val_accuracy=best["val_accuracy"])
    for column in ("device", "threads"):
        row[column] = _common(repeats[column])
    return row | _range(name, search, study) | _test_scores(repeats) | _speed(repeats, epochs)


def _first(values: pd.Series) -> Any:
    known = values.dropna()
    return known.iloc[0] if len(known) else None


def _common(values: pd.Series) -> Any:
    """The one value that all rows share, or None."""
    found = values.unique()
    return found[0] if len(found) == 1 else None


def _chosen(rows: pd.DataFrame) -> tuple[pd.Series | None, pd.DataFrame]:
    """The arm's best trial, as the study selects it, and the runs that repeat it: its confirmations, one per seed."""
    keys = rows[["phase", "number", "seed", "state", "val_accuracy", "test_accuracy"]]  # pandas copies what it selects
    phase = "search" if (keys["phase"] == "search").any() else "run"
    candidates = keys[(keys["phase"] == phase) & (keys["state"] == "COMPLETE") & keys["val_accuracy"].notna()]
    if candidates.empty:
        return None, rows.iloc[:0]
    ranked = candidates.sort_values(["val_accuracy", "number"], ascending=[False, True], kind="stable")
    best = rows.loc[ranked.index[0]]
    if phase == "search":
        repeats = keys[(keys["phase"] == "confirm") & (keys["number"] == best["number"])]
    else:
        settings = _settings(rows)
        repeats = keys[settings == settings[best.name]]
    # A run that was repeated or copied is no further seed: the last one with a test accuracy counts.
    tested = _is_tested(repeats)
    tested_last = pd.concat([repeats[~tested], repeats[tested]]).drop_duplicates("seed", keep="last")
    return best, rows.loc[tested_last.sort_values("seed", kind="stable").index]


def _is_tested(repeats: pd.DataFrame) -> pd.Series:
    """Repeats that count in the statistics: they ended, with a test accuracy (at chance level or not)."""
    return repeats["state"].isin(["COMPLETE", "CHANCE"]) & repeats["test_accuracy"].notna()


def _lost(repeats: pd.DataFrame) -> pd.Series:
    """Repeats whose training led nowhere: without them a mean over the others is too high."""
    return repeats["state"].isin(["DIVERGED", "CHANCE"]) & ~_is_tested(repeats)


def _settings(rows: pd.DataFrame) -> pd.Series:
    """Everything that a run's command sets but the seed, to find the repeats of a single run."""
    command = rows["command"].fillna("").str.replace(r"(?<!\S)(seed|threads)=\S*", "", regex=True)
    command = command.str.split().str.join(" ")
    facts = rows[["model", "weights_sha256", "data_sha256", "train_size", "lr", "epochs", "batch_size"]]
    return command + "|" + facts.astype("string").fillna("").agg("|".join, axis=1)


def _test_scores(repeats: pd.DataFrame) -> dict[str, Any]:
    tested = repeats[_is_tested(repeats)]
    summary = statistics.summarise(tested["test_accuracy"].astype(float))
    row = dict(seeds=summary.n, test_mean=summary.mean, test_std=summary.std)
    row |= dict(test_ci_low=summary.low, test_ci_high=summary.high)
    row |= {name: tested[name].mean() for name in _SCORES}
    if "classes" in tested:
        classes, row["test_images"] = _first(tested["classes"]), _first(tested["test_images"])
        row["halfway_accuracy"] = _halfway(classes) if classes else None
    return row


# ---- the search


def _range(name: str, search: pd.DataFrame, study: Study | None) -> dict[str, Any]:
    """Bounds of the learning rate, edge flag and tolerance."""
    space = _item(_item(study, "spaces", dict), name, dict)
    known = name in _item(study, "spaces", dict)
    if not known or "lr" not in space:
        return dict(edge=False) if known else {}
    tried = search[search["lr"].gt(0)]
    bounds = _bounds(space["lr"])
    if bounds is None:
        return {}
    # The edge rule's first trial in a range that it extended lies on the new bound.
    low, high = min([bounds[0], *tried["lr"]]), max([bounds[1], *tried["lr"]])
    if not low < high:
        return dict(edge=False, lr_low=low, lr_high=high)
    complete = tried[(tried["state"] == "COMPLETE") & tried["val_accuracy"].notna()].sort_values("number")
    found = statistics.edge(complete["lr"].astype(float), complete["val_accuracy"].astype(float), low, high)
    row: dict[str, Any] = dict(lr_low=low, lr_high=high, edge=bool(found.side))
    if found.side:
        row |= dict(edge_side=found.side, edge_try_low=found.low, edge_try_high=found.high)
    if len(space) == 1:  # with a second value searched, neighbours on this axis differ in that one too
        row["lr_tolerance_decades"] = _tolerance(name, tried, low, high, study)
    return row


def _bounds(distribution: Any) -> tuple[float, float] | None:
    """Positive bounds of a distribution as study.json describes it: {low, high} or {choices}."""
    values = _item(distribution, "choices", list) or [_item(distribution, k, float) for k in ("low", "high")]
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool) and v > 0]
    return (min(numbers), max(numbers)) if numbers and len(numbers) == len(values) else None


def _tolerance(name: str, tried: pd.DataFrame, low: float, high: float, study: Study | None) -> float:
    """Tolerance from all trials where the search spreads them, else from the first points, which are never pruned."""
    listed = _item(_item(_item(study, "arms", dict), name, dict), "first points", list)
    points = [low, high, *(p["lr"] for p in listed if isinstance(p, dict) and isinstance(p.get("lr"), int | float))]
    first = tried[[bool(np.isclose(lr, points, rtol=1e-9, atol=0).any()) for lr in tried["lr"]]]
    sets = [tried, first] if _item(study, "sampler", str) in SPREAD else [first]
    for rows in sets:
        rows = rows[(rows["state"] != "COMPLETE") | rows["val_accuracy"].notna()]
        accuracy = rows["val_accuracy"].to_numpy(dtype=float, na_value=math.nan)
        lr = rows["lr"].astype(float)
        decades = statistics.learning_rate_tolerance(lr, accuracy, list(rows["state"]), low, high)
        if not math.isnan(decades):
            return decades
    return math.nan


# ---- convergence speed


@dataclass(frozen=True)
class _Curve:
    """One run's epochs: validation accuracy [n] and, per measure, what it had cost by the end of each epoch [n]."""

    accuracy: np.ndarray
    costs: dict[str, np.ndarray]
    diverged: bool


def _curves(repeats: pd.DataFrame, epochs: pd.DataFrame) -> list[_Curve]:
    own = epochs[epochs["run_dir"].isin(repeats["run_dir"])].sort_values("epoch")
    curves = []
    for run_dir, state in zip(repeats["run_dir"], repeats["state"], strict=True):
        numbers = own[own["run_dir"] == run_dir]
        columns = {name: numbers[c].to_numpy(dtype=float, na_value=math.nan) for name, c in MEASURES.items()}
        accuracy = numbers["val_accuracy"].to_numpy(dtype=float, na_value=math.nan)
        curves.append(_Curve(accuracy, columns, state == "DIVERGED"))
    return curves if any(len(c.accuracy) for c in curves) else []


def _speed(repeats: pd.DataFrame, epochs: pd.DataFrame) -> dict[str, Any]:
    """Medians over the repeats to every target, by every measure, and how many never got there."""
    curves = _curves(repeats, epochs)
    if not curves:
        return {}
    ended = repeats["state"].isin(["COMPLETE", "CHANCE"])
    last = [c.accuracy[-1] for c, there in zip(curves, ended, strict=True) if there and len(c.accuracy)]
    final = float(np.mean(last)) if last else math.nan
    classes = _first(repeats["classes"]) if "classes" in repeats else None
    targets = {str(t): float(t) for t in THRESHOLDS}
    targets |= {"halfway": _halfway(classes)} if classes else {}
    targets |= {"99_of_final": 0.99 * final} if math.isfinite(final) else {}
    row: dict[str, Any] = dict(final_val_accuracy=final)
    for (target, accuracy), measure in itertools.product(targets.items(), MEASURES):
        median, censored = _median(curves, measure, accuracy)
        row |= {f"{measure}_to_{target}": median, f"{measure}_to_{target}_censored": censored}
    return row


def _halfway(classes: int) -> float:
    return (100 / classes + 100) / 2


def _median(curves: list[_Curve], measure: str, accuracy: float) -> tuple[float, int | None]:
    """Kaplan-Meier median cost to an accuracy (NaN: not known or never), and the runs that didn't reach it."""
    longest = max(float(c.costs[measure][-1]) for c in curves if len(c.accuracy))
    times, reached = [], []
    for curve in curves:
        there = np.flatnonzero(curve.accuracy >= accuracy)
        lasted = curve.costs[measure][-1] if len(curve.accuracy) else 0.0
        # A run that diverged would not have got there by going on: it stays in the count to the end.
        times.append(curve.costs[measure][there[0]] if len(there) else longest if curve.diverged else lasted)
        reached.append(bool(len(there)))
    if not np.isfinite(times).all():
        return math.nan, None
    found = statistics.time_to_target(times, reached)
    return found.median, found.censored


# ---------------------------------------------------------------------------------------------------------------- pairs


def pairs(
    arms: pd.DataFrame, trials: pd.DataFrame, study: Study | None = None, root: str | Path | None = None
) -> pd.DataFrame:
    """Return a row per pair of arms on the same data and train_size (`PAIR_COLUMNS`), corrected as one family.

    `arms`: as `arms` returns it, from the same `trials` and `study`. `root`: folder that the trials' run_dir are below;
    needed only where every seed gave the same difference, for McNemar's test on the predictions.
    """
    repeats = {name: _chosen(rows)[1] for name, rows in _by_arm(trials, study)}
    rows = [row for _, row in arms.iterrows()]
    couples = [(a, b) for a, b in itertools.combinations(rows, 2) if _comparable(a, b)]
    scores = [_paired(repeats[a["arm"]], repeats[b["arm"]]) for a, b in couples]
    compared = statistics.compare_pairs([(s["a"], s["b"]) for s in scores])
    return _frame(
        [
            _pair_row(a, b, repeats, s, c, len(couples), study, root)
            for (a, b), s, c in zip(couples, scores, compared, strict=True)
        ],
        PAIR_COLUMNS,
    )


def _comparable(a: pd.Series, b: pd.Series) -> bool:
    """Whether both arms learn from as many images of the same data; what isn't known isn't the same."""
    return all(_known(a[c]) is not None and _known(a[c]) == _known(b[c]) for c in ("data", "train_size"))


def _paired(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """Test accuracies of the seeds that both have, columns a and b, index seed."""
    scores = [r[_is_tested(r) & r["seed"].notna()].set_index("seed")["test_accuracy"] for r in (a, b)]
    return pd.concat({"a": scores[0], "b": scores[1]}, axis=1, join="inner").sort_index().astype(float)


def _pair_row(
    a: pd.Series,
    b: pd.Series,
    repeats: Mapping[str, pd.DataFrame],
    scores: pd.DataFrame,
    compared: PairedDifference,
    family: int,
    study: Study | None,
    root: str | Path | None,
) -> dict[str, Any]:
    mcnemar = None
    if compared.std == 0 and root is not None:
        mcnemar = _mcnemar(Path(root), repeats[a["arm"]], repeats[b["arm"]], scores.index[0])
    sampling = _sampling(a, b)
    evidence = PairEvidence(
        a["arm"], b["arm"], compared.difference, compared.low, compared.high, compared.p_holm, compared.n,
        int(a["trials"]), int(b["trials"]), *_epochs(a, b), _edge(a), _edge(b), pairs=family, p_mcnemar=mcnemar,
        test_sampling=sampling,
    )  # fmt: skip
    sentence, winner, hint = _judge(a, b, evidence, study)
    return dict(
        study=a["study"], arm_a=a["arm"], arm_b=b["arm"], data=a["data"], train_size=a["train_size"], seeds=compared.n,
        difference=compared.difference, ci_low=compared.low, ci_high=compared.high, level=compared.level,
        probability_of_improvement=statistics.probability_of_improvement(scores["a"], scores["b"]), p=compared.p,
        p_holm=compared.p_holm, family=family, test_sampling=sampling, winner=winner or None, verdict=sentence,
        next=hint or None, **_speedup(a, b),
    )  # fmt: skip


def _epochs(a: pd.Series, b: pd.Series) -> tuple[int | None, int | None]:
    """Epochs per trial; a model without epochs has none that another could have more of."""
    known = [_known(arm["epochs"]) for arm in (a, b)]
    return (None, None) if None in known else (int(known[0]), int(known[1]))


def _edge(arm: pd.Series) -> Edge | None:
    side = _known(arm["edge_side"])
    return None if side is None else Edge(side, float(arm["edge_try_low"]), float(arm["edge_try_high"]))


def _sampling(*rows: pd.Series) -> float | None:
    """Half-width, in points, that test-set sampling alone gives the arms' accuracies: the wider one."""
    widths = [
        statistics.sampling_half_width(float(r["test_mean"]), int(r["test_images"]))
        for r in rows
        if _known(r["test_mean"]) is not None and (_known(r["test_images"]) or 0) > 0
    ]
    return max(widths, default=None)


def _speedup(a: pd.Series, b: pd.Series) -> dict[str, Any]:
    """How many times sooner a reaches the highest stated accuracy that the median run of both reaches."""
    stated = [(float(t), str(t)) for t in THRESHOLDS]
    if _known(a["halfway_accuracy"]) is not None:
        stated.append((float(a["halfway_accuracy"]), "halfway"))
    for threshold, target in sorted(stated, reverse=True):
        epochs = [_known(arm[f"epochs_to_{target}"]) for arm in (a, b)]
        if None in epochs or not epochs[0]:
            continue
        row = dict(speedup_epochs=float(epochs[1]) / float(epochs[0]), speedup_threshold=threshold)
        seconds = [_known(arm[f"seconds_to_{target}"]) for arm in (a, b)]
        if None not in seconds and seconds[0] and _same_machine(a, b):
            row["speedup_seconds"] = float(seconds[1]) / float(seconds[0])
        return row
    return {}


def _same_machine(a: pd.Series, b: pd.Series) -> bool:
    return all(_known(a[c]) is not None and _known(a[c]) == _known(b[c]) for c in ("device", "threads"))


def _mcnemar(root: Path, a: pd.DataFrame, b: pd.DataFrame, seed: int) -> float | None:
    """Exact McNemar p-value of both arms' models of one seed on the test images; None without their predictions."""
    right = [_right(root / _first(r.loc[r["seed"] == seed, "run_dir"]) / "predictions.npz") for r in (a, b)]
    if right[0] is None or right[1] is None or right[0].keys() != right[1].keys():
        return None
    images = sorted(right[0])
    return statistics.mcnemar([right[0][i] for i in images], [right[1][i] for i in images]).p


def _right(path: Path) -> dict[int, bool] | None:
    """Whether each test image, by its index, was classified correctly."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            labels, indices = stored["test_labels"], stored["test_indices"]
            correct = stored["test_probabilities"].argmax(1) == labels
            return dict(zip(indices.tolist(), correct.tolist(), strict=True))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        logger.warning("%s is left out: %s", path, error)
        return None


# ---- the verdict


def _judge(a: pd.Series, b: pd.Series, evidence: PairEvidence, study: Study | None) -> tuple[str, str, str]:
    """Verdict sentence, winner ("" for none) and what to run next; what statistics.verdict can't see is added here."""
    found, reasons = statistics.verdict(evidence), "; ".join(_reasons(a, b))
    if not reasons:
        return found.sentence, found.winner, "" if found.winner else _next(a, b, found.hint.split(), study)
    sentence, refused = found.sentence, f"no winner between {evidence.arm_a} and {evidence.arm_b}"
    if sentence.startswith(refused):
        sentence += f"; {reasons}"
    else:
        interval = f", 95 % interval {evidence.low:.2f} to {evidence.high:.2f}" if math.isfinite(evidence.low) else ""
        interval += f", corrected for {evidence.pairs} pairs" if interval and evidence.pairs > 1 else ""
        sentence = f"{refused} (difference {evidence.difference:+.2f}{interval}, {evidence.seeds} seeds): {reasons}"
    return sentence, "", _next(a, b, found.hint.split(), study)


def _reasons(a: pd.Series, b: pd.Series) -> list[str]:
    if not (a["tuned"] and b["tuned"]):
        return ["single runs, no search under one budget"]
    reasons = []
    for arm in (a, b):
        if _known(arm["edge"]) is None:
            reasons.append(f"the range searched for {arm['arm']} is not known")
        if _known(arm["best_number"]) is None:
            reasons.append(f"{arm['arm']} has no trial that may be selected{_states(arm)}")
        if arm["confirmations_lost"]:
            lost = _count(arm["confirmations_lost"], "confirmation")
            reasons.append(f"{lost} of {arm['arm']} DIVERGED and would be missing in its mean")
    if _known(a["data_sha256"]) != _known(b["data_sha256"]):
        reasons.append("not the same images, classes or split (data_sha256)")
    return reasons


def _states(arm: pd.Series) -> str:
    counted = [f"{arm[c]} {c.upper()}" for c in ("chance", "diverged", "pruned", "failed") if arm[c]]
    return f" ({', '.join(counted)})" if counted else ""


def _next(a: pd.Series, b: pd.Series, hints: list[str], study: Study | None) -> str:
    """What to run next, in words; `hints`: overrides that statistics.verdict asks for."""
    if not (a["tuned"] and b["tuned"]):
        return "tune both as arms of one study (headstart -m)"
    fewer = a if a["trials"] < b["trials"] else b
    selected = all(_known(arm["best_number"]) is not None for arm in (a, b))
    wanted: list[str] = []
    for hint in hints:
        key = hint.partition("=")[0]
        if key == "n_trials" and fewer["failed"]:
            wanted.append("hydra.sweeper.retry_failed=true")
        elif key == "search.extend_at_edge":
            wanted += [override for arm in (a, b) for override in _wider(arm, study)]
        elif not (key == "n_trials" and fewer["open"]) and not (key == "confirm_seeds" and not selected):
            wanted.append(hint)  # open trials end by the same command; without a best trial there is nothing to confirm
    unknown = any(_known(arm["edge"]) is None for arm in (a, b))
    words = " ".join(dict.fromkeys(wanted))
    if words or a["open"] or b["open"] or unknown:
        return "the same command" + (", all arms in it," if unknown else "") + (f" with {words}" if words else " again")
    return ""


def _wider(arm: pd.Series, study: Study | None) -> list[str]:
    """Overrides that widen a flagged arm's range: the study can extend an interval, a list needs a study of its own."""
    if not _known(arm["edge"]):
        return []
    space = _item(_item(_item(study, "spaces", dict), arm["arm"], dict), "lr", dict)
    if space.get("log"):
        return ["search.extend_at_edge=true"]
    side = arm["edge_side"]
    return [f"lr_{side}={arm[f'edge_try_{side}']:g}", "name=NEW_NAME"]


# --------------------------------------------------------------------------------------------------------------- ledger


def ledger(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what every arm has cost (`LEDGER_COLUMNS`), and last the sum, arm `all`; no row without runs.

    `trials`: as `tables.trials` returns it, of one study.
    """
    study = _first(trials["study"])
    groups = [(name if name is not pd.NA else None, rows) for name, rows in trials.groupby("arm", dropna=False)]
    rows = [dict(study=study, arm=name) | _costs(rows) for name, rows in groups]
    if rows:
        total = {name: sum(row[name] for row in rows) for name in LEDGER_COLUMNS if name not in ("study", "arm")}
        rows.append(dict(study=study, arm="all") | total)
    return _frame(rows, LEDGER_COLUMNS)


def _costs(rows: pd.DataFrame) -> dict[str, Any]:
    phase, reads, (best, _) = rows["phase"], rows["test_reads"], _chosen(rows)
    states, confirm = rows["state"][phase == "search"], phase == "confirm"
    earlier = confirm if best is None else confirm & (rows["number"] != best["number"]).fillna(True)
    return dict(
        trials=len(states), **{name: int((states == state).sum()) for name, (state, _) in _COUNTED.items()},
        retried=int(rows["retried"].sum()) if "retried" in rows else 0, confirmations=int(confirm.sum()),
        other_runs=len(rows) - len(states) - int(confirm.sum()), test_reads=int(reads.sum()),
        test_reads_earlier_choice=int(reads[earlier].sum()), epochs=int(rows["epochs_run"].sum()),
        images=int(rows["images"].sum()), seconds=float(rows["seconds_train"].sum()),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ sentences


def verdicts(pairs: pd.DataFrame) -> list[str]:
    """Return a sentence per pair: the verdict, and what to run next where something is missing."""
    return [
        f"{verdict}." + ("" if hint is pd.NA else f" Next: {hint}.")
        for verdict, hint in zip(pairs["verdict"], pairs["next"], strict=True)
    ]


def caveats(
    arms: pd.DataFrame, pairs: pd.DataFrame, ledger: pd.DataFrame, trials: pd.DataFrame, study: Study | None = None
) -> list[str]:
    """Return what has to be said beside the verdicts of one study, a sentence each; [] without runs."""
    if trials.empty:
        return []
    return [
        *_unfinished(arms, trials, study),
        *_single_runs(arms),
        *_luck(arms),
        *_test_split(arms, ledger, trials),
        *_not_paired(arms),
        *_own_weights(arms, trials),
        *_unsuccessful(arms),
        *_not_converged(arms, trials),
        *_not_varied(arms, trials),
        *_unchecked(arms, study),
        *_machines(arms, pairs),
    ]


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _unfinished(arms: pd.DataFrame, trials: pd.DataFrame, study: Study | None) -> Iterator[str]:
    """Trials and confirmations that the study still owes; of a budget that was raised, what the furthest arm had."""
    if study is None:
        return
    order, seeds = _item(study, "arm_order", list), _item(study, "confirm_seeds", int)
    own = arms[arms["arm"].isin(order)]
    ended = own["trials"] + own["failed"]
    each = max([_item(study, "n_trials", int), *ended])
    nothing_to_confirm = ((ended >= each) & own["best_number"].isna()).sum()
    trials_wanted, wanted = each * len(order), seeds * (len(order) - nothing_to_confirm)
    done = sum(min(n, seeds) for n in _ended_confirmations(own, trials))
    if ended.sum() < trials_wanted or done < wanted or own["open"].any():
        state = f"{ended.sum()} of {trials_wanted} search trials and {done} of {wanted} confirmations have ended"
        yield f"The study is unfinished: {state}. The same command goes on: {_item(study, 'command', str)}"


def _ended_confirmations(arms: pd.DataFrame, trials: pd.DataFrame) -> Iterator[int]:
    """Per arm, the confirmations of its present best trial that have ended."""
    ended = trials[(trials["phase"] == "confirm") & ~trials["state"].isin(OPEN)]
    for arm, number in zip(arms["arm"], arms["best_number"], strict=True):
        if number is not pd.NA:
            yield ended[(ended["arm"] == arm) & (ended["number"] == number)]["seed"].nunique()


def _single_runs(arms: pd.DataFrame) -> Iterator[str]:
    if names := _names(arms[~arms["tuned"]]):
        yield (
            f"{names}: single runs, described and not judged. The best by validation accuracy is shown with its "
            "repeats; nobody counted how hard each was tuned."
        )


def _names(arms: pd.DataFrame) -> str:
    return ", ".join(arms["arm"])


def _luck(arms: pd.DataFrame) -> Iterator[str]:
    if (arms["tuned"] & arms["seeds"].gt(0)).any():
        yield (
            "The seeds vary initial weights, order of the images and augmentation, not the search: a verdict is about "
            "the settings found, and the luck of the search is not in its interval."
        )


def _test_split(arms: pd.DataFrame, ledger: pd.DataFrame, trials: pd.DataFrame) -> Iterator[str]:
    reads = trials.groupby("phase", dropna=False)["test_reads"].sum()
    by = {"confirm": "confirmations", "run": "single runs", "search": "search trials", "source": "source runs"}
    named = [f"{n} by {by.get(phase, 'runs of no known phase')}" for phase, n in reads.items() if n]
    yield f"The test split was read {_count(int(reads.sum()), 'time')}" + (f": {', '.join(named)}." if named else ".")
    earlier = ledger[ledger["test_reads_earlier_choice"].gt(0)].iloc[:-1]
    for name, number in zip(earlier["arm"], earlier["test_reads_earlier_choice"], strict=True):
        yield (
            f"The test split had been read {_count(number, 'time')} for an earlier choice of {name}'s best trial; "
            "these readings are in trials.csv and the ledger, not in arms.csv and pairs.csv."
        )
    if reads.get("search", 0) or reads.get("source", 0):
        yield "Search or source runs have read the test split: by the protocol they never do; look at trials.csv."
    if width := _sampling(*(row for _, row in arms.iterrows())):
        images = "/".join(f"{n:,}" for n in sorted(arms["test_images"].dropna().unique()))
        yield f"Test-set sampling alone moves an accuracy by up to ±{width:.2f} points (95 %, {images} test images)."


def _not_paired(arms: pd.DataFrame) -> Iterator[str]:
    groups = arms.groupby(["data", "train_size"], dropna=False, sort=False)
    if len(groups) > 1:
        listed = [f"{_names(own)} ({data}, {size} images)" for (data, size), own in groups]
        yield f"Arms are compared only on the same data and train_size: {'; '.join(listed)}."


def _own_weights(arms: pd.DataFrame, trials: pd.DataFrame) -> Iterator[str]:
    has_source = (trials["phase"] == "source").any()
    for name, weights in zip(arms["arm"], arms["weights"], strict=True):
        if weights is pd.NA or not (weights.endswith(WEIGHT_FILES) or weights.startswith(("/", "./", "../", "~"))):
            continue
        path = Path(weights)
        if has_source and path.parts[-2:] == ("source", "best.safetensors"):
            yield f"The weights of {name} are our own, from the study's source run, not ImageNet's."
        else:
            yield f"The weights of {name} are a file of one's own, {path.name}; they are not called ImageNet's."


def _unsuccessful(arms: pd.DataFrame) -> Iterator[str]:
    for _, arm in arms[arms["tuned"]].iterrows():
        for column in ("chance", "diverged", "failed"):
            if arm[column]:
                ended = arm["trials"] + arm["failed"]
                yield f"{arm['arm']}: {arm[column]} of {ended} search trials ended {column.upper()}."
        lost, all_of_them = arm["confirmations_lost"], arm["confirmations"]
        if lost:
            yield f"{arm['arm']}: {lost} of {all_of_them} confirmations DIVERGED; the mean of the others is too high."
        if missing := all_of_them - lost - arm["seeds"]:
            yield f"{arm['arm']}: {missing} of {all_of_them} confirmations failed or have not ended."


def _not_converged(arms: pd.DataFrame, trials: pd.DataFrame) -> Iterator[str]:
    """Runs behind an arm's test accuracy whose fit was cut short, which the state COMPLETE doesn't say."""
    short = trials[trials["reason"].str.contains(NOT_CONVERGED, regex=False).fillna(False)]
    for _, arm in arms.iterrows():
        if len(runs := _behind(arm, short)):
            what = _count(len(runs), "confirmation" if arm["tuned"] else "single run")
            yield f"{arm['arm']}: {what} {_first(runs['reason'])}; a longer fit might score otherwise."


def _behind(arm: pd.Series, trials: pd.DataFrame) -> pd.DataFrame:
    """The confirmations of an arm's best trial among `trials`; of an arm without a search its single runs."""
    own = trials[trials["arm"] == arm["arm"]]
    if not arm["tuned"]:
        return own[own["phase"] == "run"]
    return own[(own["phase"] == "confirm") & (own["number"] == arm["best_number"]).fillna(False)]


def _not_varied(arms: pd.DataFrame, trials: pd.DataFrame) -> Iterator[str]:
    """Arms that the seeds leave exactly as they are, to the last digit of the validation loss."""
    still = [arm["seeds"] >= 2 and _behind(arm, trials)["val_loss"].nunique() == 1 for _, arm in arms.iterrows()]
    if same := _names(arms[still]):
        yield (
            f"{same}: every seed gave the same model, its fit draws nothing at random. An interval over seeds has no "
            "width there, and holds neither the choice of training images nor that of test images."
        )


def _unchecked(arms: pd.DataFrame, study: Study | None) -> Iterator[str]:
    for name in arms["arm"]:
        other = [k for k in _item(_item(study, "spaces", dict), name, dict) if k != "lr"]
        if other:
            yield f"{name}: whether the best {', '.join(other)} lies at the edge of what was searched is not checked."


def _machines(arms: pd.DataFrame, pairs: pd.DataFrame) -> Iterator[str]:
    if (pairs["speedup_epochs"].notna() & pairs["speedup_seconds"].isna()).any():
        yield "Training seconds are not compared where the arms' confirmations ran on other devices or thread counts."
