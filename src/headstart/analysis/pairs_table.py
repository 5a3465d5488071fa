"""pairs.csv: the paired differences between arms, and the verdict on each with what to run next."""

import itertools
import logging
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from headstart import statistics
from headstart.analysis.arms_table import Study, by_arm, first, first_trials, item
from headstart.analysis.columns import PAIRS, THRESHOLDS
from headstart.analysis.csv_tables import frame_of, known
from headstart.analysis.runs_of_arm import ArmRuns, runs_of_arm
from headstart.analysis.verdict import PairEvidence, verdict
from headstart.statistics import Edge, PairedDifference

logger = logging.getLogger(__name__)


def pairs(
    arms: pd.DataFrame, trials: pd.DataFrame, study: Study | None = None, root: str | Path | None = None
) -> pd.DataFrame:
    """Return a row per pair of arms on the same data and train_size (`PAIRS`), corrected as one family.

    `arms`: as `arms` returns it, from the same `trials` and `study`. `root`: folder that the trials' run_dir are below;
    needed only where every seed gave the same difference, for McNemar's test on the predictions.
    """
    own = dict(by_arm(trials, study))
    runs = {name: runs_of_arm(rows) for name, rows in own.items()}
    untuned = {name: first_trials(name, rows, study) for name, rows in own.items()}
    rows = [row for _, row in arms.iterrows()]
    couples = [(a, b) for a, b in itertools.combinations(rows, 2) if _same_size(a, b)]
    scores = [_paired(runs[a["arm"]], runs[b["arm"]]) for a, b in couples]
    compared = statistics.compare_pairs([(s["a"], s["b"]) for s in scores])
    return frame_of(
        [
            _pair_row(a, b, runs, s, c, len(couples), study, root)
            | dict(untuned_a=_untuned(a, b, untuned), untuned_b=_untuned(b, a, untuned))
            for (a, b), s, c in zip(couples, scores, compared, strict=True)
        ],
        PAIRS,
    )


def same_images(a: pd.Series, b: pd.Series) -> bool:
    """Whether both arms learn from and are tested on the same images, in the same split."""
    return _same_size(a, b) and known(a["data_sha256"]) == known(b["data_sha256"])


def _same_size(a: pd.Series, b: pd.Series) -> bool:
    """Whether both arms learn from as many images of the same data; what isn't known isn't the same."""
    return all(known(a[c]) is not None and known(a[c]) == known(b[c]) for c in ("data", "train_size"))


def _paired(a: ArmRuns, b: ArmRuns) -> pd.DataFrame:
    """Test accuracies of the seeds that both have, columns a and b, index seed."""
    scores = [runs.tested.dropna(subset="seed").set_index("seed")["test_accuracy"] for runs in (a, b)]
    return pd.concat({"a": scores[0], "b": scores[1]}, axis=1, join="inner").sort_index().astype(float)


def _pair_row(
    a: pd.Series,
    b: pd.Series,
    runs: Mapping[str, ArmRuns],
    scores: pd.DataFrame,
    compared: PairedDifference,
    family: int,
    study: Study | None,
    root: str | Path | None,
) -> dict[str, Any]:
    mcnemar = None
    if compared.std == 0 and root is not None:
        mcnemar = _mcnemar(Path(root), runs[a["arm"]].repeats, runs[b["arm"]].repeats, scores.index[0])
    sampling = sampling_width(a, b)
    evidence = PairEvidence(
        a["arm"], b["arm"], compared.difference, compared.low, compared.high, compared.p_holm, compared.n,
        int(a["trials"]), int(b["trials"]), *planned_epochs(a, b), edge_of(a), edge_of(b), pairs=family,
        p_mcnemar=mcnemar, test_sampling=sampling, reasons=tuple(_reasons(a, b)),
    )  # fmt: skip
    sentence, winner, hint = _judge(a, b, evidence, study)
    return dict(
        study=a["study"], arm_a=a["arm"], arm_b=b["arm"], data=a["data"], train_size=a["train_size"], seeds=compared.n,
        difference=compared.difference, ci_low=compared.low, ci_high=compared.high, level=compared.level,
        probability_of_improvement=statistics.probability_of_improvement(scores["a"], scores["b"]), p=compared.p,
        p_holm=compared.p_holm, family=family, test_sampling=sampling, winner=winner or None, verdict=sentence,
        next=hint or None, **_speedup(a, b),
    )  # fmt: skip


def planned_epochs(a: pd.Series, b: pd.Series) -> tuple[int | None, int | None]:
    """Epochs per trial; a model without epochs has none that another could have more of."""
    planned = [known(arm["epochs"]) for arm in (a, b)]
    return (None, None) if None in planned else (int(planned[0]), int(planned[1]))


def edge_of(arm: pd.Series) -> Edge | None:
    """The bound that the arm's search ended at; None: at neither."""
    side = known(arm["edge_side"])
    return None if side is None else Edge(side, float(arm["edge_try_low"]), float(arm["edge_try_high"]))


def sampling_width(*rows: pd.Series) -> float | None:
    """Half-width, in points, that test-set sampling alone gives the arms' accuracies: the wider one."""
    widths = [
        statistics.sampling_half_width(float(r["test_mean"]), int(r["test_images"]))
        for r in rows
        if known(r["test_mean"]) is not None and (known(r["test_images"]) or 0) > 0
    ]
    return max(widths, default=None)


def _speedup(a: pd.Series, b: pd.Series) -> dict[str, Any]:
    """How many times sooner a reaches the highest stated accuracy that the median run of both reaches."""
    stated = [(float(t), str(t)) for t in THRESHOLDS]
    if known(a["halfway_accuracy"]) is not None:
        stated.append((float(a["halfway_accuracy"]), "halfway"))
    for threshold, target in sorted(stated, reverse=True):
        epochs = [known(arm[f"epochs_to_{target}"]) for arm in (a, b)]
        if None in epochs or not epochs[0]:
            continue
        row = dict(speedup_epochs=float(epochs[1]) / float(epochs[0]), speedup_threshold=threshold)
        seconds = [known(arm[f"seconds_to_{target}"]) for arm in (a, b)]
        if None not in seconds and seconds[0] and _same_machine(a, b):
            row["speedup_seconds"] = float(seconds[1]) / float(seconds[0])
        return row
    return {}


def _untuned(a: pd.Series, b: pd.Series, untuned: Mapping[str, pd.DataFrame]) -> float | None:
    """Percent of a's first trials that had more validation accuracy than b's whole search: what tuning a is spared."""
    rows, best = untuned[a["arm"]], known(b["val_accuracy"])
    if rows.empty or best is None or not same_images(a, b):
        return None
    return 100 * float((rows["state"].eq("COMPLETE") & rows["val_accuracy"].gt(best).fillna(False)).mean())


def _same_machine(a: pd.Series, b: pd.Series) -> bool:
    return all(known(a[c]) is not None and known(a[c]) == known(b[c]) for c in ("device", "threads"))


def _mcnemar(root: Path, a: pd.DataFrame, b: pd.DataFrame, seed: int) -> float | None:
    """Exact McNemar p-value of both arms' models of one seed on the test images; None without their predictions."""
    right = [_right(root / first(r.loc[r["seed"] == seed, "run_dir"]) / "predictions.npz") for r in (a, b)]
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
    """Verdict sentence, winner ("" for none) and what to run next."""
    found = verdict(evidence)
    return found.sentence, found.winner, "" if found.winner else _next(a, b, found.hint.split(), study)


def _reasons(a: pd.Series, b: pd.Series) -> list[str]:
    if not (a["tuned"] and b["tuned"]):
        return ["single runs, no search under one budget"]
    reasons = [*reasons_against(a), *reasons_against(b)]
    if not same_images(a, b):
        reasons.append("not the same images, classes or split (data_sha256)")
    return reasons


def reasons_against(arm: pd.Series) -> Iterator[str]:
    """Why a tuned arm may be in no verdict that names a winner."""
    if known(arm["edge"]) is None:
        yield f"the range searched for {arm['arm']} is not known"
    if known(arm["best_number"]) is None:
        yield f"{arm['arm']} has no trial that may be selected{_states(arm)}"
    if known(arm["confirmations_lost"]):
        lost = count(arm["confirmations_lost"], "confirmation")
        yield f"{lost} of {arm['arm']} DIVERGED and would be missing in its mean"


def _states(arm: pd.Series) -> str:
    counted = [f"{arm[c]} {c.upper()}" for c in ("chance", "diverged", "pruned", "failed") if arm[c]]
    return f" ({', '.join(counted)})" if counted else ""


def _next(a: pd.Series, b: pd.Series, hints: list[str], study: Study | None) -> str:
    """What to run next, in words; `hints`: overrides that `verdict` asks for."""
    if not (a["tuned"] and b["tuned"]):
        return "tune both as arms of one study (headstart -m)"
    fewer = a if a["trials"] < b["trials"] else b
    selected = all(known(arm["best_number"]) is not None for arm in (a, b))
    wanted: list[str] = []
    for hint in hints:
        key = hint.partition("=")[0]
        if (key == "n_trials" and fewer["failed"]) or (key == "confirm_seeds" and any(map(_without_test, (a, b)))):
            wanted.append("hydra.sweeper.retry_failed=true")
        elif key == "search.extend_at_edge":
            wanted += [override for arm in (a, b) for override in _wider(arm, study)]
        elif not (key == "n_trials" and fewer["open"]) and not (key == "confirm_seeds" and not selected):
            wanted.append(hint)  # open trials end by the same command; without a best trial there is nothing to confirm
    unknown = any(known(arm["edge"]) is None for arm in (a, b))
    words = " ".join(dict.fromkeys(wanted))
    if words or a["open"] or b["open"] or unknown:
        return "the same command" + (", all arms in it," if unknown else "") + (f" with {words}" if words else " again")
    return ""


def _without_test(arm: pd.Series) -> bool:
    """Whether confirmations that were begun lack a test accuracy, and not for divergence: they failed, or go on."""
    return arm["confirmations"] > arm["confirmations_lost"] + arm["seeds"]


def _wider(arm: pd.Series, study: Study | None) -> list[str]:
    """Overrides that widen a flagged arm's range: the study can extend an interval, a list needs a study of its own."""
    if not known(arm["edge"]):
        return []
    space = item(item(item(study, "spaces", dict), arm["arm"], dict), "lr", dict)
    if space.get("log"):
        return ["search.extend_at_edge=true"]
    side = arm["edge_side"]
    return [f"lr_{side}={arm[f'edge_try_{side}']:g}", "name=NEW_NAME"]


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 trial`, `1,234 trials`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
