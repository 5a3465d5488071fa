"""How a study that was fitted to a time goes on: what was planned, and the seconds that it has had, in its folder."""

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from headstart.errors import UserError
from headstart.store import read_json, write_json
from headstart.timing.estimate import Pace
from headstart.timing.fitting import ArmTime, Frame, Size

NAME = "minutes.json"


@dataclass(frozen=True)
class TimePlan:
    """What was planned for a study, and how far its clock has come."""

    minutes: float
    size: Size
    frame: Frame
    spent: float = 0.0  # seconds of the calls before this one
    since: float = 0.0  # when this call began, as `time.time` has it
    search_from: float | None = None  # seconds that had been spent when the first trial began
    seeds_fixed: bool = False  # as many as fit behind the search: decided before the first confirmation began

    def now(self) -> float:
        """Seconds that the study has had by now."""
        return self.spent + max(0.0, time.time() - self.since)

    @property
    def left(self) -> float:
        """Seconds that are left for its runs."""
        return 60 * self.minutes - self.now() - self.frame.after

    def words(self) -> list[str]:
        """What would have to be typed for the same study, without what was typed."""
        size, fixed = self.size, self.frame.fixed
        values = dict(epochs=size.epochs, n_trials=size.trials, confirm_seeds=size.seeds)
        found = [f"{key}={value}" for key, value in values.items() if key not in fixed]
        return [*found, "halving=3"] if size.halved else found

    def called_again(self, active: float) -> Self:
        """The plan as another call goes on with it; active: when the last one left its last trace, as `time.time`."""
        spent = self.spent + max(0.0, active - self.since)
        return replace(self, spent=spent, since=time.time())

    def write(self, folder: Path) -> None:
        """Write it to the study's folder. Raises UserError."""
        values = asdict(self)
        for arm in values["frame"]["arms"].values():
            arm["settings"] = arm["settings"] if math.isfinite(arm["settings"]) else None
        write_json(folder / NAME, values)


def read_time_plan(folder: Path) -> TimePlan | None:
    """The plan in a study's folder; None where there is none. Raises UserError for a damaged one."""
    path = folder / NAME
    if not path.exists():
        return None
    try:
        return _of(read_json(path))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(f"{path} is damaged; put it back, or start another study by name=...") from None


def _of(values: Mapping[str, Any]) -> TimePlan:
    frame = dict(values["frame"])
    frame["arms"] = {name: _arm_of(arm) for name, arm in frame["arms"].items()}
    made = dict(values) | dict(size=Size(**values["size"]), frame=Frame(**frame))
    if not {field.name for field in fields(TimePlan)} >= made.keys():
        raise ValueError("it says more than a plan does")
    return TimePlan(**made)


def _arm_of(values: Mapping[str, Any]) -> ArmTime:
    pace = Pace(**dict(values["pace"]) | dict(epochs=tuple(values["pace"]["epochs"])))
    settings = math.inf if values["settings"] is None else values["settings"]
    return ArmTime(**dict(values) | dict(pace=pace, settings=settings))
