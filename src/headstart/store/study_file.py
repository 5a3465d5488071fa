"""What a study says of itself in study.json, beside its runs; read without trust, as a file that people edit."""

import dataclasses
import logging
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headstart.errors import UserError, listed
from headstart.store.epochs import LARGEST_COUNT
from headstart.store.files import read_json

logger = logging.getLogger(__name__)

METRICS = {
    "test_mean": "test accuracy",
    "test_balanced_accuracy": "balanced test accuracy",
    "test_precision_macro": "test precision, macro",
    "test_recall_macro": "test recall, macro",
    "test_f1_macro": "test F1, macro",
    "train_mean": "training accuracy",
    "val_accuracy": "validation accuracy",
    "val_mean": "validation accuracy, mean",
    "parameters": "parameters",
    "parameters_with_statistics": "parameters with statistics",
}  # columns of arms.csv that a figure may be compared with

Settings = Mapping[str, Any]  # by key, as JSON has them


@dataclass(frozen=True)
class PublishedFigure:
    """A figure that others reported for an arm, in the unit of the column `metric` of arms.csv."""

    arm: str
    value: float
    source: str
    metric: str = "test_mean"
    note: str = ""


@dataclass(frozen=True)
class StudyFile:
    """What study.json says. What it lacks, or holds in another type, is empty here: it may be of another version."""

    name: str = ""
    question: str = ""
    experiment: str = ""  # file in experiments/
    command: str = ""  # that made the study, and goes on with it
    seed: int | None = None
    n_trials: int = 0  # of each arm
    settings: Mapping[str, int] = field(default_factory=dict)  # how many different ones an arm has, where it is finite
    confirm_seeds: int = 0  # of each arm: so many; 0 with `auto_seeds`
    auto_seeds: bool = False  # confirm_seeds=auto: as many as the verdicts need, up to the last of `looks`
    looks: tuple[int, ...] = ()  # numbers of seeds with which its arms are compared, or were
    planned_seeds: int = 0  # how many there were to be at most, when nothing had been compared yet
    margin: float | None = None  # points that do not matter
    minutes: float | None = None  # to which it was fitted
    minutes_taken: float | None = None  # until its last run had ended
    sampler: str = ""  # decades, tpe, qmc, random
    unpruned: bool = False
    arm_order: tuple[str, ...] = ()
    arms: Mapping[str, Settings] = field(default_factory=dict)  # what was set for each
    spaces: Mapping[str, Settings] = field(default_factory=dict)  # per arm and key: {low, high, log} or {choices}
    common: Settings = field(default_factory=dict)  # what was set for the study
    reported: tuple[PublishedFigure, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)  # host:folder of runs that ended, where several folders are

    @classmethod
    def of(cls, content: Any) -> "StudyFile":
        """What a value read from JSON says; anything but an object says nothing."""
        values = content if isinstance(content, Mapping) else {}
        texts = {key: _text(values.get(key)) for key in ("name", "question", "experiment", "command", "sampler")}
        counts = {key: _count(values.get(key)) or 0 for key in ("n_trials", "confirm_seeds", "planned_seeds")}
        settings = {key: _objects(values.get(key)) for key in ("arms", "spaces")}
        return cls(
            **texts,
            **counts,
            **settings,
            auto_seeds=values.get("confirm_seeds") == "auto",
            looks=_rising(_listed(values.get("looks"))),
            **{key: _positive(values.get(key)) for key in ("margin", "minutes", "minutes_taken")},
            common=_object(values.get("common")),
            seed=_count(values.get("seed")),
            settings={arm: n for arm, size in _object(values.get("settings")).items() if (n := _count(size))},
            unpruned=values.get("unpruned") is True,
            arm_order=tuple(name for name in _listed(values.get("arm_order")) if isinstance(name, str)),
            places={run: place for run, place in _object(values.get("places")).items() if _text(place)},
            reported=tuple(_figures(_listed(values.get("reported")))),
        )

    def lacking(self, runs: Collection[str]) -> "StudyFile":
        """The same, with the places of those runs alone that have ended and are not among `runs`."""
        return dataclasses.replace(self, places={k: v for k, v in self.places.items() if k not in runs})

    @property
    def kept_time(self) -> str:
        """How it kept to the minutes that it was fitted to, in a sentence; "" where there are none."""
        if self.minutes is None:
            return ""
        sizes = {"n_trials": f"{self.n_trials} trials", "confirm_seeds": f"{self.most_seeds} seeds"}
        typed = [size for key, size in sizes.items() if re.search(rf"(?<!\S)['\"]?{key}=", self.command)]
        fitted = [size for size in sizes.values() if size not in typed]
        beside = f", beside the {typed[0]} that were asked for" if fitted and typed else ""
        bought = f"{listed(fitted)} an arm are what was found to fit{beside}" if fitted else "its epochs are what fits"
        took = f"; it took {self.minutes_taken:.1f} without the report" if self.minutes_taken else ""
        return f"Fitted to {self.minutes:g} minutes: {bought}{took}."

    @property
    def least_seeds(self) -> int:
        """So many confirmations every arm has when the study has ended."""
        return self.looks[0] if self.auto_seeds and self.looks else self.confirm_seeds

    @property
    def most_seeds(self) -> int:
        """So many confirmations an arm may have."""
        return self.looks[-1] if self.auto_seeds and self.looks else self.confirm_seeds

    def has_tried_all(self, arm: str, trials: int) -> bool:
        """Whether so many trials are all that the arm has different settings for."""
        return arm in self.settings and trials >= self.settings[arm]

    def first_rates(self, arm: str) -> list[float]:
        """Learning rates that the arm tries whatever its search finds; [] where none are known."""
        points = map(_object, _listed(self.arms.get(arm, {}).get("first points")))
        return [point["lr"] for point in points if is_number(point.get("lr"))]


def read_study(path: str | Path) -> StudyFile | None:
    """Return what a study.json says; None where there is none, and, with a line in the log, where it is damaged."""
    if not Path(path).exists():
        return None
    try:
        content = read_json(path)
        if not isinstance(content, dict):
            raise UserError(f"{path} holds no study: expected a JSON object")
    except UserError as error:
        logger.warning("%s; its arms are described and not judged", error)
        return None
    return StudyFile.of(content)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def is_number(value: Any) -> bool:
    """Whether it is a finite number that a float can hold; JSON's may have hundreds of digits."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _count(value: Any) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST_COUNT
    return value if is_count else None


def _positive(value: Any) -> float | None:
    return value if is_number(value) and value > 0 else None


def _rising(values: list[Any]) -> tuple[int, ...]:
    """The counts among them from 1, sorted."""
    return tuple(sorted({count for value in values if (count := _count(value))}))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> dict[str, dict[str, Any]]:
    return {name: settings for name, settings in _object(value).items() if isinstance(settings, dict)}


# ---- figures of others


def check_figures(figures: Any) -> None:
    """Refuse an experiment's `reported:` that is not a list of {arm, metric, value, source, note}. Raises UserError."""
    if figures is None:
        return
    for figure in figures if isinstance(figures, list) else [figures]:
        known = {"arm", "metric", "value", "source", "note"}
        if not isinstance(figure, Mapping) or not {"arm", "value", "source"} <= set(figure) <= known:
            raise UserError(f"reported: got {figure}; expected {{arm: ..., value: 83.0, source: ..., note: ...}}")
        if figure.get("metric", "test_mean") not in tuple(METRICS):
            raise UserError(f"reported: metric={figure['metric']} is unknown; choose one of {', '.join(METRICS)}")
        value = figure["value"]
        if not is_number(value):
            raise UserError(f"reported: value={value} of {figure['arm']} is not a number")


def _figures(listed: list[Any]) -> Iterator[PublishedFigure]:
    """The figures that are whole; the others are left out."""
    for figure in listed:
        try:
            check_figures([figure])
        except UserError:
            continue
        note = str(figure.get("note") or "")
        metric = figure.get("metric", "test_mean")
        yield PublishedFigure(str(figure["arm"]), float(figure["value"]), str(figure["source"]), metric, note)
