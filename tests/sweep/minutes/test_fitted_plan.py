"""`minutes=` as it is typed: what is planned, said and recorded, and how a study goes on with it."""

import csv
import shlex
from functools import partial
from pathlib import Path

import pytest
from conftest import files_below

from headstart.store import read_json
from headstart.timing import read_time_plan

ARMS = ["name=s", "model=cnn,resnet18", "confirm_seeds_max=3", "minutes=32"]


@pytest.fixture
def fitted(sweep, monkeypatch):
    """As `sweep`, with 10 epochs that the configuration asks for and nobody typed."""
    monkeypatch.setattr("headstart.sweep.preflight.run_preflight", lambda checks: None)  # no toy has these pictures
    monkeypatch.setattr("sweep.conftest.SMALL", ["data=digits", "hydra.hydra_logging.root.level=ERROR"])
    return partial(sweep, preflight=True)


def rows(name: str = "s") -> list[dict[str, str]]:
    with open(f"outputs/{name}/tables/trials.csv") as file:
        return list(csv.DictReader(file))


def counts(name: str = "s") -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for row in rows(name):
        found[row["arm"], row["phase"]] = found.get((row["arm"], row["phase"]), 0) + 1
    return found


def timeless(found: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{k: v for k, v in row.items() if "seconds" not in k and "per_second" not in k} for row in found]


def line(text: str, begins: str) -> str:
    return next(line.strip() for line in text.splitlines() if line.strip().startswith(begins))


def test_a_study_is_as_large_as_fits_and_equal_for_all_arms(fitted, timed):
    timed(30.0)
    code, text = fitted(*ARMS, "n_trials=2")
    assert code == 0, text
    plan = read_time_plan(Path("outputs/s"))
    assert plan.size.epochs == 5 and plan.size.trials == 2
    assert counts() == {
        (a, p): n for a in ("cnn", "resnet18") for p, n in (("search", 2), ("confirm", plan.size.seeds))
    }
    assert {row["epochs"] for row in rows()} == {str(plan.size.epochs)}
    assert f"in 32 minutes: 2 trials x {plan.size.epochs} epochs and 3 seeds for each of 2 arms; about " in text
    assert "with 200 test pictures and 3 seeds a difference from about " in text
    study = read_json("outputs/s/study.json")
    assert (study["minutes"], study["n_trials"], study["confirm_seeds"]) == (32, 2, 3)
    took = f"it took {study['minutes_taken']:.1f}"
    fits = "3 seeds an arm are what was found to fit, beside the 2 trials that were asked for"  # typed
    kept = f"Fitted to 32 minutes: {fits}; {took}"
    assert kept in text and kept in Path("outputs/s/report.md").read_text().replace("\\", "")
    assert kept in Path("outputs/s/report.html").read_text()


def test_the_same_command_goes_on_with_the_same_plan_and_times_nothing(fitted, timed):
    asked = timed(30.0)
    assert fitted(*ARMS, "n_trials=2")[0] == 0
    assert asked == ["arm cnn", "arm resnet18"]
    before, plan, undisturbed = files_below(Path("outputs/s")), read_time_plan(Path("outputs/s")), timeless(rows())
    timed(5.0)  # another machine, or a busy hour
    command = [word for word in shlex.split(read_json("outputs/s/study.json")["command"])[2:] if word != "data=digits"]
    assert not any(word.startswith(("epochs=", "confirm_seeds=")) for word in command)
    for words in ([*ARMS, "n_trials=2"], command):
        code, text = fitted(*words)
        assert code == 0, text
        assert "as planned for 32 minutes: " in text and len(asked) == 2
        after = files_below(Path("outputs/s"))
        results = [{f: b for f, b in files.items() if f.endswith("result.json")} for files in (before, after)]
        assert results[0] == results[1] or words == command  # which begins with confirmations to be done again
        assert read_time_plan(Path("outputs/s")).size == plan.size
        for result in Path("outputs/s").glob("*/confirm/*/*/result.json"):  # as if they had been killed
            result.unlink()
    assert fitted(*ARMS, "n_trials=2")[0] == 0 and timeless(rows()) == undisturbed


def test_a_dry_run_prints_the_plan_of_the_real_one_and_writes_nothing(fitted, timed):
    timed(30.0)
    code, planned = fitted(*ARMS, "n_trials=2", "dry_run=true")
    assert code == 0 and not Path("outputs").exists(), planned
    code, text = fitted(*ARMS, "n_trials=2")
    assert line(planned, "in 32 minutes: ").partition(";")[0] == line(text, "in 32 minutes: ").partition(";")[0]
    code, again = fitted(*ARMS, "n_trials=2", "dry_run=true")
    assert (
        line(again, "as planned for 32 minutes: ")
        .partition(";")[0]
        .endswith(line(text, "in 32 minutes: ").partition(";")[0].removeprefix("in 32 minutes: "))
    )


def test_other_minutes_or_none_are_refused_in_a_study_that_was_planned(fitted, timed):
    timed(30.0)
    assert fitted(*ARMS, "n_trials=2")[0] == 0
    before = files_below(Path("outputs"))
    code, text = fitted(*ARMS[:-1], "n_trials=2", "minutes=5")
    assert code == 1
    assert "was planned for minutes=32 (2 trials x " in text and "minutes=5; go on with minutes=32, or start" in text
    code, text = fitted(*ARMS[:-1], "n_trials=2")
    assert code == 1 and "was planned for minutes=32; add that to go on" in text
    code, text = fitted(*ARMS, "n_trials=2", "confirm_seeds=auto")
    assert code == 1 and "confirm_seeds=auto takes as many seeds as it needs, minutes=32 as many as fit" in text
    assert {f for f, b in files_below(Path("outputs")).items() if before.get(f) != b} <= {"s/.lock"}


def test_a_study_that_began_without_minutes_goes_on_without(fitted, timed):
    timed(30.0)
    assert fitted("name=s", "model=cnn", "n_trials=1", "confirm_seeds=0")[0] == 0
    code, text = fitted("name=s", "model=cnn", "minutes=3")
    assert code == 1 and "began without minutes=; go on without it, or start another by name=" in text


def test_unnamed_studies_of_other_minutes_are_others(fitted, timed):
    timed(30.0)
    for minutes in (10, 10, 20):
        assert fitted("model=cnn", "n_trials=1", "confirm_seeds=0", f"minutes={minutes}")[0] == 0
    assert len(list(Path("outputs").iterdir())) == 2


def test_too_little_time_is_a_sentence_and_leaves_the_name_free(fitted, timed):
    timed(20.0)
    code, text = fitted("name=s", "model=cnn,resnet18", "minutes=3")
    assert code == 1
    assert "minutes=3 is too short: the smallest plan, 5 trials x 3 epochs" in text and "give minutes=" in text
    assert not Path("outputs/s/minutes.json").exists() and not Path("outputs/s/study.json").exists()
    timed(0.01)
    assert fitted("name=s", "model=cnn", "n_trials=2", "confirm_seeds=0", "minutes=1")[0] == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["minutes=0"], "minutes=0.0: expected a number above 0 or null"),
        (["minutes=-1"], "minutes=-1.0: expected a number above 0 or null"),
        (["minutes=nan"], "minutes=nan: expected a number above 0 or null"),
        (["minutes=soon"], "minutes=soon: expected a number above 0 or null"),
        (["minutes=2,4"], "all arms of a study share minutes"),
        (["minutes=3", "epochs=2", "n_trials=5", "confirm_seeds=3"], "minutes=3 has nothing to choose"),
        (["minutes=3", "budget=quick"], "both say how much is spent"),
        (["minutes=3", "hydra/sweeper=optuna"], "is headstart's own sweeper's"),
    ],
)
def test_mistakes_are_sentences(words, told, fitted, timed):
    timed(0.01)
    code, text = fitted("name=s", "model=cnn", *words)
    assert code == 1 and told in text, text
    assert "Traceback" not in text and not Path("outputs/s/study.json").exists()


def test_a_single_run_says_what_to_type(fitted):
    code, text = fitted("minutes=3", m="")
    assert code == 1 and "minutes=3 belongs to a sweep; add -m" in text


def test_an_arm_from_the_sources_weights_is_timed_from_random_ones(fitted, timed):
    asked = timed(0.2)
    words = ['hydra.sweeper.source={overrides: ["epochs=1"]}', "n_trials=2", "confirm_seeds=0", "minutes=5"]
    arms = 'hydra.sweeper.arms={random: ["model=cnn"], learnt: ["model=cnn", "model.weights=source"]}'
    code, text = fitted("name=s", arms, *words, "dry_run=true")
    assert code == 0, text
    assert asked == ["source", "arm random", "arm learnt"]


def test_real_steps_are_timed_where_nothing_is_made_up(sweep, monkeypatch):
    """With the networks themselves, for as long as it takes to read a clock: a plan, and every arm in it."""
    monkeypatch.setattr("headstart.timing.measure.SECONDS", 0.01)
    monkeypatch.setattr("headstart.timing.measure.BUSY_SECONDS", 0.01)
    words = ["name=s", "model=cnn,logistic_regression", "data.train_size=100", "minutes=100", "dry_run=true"]
    code, text = sweep(*words, preflight=True)
    assert code == 0, text
    assert "  in 100 minutes: " in text
    assert "test pictures and " in text and " seeds a difference from about " in text
