"""Trials that have ended, queued again under their own number."""

from collections.abc import Mapping

import optuna
from optuna.trial import FrozenTrial, TrialState

from headstart.store import read_run, set_aside
from headstart.sweep.study_state import StudyState
from headstart.sweep.trial import CHANCE, number_of


def requeue(study: optuna.Study, trial: FrozenTrial, curve: Mapping[int, float] | None = None) -> None:
    """Queue what a trial tried, with what it reported, or with `curve`: it goes on from its last checkpoint, if any.

    The new one takes its number, and so its place in tables; of the old one nothing is read any more.
    """
    kept = {k: v for k, v in trial.user_attrs.items() if k in ("first_point", CHANCE)}
    again = optuna.trial.create_trial(
        state=TrialState.WAITING,
        system_attrs={"fixed_params": trial.params},
        user_attrs=kept | {"number": number_of(trial)},
        intermediate_values=dict(trial.intermediate_values if curve is None else curve),
    )
    study.add_trial(again)


def requeue_failed(state: StudyState) -> None:
    """Queue failed trials again under their own numbers and parameters; what they left is kept beside."""
    folders = [state.source_dir]
    for arm in (a.name for a in state.arms):
        for trial in state.trials(arm):
            if trial.state == TrialState.FAIL:
                run_dir = state.run_dir(arm, number_of(trial))
                set_aside(run_dir / "result.json")
                requeue(state.studies[arm], trial)
                state.claims.reopen(run_dir)
        state.refresh(arm)
        folders += [path.parent for path in (state.folder / arm / "confirm").glob("*/*/result.json")]
    for folder in folders:
        if read_run(folder)["state"] == "FAILED":
            set_aside(folder / "result.json")
            state.claims.reopen(folder)
