"""How often a study names a winner, by simulation: 1,000 studies a scenario through the code that compares real ones.

    python experiments/calibration/calibrate.py [--studies 1000] [--jobs 2] [--only WORDS]

Every study is a line of outputs/calibration/studies.csv; the same command goes on where it was stopped, and with more
studies adds to them. The table at the end is outputs/calibration/calibration.csv, too. The first ones of a scenario go
through files and tables as a user's do; the others, which takes a tenth of the time and gives the same, through the
statistics and the verdict alone.
"""

import argparse
import csv
import dataclasses
import multiprocessing
import os
import sys
from collections.abc import Iterable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a process a core already

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track
from rich.table import Table
from simulate import Outcome, run_study
from studies import Scenario, cliff, flat_top, quadratic, two_peaks

FOLDER = Path("outputs/calibration")
COLUMNS = ["scenario", "seed", *(field.name for field in dataclasses.fields(Outcome))]
AUTO = (5, 7, 9, 11, 13, 15)
CURVES = {
    "quadratic, weak": quadratic(0.5),
    "quadratic": quadratic(2),
    "quadratic, strong": quadratic(8),
    "cliff": cliff(8),
    "flat top": flat_top(2),
    "two peaks": two_peaks(2),
    "two narrow peaks": two_peaks(8),
}


def scenarios() -> list[Scenario]:
    """What is simulated: equal arms first, then those that differ."""
    found = []
    for name, curve in CURVES.items():
        for looks, how in (((5,), "5 seeds"), ((10,), "10 seeds"), (AUTO, "auto")):
            found.append(Scenario(f"equal, {name}, {how}", curve, looks=looks))
    auto, far, near = dict(looks=AUTO), (2.0, 0.0), (1.0, 0.0)
    found += [
        Scenario("equal, looks at 3, 5 and 10", looks=(3, 5, 10), auto=False),
        Scenario("equal, heavy tails, auto", heavy_tails=True, **auto),
        Scenario("equal, half of the draws pruned, auto", pruned=0.5, **auto),
        Scenario("equal, trials pause, 5 seeds", halved=True),
        Scenario("equal, trials pause, auto", halved=True, **auto),
        Scenario("equal, cliff, trials pause, auto", cliff(8), halved=True, **auto),
        Scenario("equal, one's trials diverge above 0.01, auto", diverges_above=-2.0, **auto),
        Scenario("equal, best at the edge", optimum=(-1.0, -0.5)),
        Scenario("equal, 5 trials an arm, auto", trials=(5, 5), **auto),
        Scenario("equal, 12 and 24 trials", trials=(12, 24)),
        Scenario("equal, 3 arms, auto", gaps=(0.0,) * 3, trials=(12,) * 3, **auto),
        Scenario("equal, 6 arms, 5 seeds", gaps=(0.0,) * 6, trials=(12,) * 6),
    ]
    for pictures in (180, 1_000, 10_000):
        for share in (0.04, 0.1):
            name = f"equal, {100 * share:g} % of {pictures:,} pictures, 5 seeds"
            found.append(Scenario(name, pictures=pictures, disagreement=share))
    for name, curve in CURVES.items():
        found.append(Scenario(f"2 sd apart, {name}, auto", curve, gaps=far, **auto))
    found += [
        Scenario("2 sd apart, quadratic, 5 seeds", gaps=far),
        Scenario("2 sd apart, quadratic, 10 seeds", gaps=far, looks=(10,)),
        Scenario("2 sd apart, trials pause, auto", halved=True, gaps=far, **auto),
        Scenario("1 sd apart, quadratic, auto", gaps=near, **auto),
        Scenario("3 arms, one 2 sd better, auto", gaps=(2.0, 0.0, 0.0), trials=(12,) * 3, **auto),
    ]
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=1000, help="of each scenario")
    parser.add_argument("--files", type=int, default=20, help="of these, so many through files and tables")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--only", default="", help="scenarios whose names hold these words")
    given = parser.parse_args()
    chosen = [scenario for scenario in scenarios() if given.only in scenario.name]
    path = FOLDER / "studies.csv"
    done = _done(path)
    missing = [
        (s.name, seed, seed < given.files)
        for seed in range(given.studies)
        for s in chosen
        if (s.name, seed) not in done
    ]
    with multiprocessing.get_context("spawn").Pool(given.jobs) as pool, path.open("a", newline="") as file:
        rows = csv.writer(file)
        for row in track(pool.imap_unordered(_row, missing), "studies", len(missing), console=Console(stderr=True)):
            rows.writerow(row)
            file.flush()
    table = summary(pd.read_csv(path), [scenario.name for scenario in chosen])
    table.to_csv(FOLDER / "calibration.csv", index=False)
    _show(table)


def _done(path: Path) -> set[tuple[str, int]]:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(",".join(COLUMNS) + "\n")
    found = pd.read_csv(path)
    return set(zip(found["scenario"], found["seed"], strict=True))


def _row(study: tuple[str, int, bool]) -> list[object]:
    """Of a scenario by its name, as a process can't be sent its functions."""
    name, seed, files = study
    scenario = next(scenario for scenario in scenarios() if scenario.name == name)
    return [name, seed, *dataclasses.astuple(run_study(scenario, seed, files))]


def summary(studies: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """A row per scenario: shares in percent, with their standard errors of Monte Carlo."""
    rows = []
    for name in names:
        own = studies[studies["scenario"] == name]
        if own.empty:
            continue
        false = own["false_winner"].mean()
        row = {"scenario": name, "studies": len(own), "false_winners": 100 * false}
        row["false_winners_se"] = 100 * np.sqrt(false * (1 - false) / len(own))
        row |= {"right_winners": 100 * own["right_winner"].mean(), "coverage": 100 * own["covered"].mean()}
        row |= {"seeds": own["seeds"].mean(), "epochs": own["epochs"].mean()}
        row |= {"false_before": 100 * own["false_before"].mean(), "right_before": 100 * own["right_before"].mean()}
        rows.append({key: round(value, 2) if isinstance(value, float) else value for key, value in row.items()})
    return pd.DataFrame(rows)


def _show(table: pd.DataFrame) -> None:
    shown = Table("scenario", "studies", "false winners", "right winners", "coverage", "seeds", "epochs", "before")
    for row in table.to_dict("records"):
        percent = {key: "" if pd.isna(row[key]) else f"{row[key]:.1f}" for key in row if key not in ("scenario",)}
        before = " / ".join(filter(None, (percent["false_before"], percent["right_before"])))
        shown.add_row(
            row["scenario"],
            str(row["studies"]),
            f"{percent['false_winners']} ± {percent['false_winners_se']}",
            percent["right_winners"],
            percent["coverage"],
            percent["seeds"],
            f"{row['epochs']:.2f}",
            before,
        )
    Console(width=None if sys.stdout.isatty() else 150).print(shown)


if __name__ == "__main__":
    main()
