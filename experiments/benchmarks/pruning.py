"""Which pruner spends least and finds as good a trial? Searches replayed from trials that were trained to their end.

    headstart -m name=curves model=cnn search=random budget.pruner=null n_trials=48 confirm_seeds=0 epochs=30 \\
        data.train_size=2000 data.validation_size=1000
    python experiments/benchmarks/pruning.py outputs/curves [--searches 200]

A search draws its trials from those of the study, the ones nearest to the factor-of-10 points first, as `arms` does,
and shows the pruner their validation accuracies epoch by epoch. With learning rates drawn at random a trial does not
depend on those before it, so that the replay is exact; and with a constant schedule the first 10 epochs of a trial are
a trial of 10 epochs (with another one, train the study with epochs=10). Printed for each pruner: share of the epochs
that it let train, and what the best validation accuracy that it left is below that of the same search unpruned (mean,
and the worst of 20 searches).
"""

import argparse
import math
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, PercentilePruner, SuccessiveHalvingPruner

import headstart
from headstart.config.resolvers import decades, first_pruned_epoch

optuna.logging.set_verbosity(optuna.logging.ERROR)
SEARCHES = ((32, 30), (32, 10), (12, 10))  # trials, epochs


def pruners(epochs: int, warmup: float) -> dict[str, BasePruner]:
    """What is compared; warmup: of the schedule. The best 12.5 % is the default of every budget in conf/budget."""
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
            trial.report(accuracy, epoch)
            if number >= first and epoch < epochs and trial.should_prune():
                state = optuna.trial.TrialState.PRUNED
                break
        if state == optuna.trial.TrialState.COMPLETE:
            best = max(best, curve[:epochs].max())
            study.tell(trial, curve[:epochs].max())
        else:
            study.tell(trial, state=state)
    return best, spent


def replay(
    rates: np.ndarray, found: list[np.ndarray], trials: int, epochs: int, warmup: float, searches: int
) -> pd.DataFrame:
    """One row per pruner."""
    near = list(dict.fromkeys(int(np.abs(np.log(rates / point)).argmin()) for point in decades(1e-5, 1e-1)))
    rest = [index for index in range(len(found)) if index not in near]
    rows = []
    for name, pruner in pruners(epochs, warmup).items():
        results = []
        for seed in range(searches):
            drawn = np.random.default_rng(seed).permutation(rest)[: trials - len(near)]
            chosen = [found[index] for index in [*near, *drawn]]
            best, spent = search(chosen, len(near), epochs, pruner, seed)
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


if __name__ == "__main__":
    main()
