"""Which pruner spends least and finds as good a trial? Searches replayed from trials that were trained to their end.

    headstart -m name=curves model=cnn search=random budget.pruner=null n_trials=48 confirm_seeds=0 epochs=30 \\
        data.train_size=2000 data.validation_size=1000
    python experiments/benchmarks/pruning.py outputs/curves [--searches 200]

A search draws its trials from those of the study, the ones nearest to the factor-of-10 points first, as `arms` does,
and shows the pruner their validation accuracies epoch by epoch. With learning rates drawn at random a trial does not
depend on those before it, so that the replay is exact; and with a constant schedule the first 10 epochs of a trial are
a trial of 10 epochs (with another one, train the study with epochs=10). Printed for each pruner: share of the epochs
that it let train, and what the best validation accuracy that it left is below that of the same search unpruned (mean,
and the worst of 20 searches). Behind it, for halving, what the setting that the search would choose is below the best
one: by a smooth response to all trials of the study, against the choice of the same search unpruned.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, PercentilePruner, SuccessiveHalvingPruner

import headstart
from headstart.config.resolvers import decades, first_pruned_epoch
from headstart.statistics import Curve, choice_of, goals, rungs, to_choose_from

optuna.logging.set_verbosity(optuna.logging.ERROR)
SEARCHES = ((32, 30), (32, 10), (12, 10))  # trials, epochs
FACTORS = (2, 3, 4)  # of halving that pauses
SPACE = {"lr": dict(low=1e-5, high=1e-1, log=True, step=None)}
WIDTH = 0.12  # decades: of the kernel that smooths the accuracies of all trials
GUESSING = 13.0  # percent; who is below when it is paused takes no part in a choice


def pruners(epochs: int, warmup: float) -> dict[str, BasePruner]:
    """What is compared, beside halving that pauses; warmup: of the schedule."""
    first, ninth = first_pruned_epoch(epochs, warmup), math.ceil(epochs / 9)
    return {
        "none": NopPruner(),
        **{f"best {q:g} % from epoch {first}": PercentilePruner(q, 5, first) for q in (12.5, 25, 35, 50)},
        **{
            f"halving from epoch {rung}, factor {factor}": SuccessiveHalvingPruner(rung, factor)
            for rung, factor in ((ninth, 3), (first, 3), (first, 4), (1, 4))
        },
        "hyperband": HyperbandPruner(min_resource=ninth, max_resource=epochs, reduction_factor=3),
    }


def curves(folder: Path) -> tuple[np.ndarray, list[np.ndarray]]:
    """Learning rates and validation accuracies by epoch of the study's trials that ran to their end or diverged."""
    study = headstart.load(folder)
    epochs = study.epochs.groupby("run_dir").val_accuracy
    ended = study.trials.state.isin(["COMPLETE", "CHANCE", "DIVERGED"]) & study.trials.run_dir.isin(epochs.groups)
    rows = study.trials[ended]
    return rows.lr.to_numpy(float), [epochs.get_group(place).to_numpy(float) for place in rows.run_dir]


def search(chosen: list[np.ndarray], first: int, epochs: int, pruner: BasePruner, seed: int) -> tuple[float, int]:
    """Best validation accuracy among the trials left, and the epochs trained; the `first` trials are never pruned."""
    sampler = optuna.samplers.RandomSampler(seed=seed)
    study = optuna.create_study(study_name=str(seed), direction="maximize", pruner=pruner, sampler=sampler)
    spent, best = 0, 0.0
    for number, curve in enumerate(chosen):
        trial = study.ask()
        state = optuna.trial.TrialState.COMPLETE
        for epoch, accuracy in enumerate(curve[:epochs], start=1):
            spent += 1
            trial.report(max(accuracy, GUESSING), epoch)  # no rank is made of guesses
            if number >= first and epoch < epochs and trial.should_prune():
                state = optuna.trial.TrialState.PRUNED
                break
        if state == optuna.trial.TrialState.COMPLETE:
            best = max(best, curve[:epochs].max())
            study.tell(trial, curve[:epochs].max())
        else:
            study.tell(trial, state=state)
    return best, spent


def halved(chosen: list[np.ndarray], at: Sequence[int], factor: float) -> list[int]:
    """To which epoch each trial is trained by halving, which pauses trials and wakes them; at: its rungs."""
    reached = [at[0]] * len(chosen)
    while True:
        curves = [curve_to(curve, epoch, at[-1]) for curve, epoch in zip(chosen, reached, strict=True)]
        found = goals(curves, at, factor, len(chosen))
        if found == reached:
            return found
        reached = found


def curve_to(curve: np.ndarray, epoch: int, epochs: int) -> Curve:
    """A trial as it is after that epoch; one that has no more epochs diverged there."""
    values = dict(enumerate(curve[:epoch].tolist(), start=1))
    diverged = len(curve) < epoch
    return Curve(values, has_ended=diverged or epoch == epochs, led_nowhere=diverged, chance=GUESSING)


def pausing(chosen: list[np.ndarray], at: Sequence[int], factor: float) -> tuple[float, int]:
    """As `search`, by halving."""
    epochs, reached = at[-1], halved(chosen, at, factor)
    best = max(
        (c[:epochs].max() for c, epoch in zip(chosen, reached, strict=True) if epoch == epochs <= len(c)), default=0
    )
    return best, sum(min(epoch, len(curve)) for curve, epoch in zip(chosen, reached, strict=True))


def drawn_searches(rates: np.ndarray, number: int, trials: int, searches: int) -> Iterator[list[int]]:
    """The trials of each search: the nearest to the factor-of-10 points first, the rest at random."""
    near = list(dict.fromkeys(int(np.abs(np.log(rates / point)).argmin()) for point in decades(1e-5, 1e-1)))
    rest = [index for index in range(number) if index not in near]
    for seed in range(searches):
        yield [*near, *np.random.default_rng(seed).permutation(rest)[: trials - len(near)]]


def replay(
    rates: np.ndarray, found: list[np.ndarray], trials: int, epochs: int, warmup: float, searches: int
) -> pd.DataFrame:
    """One row per pruner."""
    first = len({int(np.abs(np.log(rates / point)).argmin()) for point in decades(1e-5, 1e-1)})
    rows = []
    ways: dict[str, BasePruner | float] = {f"halving that pauses, factor {factor}": factor for factor in FACTORS}
    for name, pruner in (ways | pruners(epochs, warmup)).items():
        results = []
        for seed, drawn in enumerate(drawn_searches(rates, len(found), trials, searches)):
            chosen = [found[index] for index in drawn]
            if isinstance(pruner, BasePruner):
                best, spent = search(chosen, first, epochs, pruner, seed)
            else:
                best, spent = pausing(chosen, rungs(epochs, warmup), pruner)
            full = sum(min(epochs, len(curve)) for curve in chosen)
            results.append((100 * spent / full, max(curve[:epochs].max() for curve in chosen) - best))
        share, below = np.array(results).T
        rows.append((trials, epochs, name, share.mean(), below.mean(), np.quantile(below, 0.95), (below == 0).mean()))
    columns = [
        "trials",
        "epochs",
        "pruner",
        "epochs trained, %",
        "points below, mean",
        "worst of 20",
        "same trial found",
    ]
    return pd.DataFrame(rows, columns=columns)


def choices(rates: np.ndarray, found: list[np.ndarray], trials: int, at: Sequence[int], searches: int) -> pd.DataFrame:
    """How far the settings that a search would choose are below the best: of all trials in full, and halved."""
    epochs = at[-1]
    ended = np.array([curve[:epochs].max() if len(curve) >= epochs else 0.0 for curve in found])
    learned = ended > GUESSING

    def response(rate: float) -> float:
        weights = np.exp(-0.5 * (np.log10(rates[learned] / rate) / WIDTH) ** 2)
        return float(weights @ ended[learned] / weights.sum())

    best = max(response(rate) for rate in np.logspace(-5, -1, 200))
    rows = []
    for way in ("in full", "halved"):
        below = []
        for seed, drawn in enumerate(drawn_searches(rates, len(found), trials, searches)):
            curves = {i: curve_to(found[i], epochs, epochs) for i in drawn}
            if way == "halved":
                reached = halved([found[i] for i in drawn], at, FACTORS[1])
                curves = {i: curve_to(found[i], epoch, epochs) for i, epoch in zip(drawn, reached, strict=True)}
            left = [i for i, curve in curves.items() if not curve.led_nowhere and max(curve.values.values()) > GUESSING]
            stopped = [place for place, i in enumerate(left) if not curves[i].has_ended]
            places, values = to_choose_from([curves[i] for i in left], stopped)
            tried = [{"lr": float(rates[left[place]])} for place in places]
            choice = choice_of(SPACE, tried, values, pictures=1000, seed=seed, arm="cnn")
            repeated = [best - response(choice.repeated(again)["lr"]) for again in range(1, 6)]
            below.append((best - response(choice.best["lr"]), np.mean(repeated)))
        rows.append((trials, epochs, way, *np.mean(below, axis=0)))
    columns = ["trials", "epochs", "search", "choice, points below the best", "repeated choices, points below"]
    return pd.DataFrame(rows, columns=columns)


def main() -> None:
    """Replay and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--searches", type=int, default=200)
    parser.add_argument("--warmup", type=float, default=0.0, help="schedule.warmup of the study (0)")
    options = parser.parse_args()
    rates, found = curves(options.folder)
    print(f"{len(found)} trials of {max(map(len, found))} epochs in {options.folder}, {options.searches} searches each")
    for trials, epochs in SEARCHES:
        if len(found) < trials or max(map(len, found)) < epochs:
            print(f"\nno search of {trials} trials of {epochs} epochs: the study has fewer")
            continue
        print(
            "\n"
            + replay(rates, found, trials, epochs, options.warmup, options.searches).to_string(
                index=False, float_format="%.2f"
            )
        )
        at = rungs(epochs, options.warmup)
        fewer = min(options.searches, 50)  # each fits a response
        print("\n" + choices(rates, found, trials, at, fewer).to_string(index=False, float_format="%.2f"))


if __name__ == "__main__":
    main()
