"""The verdict on two arms in words: a winner where the evidence names one, else what is missing and what to run."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from headstart import statistics
from headstart.errors import listed
from headstart.statistics import Edge, PairedDifference

MINIMUM_SEEDS = 3  # below, a verdict says "too few seeds": with 2 the t quantile is 12.7 standard errors
CLAIM_SEARCHES = 10  # for a claim beyond the studies themselves
POWER = 0.8  # with which a detectable difference would have been shown
DEFAULT_SEEDS = 5


def counted(number: int, noun: str) -> str:
    """`1 trial`, `1,234 trials`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


@dataclass(frozen=True)
class ArmEvidence:
    """What a verdict rests on of one side, an arm or a search that was repeated."""

    name: str
    trials: int
    epochs: int | None = None  # of each trial; None: a model without epochs
    edge: Edge | None = None  # None: the best learning rate lies inside its range
    tried_all: bool = False  # every setting that there is to search: more trials would repeat some


@dataclass(frozen=True)
class HoldsFor:
    """What an interval generalises to, beside new seeds."""

    pictures: bool = False  # new test pictures from where these came from
    searches: bool = False  # searches that are repeated with other seeds
    folds: bool = False  # other training pictures, as the folds of a study deal them out

    def __str__(self) -> str:
        pictures = "new test pictures" if self.pictures else ""
        searches = "repeated searches" if self.searches else ""
        folds = "other training pictures of these folds" if self.folds else ""
        return listed(filter(None, ("new seeds", pictures, searches, folds)))


@dataclass(frozen=True)
class PicturesAlone:
    """What the choice of test pictures alone leaves of a difference, by these very models: ± points at its level."""

    number: int
    half_width: float
    is_paired: bool = True  # whether it is known which pictures each arm got right


@dataclass(frozen=True)
class PairEvidence:
    """What a verdict on a pair of arms rests on.

    `compared` (a - b, in points) is as `compare_pairs` gives it for a family of `family` pairs. `pictures` are
    mentioned where they alone would hide the difference. `reasons`: what else forbids to name a winner. `repeats` says
    what each paired value comes from: a confirmation seed, or a search of its own. `holds_for`: what the interval
    generalises to. `deterministic`: no seed changes either arm's model. `looks`: with how many numbers of seeds the
    pair is compared. `margin`: points that do not matter to the user.
    """

    a: ArmEvidence
    b: ArmEvidence
    compared: PairedDifference
    family: int = 1
    alpha: float = 0.05
    deterministic: bool = False
    pictures: PicturesAlone | None = None
    reasons: tuple[str, ...] = ()
    repeats: Literal["seeds", "searches"] = "seeds"
    holds_for: HoldsFor = HoldsFor()
    looks: int = 1
    margin: float | None = None

    @property
    def names(self) -> str:
        """Both arms."""
        return f"{self.a.name} and {self.b.name}"

    @property
    def is_hidden(self) -> bool:
        """Whether the choice of test pictures alone, without any luck of the seeds, could make such a difference."""
        return self.pictures is not None and abs(self.compared.difference) < self.pictures.half_width


@dataclass(frozen=True)
class NextStep:
    """What more would have to be run: trials or seeds up to `number` of each arm, or trials in a wider range.

    Seeds without a number: as many as decide the pair. Where no seed changes anything: the arms on more test images, or
    the same with their predictions kept. Hidden, and unpaired: seeds may decide it, but hardly without these.
    """

    kind: Literal["trials", "seeds", "range", "images", "predictions", "hidden", "unpaired"]
    number: int | None = None


@dataclass(frozen=True)
class Verdict:
    """One sentence, the arm that it names as better ("" for none) and what to run next (empty: nothing is missing)."""

    sentence: str
    winner: str = ""
    next_steps: tuple[NextStep, ...] = ()


def verdict(evidence: PairEvidence) -> Verdict:
    """The one sentence that the evidence on a pair of arms allows.

    A winner is named only where budgets are equal, neither arm has an edge flag, there are at least 3 paired seeds, the
    interval excludes zero and p_holm < alpha. Otherwise: what is missing, or the largest difference not ruled out.
    The arm that is ahead is named first, and its difference is positive.
    """
    evidence = _better_first(evidence)
    compared = evidence.compared
    missing = list(_missing(evidence))
    if missing:
        has_interval = math.isfinite(compared.low) and compared.n >= MINIMUM_SEEDS
        measured = f" ({_measured(evidence)})" if has_interval else ""
        reasons = "; ".join(reason for reason, _ in missing)
        steps = dict.fromkeys(step for _, step in missing if step)
        return Verdict(f"no winner between {evidence.names}{measured}: {reasons}", next_steps=tuple(steps))
    if not math.isfinite(compared.low):
        return _verdict_without_spread(evidence)
    if compared.p_holm < evidence.alpha and compared.low * compared.high > 0:
        return _winner(evidence, _interval(evidence))
    largest = max(abs(compared.low), abs(compared.high))
    if evidence.margin is not None and largest < evidence.margin:
        return Verdict(f"{evidence.names} differ by less than {evidence.margin:g} points ({_measured(evidence)})")
    sentence = f"no difference larger than {largest:.2f} points shown between {evidence.names} ({_measured(evidence)})"
    if not math.isnan(found := statistics.detectable(compared, POWER)):
        shown = f"one of {found:.2f}" if math.isfinite(found) else "not even one of 100"
        sentence += f"; {shown} would have been shown {100 * POWER:g} times in 100"
    if evidence.is_hidden:
        sentence += f"; {_pictures(evidence.pictures)}"
    return Verdict(sentence, next_steps=_more_seeds(evidence))


def _better_first(evidence: PairEvidence) -> PairEvidence:
    compared = evidence.compared
    if not compared.difference < 0:
        return evidence
    turned = replace(compared, difference=-compared.difference, low=-compared.high, high=-compared.low)
    return replace(evidence, a=evidence.b, b=evidence.a, compared=turned)


def _winner(evidence: PairEvidence, why: str) -> Verdict:
    winner, loser, points = evidence.a.name, evidence.b.name, evidence.compared.difference
    return Verdict(f"{winner} is better than {loser} by {points:.2f} points ({why})", winner)


def _more_seeds(evidence: PairEvidence) -> tuple[NextStep, ...]:
    paired = evidence.pictures is not None and evidence.pictures.is_paired
    if evidence.deterministic:
        return (NextStep("images" if paired else "predictions"),)
    if evidence.repeats == "seeds":
        hidden = NextStep("hidden" if paired else "unpaired")
        return (NextStep("seeds"), *([hidden] if evidence.is_hidden else []))
    return (NextStep("seeds", CLAIM_SEARCHES),) if evidence.compared.n < CLAIM_SEARCHES else ()


def _missing(evidence: PairEvidence) -> Iterator[tuple[str, NextStep | None]]:
    """Every reason against naming a winner, and what would mend it."""
    a, b, seeds = evidence.a, evidence.b, evidence.compared.n
    if a.trials != b.trials and not min(a, b, key=lambda arm: arm.trials).tried_all:
        more = NextStep("trials", max(a.trials, b.trials))
        yield f"budgets differ ({a.trials} against {b.trials} trials)", more
    if None not in (a.epochs, b.epochs) and a.epochs != b.epochs:
        # Epochs are fixed in a study, so there is no step that would mend this one.
        yield f"budgets differ ({a.epochs} against {b.epochs} epochs)", None
    for arm in (a, b):
        if arm.edge is not None and arm.edge.side:
            range_to_try = f"{arm.edge.low:g} to {arm.edge.high:g}"
            reason = f"best learning rate of {arm.name} at the {arm.edge.side} edge (try {range_to_try})"
            yield reason, NextStep("range")
    if seeds < MINIMUM_SEEDS:
        yield f"too few {evidence.repeats} ({seeds}, at least {MINIMUM_SEEDS})", NextStep("seeds", DEFAULT_SEEDS)
    yield from ((reason, None) for reason in evidence.reasons)


def _verdict_without_spread(evidence: PairEvidence) -> Verdict:
    """Verdict on arms whose difference is the same at every seed, with no test images at hand to tell them apart."""
    same = f"every one of {evidence.compared.n} {evidence.repeats} gave the same difference"
    measured = f"{evidence.compared.difference:+.2f} points"
    sentence = f"no winner between {evidence.names}: {same} ({measured}), which says nothing of its spread"
    return Verdict(sentence, next_steps=_more_seeds(evidence))


def _measured(evidence: PairEvidence) -> str:
    return f"difference {evidence.compared.difference:+.2f}, {_interval(evidence)}"


def _interval(evidence: PairEvidence) -> str:
    """The interval of a - b in words, with what it does not hold."""
    low, high = evidence.compared.low, evidence.compared.high
    several = [f"{n} {what}" for n, what in ((evidence.family, "pairs"), (evidence.looks, "looks")) if n > 1]
    family = f", corrected for {' and '.join(several)}" if several else ""
    level = f"{100 * (1 - evidence.alpha):g} % interval {low:.2f} to {high:.2f}{family}"
    return f"{level}, {evidence.compared.n} {evidence.repeats}, {_generalises(evidence)}"


def _pictures(pictures: PicturesAlone) -> str:
    unpaired = "" if pictures.is_paired else ", as predictions were not kept to pair them"
    return f"{counted(pictures.number, 'test picture')} alone leave ±{pictures.half_width:.2f} points{unpaired}"


def _generalises(evidence: PairEvidence) -> str:
    """For what the interval holds, and what it leaves out."""
    if evidence.repeats == "searches":
        return f"luck of the search{' and new test pictures' if evidence.holds_for.pictures else ''} included"
    luck = "" if evidence.holds_for.searches else "luck of the search not included"
    further = f"for {evidence.holds_for}" if evidence.holds_for != HoldsFor() else ""
    return ", ".join(filter(None, (further, luck)))
