"""How often a real study names a winner between an arm and itself, by the rules of now and of before.

    python experiments/calibration/same_arms.py [--studies 20] [--data cifar10] [--images 5000] [--epochs 10]

The small CNN under two names, whose searches train with other seeds: whatever is told apart is luck. Each study has a
validation split and training images of its own, and is made twice, with confirm=search and with confirm=best; of the
latter the interval over the seeds alone is what was printed before. Results in outputs/calibration/same_arms/; the same
command goes on where it was stopped.
"""

import argparse
import math
import subprocess
from pathlib import Path

import pandas as pd

import headstart
from headstart.sweep.workers import PROGRAM

FOLDER = Path("outputs/calibration/same_arms")
SHOWN = {"difference": "difference", "low": "ci_low", "high": "ci_high"}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=20)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--images", type=int, default=200, help="training images")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", default="5", help="confirm_seeds")
    given = parser.parse_args()
    rows = [_study(given, number) for number in range(given.studies)]
    table = pd.DataFrame(rows)
    table.to_csv(FOLDER / f"{given.data}_{given.images}.csv", index=False)
    print(table.to_string(index=False))
    print(f"winners: {table['winner'].sum()} of {len(table)}; before: {table['winner_before'].sum()}")


def _study(given: argparse.Namespace, number: int) -> dict[str, object]:
    pairs = {}
    for confirm in ("search", "best"):
        name = f"{given.data}_{given.images}_{number:02d}_{confirm}"
        first, second = 1000 * number + 100, 1000 * number + 500  # of the searches; confirmations pair their own
        words = [
            f"data={given.data}",
            f"data.train_size={given.images}",
            f"epochs={given.epochs}",
            f"split_seed={number}",
        ]
        words += ["model=cnn", "batch_size=32", "augmentation=none", "n_trials=12", "threads=1"]
        words += [f"confirm={confirm}", f"confirm_seeds={given.seeds}", f"hydra.sweep.dir={FOLDER / name}"]
        arms = f"hydra.sweeper.arms={{one: ['seed={first}'], same: ['seed={second}']}}"
        subprocess.run([*PROGRAM, "-m", *words, arms], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        pairs[confirm] = headstart.load(FOLDER / name).pairs.iloc[0]
    now, before = pairs["search"], pairs["best"]
    return {
        "study": number,
        **{name: round(_number(now[column]), 2) for name, column in SHOWN.items()},
        "winner": pd.notna(now["winner"]),
        "difference_before": round(_number(before["difference"]), 2),
        # Equal settings leave no difference, and no interval: no winner then.
        "winner_before": _number(before["seeds_ci_low"]) > 0 or _number(before["seeds_ci_high"]) < 0,
    }


def _number(value: object) -> float:
    return float(value) if pd.notna(value) else math.nan


if __name__ == "__main__":
    main()
