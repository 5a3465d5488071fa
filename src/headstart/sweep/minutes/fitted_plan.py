"""From `minutes=30` to the plan of a study: its runs are timed, and what fits takes the place of what was not typed."""

import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.types import RunMode

from headstart.config import key_of, override_value
from headstart.errors import UserError
from headstart.statistics import foreseen_detectable
from headstart.sweep import preflight
from headstart.sweep.arms import replace_overrides
from headstart.sweep.minutes.asked import (
    SECONDS_TO_START,
    busy_words,
    frame_of,
    refuse_auto_seeds,
    refuse_unfit,
    sized,
    too_short,
    typed_keys,
)
from headstart.sweep.minutes.child import in_child
from headstart.sweep.plan import Plan, make_plan
from headstart.sweep.settings import read_settings
from headstart.sweep.storage import study_lock
from headstart.sweep.workers import reporting_process
from headstart.timing import Pace, TimePlan, TooShortError, fit, read_time_plan, seconds_for


def fitted_plan(plan: Plan, loader: ConfigLoader, began: float) -> Plan:
    """The plan of what fits `minutes`, as it stands in the study's folder or, in a new one, by what was timed now.

    plan: as it would be without. began: when the sweep did, as `time.time` has it. Raises UserError.
    """
    if plan.config.dry_run:
        known = known_plan(plan)
        found = known or _timed(plan, began)
    else:
        with study_lock(plan.folder):  # several processes of one command: the first one plans
            known = known_plan(plan)
            if known is None:
                found = _timed(plan, began)
                found.write(plan.folder)
            else:
                found = known
                if not reporting_process():
                    found = found.called_again(_last_trace(plan.folder))
                    found.write(plan.folder)
    return replace(_with_words(plan, loader, found.words()), in_minutes=tuple(_lines(plan, found, known is not None)))


def known_plan(plan: Plan) -> TimePlan | None:
    """The one in the study's folder. Raises UserError where the study began with another, or without."""
    minutes, begun = plan.config.minutes, (plan.folder / "study.json").exists()
    found = read_time_plan(plan.folder)
    refuse_auto_seeds(plan)
    if found is None and begun:
        raise UserError(
            f"{plan.folder} holds a study that began without minutes=; go on without it, or start another by name=..."
        )
    if found is None or (found.minutes != minutes and not begun):  # planned, and then refused or killed
        return None
    if found.minutes != minutes:
        raise UserError(
            f"{plan.folder} was planned for minutes={found.minutes:g} ({sized(plan, found.size)}), now "
            f"minutes={minutes:g}; go on with minutes={found.minutes:g}, or start another by name=..."
        )
    return found


def refuse_without_minutes(plan: Plan) -> None:
    """Refuse to go on with a study that was fitted to a time as if it had not been. Raises UserError."""
    if (plan.folder / "study.json").exists() and (found := read_time_plan(plan.folder)) is not None:
        raise UserError(
            f"{plan.folder} was planned for minutes={found.minutes:g}; add that to go on (n_trials= and confirm_seeds= "
            "beside it may be raised), or start another by name=..."
        )


def _last_trace(folder: Path) -> float:
    """When the study was last seen at work, as `time.time` has it; what a kill cut off counts as far as it wrote."""
    traces = [*folder.glob("*/*/*/epochs.csv"), *folder.glob("*/*/*/*/epochs.csv"), folder / "minutes.json"]
    return max(path.stat().st_mtime for path in traces if path.exists())


def _timed(plan: Plan, began: float) -> TimePlan:
    """What fits, by a few steps of each arm on this machine."""
    refuse_unfit(plan)
    checks = preflight.configurations_to_check(plan) | preflight.stand_ins(plan)
    print(f"minutes={plan.config.minutes:g}: a few steps of each arm are timed", file=sys.stderr, flush=True)
    paces, busy = in_child(lambda: _measured(checks), forks=plan.config.jobs > 1)
    frame = frame_of(plan, paces, before=time.time() - began + SECONDS_TO_START, busy=busy)
    try:
        size = fit(frame, 60 * plan.config.minutes)
    except TooShortError as error:
        raise too_short(plan, error, frame) from None
    return TimePlan(plan.config.minutes, size, frame, spent=SECONDS_TO_START, since=began)


def _measured(checks: Mapping[str, preflight.Check]) -> tuple[dict[str, Pace | None], float]:
    """What a run of each takes here, and how busy the machine is with other things."""
    from headstart.timing import how_busy  # torch: only now

    paces = preflight.measured_paces(checks, elsewhere=False)
    return paces, min(how_busy(), how_busy()) if any(paces.values()) else 1.0  # what passes is not counted


def _with_words(plan: Plan, loader: ConfigLoader, chosen: list[str]) -> Plan:
    """The plan with these overrides beside those typed, which win."""
    given, typed = plan.config.hydra.overrides, typed_keys(plan)
    chosen = [word for word in chosen if key_of(word) not in typed]
    own = [plan.own_folder() if key_of(word) == "hydra.sweep.dir" and "${" in word else word for word in given.hydra]
    words = replace_overrides(list(given.task), [f"name={override_value(plan.config.name)}", *chosen])
    config = loader.load_configuration(plan.config.hydra.job.config_name, [*own, *words], RunMode.MULTIRUN)
    settings = read_settings(dict(config.hydra.sweeper), config)
    made = make_plan(settings, loader, config, list(config.hydra.overrides.task))
    return replace(made, chosen=tuple(chosen))


def _lines(plan: Plan, found: TimePlan, is_known: bool) -> list[str]:
    """What is bought, and the smallest difference that it can show."""
    frame, size = found.frame, found.size
    begins = "as planned for" if is_known else "in"
    seconds = seconds_for(frame, size)
    most = size.trials >= frame.most_trials and size.seeds >= frame.most_seeds
    early = ", more would buy little" if most and not is_known and seconds < 60 * found.minutes * 0.85 else ""
    takes = f"about {seconds / 60:.1f} min{busy_words(frame)}{early}"
    lines = [f"{begins} {found.minutes:g} minutes: {sized(plan, size)}; {takes}"]
    images = min((n for arm in frame.arms.values() if (n := arm.pace.test_images)), default=0)
    pairs = len(plan.arms) * (len(plan.arms) - 1) // 2
    if pairs and images > 1 and size.seeds > 1:
        points = foreseen_detectable(images, size.seeds, pairs)
        lines.append(
            f"with {images:,} test pictures and {size.seeds} seeds a difference from about {points:.1f} points can be "
            "shown (from more, where it varies by more than a point over seeds)"
        )
    return lines
