"""The edge rule: where an arm's best learning rate lies at the edge of its range, the range is widened by a decade.

What is decided for all arms at once stands in a file of the study's folder until it is done, so that a kill changes
nothing.
"""

import math
from typing import Any

import optuna
from optuna.distributions import FloatDistribution

from headstart.statistics import edge
from headstart.store import read_json, write_json
from headstart.sweep.arms import Arm
from headstart.sweep.study_state import StudyState

MOST_EXTENSIONS = 2  # how often an arm's range may be widened
EXTENDING = ".extending.json"  # file in the study's folder


def extend_ranges(state: StudyState) -> bool:
    """Widen the ranges of the arms that need it; whether there were any. Call it while the study's lock is held."""
    extensions = [found for arm in state.arms if (found := _extension(state, arm)) is not None]
    if extensions:
        write_json(state.folder / EXTENDING, dict(extensions=extensions))
        finish_extensions(state)
    return bool(extensions)


def finish_extensions(state: StudyState) -> None:
    """Queue each new bound and record the range; done twice, as after a kill, it changes nothing."""
    path = state.folder / EXTENDING
    if not path.exists():
        return
    for new in read_json(path)["extensions"]:
        arm = new["arm"]
        study = optuna.load_study(study_name=state.study_name(arm), storage=state.storage)
        done = study.user_attrs.get("extensions", [])
        if new not in done:
            state.enqueue(study, {"lr": new["low"] if new["side"] == "low" else new["high"]})
            study.set_user_attr("extensions", [*done, new])
            state.refresh(arm)
    path.unlink()


def _extension(state: StudyState, arm: Arm) -> dict[str, Any] | None:
    """The arm's range a decade wider, and the trials that all arms get for it; None where its best lies inside."""
    rate, trials = state.space(arm).get("lr"), state.selectable(arm.name)
    if not isinstance(rate, FloatDistribution) or not rate.log or not trials:
        return None
    if len(state.extensions(arm.name)) >= MOST_EXTENSIONS:
        return None
    side = edge([t.params["lr"] for t in trials], [t.value for t in trials], rate.low, rate.high).side
    if not side:
        return None
    low, high = (rate.low / 10, rate.high) if side == "low" else (rate.low, rate.high * 10)
    extra = math.ceil(state.n_trials / math.log10(rate.high / rate.low))
    return dict(arm=arm.name, side=side, low=low, high=high, extra=extra)
