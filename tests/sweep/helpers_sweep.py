"""Schedulers for tests: runs are made up, storage and folders real."""

import math
from dataclasses import fields
from pathlib import Path

from optuna.distributions import FloatDistribution
from optuna.pruners import NopPruner
from optuna.samplers import QMCSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from headstart.store import write_record
from headstart.sweep.arms import Arm
from headstart.sweep.scheduler import WAIT, Claim, Scheduler
from headstart.sweep.study_state import StudyState
from headstart.sweep.trial import Reporter, number_of, state_of

LR = {"lr": FloatDistribution(1e-5, 1e-1, log=True)}
DECADES = [{"lr": v} for v in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)]
EPOCHS = 3
SMALL = ["data=digits", "epochs=3", "hydra.hydra_logging.root.level=ERROR"]  # of a sweep that is typed


def random_sampler(seed):
    return RandomSampler(seed)


def qmc_sampler(seed):
    return QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)


def tpe_sampler(seed):
    return TPESampler(seed=seed, multivariate=True, constant_liar=True, n_startup_trials=0)


def open_scheduler(place: Path, arms=("a", "b"), points=DECADES, space=LR, **changes) -> Scheduler:
    """The scheduler of the study `s` in `place`; changes: fields of StudyState and Scheduler that are not the usual."""
    arms = [a if isinstance(a, Arm) else Arm(a, [], space, [dict(p) for p in points]) for a in arms]
    url = f"journal:///{place}/study.log"
    settings = dict(name="s", folder=place / "s", url=url, arms=arms, n_trials=6, seed=0)
    settings |= dict(confirm="best", pruner=NopPruner(), make_sampler=random_sampler) | changes
    settings.setdefault("looks", [settings.pop("confirm_seeds", 0)])
    of_state = {f.name: settings.pop(f.name) for f in fields(StudyState) if f.name in settings}
    return Scheduler(StudyState(**of_state), **settings)


def accuracy(params, epoch=EPOCHS):
    return 90 - 9 * abs(math.log10(params.get("lr", 1e-3)) + 3) - 5 / epoch


def finish(scheduler: Scheduler, claim: Claim, *, told=True, value=None, **result) -> None:
    """What a job leaves when it ends: reports, result.json last, then the study is told (unless killed there)."""
    reporter = None
    if claim.kind != "source":
        name, searching = f"{scheduler.state.name}/{claim.arm}", claim.kind == "search"
        reporter = Reporter(name, scheduler.state.url, claim.number, scheduler.state.pruner, reports=searching)
    state, reason, epoch = "COMPLETE", "", 0
    for epoch in range(1, EPOCHS + 1):
        if reporter and (reason := reporter.report(accuracy(claim.params, epoch), epoch)):
            state = "PRUNED"
            break
    value = accuracy(claim.params, epoch) if value is None else value
    facts = dict(state=state, reason=reason or "", val_accuracy=value, epochs_run=epoch) | result
    for name in ("best.safetensors", "predictions.npz"):
        (claim.run_dir / name).write_bytes(b"x")
    begun = dict(arm=claim.arm, number=claim.number, params=claim.params, seed=claim.seed)
    write_record(claim.run_dir / "run.json", begun)
    write_record(claim.run_dir / "result.json", begun | facts)
    if reporter and told:
        reporter.tell(claim.run_dir, value)


def work(scheduler: Scheduler, limit=1000, **result) -> list[tuple]:
    """Run what the study hands out, as one sweeper would; returns (kind, arm, number, seed) in order."""
    done = []
    while len(done) < limit and (claim := scheduler.claim()) is not None:
        assert claim != WAIT
        finish(scheduler, claim, **result)
        scheduler.tell(claim)
        claim.release()
        done.append((claim.kind, claim.arm, claim.number, claim.seed))
    return done


def table(scheduler: Scheduler) -> dict[str, list[tuple]]:
    """Number, state, parameters and value of every trial that was begun, by arm."""
    return {
        arm.name: [
            (number_of(t), state_of(t), t.params, t.value)
            for t in scheduler.state.trials(arm.name)
            if t.state != TrialState.WAITING
        ]
        for arm in scheduler.state.arms
    }
