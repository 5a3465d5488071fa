"""pairs.csv: the paired differences between arms, and the verdict on each with what to run next."""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from headstart import statistics
from headstart.analysis.arm_search import first_trials
from headstart.analysis.arms_table import NO_ANSWERS, NO_STUDY
from headstart.analysis.columns import EPOCHS, PAIRS, THRESHOLDS
from headstart.analysis.csv_tables import frame_of, known
from headstart.analysis.pair import ArmOfPair, Pair
from headstart.analysis.predictions import Answers
from headstart.analysis.runs_of_arm import ArmRuns
from headstart.analysis.verdict import ArmEvidence, NextStep, PairEvidence, PicturesAlone, counted, verdict
from headstart.statistics import Edge, Looks, PairedDifference
from headstart.store import StudyFile

USUAL_LIMIT, MORE_SEEDS = 15, 10  # of confirm_seeds=auto, and how many it is worth to go beyond
NO_EPOCHS = frame_of([], EPOCHS)
ANOTHER_STUDY = {  # what no further run of this one would bring
    "images": "a study with more test images, as no seed changes these arms",
    "predictions": "a study that keeps predictions (keep=best), as no seed changes these arms",
}
HIDDEN = {  # what more seeds would hardly bring
    "hidden": "a study with more test pictures, as these alone could make such a difference",
    "unpaired": "a study that keeps predictions (keep=best), so that the arms are compared picture by picture",
}


def pairs_table(
    arms: pd.DataFrame,
    runs: Mapping[str, ArmRuns],
    study: StudyFile = NO_STUDY,
    answers: Mapping[str, Answers | None] = NO_ANSWERS,
    epochs: pd.DataFrame = NO_EPOCHS,
) -> pd.DataFrame:
    """Return a row per pair of arms on the same data and train_size (`PAIRS`), corrected as one family.

    Of an arm with pretrained weights and one without the former is `a`, else the more accurate one: a gain is positive.
    `arms`: as `arms_table` returns it, from the same `runs`, `epochs`, `study` and `answers`.
    """
    sides = [
        ArmOfPair(row, runs[name], first_trials(name, runs[name].rows, epochs, study), answers.get(name), epochs)
        for name, row in zip(arms["arm"], (row for _, row in arms.iterrows()), strict=True)
    ]
    couples = itertools.combinations(sides, 2)
    couples = [_gain_first(a, b) for a, b in couples if _same_size(a.row, b.row)]
    pairs = [Pair(a, b) for a, b in couples]
    looks = looks_of(study)
    compared = statistics.compare_pairs([pair.differences(looks) for pair in pairs], looks=looks)
    rows = []
    for pair, difference in zip(pairs, compared, strict=True):
        judged = _verdict_columns(pair, difference, len(pairs), study)
        detectable = statistics.detectable(difference)
        measured = _measured_columns(pair) | {"seeds": difference.n}
        measured |= {"detectable": detectable if math.isfinite(detectable) else None}
        rows.append(measured | difference_columns(difference, len(pairs)) | judged)
    return frame_of(rows, PAIRS)


def _gain_first(a: ArmOfPair, b: ArmOfPair) -> tuple[ArmOfPair, ArmOfPair]:
    """Both arms, first the one with pretrained weights, or if both or neither has any, with the higher accuracy."""
    ranks = [(known(arm.row["weights"]) is not None, known(arm.row["test_mean"]) or 0.0) for arm in (a, b)]
    return (b, a) if ranks[1] > ranks[0] else (a, b)


def looks_of(study: StudyFile) -> Looks | None:
    """When the arms of a study are compared; None without a plan: once, with the seeds that there are."""
    looks = study.looks or ((study.most_seeds,) if study.most_seeds else ())
    return Looks(looks, study.planned_seeds or looks[-1]) if looks else None


def same_images(a: pd.Series, b: pd.Series) -> bool:
    """Whether both arms learn from and are tested on the same images, in the same split."""
    return _same_size(a, b) and _agree(a, b, "data_sha256")


def _same_size(a: pd.Series, b: pd.Series) -> bool:
    """Whether both arms learn from as many images of the same data; what isn't known isn't the same."""
    return _agree(a, b, "data", "train_size")


def _agree(a: pd.Series, b: pd.Series, *columns: str) -> bool:
    return all(known(a[c]) is not None and known(a[c]) == known(b[c]) for c in columns)


# ---- what was measured


def difference_columns(compared: PairedDifference, family: int) -> dict[str, Any]:
    """A difference, its interval and its test as columns of pairs.csv and search_pairs.csv."""
    row: dict[str, Any] = {"difference": compared.difference, "ci_low": compared.low, "ci_high": compared.high}
    return row | {"level": compared.level, "p": compared.p, "p_holm": compared.p_holm, "family": family}


def _measured_columns(pair: Pair) -> dict[str, Any]:
    a, b = pair.rows
    alone = statistics.paired_difference(pair.scores["a"], pair.scores["b"])
    return {
        **{column: a[column] for column in ("study", "data", "train_size")},
        "arm_a": a["arm"],
        "arm_b": b["arm"],
        "holds_for": str(pair.holds_for),
        "seeds_ci_low": alone.low,
        "seeds_ci_high": alone.high,
        "probability_of_improvement": statistics.probability_of_improvement(pair.scores["a"], pair.scores["b"]),
        "test_sampling": sampling_width(a, b),
        "untuned_a": _untuned(pair.a, pair.b),
        "untuned_b": _untuned(pair.b, pair.a),
        **_speedup(pair),
    }


def sampling_width(*rows: pd.Series) -> float | None:
    """Half-width, in points, that test-set sampling alone gives the arms' accuracies: the wider one."""
    widths = [
        statistics.sampling_half_width(float(r["test_mean"]), int(r["test_images"]))
        for r in rows
        if known(r["test_mean"]) is not None and (known(r["test_images"]) or 0) > 0
    ]
    return max(widths, default=None)


def _speedup(pair: Pair) -> dict[str, Any]:
    """How many times sooner a reaches the highest stated accuracy that the median run of both reaches."""
    a, b = pair.rows
    stated = [(float(t), str(t)) for t in THRESHOLDS]
    if known(a["halfway_accuracy"]) is not None:
        stated.append((float(a["halfway_accuracy"]), "halfway"))
    for threshold, target in sorted(stated, reverse=True):
        epochs = [known(arm[f"epochs_to_{target}"]) for arm in (a, b)]
        if None in epochs or not epochs[0]:
            continue
        row = {"speedup_epochs": float(epochs[1]) / float(epochs[0]), "speedup_threshold": threshold}
        row |= _speedup_bounds(pair, threshold, "epochs")
        seconds = [known(arm[f"seconds_to_{target}"]) for arm in (a, b)]
        if None not in seconds and seconds[0] and _agree(a, b, "device", "threads"):
            row["speedup_seconds"] = float(seconds[1]) / float(seconds[0])
            row |= _speedup_bounds(pair, threshold, "seconds")
        return row
    return {}


def _speedup_bounds(pair: Pair, threshold: float, measure: str) -> dict[str, float | None]:
    low, high = pair.speedup(threshold, measure)
    return {f"speedup_{measure}_low": low or None, f"speedup_{measure}_high": high if math.isfinite(high) else None}


def _untuned(arm: ArmOfPair, other: ArmOfPair) -> float | None:
    """Percent of the arm's first trials that had more validation accuracy than the other's whole search: what tuning it
    is spared."""
    rows, best = arm.first_trials, known(other.row["val_accuracy"])
    if rows.empty or best is None or not same_images(arm.row, other.row):
        return None
    return 100 * float((rows["state"].eq("COMPLETE") & rows["val_accuracy"].gt(best).fillna(False)).mean())


# ---- the verdict


def verdict_lines(pairs: pd.DataFrame) -> list[str]:
    """Return a sentence per row of pairs.csv or search_pairs.csv: the verdict, and what to run next if anything is."""
    return [
        f"{verdict}." + ("" if hint is pd.NA else f" Next: {hint}.")
        for verdict, hint in zip(pairs["verdict"], pairs["next"], strict=True)
    ]


def _verdict_columns(pair: Pair, compared: PairedDifference, family: int, study: StudyFile) -> dict[str, Any]:
    a, b = pair.rows
    still = pair.a.runs.all_the_same and pair.b.runs.all_the_same
    pictures = pair.pictures(compared.n)
    alone = None if pictures is None else pictures.at(compared.level)
    further = dict(pictures=alone, reasons=tuple(_reasons(a, b, study)), holds_for=pair.holds_for)
    further |= dict(looks=len(looks.at) if (looks := looks_of(study)) else 1, margin=study.margin)
    sides = _evidence(a, study), _evidence(b, study)
    found = verdict(PairEvidence(*sides, compared, family, deterministic=still, **further))
    hint = "" if found.winner else _next(a, b, found.next_steps, study)
    undecided = NextStep("seeds") in found.next_steps
    judged = {"winner": found.winner or None, "undecided": undecided, "verdict": found.sentence, "next": hint or None}
    return judged | pictures_columns(alone)


def pictures_columns(alone: PicturesAlone | None) -> dict[str, Any]:
    """What test pictures alone leave of a difference, as columns of pairs.csv and search_pairs.csv."""
    if alone is None:
        return {}
    return {"pictures": alone.number, "pictures_alone": alone.half_width, "pictures_paired": alone.is_paired}


def _evidence(arm: pd.Series, study: StudyFile) -> ArmEvidence:
    trials = int(arm["trials"])
    tried_all = study.has_tried_all(arm["arm"], trials)
    return ArmEvidence(arm["arm"], trials, planned_epochs(arm), edge_of(arm), tried_all)


def planned_epochs(arm: pd.Series) -> int | None:
    """Epochs of each trial; None: a model without."""
    planned = known(arm["epochs"])
    return None if planned is None else int(planned)


def edge_of(arm: pd.Series) -> Edge | None:
    """The bound that the arm's search ended at; None: at neither."""
    side = known(arm["edge_side"])
    return None if side is None else Edge(side, float(arm["edge_try_low"]), float(arm["edge_try_high"]))


def _reasons(a: pd.Series, b: pd.Series, study: StudyFile) -> list[str]:
    if not (a["tuned"] and b["tuned"]):
        return ["single runs, no search under one budget"]
    reasons = [*reasons_against(a), *reasons_against(b)]
    for arm in (a, b):
        if (begun := int(arm["confirmations"])) < study.least_seeds and known(arm["best_number"]) is not None:
            reasons.append(f"{study.least_seeds - begun} of {study.least_seeds} confirmations of {arm['arm']} are open")
    if study.places:
        reasons.append(f"results of {counted(len(study.places), 'run')} lie in other folders")
    if not same_images(a, b):
        reasons.append("not the same images, classes or split, or not known to be (data_sha256)")
    return reasons


def reasons_against(arm: pd.Series) -> Iterator[str]:
    """Why a tuned arm may be in no verdict that names a winner."""
    if known(arm["edge"]) is None:
        yield f"the range searched for {arm['arm']} is not known"
    if known(arm["best_number"]) is None:
        yield f"{arm['arm']} has no trial that may be selected{_states(arm)}"
    if known(arm["confirmations_lost"]):
        lost = counted(arm["confirmations_lost"], "confirmation")
        yield f"{lost} of {arm['arm']} DIVERGED and would be missing in its mean"
    if missing := int(arm["confirmations"] - arm["confirmations_lost"] - arm["seeds"]):
        yield f"{counted(missing, 'confirmation')} of {arm['arm']} failed or still running, missing in its mean"
    if disagreement := known(arm["disagreement"]):
        yield disagreement


def _states(arm: pd.Series) -> str:
    listed = [f"{arm[c]} {c.upper()}" for c in ("chance", "diverged", "pruned", "failed") if arm[c]]
    return f" ({', '.join(listed)})" if listed else ""


# ---- what to run next


def _next(a: pd.Series, b: pd.Series, steps: tuple[NextStep, ...], study: StudyFile) -> str:
    """What to run next, in words; "" where nothing would help."""
    if not (a["tuned"] and b["tuned"]):
        return "tune both as arms of one study (headstart -m)"
    if elsewhere := [ANOTHER_STUDY[step.kind] for step in steps if step.kind in ANOTHER_STUDY]:
        return elsewhere[0]
    wanted = [override for step in steps for override in _overrides(step, a, b, study)]
    unknown = any(known(arm["edge"]) is None for arm in (a, b))
    words = " ".join(dict.fromkeys(wanted))
    owed = study.auto_seeds and NextStep("seeds") in steps and min(a["seeds"], b["seeds"]) < study.most_seeds
    if hidden := [HIDDEN[step.kind] for step in steps if step.kind in HIDDEN and not (owed or a["open"] or b["open"])]:
        return hidden[0]
    if words or a["open"] or b["open"] or unknown or owed:
        return "the same command" + (", all arms in it," if unknown else "") + (f" with {words}" if words else " again")
    return ""


def _overrides(step: NextStep, a: pd.Series, b: pd.Series, study: StudyFile) -> list[str]:
    """What the study's command has to say in addition; [] where it goes on as it is, or nothing would help."""
    if step.kind == "range":
        return [override for arm in (a, b) for override in _wider(arm, study)]
    fewer = a if a["trials"] < b["trials"] else b
    if (step.kind == "trials" and fewer["failed"]) or (step.kind == "seeds" and any(map(_without_test, (a, b)))):
        return ["hydra.sweeper.retry_failed=true"]
    if step.kind == "trials":
        return [] if fewer["open"] else [f"n_trials={step.number}"]  # open trials end by the same command
    if any(known(arm["best_number"]) is None for arm in (a, b)):
        return []  # nothing to confirm
    if study.auto_seeds:
        return []
    beyond = [f"confirm_seeds_max={study.most_seeds + MORE_SEEDS}"] if study.most_seeds >= USUAL_LIMIT else []
    return [f"confirm_seeds={step.number}"] if step.number else ["confirm_seeds=auto", *beyond]


def _without_test(arm: pd.Series) -> bool:
    """Whether confirmations that were begun lack a test accuracy, and not for divergence: they failed, or go on."""
    return arm["confirmations"] > arm["confirmations_lost"] + arm["seeds"]


def _wider(arm: pd.Series, study: StudyFile) -> list[str]:
    """Overrides that widen a flagged arm's range: the study can extend an interval, a list needs a study of its own."""
    if not known(arm["edge"]):
        return []
    distribution = study.spaces.get(arm["arm"], {}).get("lr")
    if isinstance(distribution, dict) and distribution.get("log"):
        return ["search.extend_at_edge=true"]
    side = arm["edge_side"]
    return [f"lr_{side}={arm[f'edge_try_{side}']:g}", "name=NEW_NAME"]
