"""The sentences of a report: the verdicts, and what has to be said beside them."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from headstart.analysis.arms_table import OPEN, Study, first, item
from headstart.analysis.pairs_table import count, sampling_width
from headstart.analysis.runs_of_arm import runs_of_arm

NOT_CONVERGED = "did not converge"  # in the reason of a COMPLETE run
WEIGHT_FILES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")


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


def _unfinished(arms: pd.DataFrame, trials: pd.DataFrame, study: Study | None) -> Iterator[str]:
    """Trials and confirmations that the study still owes; of a budget that was raised, what the furthest arm had."""
    if study is None:
        return
    order, seeds = item(study, "arm_order", list), item(study, "confirm_seeds", int)
    own = arms[arms["arm"].isin(order)]
    ended = own["trials"] + own["failed"]
    each = max([item(study, "n_trials", int), *ended])
    nothing_to_confirm = ((ended >= each) & own["best_number"].isna()).sum()
    trials_wanted, wanted = each * len(order), seeds * (len(order) - nothing_to_confirm)
    done = sum(min(n, seeds) for n in _ended_confirmations(own, trials))
    if ended.sum() < trials_wanted or done < wanted or own["open"].any():
        state = f"{ended.sum()} of {trials_wanted} search trials and {done} of {wanted} confirmations have ended"
        yield f"The study is unfinished: {state}. The same command goes on: {item(study, 'command', str)}"


def _ended_confirmations(arms: pd.DataFrame, trials: pd.DataFrame) -> Iterator[int]:
    """Per arm, the confirmations of its present best trial that have ended."""
    for _, arm in arms[arms["tuned"]].iterrows():
        runs = _repeats(arm, trials)
        yield int((~runs["state"].isin(OPEN)).sum())


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
    yield f"The test split was read {count(int(reads.sum()), 'time')}" + (f": {', '.join(named)}." if named else ".")
    earlier = ledger[ledger["test_reads_earlier_choice"].gt(0)].iloc[:-1]
    for name, number in zip(earlier["arm"], earlier["test_reads_earlier_choice"], strict=True):
        yield (
            f"The test split had been read {count(number, 'time')} for an earlier choice of {name}'s best trial; "
            "these readings are in trials.csv and the ledger, not in arms.csv and pairs.csv."
        )
    if reads.get("search", 0) or reads.get("source", 0):
        yield "Search or source runs have read the test split, which they never should; look at trials.csv."
    if width := sampling_width(*(row for _, row in arms.iterrows())):
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
    for _, arm in arms.iterrows():
        runs = _repeats(arm, trials)
        short = runs[runs["reason"].str.contains(NOT_CONVERGED, regex=False).fillna(False)]
        if len(short):
            what = count(len(short), "confirmation" if arm["tuned"] else "single run")
            yield f"{arm['arm']}: {what} {first(short['reason'])}; a longer fit might score otherwise."


def _repeats(arm: pd.Series, trials: pd.DataFrame) -> pd.DataFrame:
    return runs_of_arm(trials[trials["arm"] == arm["arm"]]).repeats


def _not_varied(arms: pd.DataFrame, trials: pd.DataFrame) -> Iterator[str]:
    """Arms that the seeds leave exactly as they are, to the last digit of the validation loss."""
    still = [arm["seeds"] >= 2 and _repeats(arm, trials)["val_loss"].nunique() == 1 for _, arm in arms.iterrows()]
    if same := ", ".join(itertools.compress(arms["arm"], still)):
        yield (
            f"{same}: every seed gave the same model, its fit draws nothing at random. An interval over seeds has no "
            "width there, and holds neither the choice of training images nor that of test images."
        )


def _unchecked(arms: pd.DataFrame, study: Study | None) -> Iterator[str]:
    for name in arms["arm"]:
        other = [k for k in item(item(study, "spaces", dict), name, dict) if k != "lr"]
        if other:
            yield f"{name}: whether the best {', '.join(other)} lies at the edge of what was searched is not checked."


def _machines(arms: pd.DataFrame, pairs: pd.DataFrame) -> Iterator[str]:
    if (pairs["speedup_epochs"].notna() & pairs["speedup_seconds"].isna()).any():
        yield "Training seconds are not compared where the arms' confirmations ran on other devices or thread counts."
