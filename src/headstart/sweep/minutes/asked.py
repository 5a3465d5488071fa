"""What `minutes=` may choose of a study and what was typed, with the sentences for what can't be meant."""

import math
import shlex
from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

from headstart.config import frozen_epochs, key_of, keys_without_effect, runs_elsewhere
from headstart.errors import UserError
from headstart.sweep.plan import Plan
from headstart.timing import FITTED, ArmTime, Frame, Pace, Size, TooShortError

USUAL_PRUNER = "optuna.pruners.PercentilePruner"  # conf/budget/smoke.yaml
SECONDS_TO_START = 2.0  # Python and Hydra, before the sweep's own clock begins
LONGER = 1.15  # a run takes, beside its steps, what isn't timed: what it writes down, and what it is made of
BUSIEST = 2.0  # what one second says of the minutes to come; the first trials tell more
SECONDS_TO_REPORT = 12.0  # tables, plots and page
A_RUN = 1.0  # seconds of one where nothing could be timed: the first trials tell


def typed_keys(plan: Plan) -> dict[str, str]:
    """The overrides of the command line by their keys, `hydra.sweeper.` left out, without what was chosen for it."""
    given = plan.config.hydra.overrides
    words = [word for word in [*given.task, *given.hydra] if word not in plan.chosen]
    return {key_of(word).removeprefix("hydra.sweeper."): word for word in words}


def refuse_unfit(plan: Plan) -> None:
    """Refuse a study that can't be fitted to a time. Raises UserError."""
    minutes, typed = f"minutes={plan.config.minutes:g}", typed_keys(plan)
    if runs_elsewhere(plan.config):
        raise UserError(
            f"{minutes}: the runs are on other machines, and nobody here can time them; give n_trials=, epochs= and "
            "confirm_seeds= in its place"
        )
    if "budget" in typed:
        raise UserError(f"{typed['budget']} and {minutes} both say how much is spent; leave one of them out")
    refuse_auto_seeds(plan)
    if fixed_of(plan).keys() >= set(FITTED):
        epochs = "epochs, " if "epochs" in typed else ""
        raise UserError(
            f"{minutes} has nothing to choose: {epochs}n_trials and confirm_seeds are all given; leave one of them out"
        )


def refuse_auto_seeds(plan: Plan) -> None:
    """Refuse seeds that follow the verdict beside those that follow the clock. Raises UserError."""
    if plan.settings.confirm_seeds == "auto" and "confirm_seeds" in typed_keys(plan):
        raise UserError(
            f"confirm_seeds=auto takes as many seeds as it needs, minutes={plan.config.minutes:g} as many as fit; "
            "leave one out, or give a number of seeds"
        )


def fixed_of(plan: Plan) -> dict[str, int]:
    """What of epochs, trials and seeds is not to be chosen: what was typed, and epochs that are the arms' own."""
    typed, found = typed_keys(plan), {}
    epochs = plan.epochs()
    if "epochs" in typed or len(epochs) != 1 or any(map(has_own_epochs, plan.arms)):
        found["epochs"] = max(epochs, default=1)
    if "n_trials" in typed:
        found["n_trials"] = plan.settings.n_trials
    if "confirm_seeds" in typed:
        found["confirm_seeds"] = plan.settings.confirm_seeds
    return found


def has_own_epochs(arm: Any) -> bool:
    """Whether the arm says itself how long it trains, or searches it."""
    return "epochs" in arm.space or any(key_of(word) == "epochs" for word in arm.overrides)


def frame_of(plan: Plan, paces: Mapping[str, Pace | None], *, before: float, busy: float) -> Frame:
    """What the study has to fit into.

    paces: of a run by whose it is. before: seconds until the first trial begins. busy: as `how_busy` has it.
    """
    typed, fixed = typed_keys(plan), fixed_of(plan)
    pruner = OmegaConf.to_container(plan.config.budget).get("pruner") if plan.config.budget else None
    is_usual = isinstance(pruner, Mapping) and pruner.get("_target_") == USUAL_PRUNER
    halving = plan.config.halving
    chosen = "halving" in typed or any(key.startswith("budget.pruner") for key in typed)
    source = paces.get("source")
    return Frame(
        arms=_arm_times(plan, paces),
        epochs=max(plan.epochs(), default=1),
        fixed=fixed,
        most_trials=int(min(59, max(arm.settings for arm in plan.arms))),
        most_seeds=plan.config.confirm_seeds_max,
        folds=math.lcm(*plan.folds().values()),
        least_epochs=max(3, *(frozen_epochs(cfg) + 1 for cfg in plan.composed.values())),
        may_halve=is_usual and halving is None and not chosen and any(arm.rungs for arm in plan.arms),
        prunes=is_usual and halving is None,
        halving=halving,
        jobs=plan.jobs,
        before=before + (source.whole if source else 0.0),
        after=min(busy, BUSIEST) * SECONDS_TO_REPORT,
        factor=min(busy, BUSIEST) * LONGER,
    )


def _arm_times(plan: Plan, paces: Mapping[str, Pace | None]) -> dict[str, ArmTime]:
    """What was timed of each arm; one that couldn't be is taken for the others' mean, until its first trials tell."""
    known = {arm.name: pace for arm in plan.arms if (pace := paces.get(f"arm {arm.name}")) is not None}
    mean = sum(pace.whole for pace in known.values()) / len(known) if known else A_RUN
    found = {}
    for arm in plan.arms:
        cfg = plan.composed[arm.name]
        in_one_go = "epochs" in keys_without_effect(cfg)
        count = 1 if in_one_go else max(1, max(plan.epochs(), default=1))
        found[arm.name] = ArmTime(
            known.get(arm.name, Pace((mean / count,) * count, 0.0, 0.0, 0.0)),
            settings=arm.settings,
            warmup=(cfg.schedule.get("warmup", 0.0) or 0.0) if cfg.schedule else 0.0,
            frozen=frozen_epochs(cfg),
            own_epochs=in_one_go or has_own_epochs(arm),
        )
    return found


# ---- in words


def too_short(plan: Plan, error: TooShortError, frame: Frame) -> UserError:
    """What to say where not even the smallest plan fits: what it needs, and what would make it smaller."""
    needed = max(error.seconds / 60, plan.config.minutes * 1.01)
    step = 1 if needed > 2 else 0.1
    enough = -(-needed // step) * step
    timed = [name for name in frame.arms if "epochs" not in keys_without_effect(plan.composed[name])] or frame.arms
    slowest = max(timed, key=lambda name: frame.arms[name].pace.whole)
    configured = plan.settings.arms is not None
    less = ["data.train_size=...", "image_size=..."]
    if len(plan.arms) > 2:
        drop = shlex.quote(f"~arms.{slowest}")
        less.append(
            f"leave an arm out ({drop} takes longest)" if configured else f"fewer arms ({slowest} takes longest)"
        )
    return UserError(
        f"minutes={plan.config.minutes:g} is too short: the smallest plan, {sized(plan, error.smallest)}, takes about "
        f"{needed:.1f} minutes here{busy_words(frame)}; give minutes={enough:g}, or make it smaller: "
        f"{', '.join(less)}"
    )


def busy_words(frame: Frame) -> str:
    """How much longer all takes as the machine does something else, too; "" where it doesn't."""
    busy = frame.factor / LONGER
    return f" (this machine is busy: {busy:.1f} times as long)" if busy > 1.3 else ""


def sized(plan: Plan, size: Size) -> str:
    """`8 trials x 10 epochs and 4 seeds for each of 3 arms`."""
    epochs = f" x {_counted(size.epochs, 'epoch')}" if len(plan.epochs()) == 1 else ""
    whose = f" for each of {len(plan.arms)} arms" if len(plan.arms) > 1 else ""
    return f"{sized_runs(size, epochs)}{whose}"


def sized_runs(size: Size, epochs: str = "") -> str:
    """`8 trials and 4 seeds`. epochs: of a trial, as they are to be said."""
    halved = ", the best third of them to the end," if size.halved else ""
    return f"{_counted(size.trials, 'trial')}{epochs}{halved} and {_counted(size.seeds, 'seed')}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
