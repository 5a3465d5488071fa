"""What becomes of a trial that looks bad: pausing by successive halving, or Optuna's pruners, which end it."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.trial import FrozenTrial, TrialState

from headstart.config import make
from headstart.errors import UserError, first_line
from headstart.statistics import NOWHERE, Curve, expected_share, goals, is_settled
from headstart.sweep.trial import CHANCE, number_of
from headstart.typed import Factor

COHORT = 4  # so many trials are drawn from one state of the search, beside each other where there are workers


class Halving(BasePruner):
    """Pauses all trials but the best after some epochs, and goes on with one where its rank changes; see `goals`.

    It ends no trial: the scheduler asks it how far to train each, and their jobs pause there.
    """

    def __init__(self, factor: float):
        self.factor = factor

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Never: what is paused was told how far to go when it began."""
        return False

    def goals(self, trials: Sequence[FrozenTrial], at: Sequence[int], total: int) -> dict[int, int]:
        """To which epoch each trial is to be trained, by its number.

        trials: those that have begun, by number, of `total`. at: the rungs.
        """
        found = goals([curve_of(trial) for trial in trials], at, self.factor, total)
        return {number_of(trial): goal for trial, goal in zip(trials, found, strict=True)}

    def left_behind(self, trials: Sequence[FrozenTrial], at: Sequence[int], total: int) -> set[int]:
        """Numbers of the trials, of `total` in the end, that no more results can bring to go on from the first rung."""
        curves = [curve_of(trial) for trial in trials]
        reached = goals(curves, at, self.factor, total)
        known = list(itertools.takewhile(lambda value: value is not None, (c.at(at[0], at[0]) for c in curves)))
        guessed = [curve.is_guess(value) for curve, value in zip(curves, known, strict=False)]
        ranked = sorted(range(len(known)), key=lambda place: (-known[place], place))
        cut = math.ceil(total / self.factor)
        by_guessing = any(guessed[place] for place in ranked[cut - 1 : cut])
        beaten = [place for place in ranked[cut:] if not (by_guessing and guessed[place])]
        return {number_of(trials[place]) for place in beaten if reached[place] == at[0]}

    def expected_share(self, trials: int, at: Sequence[int]) -> float:
        """Share of all epochs that so many trials take on average."""
        return expected_share(trials, at, self.factor)

    def seen_by(
        self, number: int, first: int, trials: Sequence[FrozenTrial], at: Sequence[int]
    ) -> list[FrozenTrial] | None:
        """The other trials as the draw of this one sees them; None while some of them have not come so far yet.

        What they have when the search stands still before the draw's cohort, whatever else was trained meanwhile: the
        same with any number of workers, after a kill, and in a study whose total was raised. Who has come to the last
        comparison counts as complete there, so that no worker waits while the best are trained to their end. first: how
        many trials are not drawn; the cohorts count from there.
        """
        settled = first + (number - first) // COHORT * COHORT if number >= first else 0
        before = [trial for trial in trials if number_of(trial) < settled]
        curves, last = [curve_of(trial) for trial in before], at[-2:][0]
        reached = [min(goal, last) for goal in goals(curves, at, self.factor, total=number + COHORT)]
        if not is_settled(curves, reached):
            return None
        seen = [_as_of(*which, last) for which in zip(before, curves, reached, strict=True)]
        beside = [trial for trial in trials if settled <= number_of(trial) < number]
        return seen + [_made_up(trial, TrialState.RUNNING) for trial in beside]


def curve_of(trial: FrozenTrial) -> Curve:
    """How far the trial has come."""
    led_nowhere = trial.state in (TrialState.PRUNED, TrialState.FAIL)  # a paused one is neither
    chance = trial.user_attrs.get(CHANCE, NOWHERE)
    return Curve(trial.intermediate_values, trial.state.is_finished(), led_nowhere, chance)


def _as_of(trial: FrozenTrial, curve: Curve, goal: int, last: int) -> FrozenTrial:
    """The trial as it was when it came to its goal, an epoch; at the last comparison, or ended before, complete."""
    value = curve.at(goal)
    if value == NOWHERE:
        return _made_up(trial, trial.state)
    has_ended = goal == last or curve.epochs < goal
    state = TrialState.COMPLETE if has_ended else TrialState.PRUNED
    return _made_up(trial, state, value, {min(goal, curve.epochs): value})


def _made_up(trial: FrozenTrial, state: TrialState, value: Any = None, values: dict[int, float] | None = None) -> Any:
    return optuna.trial.FrozenTrial(
        number=trial.number,
        trial_id=trial._trial_id,
        state=state,
        value=value,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete or trial.datetime_start,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs={},
        system_attrs={},
        intermediate_values=values or {},
    )


# ---- from the configuration


def halving(factor: Factor = 3.0) -> Halving:
    """Successive halving: of the trials trained for 1, 2, 5, 10, 20 ... epochs the best 1 / factor go on."""
    return Halving(factor)


def make_pruner(node: Any) -> BasePruner:
    """The configured pruner; without one a NopPruner, because None means a MedianPruner to Optuna.

    Raises UserError for a node of something else, and for what the pruner itself refuses.
    """
    try:
        pruner = NopPruner() if node is None else make(node)
    except ValueError as error:
        raise UserError(f"budget.pruner: {first_line(error)}") from error
    if not isinstance(pruner, BasePruner):
        raise UserError(f"budget.pruner is a {type(pruner).__name__}; expected one of optuna.pruners, or null")
    return pruner
