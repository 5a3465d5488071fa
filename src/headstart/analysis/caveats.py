"""What has to be said beside the verdicts of a study: each a sentence, and what kind of one."""

import dataclasses
import enum
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from headstart.analysis.arm_search import ways_out
from headstart.analysis.arms_table import NO_STUDY, OPEN
from headstart.analysis.csv_tables import first
from headstart.analysis.pairs_table import sampling_width
from headstart.analysis.runs_of_arm import ARM_PHASES, ArmRuns, differing_machines
from headstart.analysis.verdict import counted
from headstart.errors import listed
from headstart.store import WEIGHT_SUFFIXES, StudyFile

# In the reason of a COMPLETE run, by training.estimator_trainer; result.json says it nowhere else.
NOT_CONVERGED = "did not converge"


class CaveatKind(enum.Enum):
    """What a caveat is about."""

    DEAD_END = "arms without a trial that may be selected"
    UNFINISHED = "trials or confirmations that the study still owes"
    SINGLE_RUNS = "arms that were not searched"
    LUCK_OF_THE_SEARCH = "what an interval over seeds leaves out"
    TEST_READS = "how often the test split was read"
    EARLIER_CHOICE = "readings for a trial that is the best no more"
    FORBIDDEN_READS = "readings by runs that never should"
    TEST_SAMPLING = "what the choice of test images leaves open"
    NOT_PAIRED = "arms that no verdict compares"
    OWN_WEIGHTS = "weights that are not published ones"
    UNSUCCESSFUL = "trials and confirmations that led nowhere"
    NOT_CONVERGED = "fits that were cut short"
    FEW_SETTINGS = "arms whose search ended before others', because they have no more settings"
    NOT_VARIED = "arms that the seeds leave as they are"
    FOLDS = "what confirmations on the folds of the same images leave open"
    MACHINES = "devices, precisions and versions that runs differ in"
    EDGE_UNCHECKED = "searched values whose range nobody checked"
    SECONDS_NOT_COMPARED = "machines that differ"
    REPEATS = "searches repeated with other seeds"


@dataclass(frozen=True)
class Caveat:
    """A sentence to be read with the verdicts; `str` of it is the sentence."""

    kind: CaveatKind
    text: str

    def __str__(self) -> str:
        return self.text

    def said_of(self, name: str) -> "Caveat":
        """The same, said of what is called `name`."""
        return dataclasses.replace(self, text=f"{name}: {self.text}")


def caveats(
    arms: pd.DataFrame,
    pairs: pd.DataFrame,
    ledger: pd.DataFrame,
    trials: pd.DataFrame,
    runs: Mapping[str, ArmRuns],
    study: StudyFile = NO_STUDY,
) -> list[Caveat]:
    """Return what has to be said beside the verdicts of one study; [] without runs."""
    if trials.empty:
        return []
    said = {
        CaveatKind.DEAD_END: _dead_ends(arms, trials, study),
        CaveatKind.UNFINISHED: _unfinished(arms, runs, study),
        CaveatKind.SINGLE_RUNS: _single_runs(arms),
        CaveatKind.LUCK_OF_THE_SEARCH: _luck(arms),
        CaveatKind.TEST_READS: _test_reads(trials),
        CaveatKind.EARLIER_CHOICE: _earlier_choice(ledger),
        CaveatKind.FORBIDDEN_READS: _forbidden_reads(trials),
        CaveatKind.TEST_SAMPLING: _test_sampling(arms),
        CaveatKind.NOT_PAIRED: itertools.chain(_not_paired(arms), _of_other_data(arms, trials)),
        CaveatKind.OWN_WEIGHTS: _own_weights(arms, trials),
        CaveatKind.UNSUCCESSFUL: _unsuccessful(arms),
        CaveatKind.NOT_CONVERGED: _not_converged(arms, runs),
        CaveatKind.FEW_SETTINGS: _few_settings(arms, study),
        CaveatKind.NOT_VARIED: _not_varied(arms, runs),
        CaveatKind.FOLDS: _folds(arms, runs),
        CaveatKind.MACHINES: _differing(trials),
        CaveatKind.EDGE_UNCHECKED: _unchecked(arms, study),
        CaveatKind.SECONDS_NOT_COMPARED: _machines(pairs),
    }
    return [Caveat(kind, sentence) for kind, sentences in said.items() for sentence in sentences]


def _dead_ends(arms: pd.DataFrame, trials: pd.DataFrame, study: StudyFile) -> Iterator[str]:
    """Arms whose search has led nowhere: why, in numbers, and up to two commands that might lead further."""
    lost = arms["tuned"] & arms["best_number"].isna() & arms["open"].eq(0) & (arms["chance"] + arms["diverged"]).gt(0)
    for _, arm in arms[lost].iterrows():
        own = trials[trials["arm"].eq(arm["arm"]) & trials["phase"].eq("search")]
        states = ", ".join(f"{n} {state}" for state, n in own["state"].value_counts().items())
        guessed = own[own["state"].eq("CHANCE")].sort_values("val_accuracy", ascending=False)
        why = f" The best: {guessed['reason'].iloc[0]}." if len(guessed) else " Their loss became NaN or infinite."
        further = " or ".join(ways_out(own, study, arm["arm"]))
        yield f"{arm['arm']}: none of its trials may be selected ({states}).{why}" + (further and f" Try {further}")


def _unfinished(arms: pd.DataFrame, runs: Mapping[str, ArmRuns], study: StudyFile) -> Iterator[str]:
    """Trials and confirmations that the study still owes; of a budget that was raised, what the furthest arm had."""
    order, seeds = study.arm_order, study.least_seeds
    own = arms[arms["arm"].isin(order)]
    ended = own["trials"] + own["failed"]
    most = max([study.n_trials, *ended])
    each = {arm: min(most, study.settings.get(arm, most)) for arm in order}
    each |= {arm: max(n, each[arm]) for arm, n in zip(own["arm"], ended, strict=True)}
    nothing_to_confirm = ((ended >= own["arm"].map(each)) & own["best_number"].isna()).sum()
    trials_wanted, wanted = sum(each.values()), seeds * (len(order) - nothing_to_confirm)
    done = sum(min(n, seeds) for n in _ended_confirmations(own, runs))
    if ended.sum() < trials_wanted or done < wanted or own["open"].any():
        state = f"{ended.sum()} of {trials_wanted} search trials and {done} of {wanted} confirmations have ended"
        goes_on = f" The same command goes on: {study.command}" if study.command else ""
        yield f"The study is unfinished{' here' if study.places else ''}: {state}.{_away(study) or goes_on}"
    elif study.places:
        yield f"The study is unfinished here.{_away(study)}"


def _away(study: StudyFile) -> str:
    """What is said of runs whose results lie in other folders of the study; "" without any."""
    if not study.places:
        return ""
    runs, where = counted(len(study.places), "run"), listed(sorted(set(study.places.values())))
    verb, they = ("has", "it") if len(study.places) == 1 else ("have", "them")
    return f" {runs} {verb} ended in {where}: copy {they} into this folder, and have the report made again."


def _ended_confirmations(arms: pd.DataFrame, runs: Mapping[str, ArmRuns]) -> Iterator[int]:
    """Per arm, the confirmations of its present best trial that have ended."""
    for name in arms.loc[arms["tuned"], "arm"]:
        yield int((~runs[name].repeats["state"].isin(OPEN)).sum())


def _few_settings(arms: pd.DataFrame, study: StudyFile) -> Iterator[str]:
    for name, trials in zip(arms["arm"], arms["trials"], strict=True):
        if study.has_tried_all(name, trials) and trials < arms["trials"].max():
            settings = "its only setting" if trials == 1 else f"all of its {trials} settings"
            yield f"{name}: {settings} tried, where others had up to {counted(arms['trials'].max(), 'trial')}."


def _single_runs(arms: pd.DataFrame) -> Iterator[str]:
    if names := _names(arms[~arms["tuned"]]):
        yield (
            f"{names}: single runs, described and not judged. The best by validation accuracy is shown with its "
            "repeats; nobody counted how hard each was tuned."
        )


def _names(arms: pd.DataFrame) -> str:
    return ", ".join(arms["arm"])


def _luck(arms: pd.DataFrame) -> Iterator[str]:
    if (arms["tuned"] & arms["seeds"].gt(0) & arms["luck_std"].isna()).any():
        yield (
            "The seeds vary initial weights, order of the images and augmentation, not the search: a verdict is about "
            "the settings found, and the luck of the search is not in its interval."
        )


def _differing(trials: pd.DataFrame) -> Iterator[str]:
    if found := list(differing_machines(trials[trials["phase"].isin(ARM_PHASES)])):
        yield f"The runs were not all made alike: {'; '.join(found)}. Last digits, and seconds, may differ for it."


def _test_reads(trials: pd.DataFrame) -> Iterator[str]:
    reads = _reads_by_phase(trials)
    by = {"confirm": "confirmations", "run": "single runs", "search": "search trials", "source": "source runs"}
    named = [f"{n} by {by.get(phase, 'runs of no known phase')}" for phase, n in reads.items() if n]
    yield f"The test split was read {counted(int(reads.sum()), 'time')}" + (f": {', '.join(named)}." if named else ".")


def _reads_by_phase(trials: pd.DataFrame) -> pd.Series:
    return trials.groupby("phase", dropna=False)["test_reads"].sum()


def _earlier_choice(ledger: pd.DataFrame) -> Iterator[str]:
    earlier = ledger[ledger["test_reads_earlier_choice"].gt(0)].iloc[:-1]
    for name, number in zip(earlier["arm"], earlier["test_reads_earlier_choice"], strict=True):
        yield (
            f"The test split had been read {counted(number, 'time')} for an earlier choice of {name}'s best trial; "
            "these readings are in trials.csv and the ledger, not in arms.csv and pairs.csv."
        )


def _forbidden_reads(trials: pd.DataFrame) -> Iterator[str]:
    reads = _reads_by_phase(trials)
    if reads.get("search", 0) or reads.get("source", 0):
        yield "Search or source runs have read the test split, which they never should; look at trials.csv."


def _test_sampling(arms: pd.DataFrame) -> Iterator[str]:
    if width := sampling_width(*(row for _, row in arms.iterrows())):
        images = "/".join(f"{n:,}" for n in sorted(arms["test_images"].dropna().unique()))
        yield f"Test-set sampling alone moves an accuracy by up to ±{width:.2f} points (95 %, {images} test images)."


def _not_paired(arms: pd.DataFrame) -> Iterator[str]:
    groups = arms.groupby(["data", "train_size"], dropna=False, sort=False)
    if len(groups) > 1:
        each = [f"{_names(own)} ({data}, {size} images)" for (data, size), own in groups]
        yield f"Arms are compared only on the same data and train_size: {'; '.join(each)}."


def _of_other_data(arms: pd.DataFrame, trials: pd.DataFrame) -> Iterator[str]:
    """Single runs of one network that lie in one folder, though they were given different data."""
    for _, arm in arms[~arms["tuned"]].iterrows():
        own = trials[trials["arm"].eq(arm["arm"]) & trials["phase"].eq("run")]
        if others := [name for name in own["data"].dropna().unique() if name != arm["data"]]:
            on = listed(map(str, others))
            yield f"{arm['arm']} is told of {arm['data']}; its runs on {on} are not compared with it."


def _own_weights(arms: pd.DataFrame, trials: pd.DataFrame) -> Iterator[str]:
    has_source = (trials["phase"] == "source").any()
    for name, weights in zip(arms["arm"], arms["weights"], strict=True):
        if weights is pd.NA or not (weights.endswith(WEIGHT_SUFFIXES) or weights.startswith(("/", "./", "../", "~"))):
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


def _not_converged(arms: pd.DataFrame, runs: Mapping[str, ArmRuns]) -> Iterator[str]:
    """Runs behind an arm's test accuracy whose fit was cut short, which the state COMPLETE doesn't say."""
    for _, arm in arms.iterrows():
        repeats = runs[arm["arm"]].repeats
        short = repeats[repeats["reason"].str.contains(NOT_CONVERGED, regex=False).fillna(False)]
        if len(short):
            what = counted(len(short), "confirmation" if arm["tuned"] else "single run")
            yield f"{arm['arm']}: {what} {first(short['reason'])}; a longer fit might score otherwise."


def _not_varied(arms: pd.DataFrame, runs: Mapping[str, ArmRuns]) -> Iterator[str]:
    names = arms.loc[arms["folds"].isna(), "arm"]
    still = [runs[name].all_the_same for name in names]
    if same := ", ".join(itertools.compress(names, still)):
        yield (
            f"{same}: every seed gave the same model, its fit draws nothing at random. An interval over seeds has no "
            "width there, and holds neither the choice of training images nor that of test images."
        )


def _folds(arms: pd.DataFrame, runs: Mapping[str, ArmRuns]) -> Iterator[str]:
    folded = arms[arms["tuned"] & arms["seeds"].gt(1) & arms["folds"].notna()]
    if names := _names(folded):
        yield f"{names}: what two folds leave to train on overlaps; for wholly new images the intervals are too narrow."
    for _, arm in folded.iterrows():
        own = runs[arm["arm"]]
        used = own.repeats["fold"].value_counts()
        if len(used) < arm["folds"] or used.nunique() > 1:
            yield f"{arm['arm']}: its {used.sum()} confirmations do not use all {arm['folds']} folds equally often."
        if own.all_the_same:
            yield f"{arm['arm']}: seeds with the same fold gave the same model; more seeds than folds say no more."


def _unchecked(arms: pd.DataFrame, study: StudyFile) -> Iterator[str]:
    for name in arms["arm"]:
        other = [key for key in study.spaces.get(name, {}) if key != "lr"]
        if other:
            yield f"{name}: whether the best {', '.join(other)} lies at the edge of what was searched is not checked."


def _machines(pairs: pd.DataFrame) -> Iterator[str]:
    if (pairs["speedup_epochs"].notna() & pairs["speedup_seconds"].isna()).any():
        yield "Training seconds are not compared where the arms' confirmations ran on other devices or thread counts."
