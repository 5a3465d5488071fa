"""A short slice of `make calibrate`: studies whose truth is known, through the code that compares real ones."""

import io
import subprocess
import sys

import pandas as pd
import pytest
from conftest import ROOT

STUDIES = 10
FOLDER = ROOT / "experiments" / "calibration"


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """`calibrated(words)` is the row of the one scenario whose name is that."""
    folder = tmp_path_factory.mktemp("calibration")

    def row(name: str) -> pd.Series:
        command = [sys.executable, str(ROOT / "experiments/calibration/calibrate.py")]
        ended = subprocess.run(
            [*command, "--studies", str(STUDIES), "--files", "2", "--jobs", "1", "--only", name],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        table = pd.read_csv(folder / "outputs/calibration/calibration.csv")
        return table[table["scenario"] == name].iloc[0]

    return row


def test_equal_arms_on_a_steep_curve_get_hardly_a_winner(calibrated):
    found = calibrated("equal, quadratic, strong, 10 seeds")
    assert found["false_winners"] <= 100 * 2 / STUDIES  # 5 % expected at most: three or more with chance 0.01
    assert found["coverage"] >= 100 - 100 * 2 / STUDIES
    assert found["seeds"] == 10


def test_arms_that_differ_get_their_winner_with_as_many_seeds_as_it_takes(calibrated):
    found = calibrated("2 sd apart, flat top, auto")
    assert found["right_winners"] >= 50 and found["false_winners"] == 0
    assert 5 <= found["seeds"] <= 15 and found["epochs"] < 1.6


@pytest.fixture
def simulated(monkeypatch):
    """`simulated(name, seed)`: what is said of a study of that scenario; files: through files and tables."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.syspath_prepend(FOLDER)
    from calibrate import scenarios
    from simulate import run_study

    named = {scenario.name: scenario for scenario in scenarios()}
    return lambda name, seed, **ways: run_study(named[name], seed, **ways)


@pytest.mark.parametrize(
    "name",
    [
        "equal, cliff, auto",
        "equal, looks at 3, 5 and 10",
        "equal, one's trials diverge above 0.01, auto",
        "equal, best at the edge",
        "equal, half of the draws pruned, auto",
        "equal, cliff, trials pause, auto",
        "equal, 10 % of 180 pictures, 5 seeds",
        "3 arms, one 2 sd better, auto",
    ],
)
def test_what_is_said_is_the_same_through_files_and_tables_and_without(name, simulated):
    """Most of `make calibrate` leaves the tables out: it may, as long as they change nothing."""
    for seed in (0, 1):
        assert str(simulated(name, seed)) == str(simulated(name, seed, files=True))


def test_unequal_budgets_get_none(calibrated):
    found = calibrated("equal, 12 and 24 trials")
    assert found["false_winners"] == 0


def test_most_forecasts_of_curves_whose_end_is_known_hold():
    """A slice of `make forecasts`: simulated curves, and real ones, whose rows are the published ones."""
    script = (
        "from forecasts import checked, of_cifar10, simulated, summary\n"
        "real = [c for c in of_cifar10() if c.images == 45_000 and len(c.sizes) == 4]\n"
        "print(summary(checked([*simulated(2), *real], gaps=True)).to_csv(index=False))"
    )
    folder = ROOT / "experiments/calibration"
    out = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True).stdout
    rows = pd.read_csv(io.StringIO(out)).to_dict("records")
    simulated, real = ([row for row in rows if row["curves"].startswith(kind)] for kind in ("simulated", "CIFAR-10"))
    assert sum(row["forecasts"] for row in simulated) == 7 * 4 * (2 + 1)
    assert sum(row["held"] for row in simulated) / len(simulated) > 90 and max(row["width"] for row in simulated) < 45
    published = pd.read_csv(folder / "forecasts.csv").to_dict("records")
    assert [row["what"] for row in real] == ["accuracy", "gap"]
    for row in real:
        (other,) = [p for p in published if (p["curves"], p["what"]) == (row["curves"], row["what"])]
        assert row["forecasts"] == other["forecasts"] > 40 and row["held"] >= 95
        assert abs(row["width"] - other["width"]) < 0.3 and abs(row["held"] - other["held"]) < 3
