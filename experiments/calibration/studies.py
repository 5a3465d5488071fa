"""Simulated studies, written as the files that a sweep leaves: what is true of their arms is known.

An arm has a true accuracy at every learning rate; a search tries some, each with one noisy run; confirmations train
what the rules of a study let them train. Which test pictures an arm gets right is drawn once; a run differs in some.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from headstart.statistics import Choice, Curve, choice_of, goals, is_settled, rungs, to_choose_from
from headstart.store import PAUSED, append_epoch

BEST = 80.0  # percent, of the first arm at its optimum
LOW, HIGH = -5.0, -1.0  # decades of the learning rate
RANGE = {"lr": {"low": 1e-5, "high": 1e-1, "log": True, "step": None}}
OF_VALIDATION = 1.1  # standard deviations of a seed: a trial's noise
VALIDATION_PICTURES = 5000
EPOCHS = 10
FACTOR = 3  # of the halving that pauses trials
AT_FIRST = 20.0  # points below the end after the first epoch
SLOWER = 0.5  # decades by which the optimum lies lower after the first epoch
OF_AN_EPOCH = 0.7  # standard deviations of a seed by which an epoch differs from the last one

Loss = Callable[[np.ndarray], np.ndarray]  # points lost at so many decades from the optimum


def quadratic(weight: float) -> Loss:
    """The same loss on both sides."""
    return lambda away: -weight * away**2


def cliff(weight: float) -> Loss:
    """Slow below the optimum, fast above it, and a fall behind."""
    return lambda away: np.where(
        away < 0, -weight / 2 * away**2, -2 * weight * away**2 - 4 * weight * np.maximum(away - 0.7, 0)
    )


def flat_top(weight: float) -> Loss:
    """A decade where nothing is lost."""
    return lambda away: -2 * weight * np.maximum(np.abs(away) - 0.5, 0) ** 2


def two_peaks(weight: float) -> Loss:
    """A second optimum, half a point lower, 1.5 decades above."""
    return lambda away: np.maximum(-weight * away**2, -0.5 - weight * (away - 1.5) ** 2)


@dataclass(frozen=True)
class Scenario:
    """What is true of a study's arms, and how they are compared."""

    name: str
    curve: Loss = field(default_factory=lambda: quadratic(2.0))
    gaps: tuple[float, ...] = (0.0, 0.0)  # of each arm, in standard deviations of a seed, which are points
    trials: tuple[int, ...] = (12, 12)
    looks: tuple[int, ...] = (5,)  # with so many seeds, one after another where nothing is decided
    auto: bool = True  # whether these looks were planned; else the user adds seeds
    pictures: int = 10_000
    disagreement: float = 0.04  # share of the pictures that two arms equal in the population answer differently
    optimum: tuple[float, float] = (-4.0, -2.0)  # of each arm, drawn within
    heavy_tails: bool = False
    diverges_above: float = math.inf  # decades, in the last arm
    halved: bool = False  # whether trials pause where others are ahead
    pruned: float = 0.0  # share of the trials behind the first points that are stopped, the worst ones

    @property
    def planned(self) -> bool:
        """Whether the study itself looks more than once, and ends where nothing is undecided."""
        return self.auto and len(self.looks) > 1

    @property
    def arms(self) -> list[str]:
        """Their names."""
        return [f"arm{number}" for number in range(len(self.gaps))]


@dataclass
class Arm:
    """One side of a simulated study."""

    name: str
    scenario: Scenario
    number: int
    random: np.random.Generator
    right: np.ndarray  # [N], which test pictures a run gets right that loses nothing
    study_seed: int  # a study of its own seed repeats its choices by its own luck

    def __post_init__(self) -> None:
        self.optimum = self.random.uniform(*self.scenario.optimum)

    @property
    def best(self) -> float:
        """True accuracy at the optimum, in percent."""
        return BEST + self.scenario.gaps[self.number]

    def lost(self, rate: float) -> float:
        """Points at that learning rate."""
        return float(self.scenario.curve(np.array(math.log10(rate) - self.optimum)))

    def diverges(self, rate: float) -> bool:
        """Whether a run at that learning rate comes to nothing."""
        return self.number == len(self.scenario.gaps) - 1 and math.log10(rate) > self.scenario.diverges_above

    def noise(self) -> float:
        """A run's own luck, of standard deviation 1."""
        return self.random.standard_t(3) / math.sqrt(3) if self.scenario.heavy_tails else self.random.standard_normal()

    def search(self) -> list[dict[str, Any]]:
        """The trials, as results: the powers of 10, then random draws."""
        count = self.scenario.trials[self.number]
        rates = [*10.0 ** np.arange(HIGH, LOW - 1, -1), *10 ** self.random.uniform(LOW, HIGH, count)][:count]
        values = [self.best + self.lost(rate) + OF_VALIDATION * self.noise() for rate in rates]
        if self.scenario.halved:
            return self._halved(rates, values)
        drawn = sorted(values[5:])
        stopped = drawn[: round(self.scenario.pruned * len(drawn))]
        found = []
        for number, (rate, value) in enumerate(zip(rates, values, strict=True)):
            state = "DIVERGED" if self.diverges(rate) else "PRUNED" if number >= 5 and value in stopped else "COMPLETE"
            epochs = EPOCHS if state == "COMPLETE" else EPOCHS // 3
            found.append(
                dict(number=number, lr=float(rate), params={"lr": float(rate)}, state=state, epochs_run=epochs)
                | dict(val_accuracy=float(np.clip(value, 0, 100)) if state != "DIVERGED" else None)
            )
        return found

    def _halved(self, rates: Sequence[float], values: Sequence[float]) -> list[dict[str, Any]]:
        """Trials that come to these values at their end, if they were not paused before."""
        at = rungs(EPOCHS)
        ends = list(zip(rates, values, strict=True))
        known = [{epoch: self._on_the_way(rate, value, epoch) for epoch in at[:-1]} for rate, value in ends]
        curves = [Curve({})] * len(rates)
        while not is_settled(curves, reached := goals(curves, at, FACTOR, len(rates))):
            curves = [
                Curve({e: v for e, v in (own | {EPOCHS: value}).items() if e <= goal}, has_ended=goal == EPOCHS)
                for own, value, goal in zip(known, values, reached, strict=True)
            ]
        return [
            dict(number=number, lr=float(rate), params={"lr": float(rate)}, epochs_run=curve.epochs, curve=curve.values)
            | dict(val_accuracy=max(curve.values.values()), state="COMPLETE" if curve.has_ended else "PRUNED")
            | dict(reason="" if curve.has_ended else f"{PAUSED} after epoch {curve.epochs}")
            for number, (rate, curve) in enumerate(zip(rates, curves, strict=True))
        ]

    def _on_the_way(self, rate: float, value: float, epoch: int) -> float:
        """What a trial has after an earlier epoch that has this value at its end."""
        left = 1 - math.log(epoch) / math.log(EPOCHS)
        slower = self.lost(rate * 10 ** (SLOWER * left)) - self.lost(rate)
        return float(np.clip(value + slower - AT_FIRST * left + OF_AN_EPOCH * self.noise(), 0, 100))

    def choice(self, trials: Sequence[dict[str, Any]]) -> Choice | None:
        """As the study's own: None where no trial may be selected."""
        usable = [trial for trial in trials if trial["state"] == "COMPLETE" or trial.get("curve")]
        if not any(trial["state"] == "COMPLETE" for trial in usable):
            return None
        values = [trial["val_accuracy"] for trial in usable]
        if stopped := [place for place, trial in enumerate(usable) if trial["state"] != "COMPLETE"]:
            curves = [Curve(t["curve"], has_ended=t["state"] == "COMPLETE") for t in usable]
            places, values = to_choose_from(curves, stopped)
            usable = [usable[place] for place in places]
        tried = [trial["params"] for trial in usable]
        return choice_of(RANGE, tried, values, pictures=VALIDATION_PICTURES, seed=self.study_seed, arm=self.name)

    def confirm(self, rate: float) -> np.ndarray | None:
        """Which pictures a run at that rate gets right; None: it diverged."""
        if self.diverges(rate):
            return None
        wanted = (self.lost(rate) + self.noise()) / 100
        flipped = self.random.random(len(self.right)) < 0.02
        right = self.right ^ flipped
        wanted += 0.02 * (2 * self.best / 100 - 1)  # what the flips took
        if wanted < 0:
            return right & (self.random.random(len(right)) > -wanted / (self.best / 100))
        return right | (self.random.random(len(right)) < wanted / (1 - self.best / 100))


def arms_of(scenario: Scenario, random: np.random.Generator) -> list[Arm]:
    """The arms of one study: each right about its own accuracy of the pictures, and about most the same ones."""
    study_seed = int(random.integers(2**31))
    ease = random.random(scenario.pictures)  # a picture is right for whoever is better than that
    arms = []
    for number, (name, gap) in enumerate(zip(scenario.arms, scenario.gaps, strict=True)):
        share = (BEST + gap) / 100
        right = ease < share
        own = random.random(scenario.pictures) < scenario.disagreement / (4 * share * (1 - share))
        redrawn = random.random(scenario.pictures) < share
        arms.append(Arm(name, scenario, number, random, np.where(own, redrawn, right), study_seed))
    return arms


def write_study(folder: Path, scenario: Scenario, looks: Sequence[int], seed: int) -> None:
    """study.json as a sweep leaves it with these looks planned or made."""
    planned = scenario.looks[-1] if scenario.auto else scenario.looks[0]
    first = {name: {"first points": [{"lr": 10.0**e} for e in range(-1, -6, -1)]} for name in scenario.arms}
    study = dict(name="study", seed=seed, n_trials=max(scenario.trials), arm_order=scenario.arms, arms=first)
    study |= dict(confirm_seeds="auto" if scenario.planned else looks[-1], looks=list(looks), planned_seeds=planned)
    study |= dict(spaces=dict.fromkeys(scenario.arms, RANGE), common={"confirm": "search"}, sampler="random")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.json").write_text(json.dumps(study))


def write_run(
    folder: Path,
    arm: Arm,
    phase: str,
    right: np.ndarray | None = None,
    curve: Mapping[int, float] | None = None,
    **facts: Any,
) -> None:
    """A run's result, of a confirmation its answers, of a trial that may have been paused its epochs."""
    folder.mkdir(parents=True)
    for epoch, value in (curve or {}).items():
        append_epoch(folder, {"epoch": epoch, "val_accuracy": value})
    result = dict(study="study", arm=arm.name, phase=phase, model="cnn", data="simulated", data_sha256="d", seed=0)
    result |= dict(train_size=1000, val_size=VALIDATION_PICTURES, epochs=EPOCHS, epochs_run=EPOCHS, device="cpu")
    result |= dict(threads=1, test_reads=0) | facts
    if right is not None:
        result |= dict(test_reads=1, test_accuracy=100 * float(right.mean()))
        answers = np.stack([right, ~right], axis=1).astype(np.float32)
        count = len(right)
        with (folder / "predictions.npz").open("wb") as file:
            np.savez(
                file,
                test_labels=np.zeros(count, dtype=np.int8),
                test_probabilities=answers,
                test_indices=np.arange(count),
                classes=np.array(["right", "wrong"]),
            )
    (folder / "result.json").write_text(json.dumps(result))
