"""The verdict on two arms in words: a winner where the evidence names one, else what is missing and what to run."""

import math
from dataclasses import dataclass
from typing import Literal

from headstart.statistics import Edge

MINIMUM_SEEDS = 3  # below, a verdict says "too few seeds": with 2 the t quantile is 12.7 standard errors
CLAIM_SEEDS = 10  # for a claim beyond the study itself
DEFAULT_SEEDS = 5


@dataclass(frozen=True)
class PairEvidence:
    """What a verdict on a pair of arms rests on.

    `difference`, `low`, `high` (a - b, in points; NaN where there is none) and `p_holm` are as `compare_pairs` gives
    them for a family of `pairs`. `epochs_*` is None for an arm without epochs. `p_mcnemar`, of the confirmed models, is
    used only where every seed gave the same difference (deterministic arms). `test_sampling` (`sampling_half_width` at
    the arms' accuracy) is mentioned where the difference is smaller. `reasons`: what else forbids to name a winner.
    `repeats` says what each paired value comes from: a confirmation seed of one search, or a search of its own.
    """

    arm_a: str
    arm_b: str
    difference: float
    low: float
    high: float
    p_holm: float
    seeds: int
    trials_a: int
    trials_b: int
    epochs_a: int | None = None
    epochs_b: int | None = None
    edge_a: Edge | None = None
    edge_b: Edge | None = None
    alpha: float = 0.05
    pairs: int = 1
    p_mcnemar: float | None = None
    test_sampling: float | None = None
    reasons: tuple[str, ...] = ()
    repeats: Literal["seeds", "searches"] = "seeds"

    @property
    def budgets_equal(self) -> bool:
        """Same number of trials and same epochs per trial."""
        return (self.trials_a, self.epochs_a) == (self.trials_b, self.epochs_b)


@dataclass(frozen=True)
class Verdict:
    """One sentence, the arm it names as better ("" for none) and the overrides to run next ("" for nothing missing)."""

    sentence: str
    winner: str
    hint: str


def verdict(evidence: PairEvidence) -> Verdict:
    """The one sentence that the evidence on a pair of arms allows.

    A winner is named only where budgets are equal, neither arm has an edge flag, there are at least 3 paired seeds, the
    interval excludes zero and p_holm < alpha. Otherwise: what is missing, or the largest difference not ruled out.
    """
    missing = _missing_budget(evidence) + _missing_range(evidence) + _missing_seeds(evidence)
    missing += [(reason, "") for reason in evidence.reasons]
    if missing:
        reasons, hints = zip(*missing, strict=True)
        has_interval = math.isfinite(evidence.low) and evidence.seeds >= MINIMUM_SEEDS
        measured = f" ({_measured(evidence)})" if has_interval else ""
        sentence = f"no winner between {evidence.arm_a} and {evidence.arm_b}{measured}: {'; '.join(reasons)}"
        return Verdict(sentence, "", " ".join(dict.fromkeys(hint for hint in hints if hint)))
    if not math.isfinite(evidence.low):
        return _verdict_without_spread(evidence)
    if evidence.p_holm < evidence.alpha and evidence.low * evidence.high > 0:
        winner, loser = _ordered(evidence)
        points = f"{abs(evidence.difference):.2f} points"
        return Verdict(f"{winner} is better than {loser} by {points} ({_interval(evidence)})", winner, "")
    largest = f"{max(abs(evidence.low), abs(evidence.high)):.2f} points"
    sentence = f"no difference larger than {largest} shown between {evidence.arm_a} and {evidence.arm_b}"
    return Verdict(f"{sentence} ({_measured(evidence)})", "", _more_seeds(evidence))


def _ordered(evidence: PairEvidence) -> tuple[str, str]:
    arms = evidence.arm_a, evidence.arm_b
    return arms if evidence.difference > 0 else arms[::-1]


def _more_seeds(evidence: PairEvidence) -> str:
    return _seeds_wanted(evidence, CLAIM_SEEDS) if evidence.seeds < CLAIM_SEEDS else ""


def _seeds_wanted(evidence: PairEvidence, number: int) -> str:
    if evidence.repeats == "seeds":
        return f"confirm_seeds={number}"
    return f"repeat both with {number - evidence.seeds} more seeds, the same for both"


def _missing_budget(evidence: PairEvidence) -> list[tuple[str, str]]:
    missing = []
    if evidence.trials_a != evidence.trials_b:
        reason = f"budgets differ ({evidence.trials_a} against {evidence.trials_b} trials)"
        more = f"n_trials={max(evidence.trials_a, evidence.trials_b)}"
        missing.append((reason, more if evidence.repeats == "seeds" else ""))
    if evidence.epochs_a != evidence.epochs_b:
        # Epochs are fixed in a study, so there is no override that would mend this one.
        missing.append((f"budgets differ ({evidence.epochs_a} against {evidence.epochs_b} epochs)", ""))
    return missing


def _missing_range(evidence: PairEvidence) -> list[tuple[str, str]]:
    missing = []
    for arm, flag in ((evidence.arm_a, evidence.edge_a), (evidence.arm_b, evidence.edge_b)):
        if flag is not None and flag.side:
            reason = f"best learning rate of {arm} at the {flag.side} edge (try {flag.low:g} to {flag.high:g})"
            missing.append((reason, "search.extend_at_edge=true" if evidence.repeats == "seeds" else ""))
    return missing


def _missing_seeds(evidence: PairEvidence) -> list[tuple[str, str]]:
    if evidence.seeds >= MINIMUM_SEEDS:
        return []
    reason = f"too few {evidence.repeats} ({evidence.seeds}, at least {MINIMUM_SEEDS})"
    return [(reason, _seeds_wanted(evidence, DEFAULT_SEEDS))]


def _verdict_without_spread(evidence: PairEvidence) -> Verdict:
    """Verdict on arms whose difference is the same at every seed: only the test images can tell them apart."""
    same = f"every one of {evidence.seeds} {evidence.repeats} gave the same difference"
    p = None if evidence.p_mcnemar is None else min(1.0, evidence.p_mcnemar * evidence.pairs)
    if p is not None and p < evidence.alpha and evidence.difference:
        winner, loser = _ordered(evidence)
        points = f"{abs(evidence.difference):.2f} points"
        return Verdict(f"{winner} is better than {loser} by {points} ({same}; exact McNemar p = {p:.2g})", winner, "")
    test = "no McNemar test at hand" if p is None else f"exact McNemar p = {p:.2g}"
    measured = f"{same} ({evidence.difference:+.2f} points; {test})"
    sentence = f"no winner between {evidence.arm_a} and {evidence.arm_b}: {measured}"
    return Verdict(sentence, "", _more_seeds(evidence))


def _measured(evidence: PairEvidence) -> str:
    return f"difference {evidence.difference:+.2f}, {_interval(evidence, signed=True)}"


def _interval(evidence: PairEvidence, signed: bool = False) -> str:
    """The interval in words: as a - b where `signed`, otherwise as winner - loser; with what it does not hold."""
    low, high = evidence.low, evidence.high
    if evidence.difference < 0 and not signed:
        low, high = -high, -low
    family = f", corrected for {evidence.pairs} pairs" if evidence.pairs > 1 else ""
    level = f"{100 * (1 - evidence.alpha):g} % interval {low:.2f} to {high:.2f}{family}"
    sampling = evidence.test_sampling
    small_gap = sampling is not None and abs(evidence.difference) < sampling
    images = f", test-set sampling alone ±{sampling:.2f}" if small_gap else ""
    luck = "not included" if evidence.repeats == "seeds" else "included"
    return f"{level}, {evidence.seeds} {evidence.repeats}, luck of the search {luck}{images}"
